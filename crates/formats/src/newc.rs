//! newc cpio archives, as the kernel unpacks them at boot; needs no root and is the same each time.
//!
//! The bytes are those of the kernel's own `usr/gen_init_cpio -t 0`, so that anybody can make them by hand.

use crate::{Error, Result};
use std::collections::BTreeMap;

const TRAILER: &str = "TRAILER!!!";
/// The kernel ignores inode 0; gen_init_cpio counts from here.
const FIRST_INODE: u32 = 721;
/// The device that gen_init_cpio says everything lies on.
const DEVICE: (u32, u32) = (3, 1);
/// A file's type within its mode.
const TYPE: u32 = 0o170000;

/// One path of the initial file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path from the root; a leading `/` is left out of the archive.
    pub path: String,
    /// Permission bits, set-uid and so on included: 0o7777 at most.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// What it is.
    pub kind: EntryKind,
}

/// What a path is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // `major` and `minor` have no other name.
pub enum EntryKind {
    /// A folder.
    Dir,
    /// A file with these contents.
    File(Vec<u8>),
    /// A symbolic link to this path.
    Symlink(String),
    /// A character device.
    CharDevice { major: u32, minor: u32 },
    /// A block device.
    BlockDevice { major: u32, minor: u32 },
    /// A named pipe.
    Fifo,
}

impl Entry {
    /// An entry that belongs to root.
    pub fn new(path: impl Into<String>, mode: u32, kind: EntryKind) -> Self {
        Entry { path: path.into(), mode, uid: 0, gid: 0, kind }
    }

    /// A folder that belongs to root.
    pub fn dir(path: impl Into<String>, mode: u32) -> Self {
        Entry::new(path, mode, EntryKind::Dir)
    }

    /// A file that belongs to root.
    pub fn file(path: impl Into<String>, mode: u32, contents: impl Into<Vec<u8>>) -> Self {
        Entry::new(path, mode, EntryKind::File(contents.into()))
    }

    /// A symbolic link at `path` to `target`.
    pub fn symlink(path: impl Into<String>, target: impl Into<String>) -> Self {
        Entry::new(path, 0o777, EntryKind::Symlink(target.into()))
    }

    /// A character device that belongs to root.
    pub fn char_device(path: impl Into<String>, mode: u32, major: u32, minor: u32) -> Self {
        Entry::new(path, mode, EntryKind::CharDevice { major, minor })
    }
}

/// Writes the archive: sorted by path, parents first (missing ones are made with mode 0o755), times zero.
pub fn write(entries: &[Entry]) -> Result<Vec<u8>> {
    let mut sorted: BTreeMap<String, Entry> = BTreeMap::new();
    for entry in entries {
        let path = normal(&entry.path)?;
        if entry.mode & !0o7777 != 0 {
            return Err(Error::new(format!("{path}: mode {:o} has more than permission bits", entry.mode)));
        }
        if sorted.insert(path.clone(), entry.clone()).is_some() {
            return Err(Error::new(format!("{path}: listed twice")));
        }
    }
    for path in sorted.keys().cloned().collect::<Vec<_>>() {
        for (end, _) in path.match_indices('/') {
            let parent = &path[..end];
            match sorted.get(parent).map(|entry| &entry.kind) {
                Some(EntryKind::Dir) => {}
                Some(_) => return Err(Error::new(format!("{path}: {parent} is not a folder"))),
                None => {
                    sorted.insert(parent.to_string(), Entry::dir(parent, 0o755));
                }
            }
        }
    }

    let mut out = Vec::new();
    for (index, (path, entry)) in sorted.iter().enumerate() {
        append(&mut out, path, entry, FIRST_INODE + index as u32)?;
    }
    append_fields(&mut out, TRAILER, [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], &[]);
    // cpio archives come in blocks of 512 bytes.
    out.resize(out.len().next_multiple_of(512), 0);
    Ok(out)
}

/// Reads an archive that holds no hard links.
pub fn read(archive: &[u8]) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut at = 0;
    loop {
        let cut = || Error::new("cpio archive is cut off");
        let header = archive.get(at..at + 110).ok_or_else(cut)?;
        if &header[..6] != b"070701" {
            return Err(Error::new(format!("no newc header at byte {at}")));
        }
        let mut fields = [0u32; 13];
        for (field, digits) in fields.iter_mut().zip(header[6..].chunks(8)) {
            let digits = std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
            *field = digits
                .and_then(|d| u32::from_str_radix(d, 16).ok())
                .ok_or_else(|| Error::new("bad number in a newc header"))?;
        }
        let [_, mode, uid, gid, _, _, size, _, _, major, minor, name_size, _] = fields;
        let name = archive.get(at + 110..at + 110 + name_size as usize).ok_or_else(cut)?;
        let name = name.strip_suffix(b"\0").ok_or_else(|| Error::new("unterminated name in a cpio archive"))?;
        let start = (at + 110 + name_size as usize).next_multiple_of(4);
        let data = archive.get(start..start + size as usize).ok_or_else(cut)?;
        at = (start + size as usize).next_multiple_of(4);
        if name == TRAILER.as_bytes() {
            return Ok(entries);
        }
        let kind = match mode & TYPE {
            0o040000 => EntryKind::Dir,
            0o100000 => EntryKind::File(data.to_vec()),
            // With or without the NUL of gen_init_cpio.
            0o120000 => {
                EntryKind::Symlink(String::from_utf8_lossy(data.strip_suffix(b"\0").unwrap_or(data)).into_owned())
            }
            0o020000 => EntryKind::CharDevice { major, minor },
            0o060000 => EntryKind::BlockDevice { major, minor },
            0o010000 => EntryKind::Fifo,
            other => return Err(Error::new(format!("unknown file type {other:o} in a cpio archive"))),
        };
        entries.push(Entry { path: String::from_utf8_lossy(name).into_owned(), mode: mode & 0o7777, uid, gid, kind });
    }
}

/// The path without empty and `.` components.
fn normal(path: &str) -> Result<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.is_empty() || parts.contains(&"..") || path.contains('\0') || parts == [TRAILER] {
        return Err(Error::new(format!("{path:?} cannot be a path of the initial file system")));
    }
    Ok(parts.join("/"))
}

fn append(out: &mut Vec<u8>, path: &str, entry: &Entry, inode: u32) -> Result<()> {
    let target;
    let (kind, links, data, major, minor): (u32, u32, &[u8], u32, u32) = match &entry.kind {
        EntryKind::Dir => (0o040000, 2, &[], 0, 0),
        EntryKind::File(data) => (0o100000, 1, data, 0, 0),
        EntryKind::Symlink(path) => {
            target = format!("{path}\0");
            (0o120000, 1, target.as_bytes(), 0, 0)
        }
        EntryKind::CharDevice { major, minor } => (0o020000, 1, &[], *major, *minor),
        EntryKind::BlockDevice { major, minor } => (0o060000, 1, &[], *major, *minor),
        EntryKind::Fifo => (0o010000, 2, &[], 0, 0),
    };
    let size = u32::try_from(data.len()).map_err(|_| Error::new(format!("{path}: larger than 4 GiB")))?;
    append_fields(
        out,
        path,
        [inode, kind | entry.mode, entry.uid, entry.gid, links, 0, size, DEVICE.0, DEVICE.1, major, minor],
        data,
    );
    Ok(())
}

/// Header (inode to rdevminor), name and data, each padded to four bytes.
fn append_fields(out: &mut Vec<u8>, name: &str, fields: [u32; 11], data: &[u8]) {
    out.extend_from_slice(b"070701");
    // Behind the fields: the name's size with its NUL, and a checksum that newc leaves zero.
    for field in fields.into_iter().chain([name.len() as u32 + 1, 0]) {
        out.extend_from_slice(format!("{field:08X}").as_bytes());
    }
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(entries: &[Entry]) -> Vec<String> {
        read(&write(entries).unwrap()).unwrap().into_iter().map(|e| e.path).collect()
    }

    #[test]
    fn parents_come_first_and_are_made() {
        let entries = [
            Entry::file("/etc/ukl/command", 0o644, "x"),
            Entry::file("UKL", 0o755, ""),
            Entry::file("etc-x", 0o600, ""),
        ];
        assert_eq!(paths(&entries), ["UKL", "etc", "etc-x", "etc/ukl", "etc/ukl/command"]);
    }

    #[test]
    fn everything_survives_a_round_trip() {
        let entries = vec![
            Entry::symlink("bin", "usr/bin"),
            Entry::dir("dev", 0o755),
            Entry::char_device("dev/console", 0o600, 5, 1),
            Entry::new("dev/pipe", 0o622, EntryKind::Fifo),
            Entry::new("dev/sda", 0o660, EntryKind::BlockDevice { major: 8, minor: 0 }),
            Entry { uid: 1000, gid: 1001, ..Entry::file("file", 0o4711, vec![0, 1, 2, 255, 254]) },
        ];
        assert_eq!(read(&write(&entries).unwrap()).unwrap(), entries);
    }

    #[test]
    fn order_of_the_entries_does_not_matter() {
        let one = [Entry::dir("a", 0o700), Entry::file("a/b", 0o644, "1")];
        let other = [one[1].clone(), one[0].clone()];
        assert_eq!(write(&one).unwrap(), write(&other).unwrap());
        assert_eq!(write(&one).unwrap().len() % 512, 0);
    }

    #[test]
    fn bad_paths_are_refused() {
        for path in ["", "/", "..", "a/../b", "a\0b", TRAILER, "./."] {
            assert!(write(&[Entry::dir(path, 0o755)]).is_err(), "{path:?}");
        }
        let twice = [Entry::dir("/a", 0o755), Entry::dir("./a/", 0o755)];
        assert_eq!(write(&twice).unwrap_err().to_string(), "a: listed twice");
        let under_file = [Entry::file("a", 0o644, ""), Entry::dir("a/b", 0o755)];
        assert_eq!(write(&under_file).unwrap_err().to_string(), "a/b: a is not a folder");
        assert!(write(&[Entry::dir("a", 0o40755)]).is_err());
    }

    #[test]
    fn damage_is_an_error() {
        let archive = write(&[Entry::file("a", 0o644, "contents")]).unwrap();
        for end in 0..240 {
            assert!(read(&archive[..end]).is_err(), "{end}");
        }
        for at in 0..240 {
            let mut damaged = archive.clone();
            damaged[at] ^= 0xff;
            let _ = read(&damaged);
        }
    }
}
