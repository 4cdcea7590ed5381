//! [`KernelSpec`] → [`Source`]: a pristine tree in the cache.

mod tarball;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::base::cached::{self, Work};
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::plan::Made;
use crate::base::run::{Cmd, Shell};
use crate::base::workdir::{self, Cache};
use crate::manifest::{KernelSource, KernelSpec};
use crate::supply::debian::Offer;

/// An unpacked, unpatched kernel tree that ukl owns.
#[derive(Debug, Clone)]
pub struct Source {
    /// The tree (in the cache; never a user's own).
    pub tree: PathBuf,
    /// Full version from the tree's Makefile, e.g. `6.12.117`.
    pub version: String,
    /// Hash of the tarball or of the tree's content.
    pub hash: String,
}

pub use tarball::{get_command, open_command, unpack_command};

/// What neither the build nor a patch of ours looks at: half of the bytes.
///
/// Patterns from the tree's top folder; `*` matches within one folder's name.
const UNUSED: [&str; 5] =
    ["Documentation/*/*", "arch/*/boot/dts/*", "drivers/gpu/drm/amd/include/*/*", "tools/perf/*", "tools/testing/*"];

/// Fetches, verifies and unpacks the kernel that `spec` names, once.
///
/// Errors: no such package, tree or tarball, a wrong checksum, a full disk (class `Host`); not a
/// kernel, or another version than the manifest says (class `Kernel`).
pub fn fetch(env: &Env, spec: &KernelSpec) -> Result<Made<Source>> {
    let tree = match &spec.source {
        KernelSource::Debian => tarball::debian(env, &spec.version),
        KernelSource::Local(path) if path.is_dir() => tree::copy(env, path),
        KernelSource::Local(path) => tarball::local(env, path),
        KernelSource::Url { url, sha256 } => tarball::url(env, url, sha256),
    }?;
    // Of a tree that is not there yet, later stages get what the manifest says.
    let version = if tree.pending { spec.version.clone() } else { version(&tree)? };
    if version != spec.version && !version.starts_with(&format!("{}.", spec.version)) {
        let text = format!("the kernel source is Linux {version}, the manifest says {}", spec.version);
        let hint = "set `version` in the manifest's [kernel] to the source's line, if ukl has patches for it";
        return Err(fail(Class::Kernel, text).hint(hint).into());
    }
    Ok(tree.map(|tree| Source { hash: key_of(&tree), tree, version }))
}

/// SHA-256 of the tarball of the distribution's `package`, as far as it is known.
pub fn checksum(cache: &Cache, package: &str) -> Result<Option<String>> {
    let installed = Path::new("/usr/src").join(format!("{package}.tar.xz"));
    if installed.exists() {
        return remembered_hash(cache, &installed).map(Some);
    }
    Ok(fs::read_to_string(cache.fact(&format!("sha256-{package}"))).ok())
}

/// Forgets which tree the distribution's `package` was, so that the archives are asked again.
pub fn forget(cache: &Cache, package: &str) -> Result<()> {
    workdir::remove_file(&cache.fact(&format!("debian-{package}")))
}

/// What the archives have of the distribution's kernel `package`, as apt's lists on this machine say; nothing when they do
/// not name it. The version is the kernel's, without the package's own.
pub fn offer(shell: &Shell, package: &str) -> Result<Option<Offer>> {
    let table = shell.run(&Cmd::new("apt-cache").args(["madison", package]))?;
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    let mut columns = table.lines().filter_map(|line| Some((line.split('|').nth(1)?.trim().to_owned(), line)));
    // The newest stands first.
    Ok(columns.next().map(|(version, line)| {
        let kernel = version.split(['-', '+', '~']).next().unwrap_or_default().to_owned();
        Offer { version: kernel, security: line.contains("-security") }
    }))
}

/// The key of a cache entry is the hash of what it was made from.
fn key_of(entry: &Path) -> String {
    entry.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The cache entry for something that hashes to `hash`: `fill` calls `commands` and leaves the tree in the entry.
fn entry(
    env: &Env,
    hash: &str,
    commands: impl Fn(&Work) -> Result<Vec<Cmd>>,
    fill: impl FnOnce(&Work, &[Cmd]) -> Result<()>,
) -> Result<Made<PathBuf>> {
    let key = workdir::hash(["source-1", hash, &UNUSED.join(" ")])[..16].to_owned();
    cached::entry(env, "source", &key, commands, |work, commands| {
        fill(work, commands)?;
        // A tree that is not a kernel must not stay in the cache.
        version(&work.out).map(drop)
    })
}

/// `VERSION.PATCHLEVEL.SUBLEVEL` from the top Makefile.
fn version(tree: &Path) -> Result<String> {
    let no_kernel = || {
        let failure = fail(Class::Kernel, "the kernel source has no Makefile with a VERSION at its top");
        failure.hint("a kernel tarball or tree as published by kernel.org or a distribution is expected")
    };
    let makefile = fs::read_to_string(tree.join("Makefile")).map_err(|_| no_kernel())?;
    let value = |name: &str| {
        let line = makefile.lines().find(|line| line.split(' ').next() == Some(name))?;
        line.split_once('=').map(|(_, value)| value.trim().to_owned())
    };
    match (value("VERSION"), value("PATCHLEVEL"), value("SUBLEVEL")) {
        (Some(version), Some(level), Some(sub)) => Ok(format!("{version}.{level}.{sub}")),
        _ => Err(no_kernel().into()),
    }
}

/// The hash of a file, remembered by its path, size and time of change: a kernel tarball takes a second.
fn remembered_hash(cache: &Cache, file: &Path) -> Result<String> {
    use std::os::unix::fs::MetadataExt;
    let meta = fs::metadata(file).with_context(|| format!("failed to read `{}`", file.display()))?;
    let what = format!("{} {} {}.{}", file.display(), meta.len(), meta.ctime(), meta.ctime_nsec());
    let fact = cache.fact(&format!("sha256-{}", &workdir::hash([what])[..16]));
    if let Ok(hash) = fs::read_to_string(&fact) {
        return Ok(hash);
    }
    let hash = workdir::hash_file(file)?;
    workdir::write_atomic(&fact, hash.as_bytes())?;
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_comes_from_the_makefile() {
        let dir = tempfile::tempdir().unwrap();
        assert!(version(dir.path()).is_err());
        fs::write(dir.path().join("Makefile"), "# x\nVERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 9\nEXTRAVERSION =\n")
            .unwrap();
        assert_eq!(version(dir.path()).unwrap(), "6.12.9");
    }

    #[test]
    fn a_hash_is_remembered_until_the_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("cache"));
        let file = dir.path().join("f");
        fs::write(&file, "a").unwrap();
        let first = remembered_hash(&cache, &file).unwrap();
        assert_eq!(remembered_hash(&cache, &file).unwrap(), first);
        fs::write(&file, "bb").unwrap();
        assert_ne!(remembered_hash(&cache, &file).unwrap(), first);
    }
}
