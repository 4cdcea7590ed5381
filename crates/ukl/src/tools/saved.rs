//! Which files of a project were saved: looked at now and then, which works on every file system.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use walkdir::{DirEntry, WalkDir};

/// How often the files are looked at, if that costs little.
const OFTEN: Duration = Duration::from_millis(250);
/// Looking takes at most such a part of the time.
const SHARE: u32 = 20;
/// A file that is being written is left in peace.
const SETTLED: Duration = Duration::from_millis(100);
/// What we write beside a manifest.
const OURS: &str = "ukl.lock";

/// What tells one state of a file from another: time, size, number.
type State = (i64, i64, u64, u64);

/// The files that a program is made of.
#[derive(Debug)]
pub struct Saved {
    roots: Vec<PathBuf>,
    deep: bool,
    apart: Vec<PathBuf>,
    seen: BTreeMap<PathBuf, State>,
    next: Instant,
}

impl Saved {
    /// Begins with what is there. `roots` are files and folders, the latter with all that is in them when `deep`; what is
    /// in `apart` does not count: images, disks, shared folders.
    pub fn new(roots: Vec<PathBuf>, deep: bool, apart: Vec<PathBuf>) -> Self {
        let mut saved = Saved { roots, deep, apart, seen: BTreeMap::new(), next: Instant::now() };
        saved.accept();
        saved
    }

    /// What is there now is what was seen.
    pub fn accept(&mut self) {
        self.seen = self.look();
    }

    /// The files that were saved, made or removed since; nothing while it is too early to look again.
    pub fn changes(&mut self) -> Vec<PathBuf> {
        if Instant::now() < self.next {
            return Vec::new();
        }
        let mut now = self.look();
        if now == self.seen {
            return Vec::new();
        }
        loop {
            std::thread::sleep(SETTLED);
            let later = self.look();
            if later == now || crate::base::run::interrupted() {
                break;
            }
            now = later;
        }
        let new = now.iter().filter(|(path, state)| self.seen.get(*path) != Some(state)).map(|(path, _)| path.clone());
        let gone = self.seen.keys().filter(|path| !now.contains_key(*path)).cloned();
        let changes = new.chain(gone).collect();
        self.seen = now;
        changes
    }

    /// True when something was saved that [`Saved::changes`] will name.
    pub fn is_behind(&mut self) -> bool {
        Instant::now() >= self.next && self.look() != self.seen
    }

    fn look(&mut self) -> BTreeMap<PathBuf, State> {
        let begun = Instant::now();
        let mut found = BTreeMap::new();
        for root in &self.roots {
            let depth = if self.deep { usize::MAX } else { 1 };
            let counts = |entry: &DirEntry| entry.depth() == 0 || self.counts(entry.path());
            let entries = WalkDir::new(root).follow_root_links(true).max_depth(depth).into_iter().filter_entry(counts);
            // What goes away while we look is not there.
            for entry in entries.flatten() {
                if let Some(meta) = entry.path().metadata().ok().filter(|meta| meta.is_file()) {
                    let state = (meta.mtime(), meta.mtime_nsec(), meta.size(), meta.ino());
                    found.insert(entry.into_path(), state);
                }
            }
        }
        self.next = Instant::now() + OFTEN.max(begun.elapsed() * SHARE);
        found
    }

    fn counts(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_passing = name.starts_with('.') || name.ends_with('~') || name == OURS;
        !is_passing && !self.apart.iter().any(|apart| path == apart)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn changed(saved: &mut Saved) -> Vec<String> {
        saved.next = Instant::now();
        let name = |path: PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        saved.changes().into_iter().map(name).collect()
    }

    #[test]
    fn a_save_is_seen_however_an_editor_does_it() {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        fs::create_dir_all(at("sub")).unwrap();
        fs::create_dir_all(at("build")).unwrap();
        fs::write(at("a.c"), "1").unwrap();
        let mut saved = Saved::new(vec![temp.path().to_owned()], true, vec![at("build"), at("data.img")]);
        assert!(changed(&mut saved).is_empty());
        fs::write(at("a.c"), "22").unwrap();
        saved.next = Instant::now();
        assert!(saved.is_behind());
        assert_eq!(changed(&mut saved), ["a.c"]);
        saved.next = Instant::now();
        assert!(!saved.is_behind());
        // Of the same size, and put in the place of the old one.
        fs::write(at(".a.c.swp"), "33").unwrap();
        fs::rename(at(".a.c.swp"), at("a.c")).unwrap();
        assert_eq!(changed(&mut saved), ["a.c"]);
        fs::write(at("sub/new.h"), "").unwrap();
        assert_eq!(changed(&mut saved), ["new.h"]);
        fs::remove_file(at("sub/new.h")).unwrap();
        assert_eq!(changed(&mut saved), ["new.h"]);
        for other in ["build/image", "data.img", ".hidden", "a.c~", "ukl.lock"] {
            fs::write(at(other), "x").unwrap();
        }
        assert!(changed(&mut saved).is_empty());
    }

    #[test]
    fn plain_files_do_not_bring_the_folders_below() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join("sub")).unwrap();
        fs::write(temp.path().join("a.c"), "").unwrap();
        let mut saved = Saved::new(vec![temp.path().to_owned()], false, Vec::new());
        fs::write(temp.path().join("sub/b.c"), "").unwrap();
        assert!(changed(&mut saved).is_empty());
        fs::write(temp.path().join("a.h"), "").unwrap();
        assert_eq!(changed(&mut saved), ["a.h"]);
    }
}
