//! Entries of the cache as one file, and back: what comes in is what its hash says, or nothing comes in.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use anyhow::Context;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use flate2::Compression;
use serde::{Deserialize, Serialize};

use crate::base::error::{fail, Class, Failure, Result};
use crate::base::term;
use crate::base::workdir::{self, Cache};
use crate::kernel::vmlinux;

/// (kind, does what is in it name the folder of the cache?). No other kind is shared.
const KINDS: [(&str, bool); 8] = [
    ("debian-source", false),
    ("source", false),
    ("upstream", false),
    ("patched", false),
    ("musl", true),
    ("init", true),
    ("client", true),
    ("kernel", true),
];
/// The first member of an archive.
const LIST: &str = "ukl-cache.json";
const FORMAT: u32 = 1;

/// What an archive holds.
#[derive(Debug, Serialize, Deserialize)]
struct List {
    format: u32,
    /// The folder of the cache that it was made from.
    root: PathBuf,
    entries: Vec<Record>,
}

/// One entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Record {
    /// Its kind.
    pub kind: String,
    /// Its key.
    pub key: String,
    /// A hash over names, modes and contents of everything in it.
    pub sha256: String,
}

/// What became of an archive's entries.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// New in the cache.
    pub added: Vec<Record>,
    /// There already, and left alone.
    pub present: Vec<Record>,
    /// Not taken: they name the folder of another cache.
    pub elsewhere: Vec<Record>,
}

/// Writes the finished entries of `kinds` (all that can be shared, where none is named) to `out`, whole or not at all.
pub fn export(cache: &Cache, kinds: &[String], out: &Path) -> Result<Vec<Record>> {
    if let Some(odd) = kinds.iter().find(|kind| !KINDS.iter().any(|(known, _)| known == kind)) {
        let known: Vec<&str> = KINDS.iter().map(|(kind, _)| *kind).collect();
        return Err(fail(Class::Usage, format!("`{odd}` is no kind that is shared")).hint(known.join(", ")).into());
    }
    let wanted = |kind: &str| {
        KINDS.iter().any(|(known, _)| *known == kind) && (kinds.is_empty() || kinds.iter().any(|k| k == kind))
    };
    let mut held = Vec::new();
    let mut records = Vec::new();
    for (kind, key, path) in cache.entries()?.into_iter().filter(|(kind, ..)| wanted(kind)) {
        if !is_finished(&kind, &key, &path) {
            continue;
        }
        held.push(cache.lock(&kind, &key)?);
        records.push((Record { sha256: hash(&path)?, kind, key }, path));
    }
    workdir::create_parent(out)?;
    let parent = out.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let context = || format!("failed to write `{}`", out.display());
    let file = tempfile::NamedTempFile::new_in(parent).with_context(context)?;
    let mut archive = tar::Builder::new(GzEncoder::new(file.reopen()?, Compression::fast()));
    archive.follow_symlinks(false);
    let entries: Vec<Record> = records.iter().map(|(record, _)| record.clone()).collect();
    let list =
        serde_json::to_vec_pretty(&List { format: FORMAT, root: cache.root().to_owned(), entries: entries.clone() })?;
    let mut header = tar::Header::new_gnu();
    header.set_size(list.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, LIST, list.as_slice())?;
    for (record, path) in &records {
        archive.append_dir_all(Path::new(&record.kind).join(&record.key), path).with_context(context)?;
    }
    archive.into_inner()?.finish()?.flush().with_context(context)?;
    workdir::set_mode(file.path(), 0o644)?;
    file.persist(out).map_err(|error| error.error).with_context(context)?;
    Ok(entries)
}

/// A kernel's build folder is filled where it lies; every other entry is there or not.
fn is_finished(kind: &str, key: &str, path: &Path) -> bool {
    !key.starts_with('.') && path.is_dir() && (kind != "kernel" || path.join(vmlinux::OBJECTS_DONE).is_file())
}

/// Takes the entries of the archive `from`: all of them are checked before the first has its name.
///
/// Errors: no archive of ours, or one with what no cache of ours holds (class `Usage`); one that is cut short or changed
/// (class `Host`).
pub fn import(cache: &Cache, from: &Path) -> Result<Imported> {
    let bad = |what: String| fail(Class::Usage, format!("`{}`: {what}", from.display()));
    let broken = |what: String| {
        let failure: Failure = fail(Class::Host, format!("`{}` is cut short or changed: {what}", from.display()));
        failure.hint("nothing was taken; fetch the archive again")
    };
    let file = File::open(from).with_context(|| format!("failed to read `{}`", from.display()))?;
    let mut archive = tar::Archive::new(GzDecoder::new(file));
    // Beside the entries, where nobody looks for one.
    let locks = cache.root().join("locks");
    workdir::create_dir(&locks)?;
    let staging = tempfile::tempdir_in(&locks)?;
    let mut members = archive.entries()?;
    let first = members.next().and_then(|member| member.ok());
    let first = first.filter(|member| member.path().is_ok_and(|path| path == Path::new(LIST)));
    let Some(mut first) = first else { return Err(bad("no archive of `ukl cache export`".into()).into()) };
    let mut text = String::new();
    first.read_to_string(&mut text).map_err(|error| broken(error.to_string()))?;
    let list: List = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    if list.format != FORMAT {
        return Err(bad(format!("it has format {}, this ukl knows {FORMAT}", list.format)).into());
    }
    let known: BTreeMap<PathBuf, &Record> =
        list.entries.iter().map(|record| (Path::new(&record.kind).join(&record.key), record)).collect();
    if let Some(odd) = list.entries.iter().find(|record| !is_plain(record)) {
        return Err(bad(format!("`{}/{}` is no entry of a cache", odd.kind, odd.key)).into());
    }
    for member in members {
        let mut member = member.map_err(|error| broken(error.to_string()))?;
        let path = member.path()?.into_owned();
        let entry: PathBuf = path.components().take(2).collect();
        if !known.contains_key(&entry) {
            return Err(bad(format!("`{}` belongs to no entry that it names", path.display())).into());
        }
        let inside = member.unpack_in(staging.path()).map_err(|error| broken(error.to_string()))?;
        if !inside {
            return Err(bad(format!("`{}` leads out of the cache", path.display())).into());
        }
    }
    for (place, record) in &known {
        let path = staging.path().join(place);
        if !path.is_dir() || hash(&path)? != record.sha256 {
            return Err(broken(format!("{} is not what its hash says", place.display())).into());
        }
    }
    place(cache, &list, staging.path())
}

/// Gives each entry its name, unless one has it.
fn place(cache: &Cache, list: &List, staging: &Path) -> Result<Imported> {
    let mut done = Imported::default();
    for record in &list.entries {
        let names_root = KINDS.iter().any(|(kind, names_root)| *kind == record.kind && *names_root);
        if names_root && list.root != cache.root() {
            done.elsewhere.push(record.clone());
            continue;
        }
        let _lock = cache.lock(&record.kind, &record.key)?;
        let to = cache.entry(&record.kind, &record.key);
        if to.exists() {
            done.present.push(record.clone());
            continue;
        }
        workdir::create_parent(&to)?;
        let from = staging.join(&record.kind).join(&record.key);
        fs::rename(&from, &to).with_context(|| format!("failed to create `{}`", to.display()))?;
        done.added.push(record.clone());
    }
    if !done.elsewhere.is_empty() {
        term::say(&format!(
            "{} entries stay out: they name `{}`, the folder of the cache that they were made in",
            done.elsewhere.len(),
            list.root.display()
        ));
    }
    Ok(done)
}

/// Of a kind that is shared, and with a key that is one name.
fn is_plain(record: &Record) -> bool {
    let one = |text: &str| {
        let mut parts = Path::new(text).components();
        matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) && !text.starts_with('.')
    };
    KINDS.iter().any(|(kind, _)| *kind == record.kind) && one(&record.key)
}

/// A hash over names, kinds, modes and contents of everything below `root`.
fn hash(root: &Path) -> Result<String> {
    let mut parts = Vec::new();
    for entry in walkdir::WalkDir::new(root).min_depth(1).sort_by_file_name() {
        let entry = entry?;
        let meta = entry.path().symlink_metadata()?;
        let name = entry.path().strip_prefix(root)?.display().to_string();
        let content = if meta.is_symlink() {
            format!("link {}", fs::read_link(entry.path())?.display())
        } else if meta.is_dir() {
            "folder".to_owned()
        } else {
            format!("{:o} {}", meta.permissions().mode() & 0o777, workdir::hash_file(entry.path())?)
        };
        parts.extend([name, content]);
    }
    Ok(workdir::hash(parts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::render;

    /// A cache with one entry of each sort, and one that nobody finished.
    fn filled() -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("one"));
        for file in
            ["source/aa/main.c", "source/.half/x", "kernel/bb/objects.done", "kernel/cc/configured", "image/dd/x"]
        {
            workdir::write_atomic(&cache.root().join(file), file.as_bytes()).unwrap();
        }
        std::os::unix::fs::symlink("main.c", cache.root().join("source/aa/link")).unwrap();
        workdir::set_mode(&cache.root().join("source/aa/main.c"), 0o755).unwrap();
        (dir, cache)
    }

    fn names(records: &[Record]) -> Vec<String> {
        records.iter().map(|record| format!("{}/{}", record.kind, record.key)).collect()
    }

    #[test]
    fn finished_entries_come_back_as_they_were() {
        let (dir, cache) = filled();
        let file = dir.path().join("out/cache.tar.gz");
        assert_eq!(names(&export(&cache, &[], &file).unwrap()), ["kernel/bb", "source/aa"]);
        let present = import(&cache, &file).unwrap();
        assert_eq!((names(&present.present).len(), present.added.len()), (2, 0));
        let before = hash(&cache.root().join("source/aa")).unwrap();
        fs::remove_dir_all(cache.root().join("source")).unwrap();
        assert_eq!(names(&import(&cache, &file).unwrap().added), ["source/aa"]);
        assert_eq!(hash(&cache.root().join("source/aa")).unwrap(), before);
        // A cache elsewhere takes what does not name the first one's folder.
        let other = Cache::at(dir.path().join("two"));
        let done = import(&other, &file).unwrap();
        assert_eq!((names(&done.added), names(&done.elsewhere)), (vec!["source/aa".into()], vec!["kernel/bb".into()]));
        assert!(!other.root().join("kernel").exists());
        assert_eq!(names(&export(&cache, &["source".into()], &file).unwrap()), ["source/aa"]);
        assert_eq!(render(&export(&cache, &["image".into()], &file).unwrap_err()).1, 2);
    }

    /// An archive with this list and these files.
    fn forged(path: &Path, list: &str, files: &[&str]) {
        let mut archive = tar::Builder::new(GzEncoder::new(File::create(path).unwrap(), Compression::fast()));
        for (name, text) in std::iter::once((LIST, list)).chain(files.iter().map(|name| (*name, "x"))) {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap();
    }

    #[test]
    fn what_is_corrupted_cut_short_or_foreign_is_refused_whole() {
        let (dir, cache) = filled();
        let (file, bad) = (dir.path().join("good"), dir.path().join("bad"));
        export(&cache, &[], &file).unwrap();
        let other = Cache::at(dir.path().join("two"));
        let refused = |code: u8, words: &str| {
            let (text, got) = render(&import(&other, &bad).unwrap_err());
            assert!(text.contains(words) && got == code, "{got} {text}");
            let kept = other.entries().unwrap();
            assert!(kept.is_empty(), "{kept:?}");
        };
        let good = fs::read(&file).unwrap();
        fs::write(&bad, &good[..good.len() / 2]).unwrap();
        refused(120, "is cut short or changed");
        fs::write(&bad, "text").unwrap();
        refused(2, "no archive of `ukl cache export`");
        let list = |kind: &str, key: &str| {
            format!("{{\"format\":1,\"root\":\"/\",\"entries\":[{{\"kind\":\"{kind}\",\"key\":\"{key}\",\"sha256\":\"0\"}}]}}")
        };
        forged(&bad, &list("source", "aa"), &["source/aa/main.c"]);
        refused(120, "source/aa is not what its hash says");
        forged(&bad, &list("source", "aa"), &[]);
        refused(120, "source/aa is not what its hash says");
        forged(&bad, &list("source", "aa"), &["source/bb/main.c"]);
        refused(2, "belongs to no entry that it names");
        forged(&bad, &list("image", "aa"), &[]);
        refused(2, "`image/aa` is no entry of a cache");
        forged(&bad, &list("source", "../aa"), &[]);
        refused(2, "is no entry of a cache");
        forged(&bad, "{\"format\":9,\"root\":\"/\",\"entries\":[]}", &[]);
        refused(2, "it has format 9");
    }
}
