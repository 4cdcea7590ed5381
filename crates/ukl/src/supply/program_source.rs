//! The manifest's `source` → the program's own source trees, unmodified.

use std::path::{Path, PathBuf};

use anyhow::Context;
use walkdir::WalkDir;

use crate::base::cached::{self, Work};
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::plan::Made;
use crate::base::run::Cmd;
use crate::base::workdir;
use crate::manifest::{Origin, Upstream};
use crate::supply::debian;
use crate::supply::download;

/// One source tree that is never written to.
#[derive(Debug, Clone)]
pub struct Tree {
    /// Name of the folder that builds find it in.
    pub name: String,
    /// Where it lies.
    pub tree: PathBuf,
    /// Changes with its content.
    pub hash: String,
}

/// Fetches what `upstream` names, once.
///
/// Errors: no such package, file or folder, a wrong checksum (class `Host`).
pub fn fetch(env: &Env, upstream: &Upstream) -> Result<Made<Tree>> {
    let name = upstream.name.clone();
    match &upstream.origin {
        Origin::Debian { package, version } => {
            let package = debian::fetch(env, package, version)?;
            Ok(package.map(|package| Tree { name, tree: package.tree, hash: package.sha256 }))
        }
        Origin::Url { url, sha256 } => {
            let tree = tarball(env, url, sha256)?;
            Ok(tree.map(|tree| Tree { name, tree, hash: sha256.clone() }))
        }
        Origin::Local(tree) => Ok(Made::found(Tree { name, tree: tree.clone(), hash: fingerprint(tree)? })),
    }
}

fn tarball(env: &Env, url: &str, sha256: &str) -> Result<Made<PathBuf>> {
    let key = workdir::hash(["tarball-1", sha256])[..24].to_owned();
    let file = |work: &Work| work.dir.join("tarball");
    let commands = |work: &Work| {
        let file = file(work);
        Ok(vec![download::command(url, &file)?, unpack_command(&file, &work.out)])
    };
    cached::entry(env, "upstream", &key, commands, |work, commands| {
        env.shell.check_all(&commands[..1], Class::Host)?;
        download::verify(url, &file(work), sha256)?;
        env.shell.check_all(&commands[1..], Class::Host)
    })
}

fn unpack_command(tarball: &Path, to: &Path) -> Cmd {
    let tar = Cmd::new("tar").arg("--extract").arg("--file").arg(tarball).arg("--directory").arg(to);
    tar.args(["--strip-components=1", "--no-same-owner"]).env("LC_ALL", "C")
}

/// A hash over names, modes and content of what belongs to a source tree.
fn fingerprint(tree: &Path) -> Result<String> {
    use std::os::unix::fs::MetadataExt;
    let mut parts = Vec::new();
    for entry in files(tree) {
        let entry = entry?;
        let below = entry.path().strip_prefix(tree)?.display().to_string();
        let meta = entry.path().symlink_metadata()?;
        let content = if meta.is_symlink() {
            std::fs::read_link(entry.path())?.display().to_string()
        } else if meta.is_file() {
            workdir::hash_file(entry.path())?
        } else {
            String::new()
        };
        parts.extend([below, format!("{:o}", meta.mode()), content]);
    }
    Ok(workdir::hash(parts))
}

fn files(tree: &Path) -> impl Iterator<Item = Result<walkdir::DirEntry>> + '_ {
    let keep = |entry: &walkdir::DirEntry| entry.depth() == 0 || entry.file_name() != ".git";
    let context = move || format!("failed to read `{}`", tree.display());
    let walk = WalkDir::new(tree).sort_by_file_name().into_iter().filter_entry(keep);
    walk.map(move |entry| entry.with_context(context))
}

/// A copy of `tree` for a build to write into.
///
/// All files get the same time: what a package's patches changed must not look newer than what was
/// generated from it, or the build would want the maintainer's tools.
pub fn copy(tree: &Tree, to: &Path) -> Result<()> {
    for entry in files(&tree.tree) {
        let entry = entry?;
        let target = to.join(entry.path().strip_prefix(&tree.tree)?);
        let context = || format!("failed to copy `{}`", entry.path().display());
        let kind = entry.file_type();
        if kind.is_dir() {
            workdir::create_dir(&target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(entry.path())?, &target).with_context(context)?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), &target).with_context(context)?;
            let file = std::fs::File::options().append(true).open(&target).with_context(context)?;
            file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000))?;
        } else {
            let text = format!("`{}` is neither file nor folder", entry.path().display());
            return Err(fail(Class::Host, text).into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_the_same_content_and_one_time() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        workdir::write_atomic(&from.join("sub/configure"), b"#!/bin/sh\n").unwrap();
        workdir::set_mode(&from.join("sub/configure"), 0o755).unwrap();
        workdir::write_atomic(&from.join(".git/HEAD"), b"x").unwrap();
        std::os::unix::fs::symlink("sub", from.join("link")).unwrap();
        let hash = fingerprint(&from).unwrap();
        copy(&Tree { name: "x".into(), tree: from.clone(), hash: hash.clone() }, &to).unwrap();
        assert_eq!(fingerprint(&to).unwrap(), hash);
        assert!(!to.join(".git").exists());
        let time = |name: &str| to.join(name).metadata().unwrap().modified().unwrap();
        assert_eq!(time("sub/configure"), std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000));
        workdir::write_atomic(&from.join("sub/configure"), b"other\n").unwrap();
        assert_ne!(fingerprint(&from).unwrap(), hash);
    }
}
