//! The scripts run in the busybox of this machine, which is what a guest gets.

use super::*;
use crate::base::run::{Cmd, Shell};
use std::collections::VecDeque;

fn busybox(script: &str, arguments: &[&str], input: Vec<u8>) -> (i32, Vec<u8>, String) {
    let cmd = Cmd::new("/bin/busybox").args(["sh", "-c", script, "sh"]).args(arguments).stdin(input);
    let output = Shell::new(false, false).run(&cmd).unwrap();
    (output.status.code().unwrap(), output.stdout, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// What `copy_in` does, in a folder of this machine.
fn bring_in(source: &Path, to: &Path) -> (i32, String) {
    let mut archive = Vec::new();
    pack(source, &mut archive).unwrap();
    let kind = if source.is_dir() { "folder" } else { "file" };
    let (code, _, err) = busybox(TAKE, &[to.to_str().unwrap(), &name_of(source).unwrap(), kind], archive);
    (code, err)
}

struct Told(VecDeque<Said>);

impl Says for Told {
    fn next(&mut self) -> Result<Said> {
        self.0.pop_front().context("there is no more")
    }
}

/// What `copy_out` does with what the script says of a path of this machine.
fn bring_out(from: &str, target: &Path, cut: usize) -> Result<Copied> {
    let (code, mut out, err) = busybox(GIVE, &[from], Vec::new());
    out.truncate(out.len() - cut);
    let pieces = out.chunks(777).map(|piece| Said::Out(piece.to_vec()));
    let code = if cut > 0 { 1 } else { code as u8 };
    let mut told = Told(pieces.chain([Said::Err(err.into_bytes()), Said::Ended(code)]).collect());
    take(&mut Output::new(&mut told), target, target.parent().unwrap())
}

/// Names, modes, contents; the hidden and the odd ones, too.
fn tree(dir: &Path) -> Vec<(String, u32, Vec<u8>)> {
    let mut found: Vec<_> = WalkDir::new(dir)
        .sort_by_file_name()
        .into_iter()
        .map(|entry| {
            let entry = entry.unwrap();
            let meta = fs::symlink_metadata(entry.path()).unwrap();
            let bytes = match meta.file_type() {
                kind if kind.is_symlink() => fs::read_link(entry.path()).unwrap().into_os_string().into_encoded_bytes(),
                kind if kind.is_file() => fs::read(entry.path()).unwrap(),
                _ => Vec::new(),
            };
            (entry.path().strip_prefix(dir).unwrap().display().to_string(), meta.mode() & 0o777, bytes)
        })
        .collect();
    found.sort();
    found
}

fn sample(dir: &Path) -> PathBuf {
    let top = dir.join("top");
    fs::create_dir_all(top.join("sub/empty")).unwrap();
    fs::write(top.join("a"), vec![7; 100_000]).unwrap();
    fs::write(top.join("-dash it's"), "x").unwrap();
    fs::write(top.join(".hidden"), "").unwrap();
    fs::write(top.join(format!("sub/{}", "long".repeat(50))), "long").unwrap();
    workdir::set_mode(&top.join("a"), 0o750).unwrap();
    workdir::set_mode(&top.join("sub/empty"), 0o555).unwrap();
    std::os::unix::fs::symlink("../nowhere", top.join("sub/link")).unwrap();
    top
}

fn is_clean(dir: &Path) {
    let left = WalkDir::new(dir)
        .into_iter()
        .find(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(BESIDE));
    assert!(left.is_none(), "{left:?}");
}

#[test]
fn a_folder_goes_in_and_comes_back_as_it_was() {
    let temp = tempfile::tempdir().unwrap();
    let top = sample(temp.path());
    let (inside, back) = (temp.path().join("inside"), temp.path().join("back"));
    assert_eq!(bring_in(&top, &inside), (0, String::new()));
    assert_eq!(tree(&inside), tree(&top));
    let copied = bring_out(inside.to_str().unwrap(), &back, 0).unwrap();
    assert_eq!((tree(&back), copied), (tree(&top), Copied { files: 5, bytes: 100_005 }));
    // Into the folder under its name; once more, what is there stays and what is new replaces.
    assert_eq!(bring_in(&top, &inside).0, 0);
    assert_eq!(tree(&inside.join("top")), tree(&top));
    fs::write(inside.join("top/kept"), "kept").unwrap();
    fs::write(top.join("a"), "new").unwrap();
    assert_eq!(bring_in(&top, &inside).0, 0);
    assert_eq!(fs::read(inside.join("top/a")).unwrap(), b"new");
    assert_eq!(fs::read(inside.join("top/kept")).unwrap(), b"kept");
    // Only what it contains.
    assert_eq!(bring_in(&top.join("."), &inside).0, 0);
    assert_eq!(fs::read(inside.join("a")).unwrap(), b"new");
    is_clean(temp.path());
}

#[test]
fn a_file_replaces_a_file_and_no_folder() {
    let temp = tempfile::tempdir().unwrap();
    let (a, b) = (temp.path().join("a"), temp.path().join("b"));
    fs::write(&a, "new").unwrap();
    fs::write(&b, "old").unwrap();
    workdir::set_mode(&a, 0o640).unwrap();
    assert_eq!(bring_in(&a, &b).0, 0);
    assert_eq!((fs::read(&b).unwrap(), fs::metadata(&b).unwrap().mode() & 0o777), (b"new".to_vec(), 0o640));
    fs::create_dir_all(temp.path().join("dir/a")).unwrap();
    let (code, err) = bring_in(&a, &temp.path().join("dir"));
    assert!(code == 3 && err.contains("/dir/a` is a folder already"), "{code} {err}");
    let (code, err) = bring_in(&a, &temp.path().join("none/"));
    assert!(code == 3 && err.contains("no folder"), "{code} {err}");
    let (code, err) = bring_in(&temp.path().join("dir"), &b);
    assert!(code == 3 && err.contains("/b` is a file already"), "{code} {err}");
    let error = bring_out(a.to_str().unwrap(), &temp.path().join("dir/a"), 0).unwrap_err();
    assert!(error.to_string().contains("is a folder already"), "{error}");
    // A file of /proc says that it has no bytes.
    bring_out("/proc/version", &temp.path().join("version"), 0).unwrap();
    assert_eq!(fs::read(temp.path().join("version")).unwrap(), fs::read("/proc/version").unwrap());
    let error = bring_out("/no/such", &temp.path().join("x"), 0).unwrap_err();
    assert_eq!(crate::base::error::render(&error).1, 2, "{error}");
    assert!(error.to_string().contains("no file or folder `/no/such`"), "{error}");
    assert!(!temp.path().join("x").exists());
    is_clean(temp.path());
}

#[test]
fn what_ends_early_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let top = sample(temp.path());
    let mut archive = Vec::new();
    pack(&top, &mut archive).unwrap();
    let to = temp.path().join("to");
    // In the middle of a file, and where a name would begin.
    for length in [0, 512, archive.len() / 2, archive.len() - 2048] {
        let cut = archive[..length].to_vec();
        let (code, _, err) = busybox(TAKE, &[to.to_str().unwrap(), "top", "folder"], cut);
        assert!(code == 1 && !to.exists(), "{length}: {code} {err}");
    }
    for source in [top.join("a"), top.clone()] {
        assert!(bring_out(source.to_str().unwrap(), &to, 5000).is_err());
        assert!(!to.exists());
    }
    is_clean(temp.path());
}

#[test]
fn a_pipe_is_no_file() {
    let temp = tempfile::tempdir().unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(temp.path().join("socket")).unwrap();
    let error = pack(temp.path(), Vec::new()).unwrap_err();
    assert!(error.to_string().contains("socket` is a socket"), "{error}");
    assert!(pack(Path::new("/dev/zero"), Vec::new()).unwrap_err().to_string().contains("is a device"));
}
