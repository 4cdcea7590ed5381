//! `watch`: saves, and what comes of them.

use std::io::Read;

use crate::echo::free_port;
use crate::world::{kill, says, World};

/// A program that says a word and waits.
fn source(word: &str) -> String {
    format!("#include <stdio.h>\n#include <unistd.h>\nint main(void) {{ puts(\"{word}\"); fflush(stdout); pause(); return 3; }}\n")
}

#[test]
fn each_save_builds_and_starts_again_and_a_bad_one_leaves_the_guest() {
    let world = World::booting();
    world.write("project/ukl.toml", "name = \"watched\"\nsources = [\"main.c\"]\n");
    let main = world.write("project/main.c", &source("one"));
    let forward = format!("{}:80", free_port());
    let mut watch = world.command(&["watch", "--accel", "tcg", "-p", &forward]).spawn().unwrap();
    let (mut out, mut err) = (watch.stdout.take().unwrap(), watch.stderr.take().unwrap());
    says(&mut out, "one\n");
    world.ukl(&["watch"]).fails(2, &["a guest `watched` runs already", "ukl stop watched"]);
    std::fs::write(&main, source("two")).unwrap();
    says(&mut out, "two\n");
    says(&mut err, "`main.c` saved: built in ");
    let ports = world.guest("watched")["ports"].to_string();
    assert_eq!(ports, format!("[[{}]]", forward.replace(':', ",")));
    std::fs::write(&main, "int main(void) { return }\n").unwrap();
    says(&mut err, "`main.c` saved: not built; the guest runs on as it is\n");
    assert_eq!(world.guest("watched")["state"], "running");
    std::fs::write(&main, source("two") + "\n").unwrap();
    says(&mut err, "`main.c` saved: ");
    assert!(kill("-INT", &watch.id().to_string()));
    assert_eq!(watch.wait().unwrap().code(), Some(130));
    let mut rest = String::new();
    err.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("interrupted\n") && world.guest("watched").is_null(), "{rest}");
    world.nothing_is_left();
}
