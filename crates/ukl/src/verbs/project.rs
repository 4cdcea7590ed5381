//! From what the user named on the command line to a manifest and an image folder.

use std::fs;
use std::path::{Path, PathBuf};

use super::options::{ProjectOption, Target};
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::workdir::ImageDir;
use crate::manifest::{self, Manifest};
use crate::tools::pins;

/// The manifest that `target` names: a folder, a `ukl.toml`, plain C files, or a program of `ukl cc`.
pub(super) fn manifest(target: &Target) -> Result<Manifest> {
    match target.target.as_slice() {
        [] if lacks_manifest(Path::new(".")) => manifest::from_folder(Path::new(".")),
        [] => manifest::load(Path::new(".")),
        [one] if lacks_manifest(one) => manifest::from_folder(one),
        [one] if one.is_dir() || one.extension().is_some_and(|e| e == "toml") => manifest::load(one),
        [one] if is_program(one) => manifest::from_program(one),
        files => match files.iter().find(|file| file.is_dir()) {
            Some(dir) => {
                let failure =
                    fail(Class::Usage, format!("`{}` is a folder: name one folder or C files", dir.display()));
                Err(failure.hint("the program's arguments go behind `--`").into())
            }
            None => manifest::from_files(files),
        },
    }
}

/// Does `work` if the sources are those of the project's lock file, and writes one where there is none.
///
/// Plain files have no project, and a dry run none that it may write to.
pub(super) fn locked<T>(
    env: &Env,
    target: &Target,
    manifest: &Manifest,
    kernel: bool,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    if env.shell.dry_run || !has_manifest(target) {
        return work();
    }
    if let Some(pins) = pins::read(&manifest.dir)? {
        pins::check(&pins, &pins::observe(env, manifest, kernel)?)?;
    }
    let done = work()?;
    pins::write(&manifest.dir, pins::observe(env, manifest, kernel)?, false)?;
    Ok(done)
}

/// The project whose kernel options a command is about: `-C DIR`, or the current folder.
pub(super) fn of_options(option: &ProjectOption) -> Result<PathBuf> {
    let here = Path::new(".");
    if option.project.is_none() && !here.join("ukl.toml").exists() {
        let failure = fail(Class::Usage, "no project in the current folder");
        return Err(failure.hint("`-C DIR` names one, `ukl init -t hello DIR` begins one").into());
    }
    Ok(option.project.clone().unwrap_or(here.to_owned()))
}

/// True when `target` names a project with a manifest of its own.
pub(super) fn has_manifest(target: &Target) -> bool {
    match target.target.as_slice() {
        [] => !lacks_manifest(Path::new(".")),
        [one] => !lacks_manifest(one) && one.is_dir() || one.extension().is_some_and(|e| e == "toml"),
        _ => false,
    }
}

/// A folder without `ukl.toml`.
fn lacks_manifest(dir: &Path) -> bool {
    dir.is_dir() && !dir.join("ukl.toml").exists()
}

/// A linked ELF file, and no object or archive.
fn is_program(file: &Path) -> bool {
    let elf = fs::read(file).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF"));
    elf && file.extension().is_none_or(|e| e != "o")
}

/// The image folder: `--out`, or `build/NAME` in the project's folder.
pub(super) fn image_dir(target: &Target, manifest: &Manifest) -> Result<ImageDir> {
    let dir = match &target.out {
        Some(dir) => dir.clone(),
        None => manifest.dir.join("build").join(&manifest.name),
    };
    Ok(ImageDir::at(std::path::absolute(dir)?))
}

/// The image folder that `target` names: itself, or the one of its project.
pub(super) fn existing_image(target: &Target) -> Result<ImageDir> {
    if let (None, [dir]) = (&target.out, target.target.as_slice()) {
        let image = ImageDir::at(std::path::absolute(dir)?);
        if image.manifest().is_file() {
            return Ok(image);
        }
    }
    match (&target.out, target.target.as_slice()) {
        (Some(out), []) => Ok(ImageDir::at(std::path::absolute(out)?)),
        _ => image_dir(target, &manifest(target)?),
    }
}
