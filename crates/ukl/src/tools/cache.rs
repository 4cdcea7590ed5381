//! `ukl cache`: what builds share on this machine, how big it is and when it was used.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::base::cached;
use crate::base::error::Result;
use crate::base::term;
use crate::base::workdir::{self, Cache};

/// One entry of the cache.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// What it is: `musl`, `source`, `kernel`, …
    pub kind: String,
    /// Its content key.
    pub key: String,
    /// Bytes of all files in it.
    pub bytes: u64,
    /// Seconds since a build last asked for it.
    pub idle_s: u64,
    /// Left behind by a build that did not end.
    pub unfinished: bool,
    /// Its path.
    pub path: PathBuf,
}

/// Which entries to remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prune {
    /// All of them.
    All,
    /// Those that nothing asked for in this time.
    UnusedFor(Duration),
}

/// An unfinished entry of this age belongs to no running build.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// Every entry, by kind and key.
pub fn list(cache: &Cache) -> Result<Vec<Entry>> {
    let now = SystemTime::now();
    let mut entries = Vec::new();
    for (kind, key, path) in cache.entries()? {
        // Another process may remove it while we look.
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        let idle_s = now.duration_since(meta.modified()?).unwrap_or_default().as_secs();
        let unfinished = key.starts_with('.');
        entries.push(Entry { kind, key, bytes: size(&path), idle_s, unfinished, path });
    }
    Ok(entries)
}

/// Removes what `prune` says, except entries in use; returns those removed (or, in a dry run, chosen).
pub fn prune(cache: &Cache, prune: Prune, dry_run: bool) -> Result<Vec<Entry>> {
    let mut removed = Vec::new();
    for entry in list(cache)? {
        let limit = match prune {
            Prune::All => Duration::ZERO,
            Prune::UnusedFor(limit) if entry.unfinished => limit.min(ABANDONED),
            Prune::UnusedFor(limit) => limit,
        };
        if entry.idle_s < limit.as_secs() {
            continue;
        }
        let Some(_lock) = cache.try_lock(&entry.kind, &entry.key)? else {
            term::say(&format!("kept {}/{}: a build holds it", entry.kind, entry.key));
            continue;
        };
        if !dry_run {
            remove(&entry.path)?;
        }
        removed.push(entry);
    }
    Ok(removed)
}

fn remove(path: &Path) -> Result<()> {
    match path.is_dir() && !path.is_symlink() {
        true => cached::remove(path),
        false => workdir::remove_file(path),
    }
}

fn size(path: &Path) -> u64 {
    let files = walkdir::WalkDir::new(path).into_iter().filter_map(|entry| entry.ok()?.metadata().ok());
    files.filter(|meta| meta.is_file()).map(|meta| meta.len()).sum()
}

/// The table that `ukl cache ls` prints.
pub fn table(cache: &Cache, entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        let key: String = entry.key.chars().take(24).collect();
        let mark = if entry.unfinished { "  unfinished" } else { "" };
        let (size, idle) = (human_size(entry.bytes), human_time(entry.idle_s));
        text.push_str(&format!("{:<12} {key:<24} {size:>10}  used {idle} ago{mark}\n", entry.kind));
    }
    let total = human_size(entries.iter().map(|e| e.bytes).sum());
    text.push_str(&format!("{} entries, {total} in {}\n", entries.len(), cache.root().display()));
    text
}

/// Bytes with a unit: `1.5 MiB`.
pub fn human_size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

fn human_time(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path());
        for (kind, key) in [("musl", "aa"), ("kernel", "bb"), ("kernel", ".tmpcc"), ("facts", "kvm")] {
            let entry = dir.path().join(kind).join(key);
            fs::create_dir_all(&entry).unwrap();
            fs::write(entry.join("file"), [0; 2048]).unwrap();
        }
        (dir, cache)
    }

    fn age(cache: &Cache, kind: &str, key: &str, days: u64) {
        let then = SystemTime::now() - Duration::from_secs(days * 86_400);
        fs::File::open(cache.root().join(kind).join(key)).unwrap().set_modified(then).unwrap();
    }

    fn keys(entries: &[Entry]) -> Vec<&str> {
        entries.iter().map(|e| e.key.as_str()).collect()
    }

    #[test]
    fn entries_are_listed_with_size_and_state() {
        let (_dir, cache) = filled();
        let entries = list(&cache).unwrap();
        assert_eq!(keys(&entries), [".tmpcc", "bb", "aa"]);
        assert_eq!((entries[0].unfinished, entries[1].unfinished, entries[1].bytes), (true, false, 2048));
        assert!(table(&cache, &entries).contains("3 entries, 6.0 KiB in"));
    }

    #[test]
    fn pruning_keeps_what_was_used_lately_or_is_locked() {
        let (_dir, cache) = filled();
        age(&cache, "musl", "aa", 40);
        age(&cache, "kernel", "bb", 40);
        age(&cache, "kernel", ".tmpcc", 2);
        let month = Prune::UnusedFor(Duration::from_secs(30 * 86_400));
        assert_eq!(keys(&prune(&cache, month, true).unwrap()), [".tmpcc", "bb", "aa"]);
        assert_eq!(list(&cache).unwrap().len(), 3);
        cache.entry("musl", "aa");
        let lock = cache.lock("kernel", "bb").unwrap();
        assert_eq!(keys(&prune(&cache, month, false).unwrap()), [".tmpcc"]);
        drop(lock);
        assert_eq!(keys(&prune(&cache, Prune::All, false).unwrap()), ["bb", "aa"]);
        assert!(list(&cache).unwrap().is_empty());
    }

    #[test]
    fn sizes_have_units() {
        let texts: Vec<_> = [0, 1023, 1536, 5 << 20, 3 << 30].map(human_size).into();
        assert_eq!(texts, ["0 B", "1023 B", "1.5 KiB", "5.0 MiB", "3.0 GiB"]);
    }
}
