//! Every example with a `client.sh` is a server: its client must hear the same from app mode and from the twin.
//!
//! The script gets the port and the first shared folder, prints what the server answered, and ends with 0. Those of
//! the exercises ask at `$HOST` instead of this machine when it is set: see guests/exercises.rs.
//! A line `# ends: N` in it says that the server ends by itself then, with this status.
//! Servers whose sources are fetched and built take minutes: `cargo test --test servers -- --include-ignored`.
//! Ignored as well: each server compiled by clang (`by_clang`) and on two processors (`on_2_cpus`), and what
//! servers live through: they end, start again with their data, read their configuration anew, lose a worker;
//! the servers' own tests (`own_tests`); and a million requests of the load tools that everybody uses (`_under_`).

#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests.

mod life;
mod load;
mod own;
mod server;
mod talk;
#[path = "../world/mod.rs"]
mod world;

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use talk::Way;
use world::UKL;

fn main() {
    let mut arguments = Arguments::from_args();
    // Guests that share two processors would measure each other.
    arguments.test_threads = arguments.test_threads.or(Some(1));
    // Build systems call `ukl`, which this test is not.
    std::env::set_var("UKL_PROGRAM", UKL);
    let mut trials = Vec::new();
    for folder in servers() {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let slow = fs::read_to_string(folder.join("ukl.toml")).unwrap().contains("source = ");
        for (what, way) in [("", Way::Plain), ("_by_clang", Way::Clang), ("_on_2_cpus", Way::Two)] {
            let folder = folder.clone();
            let trial = Trial::test(format!("{name}{what}"), move || talk::test(&folder, way));
            trials.push(trial.with_ignored_flag(slow || way != Way::Plain));
        }
    }
    for server in ["redis", "memcached", "nginx", "lighttpd"] {
        let trial = Trial::test(format!("{server}_stops_cleanly"), || life::stops_cleanly(server));
        trials.push(trial.with_ignored_flag(true));
    }
    let mut life = |name: &str, run: fn() -> Result<(), Failed>| {
        trials.push(Trial::test(name, run).with_ignored_flag(true));
    };
    life("redis_keeps_a_snapshot", life::redis_keeps_a_snapshot);
    life("redis_keeps_a_log", life::redis_keeps_a_log);
    life("nginx_reloads", life::nginx_reloads);
    life("nginx_replaces_a_worker", life::nginx_replaces_a_worker);
    life("memcached_under_memcapable", load::memcapable);
    for (name, folder, place) in own::all() {
        trials.push(Trial::test(name, move || own::test(&folder, place)).with_ignored_flag(true));
    }
    trials.push(Trial::test("the_words_of_load_tools_are_understood", load::words_are_understood));
    for load in &load::ALL {
        let name = format!("{}_under_{}", load.example, load.name);
        trials.push(Trial::test(name, || load::test(load)).with_ignored_flag(true));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn servers() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut folders: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|folder| folder.join("client.sh").is_file());
    folders.sort();
    folders
}
