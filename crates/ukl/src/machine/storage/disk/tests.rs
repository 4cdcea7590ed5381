//! Images on this machine's disk, with the real tools.

use std::fs;

use super::*;
use crate::base::error::render;
use crate::manifest::storage::disk_option;

const SHELL: Shell = Shell::plain();

fn disk(path: &Path, words: &str) -> Disk {
    disk_option(&format!("{}:{words}", path.display())).unwrap()
}

#[track_caller]
fn refused(result: Result<Option<File>>, code: u8, parts: &[&str]) {
    let (text, got) = render(&result.unwrap_err());
    assert_eq!(got, code, "{text}");
    for part in parts {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
}

/// As a boot does it.
fn ready(disk: &Disk) -> Result<Option<File>> {
    check(disk)?;
    prepare(&SHELL, disk)
}

#[test]
fn an_image_is_made_kept_and_grown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.img");
    drop(ready(&disk(&path, "8M:/data")).unwrap());
    let size = |path: &Path| ext4::size(&fs::read(path).unwrap());
    assert_eq!((fs::metadata(&path).unwrap().len(), size(&path)), (8 << 20, Some(8 << 20)));
    let before = fs::read(&path).unwrap();
    drop(ready(&disk(&path, "8M:/data")).unwrap());
    drop(ready(&disk(&path, "/data")).unwrap());
    assert!(fs::read(&path).unwrap() == before, "an image that is there is left alone");
    let id = |bytes: &[u8]| bytes[1024 + 0x68..][..16].to_vec();
    drop(ready(&disk(&path, "24M:/data")).unwrap());
    assert_eq!((fs::metadata(&path).unwrap().len(), size(&path)), (24 << 20, Some(24 << 20)));
    assert_eq!(id(&fs::read(&path).unwrap()), id(&before), "the same file system");
    // Growing that was interrupted between file and file system.
    fs::File::options().write(true).open(&path).unwrap().set_len(32 << 20).unwrap();
    drop(ready(&disk(&path, "32M:/data")).unwrap());
    assert_eq!(size(&path), Some(32 << 20));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn what_would_lose_data_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.img");
    drop(ready(&disk(&path, "16M:/data")).unwrap());
    let before = fs::read(&path).unwrap();
    refused(ready(&disk(&path, "8M:/data")), 2, &["has 16M: it is never made smaller", "a size of 16M or more"]);
    assert!(fs::read(&path).unwrap() == before);
    let other = dir.path().join("notes.txt");
    fs::write(&other, "notes").unwrap();
    refused(ready(&disk(&other, "8M:/data")), 2, &["holds no ext4 file system", "only new images are formatted"]);
    assert_eq!(fs::read(&other).unwrap(), b"notes");
}

#[test]
fn what_cannot_be_an_image_is_named() {
    let dir = tempfile::tempdir().unwrap();
    refused(ready(&disk(dir.path(), "8M:/data")), 2, &["is a folder", "hint    name a file in it"]);
    let path = dir.path().join("no/data.img");
    refused(ready(&disk(&path, "8M:/data")), 2, &["no folder for the disk image", "hint    mkdir -p "]);
    let path = dir.path().join("data.img");
    refused(ready(&disk(&path, "/data")), 2, &["there is no disk image", "size = \"64M\""]);
    refused(ready(&disk(&path, "8M:/data:ro")), 2, &["there is no disk image", "read-only"]);
    refused(ready(&disk(Path::new("/dev/null"), "8M:/data")), 2, &["is not a regular file"]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_raw_image_is_holes_and_grows_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("raw.img");
    drop(ready(&disk(&path, "8M:/dev/data:raw")).unwrap());
    fs::write(&path, b"kept").unwrap();
    drop(ready(&disk(&path, "16M:/dev/data:raw")).unwrap());
    let bytes = fs::read(&path).unwrap();
    assert!(bytes.len() == 16 << 20 && bytes.starts_with(b"kept\0"));
}

#[test]
fn one_writer_or_many_readers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.img");
    let writer = ready(&disk(&path, "8M:/data")).unwrap();
    for words in ["8M:/data", "8M:/data:ro"] {
        refused(ready(&disk(&path, words)), 120, &["is used by another guest", "blame   host"]);
    }
    drop(writer);
    let readers = [ready(&disk(&path, "/data:ro")).unwrap(), ready(&disk(&path, "/data:ro")).unwrap()];
    refused(ready(&disk(&path, "8M:/data")), 120, &["is used by another guest"]);
    drop(readers);
    drop(ready(&disk(&path, "8M:/data")).unwrap());
}

#[test]
fn a_dry_run_makes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.img");
    let dry = Shell::dry();
    assert!(prepare(&dry, &disk(&path, "8M:/data")).unwrap().is_none());
    assert!(!path.exists());
    assert!(dry.shown().iter().any(|line| line.contains("mkfs.ext4") && line.contains("data.img")));
}
