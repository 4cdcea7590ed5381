//! Entries of the cache: made once, beside their place, and renamed there when they are whole.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;

use crate::base::error::Result;
use crate::base::workdir::{self, Cache};

/// The entry `key` of `kind`, made by `fill` unless it is there.
///
/// `fill` gets a folder for its work and an empty folder in it, `out`, which becomes the entry. One build at a time
/// fills an entry, the others wait for it. After a failure nothing is left that a later build would take for an entry.
pub fn entry(cache: &Cache, kind: &str, key: &str, fill: impl FnOnce(&Path, &Path) -> Result<()>) -> Result<PathBuf> {
    let place = cache.entry(kind, key);
    if place.exists() {
        return Ok(place);
    }
    let _lock = cache.lock(kind, key)?;
    // The build that we waited for may have made it.
    if !place.exists() {
        make(&place, fill)?;
    }
    Ok(place)
}

/// As [`entry`], but made anew where it is there; the old one stays until the new one is whole.
pub fn renewed(cache: &Cache, kind: &str, key: &str, fill: impl FnOnce(&Path, &Path) -> Result<()>) -> Result<PathBuf> {
    let place = cache.entry(kind, key);
    let _lock = cache.lock(kind, key)?;
    make(&place, fill)?;
    Ok(place)
}

/// A folder for work that leaves no entry; ours alone until it is dropped.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
    _lock: File,
}

impl Scratch {
    /// The folder.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Waits for the folder in which the work called `name` is done.
pub fn scratch(cache: &Cache, kind: &str, name: &str) -> Result<Scratch> {
    let lock = cache.lock(kind, name)?;
    Ok(Scratch { dir: staging(&cache.entry(kind, name))?, _lock: lock })
}

/// Removes an entry, also while others look for it.
pub fn remove(entry: &Path) -> Result<()> {
    // Renamed first: a removal that is cut short leaves nothing that looks like an entry.
    let name = entry.file_name().unwrap_or_default().to_string_lossy();
    let doomed = entry.with_file_name(format!(".removed-{}", name.trim_start_matches('.')));
    if doomed == entry || doomed.exists() {
        return workdir::remove_dir(entry);
    }
    fs::rename(entry, &doomed).with_context(|| format!("failed to remove `{}`", entry.display()))?;
    workdir::remove_dir(&doomed)
}

fn make(place: &Path, fill: impl FnOnce(&Path, &Path) -> Result<()>) -> Result<()> {
    let work = staging(place)?;
    let out = work.path().join("out");
    workdir::create_dir(&out)?;
    fill(work.path(), &out)?;
    workdir::set_mode(&out, 0o755)?;
    if place.exists() {
        remove(place)?;
    }
    fs::rename(&out, place).with_context(|| format!("failed to create `{}`", place.display()))
}

/// A temporary folder beside the entry.
///
/// The caller holds the entry's lock, so whatever an interrupted build left here is rubbish.
fn staging(entry: &Path) -> Result<TempDir> {
    let dir = entry.parent().unwrap_or(Path::new("."));
    workdir::create_dir(dir)?;
    let prefix = format!(".{}-", entry.file_name().unwrap_or_default().to_string_lossy());
    for left in fs::read_dir(dir)?.filter_map(|left| left.ok()) {
        if left.file_name().to_string_lossy().starts_with(&prefix) {
            workdir::remove_dir(&left.path())?;
        }
    }
    let context = || format!("failed to create a folder in `{}`", dir.display());
    tempfile::Builder::new().prefix(&prefix).tempdir_in(dir).with_context(context)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn cache() -> (TempDir, Cache) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path());
        (dir, cache)
    }

    fn file(out: &Path, text: &str) -> Result<()> {
        workdir::write_atomic(&out.join("sub/file"), text.as_bytes())
    }

    #[test]
    fn an_entry_is_made_once_whoever_asks() {
        let (_dir, cache) = cache();
        let made = AtomicUsize::new(0);
        let fill = |_: &Path, out: &Path| {
            made.fetch_add(1, Ordering::SeqCst);
            file(out, "x")
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert!(entry(&cache, "musl", "key", fill).unwrap().join("sub/file").is_file()));
            }
        });
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_failure_or_an_interruption_leaves_no_entry_and_no_rubbish_for_ever() {
        let (dir, cache) = cache();
        let place = cache.entry("musl", "key");
        let interrupted = staging(&place).unwrap().keep();
        let failed = entry(&cache, "musl", "key", |_, out| {
            file(out, "half")?;
            anyhow::bail!("no")
        });
        assert!(failed.is_err() && !place.exists() && !interrupted.exists());
        assert_eq!(fs::read_dir(dir.path().join("musl")).unwrap().count(), 0);
    }

    #[test]
    fn the_old_entry_stays_until_the_new_one_is_whole() {
        let (dir, cache) = cache();
        let read = || fs::read_to_string(cache.entry("x", "key").join("sub/file")).unwrap();
        entry(&cache, "x", "key", |_, out| file(out, "old")).unwrap();
        assert!(renewed(&cache, "x", "key", |_, _| anyhow::bail!("no network")).is_err());
        assert_eq!(read(), "old");
        renewed(&cache, "x", "key", |_, out| file(out, "new")).unwrap();
        assert_eq!(read(), "new");
        assert_eq!(fs::read_dir(dir.path().join("x")).unwrap().count(), 1);
    }
}
