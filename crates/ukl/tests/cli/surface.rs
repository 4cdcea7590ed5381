//! Help, usage errors, completions, manual, colours, closed pipes.

use std::io::Read;

use crate::world::World;

const COMMANDS: [&str; 45] = [
    "stats",
    "watch",
    "cp",
    "exec",
    "shell",
    "sbom",
    "sign",
    "verify",
    "pkg",
    "push",
    "pull",
    "version",
    "script",
    "update",
    "explain",
    "list",
    "init",
    "configure",
    "set",
    "unset",
    "defconfig",
    "menuconfig",
    "build",
    "run",
    "up",
    "ps",
    "logs",
    "stop",
    "kill",
    "rm",
    "inspect",
    "bench",
    "doctor",
    "clean",
    "cache",
    "prefix",
    "trigger",
    "debug",
    "completions",
    "man",
    "env",
    "cc",
    "ar",
    "ld",
    "test",
];

#[test]
fn help_lists_every_command_and_exit_code() {
    let done = World::new().ukl(&["--help"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    for command in COMMANDS {
        assert!(done.out.contains(&format!("\n  {command} ")), "no {command} in\n{}", done.out);
    }
    for code in ["120", "121", "122", "123", "124", "125", "130", "255"] {
        assert!(done.out.contains(code), "no {code} in\n{}", done.out);
    }
    assert!(done.out.lines().count() < 84, "{}", done.out);
}

#[test]
fn every_command_has_help() {
    // To these, every word is one for gcc, ar or ld.
    let tools = ["cc", "ar", "ld"];
    for command in COMMANDS.into_iter().filter(|command| !tools.contains(command)) {
        let done = World::new().ukl(&[command, "--help"]);
        assert!(done.code == Some(0) && done.out.contains("Usage:"), "{done:?}");
    }
}

#[test]
fn usage_errors_end_with_2() {
    let world = World::new();
    world.ukl::<&str>(&[]).fails(2, &["Usage: ukl"]);
    world.ukl(&["biuld"]).fails(2, &["unrecognized subcommand 'biuld'", "'build'"]);
    world.ukl(&["up", "--memory", "12k"]).fails(2, &["`12k` is not a size: write a number of MiB, or one with a unit"]);
    world.ukl(&["up", "-p", "80"]).fails(2, &["`80` is not a port pair"]);
    world.ukl(&["up", "--cpus", "0"]).fails(2, &["0 is not in 1..=64"]);
    world.ukl(&["up", "--net", "vde"]).fails(2, &["`vde` is not a network: write `user`, `none`, `tap=NAME`"]);
    world.ukl(&["up", "--ip", "10.0.0.2"]).fails(2, &["`10.0.0.2` is not an address: write `dhcp`"]);
    world.ukl(&["up", "--queues", "9"]).fails(2, &["9 is not in 1..=8"]);
    world.ukl(&["run", "-d", "--shell"]).fails(2, &["cannot be used with"]);
    world.ukl(&["run", "--name", "a"]).fails(2, &["--detach"]);
    world.ukl(&["run", "-d", "--name", "../a"]).fails(2, &["`../a` is not a valid name"]);
    world.ukl(&["kill", "-s", "NONE", "a"]).fails(2, &["`NONE` is not a signal", "HUP"]);
    world.ukl(&["kill"]).fails(2, &["NAME"]);
    world.ukl(&["cp", "a", "b"]).fails(2, &["neither path is in a guest", "NAME:/PATH"]);
    world.ukl(&["cp", "a:/x", "b:/y"]).fails(2, &["both paths are in a guest"]);
    world.ukl(&["cp", "a", "web:/x"]).fails(2, &["no guest `web`"]);
    world.ukl(&["cp", ":/x", "b"]).fails(2, &["no guest runs in the background"]);
    world.ukl(&["stats", "web"]).fails(2, &["no guest `web`"]);
    world.ukl(&["stats", "--prometheus", "0", "--json"]).fails(2, &["takes no `--json`"]);
    world.ukl(&["watch", "--shell"]).fails(2, &["`ukl watch` goes on until Ctrl-C: it takes no `--shell`"]);
    world.ukl(&["watch", "-d"]).fails(2, &["it takes no `--detach`"]);
    world.ukl(&["watch", "--json"]).fails(2, &["it takes no `--json`"]);
    world.ukl(&["watch", "no-such-folder"]).fails(2, &["no-such-folder"]);
    world.ukl(&["up", "--shell", "--twin"]).fails(2, &["cannot be used with"]);
    world.ukl(&["test", "--suite", "posx"]).fails(2, &["posx", "posix"]);
    world.ukl(&["test", "--record", "x"]).fails(2, &["--suite"]);
    world.ukl(&["test", "--suite", "posix", "--full"]).fails(2, &["cannot be used with"]);
    world.ukl(&["up", "--accel", "xen"]).fails(2, &["xen", "kvm"]);
}

#[test]
fn without_guests_there_is_nothing_to_measure() {
    let world = World::new();
    assert_eq!(world.ukl(&["stats"]).ends(0, &[]).out.lines().count(), 1);
    assert_eq!(world.ukl(&["stats", "--json"]).json()["result"]["guests"], serde_json::json!([]));
}

#[test]
fn completions_and_manual_name_every_command() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = world.ukl(&["completions", shell]).out;
        assert!(COMMANDS.iter().all(|command| script.contains(command)), "{shell}:\n{script}");
    }
    let page = world.ukl(&["man"]).out;
    assert!(COMMANDS.iter().all(|command| page.contains(&format!("ukl\\-{command}(1)"))), "{page}");
    let pages = world.ukl(&["man", "pages"]);
    assert_eq!(pages.out.lines().count(), COMMANDS.len() + 1, "{pages:?}");
    assert!(world.files("project/pages").contains(&"ukl-up.1".to_owned()), "{pages:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let world = World::new();
    for args in [&["man"][..], &["--help"], &["completions", "zsh"]] {
        let mut child = world.command(args).spawn().unwrap();
        drop(child.stdout.take());
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        let code = child.wait().unwrap().code();
        assert_eq!((code, err.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn nobody_needs_to_read_standard_error() {
    let world = World::new();
    let mut child = world.command(&["clean"]).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(2));
}

#[test]
fn colours_are_used_when_asked_for_only() {
    let world = World::new();
    assert!(!world.ukl(&["clean"]).err.contains('\x1b'));
    assert!(world.ukl(&["clean", "--color", "always"]).err.starts_with("\x1b[1;31merror:\x1b[0m no manifest"));
}

#[test]
fn with_json_an_error_is_one_object_too() {
    let done = World::new().ukl(&["clean", "--json"]);
    let json = done.json();
    assert_eq!((done.code, json["exit_code"].as_u64(), json["command"].as_str()), (Some(2), Some(2), Some("clean")));
    assert_eq!(json["error"]["blame"], "usage");
    assert_eq!(json["error"]["message"], "no manifest at `./ukl.toml`");
    assert!(json["error"]["hint"].as_str().unwrap().contains("ukl up hello.c"));
}
