//! What surrounds a call: variables, names, clocks, folders that are links, a full standard output.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use crate::world::{done, World};

const WORD: &str = "#include <stdio.h>\nint main(void) { puts(\"one\"); return 0; }\n";
const UP: [&str; 3] = ["up", "--plat", "linuxu"];

#[test]
fn a_relative_folder_of_the_cache_is_ignored() {
    let world = World::new();
    fs::create_dir_all(world.at("home/.cache/ukl/musl/abc")).unwrap();
    let listed = done(world.command(&["cache", "ls"]).env("XDG_CACHE_HOME", "relative").output().unwrap());
    assert!(listed.out.contains("1 entries") && !world.at("project/relative").exists(), "{listed:?}");
    let homeless = done(world.command(&["cache", "ls"]).env("XDG_CACHE_HOME", "x").env("HOME", "y").output().unwrap());
    homeless.fails(120, &["neither XDG_CACHE_HOME nor HOME names a folder by its whole path"]);
    let guests = done(world.command(&["ps"]).env("XDG_STATE_HOME", "relative").output().unwrap());
    assert!(guests.code == Some(0) && !world.at("project/relative").exists(), "{guests:?}");
}

#[test]
fn a_file_may_have_the_name_of_an_option() {
    let world = World::builder();
    world.write("-dash.c", WORD);
    let done = world.ukl(&[&UP[..], &["./-dash.c"]].concat());
    assert_eq!((done.code, done.out.as_str()), (Some(0), "one\n"), "{done:?}");
    world.write("ukl.toml", "name = \"dash\"\nsources = [\"-dash.c\"]\n");
    let done = world.ukl(&UP);
    assert_eq!((done.code, done.out.as_str()), (Some(0), "one\n"), "{done:?}");
}

#[test]
fn variables_of_compilers_and_locales_change_nothing() {
    let world = World::builder();
    world.write("a.c", WORD);
    let mut up = world.command(&[&UP[..], &["a.c"]].concat());
    up.env("GCC_EXEC_PREFIX", "/nowhere/").env("CPATH", "/nowhere").env("LC_ALL", "tr_TR.UTF-8").env("LANGUAGE", "de");
    let done = done(up.env("MAKEFLAGS", "-n").env("CFLAGS", "-fno-such-option").output().unwrap());
    assert_eq!((done.code, done.out.as_str()), (Some(0), "one\n"), "{done:?}");
}

#[test]
fn a_change_is_seen_whatever_the_clock_says_and_through_a_link() {
    let world = World::builder();
    let source = world.write("a.c", WORD);
    symlink(world.at("project"), world.at("link")).unwrap();
    let year = Duration::from_secs(365 * 24 * 3600);
    for (word, time) in [("one", SystemTime::now() + 4 * year), ("two", SystemTime::now() - 40 * year)] {
        fs::write(&source, WORD.replace("one", word)).unwrap();
        File::options().write(true).open(&source).unwrap().set_modified(time).unwrap();
        let mut up = world.command(&[&UP[..], &["a.c"]].concat());
        let done = done(up.current_dir(world.at("link")).output().unwrap());
        assert_eq!((done.code, done.out), (Some(0), format!("{word}\n")));
    }
}

#[test]
fn words_that_are_no_text_are_refused_with_what_takes_them() {
    let world = World::new();
    let words = [OsStr::new("run"), OsStr::new("a.c"), OsStr::new("--"), OsStr::from_bytes(b"\xff\xfe")];
    world.ukl(&words).fails(2, &["invalid UTF-8", "hint: arguments and options are UTF-8; standard input"]);
}

#[test]
fn a_full_standard_output_is_not_blamed_on_the_cache() {
    let world = World::new();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let done = done(world.command(&["list"]).stdout(full).output().unwrap());
    done.fails(120, &["failed to write to standard output: No space left on device"]);
    assert!(!done.err.contains("cache") && !done.err.contains("hint"), "{done:?}");
}

#[test]
fn arguments_without_dashes_before_them_are_explained() {
    let world = World::new();
    world.write("a.c", WORD);
    world.ukl(&["run", "a.c", "one"]).fails(2, &["no file or folder `one`", "arguments go behind `--`: a.c -- one"]);
    world.ukl(&["run", ".", "one"]).fails(2, &["`.` is a folder", "the program's arguments go behind `--`"]);
}
