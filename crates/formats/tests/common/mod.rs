//! What the integration tests share: tools, scratch folders, real objects.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

use std::path::Path;
use std::process::Command;

/// Archives of real objects, where Debian puts them.
pub const MUSL: &str = "/usr/lib/x86_64-linux-musl/libc.a";
pub const GLIBC: &str = "/usr/lib/x86_64-linux-gnu/libc.a";

/// Says why the rest of a test is left out when one of the tools is missing.
pub fn have(tools: &[&str]) -> bool {
    let missing: Vec<_> = tools.iter().filter(|tool| Command::new(tool).arg("--version").output().is_err()).collect();
    if !missing.is_empty() {
        eprintln!("skip: {missing:?} not installed");
    }
    missing.is_empty()
}

/// The file's bytes, or why the rest of a test is left out.
pub fn file(path: &str) -> Option<Vec<u8>> {
    let bytes = std::fs::read(path);
    if bytes.is_err() {
        eprintln!("skip: {path} not installed");
    }
    bytes.ok()
}

/// An empty folder of the caller's own; tests run at the same time.
pub fn scratch(name: &str) -> tempfile::TempDir {
    tempfile::Builder::new().prefix(name).tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Runs a tool in `folder` and returns its standard output.
pub fn run(folder: &Path, words: &[&str]) -> String {
    let output = Command::new(words[0]).args(&words[1..]).current_dir(folder).env("LC_ALL", "C").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Assembles or compiles `source` with `words` (a compiler and its flags) and returns the object's bytes.
pub fn compile(folder: &Path, name: &str, source: &str, words: &[&str]) -> Vec<u8> {
    std::fs::write(folder.join(name), source).unwrap();
    let object = format!("{name}.o");
    run(folder, &[words, &["-c", name, "-o", &object]].concat());
    std::fs::read(folder.join(object)).unwrap()
}

/// A deterministic source of numbers.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}
