//! [`Prefixed`] → [`AppArchive`]: `UKL.a` with a symbol index.

use std::path::{Path, PathBuf};

use anyhow::Context;
use formats::ar::{self, Member};

use crate::base::error::{fail, Class, Result};
use crate::base::plan::{Made, INPUTS_ANEW};
use crate::base::workdir::{self, ImageDir};
use crate::program::link::Linked;
use crate::program::prefix::{Prefixed, PREFIX};

/// The archive that joins the kernel's final link.
#[derive(Debug, Clone)]
pub struct AppArchive {
    /// `UKL.a`.
    pub path: PathBuf,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

/// Writes the archive and reads its index back: the kernel's linker must find the entry.
///
/// `members` are objects of the kernel's side, which join as they are.
pub fn archive(prefixed: &Prefixed, members: &[PathBuf], dir: &ImageDir) -> Result<AppArchive> {
    let mut files = vec![("program.o".to_owned(), workdir::read(&prefixed.object)?)];
    for path in members {
        let name = path.file_name().unwrap_or(Path::new("member.o").as_os_str());
        files.push((name.to_string_lossy().into_owned(), workdir::read(path)?));
    }
    let path = dir.archive();
    let context = || format!("failed to make `{}`", path.display());
    let bytes = ar::write(&files.iter().map(|(name, data)| Member { name, data, mode: 0o644 }).collect::<Vec<_>>())
        .with_context(context)?;
    let entry = format!("{PREFIX}_start");
    let index = goblin::archive::Archive::parse(&bytes).with_context(context)?;
    if index.member_of_symbol(&entry) != Some("program.o") {
        let text = format!("the archive's index does not list the entry `{entry}`");
        return Err(fail(Class::App, text).hint("the program has no `main`").into());
    }
    workdir::write_if_changed(&path, &bytes)?;
    let sha256 = workdir::hash_file(&path)?;
    Ok(AppArchive { path, sha256 })
}

/// What [`archive`] would make of `linked`: what lies there, where nothing before it is made again.
pub fn planned(linked: &Made<Linked>, dir: &ImageDir) -> Made<AppArchive> {
    let path = dir.archive();
    match workdir::hash_file(&path) {
        Ok(sha256) if !linked.pending => Made::found(AppArchive { path, sha256 }),
        _ => {
            let why = vec![INPUTS_ANEW.to_owned()];
            Made { value: AppArchive { path, sha256: String::new() }, why, pending: true }
        }
    }
}
