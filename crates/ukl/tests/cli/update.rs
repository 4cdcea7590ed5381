//! update: the distribution's sources asked for anew, and the lock file renewed. apt only pretends.

use std::fs;

use crate::world::World;

/// A machine whose distribution offers musl as `log/version` and `log/contents` say.
fn world() -> World {
    let world = World::new().with_fakes();
    fs::create_dir(world.at("log")).unwrap();
    let log = world.at("log").display().to_string();
    world.program(
        "apt-cache",
        &format!(
            "case \"$*\" in *madison*) cat '{log}/table' 2>/dev/null; exit 0 ;; esac\n\
             printf 'Package: musl\\nVersion: %s\\n' \"$(cat '{log}/version')\""
        ),
    );
    world.program(
        "apt-get",
        &format!(
            "echo \"$*\" >> '{log}/apt.log'\ncase \"$*\" in *' source '*) ;; *) exit 0 ;; esac\n\
             test ! -e '{log}/down' || exit 100\ncp '{log}/contents' musl.tar\n\
             sum=$(sha256sum musl.tar)\n\
             printf 'Checksums-Sha256:\\n %s 1 musl.tar\\n' \"${{sum%% *}}\" > musl.dsc"
        ),
    );
    let changelog = format!("printf 'musl (%s) x; urgency=low\\n' \"$(cat '{log}/version')\"");
    world.program("dpkg-source", &format!("mkdir -p \"$4/debian\"\n{changelog} > \"$4/debian/changelog\""));
    world.write("a.c", "");
    world.write("linux/Makefile", "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 1\n");
    world.write("ukl.toml", "name = \"a\"\nsources = [\"a.c\"]\n[kernel]\nsource = \"linux\"\n");
    offer(&world, "1.0-1", "a");
    world
}

fn offer(world: &World, version: &str, contents: &str) {
    fs::write(world.at("log/version"), version).unwrap();
    fs::write(world.at("log/contents"), contents).unwrap();
}

fn lock(world: &World) -> String {
    fs::read_to_string(world.at("project/ukl.lock")).unwrap()
}

#[test]
fn what_is_new_is_locked_and_told() {
    let world = world();
    let update = || {
        let done = world.ukl(&["update"]);
        assert_eq!(done.code, Some(0), "{done:?}");
        done.out
    };
    assert_eq!(update(), "musl 1.0-1\n");
    let first = lock(&world);
    assert!(first.starts_with("# Written by ukl") && first.contains("version = \"1.0-1\""), "{first}");
    assert_eq!((update().as_str(), lock(&world)), ("musl 1.0-1\n", first.clone()));
    offer(&world, "1.1-1", "b");
    assert_eq!(update(), "musl 1.1-1  (was 1.0-1)\n");
    assert!(lock(&world).contains("version = \"1.1-1\"") && !lock(&world).contains("1.0-1"), "{}", lock(&world));
    offer(&world, "1.1-1", "c");
    assert_eq!(update(), "musl 1.1-1  (other contents than before)\n");
    let asked = fs::read_to_string(world.at("log/apt.log")).unwrap();
    assert_eq!(asked.matches("--only-source musl=1.1-1\n").count(), 2, "{asked}");
}

#[test]
fn a_check_tells_what_is_newer_and_takes_nothing() {
    let world = world();
    assert_eq!(world.ukl(&["update"]).out, "musl 1.0-1\n");
    let (before, cache) = (lock(&world), world.files("cache/ukl/debian-source"));
    assert_eq!(world.ukl(&["update", "--check"]).out, "musl 1.0-1\n");
    offer(&world, "1.1-1", "b");
    let rebuilds = "rebuilds the C library, the program, the link of the kernel";
    assert_eq!(world.ukl(&["update", "--check"]).out, format!("musl 1.0-1  newer: 1.1-1, {rebuilds}\n"));
    fs::write(world.at("log/table"), "musl | 1.1-1 | https://x bookworm-security/main Sources\n").unwrap();
    assert_eq!(world.ukl(&["update", "--check"]).out, format!("musl 1.0-1  security update: 1.1-1, {rebuilds}\n"));
    assert_eq!((lock(&world), world.files("cache/ukl/debian-source")), (before, cache));
    let json = world.ukl(&["update", "--check", "--json"]).json();
    assert_eq!(json["result"]["sources"][0]["security"], true, "{json}");
}

#[test]
fn a_lock_file_that_is_not_understood_is_written_anew() {
    let world = world();
    world.write("ukl.lock", "format = 9\nsource = []\n");
    world.ukl(&["build"]).fails(2, &["ukl.lock` is not understood: format 9", "`ukl update` writes it anew"]);
    assert_eq!(world.ukl(&["update"]).out, "musl 1.0-1\n");
    let json = world.ukl(&["update", "--json"]).json();
    assert_eq!(json["result"]["sources"][0]["version"], "1.0-1", "{json}");
}

#[test]
fn archives_that_cannot_be_reached_leave_everything_as_it_was() {
    let world = world();
    assert_eq!(world.ukl(&["update"]).code, Some(0));
    let (before, cache) = (lock(&world), world.files("cache/ukl/debian-source"));
    offer(&world, "2.0-1", "z");
    fs::write(world.at("log/down"), "").unwrap();
    world.ukl(&["update"]).fails(120, &["cannot fetch the source package `musl`", "blame   host", "network"]);
    assert_eq!((lock(&world), world.files("cache/ukl/debian-source")), (before, cache));
    world.ukl(&["update", "--dry-run"]).fails(2, &["an update cannot be a dry run"]);
    world.ukl(&["update", "nowhere"]).fails(2, &["no manifest at `nowhere`"]);
}
