//! `--plat linuxu`: the twin as a process of this machine; nothing here needs a kernel.

use std::io::Write;
use std::process::Stdio;

use crate::world::{done, World};

fn project() -> World {
    let world = World::builder();
    world.write("a.c", include_str!("../programs/linuxu.c"));
    let manifest = "name = \"prog\"\nsources = [\"a.c\"]\nargs = [\"7\", \"two words\"]\nplatform = \"linuxu\"\n";
    world.write("ukl.toml", &format!("{manifest}[env]\nMINE = \"yes\"\n"));
    world
}

#[test]
fn the_twin_runs_with_the_manifests_arguments_and_ends_as_it_wants() {
    let world = project();
    world.ukl(&["run"]).fails(2, &["no program in `", "ukl up --plat linuxu"]);
    let done = world.ukl(&["up"]);
    let want = "prog: [7] [two words]\nHOME=/ MINE=yes USER=none\n";
    assert_eq!((done.code, done.out.as_str()), (Some(7), want), "{done:?}");
    assert!(!world.at("cache/ukl/kernel").exists(), "no kernel was built");
    let done = world.ukl(&["run", "--json", "--", "abort"]);
    let json = done.json();
    assert_eq!((done.code, json["result"]["run"]["outcome"].as_str()), (Some(134), Some("signaled")), "{json}");
    assert!(json["result"]["run"]["console"].as_str().unwrap().starts_with("prog: [abort]\n"), "{json}");
    world.ukl(&["run", "--timeout", "1", "--", "hang"]).fails(124, &["did not end within 1 s"]);
    world.ukl(&["run", "--shell"]).fails(2, &["`--shell` needs a guest"]);
    world.ukl(&["run", "-p", "80:80"]).fails(2, &["`--port` needs a guest"]);
    world.ukl(&["run", "--plat", "qemu"]).fails(2, &["no image in"]);
    assert_eq!(world.ukl(&["build"]).out, format!("{}\n", world.at("project/build/prog/twin").display()));
    assert_eq!(world.ukl(&["clean"]).code, Some(0));
}

#[test]
fn standard_input_is_the_programs_own() {
    let world = project();
    assert_eq!(world.ukl(&["build", "a.c", "--plat", "linuxu"]).code, Some(0));
    let mut child = world.command(&["run", "a.c", "--plat", "linuxu"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"line\nmore\n").unwrap();
    let done = done(child.wait_with_output().unwrap());
    assert!(done.code == Some(0) && done.out.ends_with("\nread line\n") && done.out.starts_with("a:\n"), "{done:?}");
}
