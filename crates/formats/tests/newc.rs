//! cpio archives as GNU cpio and the kernel's own format see them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{have, run, scratch};
use formats::newc::{self, Entry, EntryKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::process::Command;

fn entries() -> Vec<Entry> {
    vec![
        Entry::file("/UKL", 0o755, "\u{7f}UKL\nhello\n"),
        Entry::file("init", 0o755, vec![7; 100_001]),
        Entry::char_device("dev/console", 0o600, 5, 1),
        Entry::new("dev/vda", 0o660, EntryKind::BlockDevice { major: 254, minor: 17 }),
        Entry::new("run/pipe", 0o622, EntryKind::Fifo),
        Entry::symlink("bin/sh", "busybox"),
        Entry::dir("tmp", 0o1777),
        Entry { uid: 1000, gid: 100, ..Entry::file("home/user/a file", 0o640, "") },
    ]
}

#[test]
fn gnu_cpio_lists_it() {
    if !have(&["cpio"]) {
        return;
    }
    let scratch = scratch("newc-list");
    let folder = scratch.path();
    std::fs::write(folder.join("initrd"), newc::write(&entries()).unwrap()).unwrap();
    let names = run(folder, &["cpio", "-t", "--quiet", "-F", "initrd"]);
    let expected = "UKL bin bin/sh dev dev/console dev/vda home home/user home/user/a_file init run run/pipe tmp";
    let expected: Vec<_> = expected.split(' ').map(|name| name.replace('_', " ")).collect();
    assert_eq!(names.lines().collect::<Vec<_>>(), expected);

    let listing = run(folder, &["cpio", "-tv", "--quiet", "--numeric-uid-gid", "-F", "initrd"]);
    let line = |name: &str| {
        listing.lines().find(|line| line.ends_with(name)).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert!(line("dev/console").starts_with("crw------- 1 0 0 5, 1 Jan 1 1970"), "{}", line("dev/console"));
    assert!(line("dev/vda").starts_with("brw-rw---- 1 0 0 254, 17"), "{}", line("dev/vda"));
    assert!(line("a file").starts_with("-rw-r----- 1 1000 100 0"), "{}", line("a file"));
    assert!(line(" tmp").starts_with("drwxrwxrwt 2 0 0"), "{}", line(" tmp"));
    assert!(line("busybox").starts_with("lrwxrwxrwx 1 0 0 8"), "{}", line("busybox"));
}

#[test]
fn gnu_cpio_unpacks_it() {
    let am_root = || Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout == b"0\n");
    if !have(&["cpio"]) {
        return;
    }
    // Without root, devices cannot be made.
    let root = am_root();
    let entries: Vec<_> = entries()
        .into_iter()
        .filter(|e| root || !matches!(e.kind, EntryKind::CharDevice { .. } | EntryKind::BlockDevice { .. }))
        .collect();
    let scratch = scratch("newc-unpack");
    let folder = scratch.path();
    std::fs::write(folder.join("initrd"), newc::write(&entries).unwrap()).unwrap();
    std::fs::create_dir(folder.join("root")).unwrap();
    let owner = if root { "--preserve-modification-time" } else { "--no-preserve-owner" };
    run(&folder.join("root"), &["cpio", "-i", "-d", "--quiet", owner, "-F", "../initrd"]);
    for entry in entries {
        let path = folder.join("root").join(entry.path.trim_start_matches('/'));
        let found = path.symlink_metadata().unwrap();
        match &entry.kind {
            EntryKind::File(data) => assert_eq!(&std::fs::read(&path).unwrap(), data),
            EntryKind::Symlink(target) => {
                assert_eq!(std::fs::read_link(&path).unwrap().to_str(), Some(target.as_str()))
            }
            EntryKind::Dir => assert!(found.is_dir()),
            EntryKind::Fifo => assert!(found.file_type().is_fifo()),
            EntryKind::CharDevice { .. } => assert!(found.file_type().is_char_device() && found.rdev() == 5 << 8 | 1),
            EntryKind::BlockDevice { .. } => {
                assert!(found.file_type().is_block_device() && found.rdev() == 254 << 8 | 17)
            }
        }
        if root {
            assert_eq!((found.uid(), found.gid()), (entry.uid, entry.gid), "{path:?}");
        }
    }
}

#[test]
fn archives_of_gnu_cpio_are_read() {
    if !have(&["cpio", "sh"]) {
        return;
    }
    let scratch = scratch("newc-read");
    let folder = scratch.path();
    std::fs::create_dir(folder.join("d")).unwrap();
    std::fs::write(folder.join("d/f"), "contents").unwrap();
    run(folder, &["sh", "-c", "find d | cpio -o -H newc --quiet > archive"]);
    let entries = newc::read(&std::fs::read(folder.join("archive")).unwrap()).unwrap();
    let shown: Vec<_> = entries.iter().map(|e| (e.path.as_str(), e.kind.clone())).collect();
    assert_eq!(shown, [("d", EntryKind::Dir), ("d/f", EntryKind::File(b"contents".to_vec()))]);
}
