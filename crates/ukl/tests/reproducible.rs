//! The same input makes the same bytes: another folder, another time, another cache.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests.

mod world;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use ukl::base::env::Env;
use ukl::base::workdir::{Cache, ImageDir};
use ukl::image::folder::FileInfo;
use ukl::pipeline::{self, Clock};
use ukl::{base::error, manifest};
use world::{env, example};

/// Builds a copy of `examples/hello` in `place`, whose files get the age `age`; the files of the image.
fn built(place: &Path, age: Duration, cache: Cache) -> BTreeMap<String, FileInfo> {
    let example = example("hello");
    fs::create_dir_all(place).unwrap();
    for name in ["ukl.toml", "main.c"] {
        fs::copy(example.join(name), place.join(name)).unwrap();
        let file = fs::File::options().append(true).open(place.join(name)).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }
    let env = Env { cache, ..env() };
    let manifest = manifest::load(place).unwrap();
    let dir = ImageDir::at(place.join("build/hello"));
    let image = pipeline::image(&env, &manifest, &dir, &mut Clock::silent(), &mut |_| ());
    image.unwrap_or_else(|error| panic!("{}", error::render(&error).0)).info.files
}

#[track_caller]
fn same(one: &BTreeMap<String, FileInfo>, other: &BTreeMap<String, FileInfo>) {
    let names: Vec<&str> = one.keys().map(String::as_str).collect();
    let expected = [
        "UKL.a",
        "bzImage",
        "initrd.cpio.lz4",
        "kernel.config",
        "stages/initrd/base.cpio.lz4",
        "stages/initrd/init",
        "trigger",
        "twin",
        "vmlinux",
    ];
    assert_eq!(names, expected);
    let differ: Vec<&str> = names.into_iter().filter(|name| one[*name] != other[*name]).collect();
    assert!(differ.is_empty(), "these differ: {differ:?}");
}

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn folder_and_time_do_not_show_in_an_image() {
    let dir = tempfile::tempdir().unwrap();
    let first = built(&dir.path().join("one"), DAY, env().cache);
    // Whatever writes the time of day, in seconds as files have it, writes another one now.
    let second = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let before = second();
    world::wait(|| second() != before);
    let second = built(&dir.path().join("another/much longer name"), DAY * 400, env().cache);
    same(&first, &second);
}

#[test]
#[ignore = "builds the C library and a kernel from nothing: about ten minutes of both processors"]
fn an_empty_cache_makes_the_same_image() {
    let dir = tempfile::tempdir().unwrap();
    let first = built(&dir.path().join("one"), DAY, env().cache);
    let second = built(&dir.path().join("another"), DAY, Cache::at(dir.path().join("other/cache")));
    same(&first, &second);
}
