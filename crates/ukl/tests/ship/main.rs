//! What leaves this machine: layouts, registries, disks and lists, each judged by the tools of others.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests.

mod machines;
mod oci;
mod registry;
mod trust;
#[path = "../world/mod.rs"]
mod world;

use std::path::Path;
use std::process::Command;

use ukl::manifest;
use world::{built, done, example, own, Done, Own};

/// The image of `examples/hello`, in a folder of the test's own.
pub fn hello() -> Own {
    own(&built(&manifest::load(&example("hello")).unwrap()).unwrap())
}

/// Runs another's tool; it is part of what CI installs, and its absence elsewhere is said.
pub fn tool(program: &str, args: &[&str]) -> Option<Done> {
    if !has(program) {
        return None;
    }
    Some(done(Command::new(program).args(args).output().unwrap()))
}

/// Is `program` there? In CI it must be.
pub fn has(program: &str) -> bool {
    let places = std::env::var_os("PATH").unwrap();
    let there = std::env::split_paths(&places).any(|dir| dir.join(program).is_file());
    assert!(there || std::env::var_os("CI").is_none(), "CI has no {program}");
    if !there {
        eprintln!("skip: no {program}");
    }
    there
}

/// The digest of a folder: names and contents of all its files.
pub fn digest(dir: &Path) -> String {
    let entries = walkdir::WalkDir::new(dir).sort_by_file_name().into_iter().map(|entry| entry.unwrap());
    let files = entries.filter(|entry| entry.file_type().is_file());
    let lines = files.map(|entry| {
        let name = entry.path().strip_prefix(dir).unwrap().display().to_string();
        format!("{name} {}\n", ukl::base::workdir::hash_file(entry.path()).unwrap())
    });
    ukl::base::workdir::hash_bytes(lines.collect::<String>().as_bytes())
}
