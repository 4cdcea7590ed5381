//! doctor, cache and clean.

use std::fs;

use crate::world::World;

#[test]
fn doctor_names_what_a_bare_machine_lacks() {
    let world = World::bare();
    let done = world.ukl(&["doctor"]);
    done.fails(120, &[]);
    let needed = ["gcc", "binutils", "make", "flex", "bison", "bc", "xz-utils", "patch", "lz4", "qemu-system-x86"];
    let command = done.out.lines().last().unwrap();
    assert!(command.trim().starts_with("apt-get install"), "{}", done.out);
    assert!(needed.iter().all(|package| command.split(' ').any(|word| word == *package)), "{command}");
}

#[test]
fn doctor_tells_the_same_in_json() {
    let world = World::bare();
    world.program("gcc", "exit 0");
    let done = world.ukl(&["doctor", "--json"]);
    let json = done.json();
    assert_eq!((done.code, json["exit_code"].as_u64()), (Some(120), Some(120)));
    let missing: Vec<_> = json["result"]["missing"].as_array().unwrap().iter().map(|m| m.as_str().unwrap()).collect();
    assert!(missing.contains(&"make") && !missing.contains(&"gcc"), "{missing:?}");
    assert!(["opens", "software", "denied", "absent"].contains(&json["result"]["kvm"].as_str().unwrap()));
}

#[test]
fn doctor_installs_what_is_missing() {
    let world = World::bare();
    let log = world.at("apt.log");
    let apt = format!("echo \"$DEBIAN_FRONTEND $@\" >> '{}'", log.display());
    world.program("apt-get", &apt);
    world.program("sudo", &format!("shift 2; {apt}"));
    // Nothing was really installed, so the report still lists it.
    world.ukl(&["doctor", "--install"]).fails(120, &["apt-get update", "apt-get install"]);
    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "noninteractive update");
    assert!(lines[1].starts_with("noninteractive install -y --no-install-recommends gcc binutils"), "{text}");
}

#[test]
fn doctor_shows_what_it_would_install() {
    let world = World::bare();
    let done = world.ukl(&["doctor", "--install", "--dry-run"]);
    done.fails(120, &[]);
    assert!(done.out.contains("apt-get update\n"), "{}", done.out);
    assert!(world.files("cache").is_empty());
    let json = world.ukl(&["doctor", "--install", "--dry-run", "--json"]).json();
    assert_eq!(json["commands"].as_array().unwrap().len(), 2, "{json}");
}

#[test]
fn doctor_says_when_the_installation_fails() {
    let world = World::bare();
    world.program("apt-get", "echo E: no network; exit 100");
    world.program("sudo", "exit 100");
    let done = world.ukl(&["doctor", "--install"]);
    done.fails(120, &["error: `apt-get update` failed (exit status: 100)", "blame   host", "doctor.log"]);
}

#[test]
fn the_cache_is_listed_and_pruned() {
    let world = World::new();
    assert!(world.ukl(&["cache", "ls"]).out.starts_with("0 entries"));
    fs::create_dir_all(world.at("cache/ukl/musl/abc")).unwrap();
    fs::write(world.at("cache/ukl/musl/abc/libc.a"), [0; 4096]).unwrap();
    let list = world.ukl(&["cache", "ls"]).out;
    assert!(list.starts_with("musl         abc") && list.contains("4.0 KiB"), "{list}");
    let entries = world.ukl(&["cache", "ls", "--json"]).json()["result"]["entries"].clone();
    assert_eq!((entries[0]["kind"].as_str(), entries[0]["bytes"].as_u64()), (Some("musl"), Some(4096)));
    assert!(world.ukl(&["cache", "prune"]).out.starts_with("removed 0 entries"));
    assert!(world.ukl(&["cache", "prune", "--all", "--dry-run"]).out.starts_with("would remove 1 entries"));
    assert!(world.ukl(&["cache", "prune", "--all"]).out.starts_with("removed 1 entries, 4.0 KiB"));
    assert!(!world.at("cache/ukl/musl/abc").exists());
}

#[test]
fn libraries_that_were_exported_are_imported_and_used() {
    let world = World::builder();
    world.write("a.c", "#include <stdio.h>\nint main(void) { puts(\"one\"); return 0; }\n");
    let makes_it = || {
        let said = world.ukl(&["up", "--dry-run", "--plat", "linuxu", "a.c"]);
        assert!(said.ends(0, &[]).out.contains("ld.bfd"), "{said:?}");
        said.out.contains("install-headers")
    };
    assert!(!makes_it());
    let said = world.ukl(&["cache", "export", "--kind", "musl", "team.tar.gz"]);
    assert!(said.ends(0, &[]).out.starts_with("team.tar.gz: "), "{said:?}");
    // This was a link to the libraries of this machine.
    fs::remove_file(world.at("cache/ukl/musl")).unwrap();
    assert!(makes_it());
    let said = world.ukl(&["cache", "import", "team.tar.gz"]);
    assert!(said.ends(0, &[]).out.ends_with(" new, 0 there already\n"), "{said:?}");
    assert!(!makes_it());
    assert_eq!(world.ukl(&["up", "--plat", "linuxu", "a.c"]).ends(0, &[]).out, "one\n");
    // What does not arrive whole is not taken at all.
    let whole = fs::read(world.at("project/team.tar.gz")).unwrap();
    fs::write(world.at("project/half.tar.gz"), &whole[..whole.len() / 2]).unwrap();
    fs::remove_dir_all(world.at("cache/ukl/musl")).unwrap();
    world.ukl(&["cache", "import", "half.tar.gz"]).fails(120, &["is cut short or changed", "nothing was taken"]);
    assert!(!world.at("cache/ukl/musl").exists());
}

#[test]
fn without_home_there_is_no_cache() {
    let world = World::new();
    let mut command = world.command(&["cache", "ls"]);
    let output = command.env_remove("HOME").env_remove("XDG_CACHE_HOME").output().unwrap();
    crate::world::done(output).fails(120, &["neither XDG_CACHE_HOME nor HOME names a folder by its whole path"]);
}

#[test]
fn clean_removes_image_folders_only() {
    let world = World::new();
    world.write("ukl.toml", "name = \"app\"\nsources = [\"a.c\"]\n");
    world.write("a.c", "int main(void) { return 0; }\n");
    assert!(world.ukl(&["clean"]).out.starts_with("nothing at"));
    world.write("build/app/precious.txt", "mine\n");
    world.ukl(&["clean"]).fails(2, &["is not an image folder: nothing was removed", "image.json"]);
    assert!(world.at("project/build/app/precious.txt").exists());
    world.write("build/app/image.json", "{}");
    assert!(world.ukl(&["clean", "--dry-run"]).out.starts_with("would remove"));
    assert!(world.ukl(&["clean"]).out.starts_with("removed"));
    assert_eq!(world.files("project"), ["a.c", "ukl.toml"]);
    assert!(!world.at("project/build").exists());
}
