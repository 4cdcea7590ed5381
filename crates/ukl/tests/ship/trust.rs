//! Bills of materials, signatures, checks, and the source that the GPL asks for.

use std::fs;
use std::process::Command;

use crate::world::{example, World};
use crate::{digest, has, hello, tool};

/// `examples/hello` with its image, as a project of the test's own.
fn project(world: &World) -> String {
    let image = hello();
    for name in ["ukl.toml", "main.c"] {
        world.write(&format!("hello/{name}"), &fs::read_to_string(example("hello").join(name)).unwrap());
    }
    let to = world.at("project/hello/build/hello");
    for entry in walkdir::WalkDir::new(image.dir.root()).into_iter().map(|entry| entry.unwrap()) {
        let to = to.join(entry.path().strip_prefix(image.dir.root()).unwrap());
        let dir = entry.file_type().is_dir();
        if dir { fs::create_dir_all(&to) } else { fs::copy(entry.path(), &to).map(drop) }.unwrap();
    }
    "hello".to_owned()
}

#[test]
fn the_bill_of_materials_is_valid_and_names_every_source() {
    let world = World::booting();
    let project = project(&world);
    world.ukl(&["sbom", &project, "--output", "one.spdx.json"]).ends(0, &[]);
    let said = world.ukl(&["sbom", &project]);
    assert_eq!(said.out, fs::read_to_string(world.at("project/one.spdx.json")).unwrap());
    let packages = said.json()["packages"].as_array().unwrap().clone();
    let find = |name: &str| packages.iter().find(|package| package["name"] == name).unwrap_or_else(|| panic!("{name}"));
    let kernel = find("linux-source-6.12");
    assert_eq!(kernel["licenseDeclared"], "GPL-2.0-only WITH Linux-syscall-note");
    assert_eq!(kernel["checksums"][0]["checksumValue"].as_str().unwrap().len(), 64);
    assert!(find("musl")["licenseDeclared"].as_str().unwrap().contains("MIT"), "{}", find("musl"));
    assert!(find("vmlinux")["checksums"][0]["checksumValue"].is_string());
    let file = world.at("project/one.spdx.json");
    if let Some(said) = tool("pyspdxtools", &["-i", file.to_str().unwrap()]) {
        said.ends(0, &[]);
    }
}

#[test]
fn an_image_is_checked_against_its_files_its_lock_and_its_signature() {
    let world = World::booting();
    let project = project(&world);
    let image = world.at("project/hello/build/hello");
    world.ukl(&["verify", &project]).ends(0, &[]);
    if has("minisign") {
        for name in ["a", "b"] {
            let keys = ["-G", "-W", "-p", &format!("{name}.pub"), "-s", &format!("{name}.key")].map(String::from);
            assert!(Command::new("minisign")
                .args(&keys)
                .current_dir(world.at("project"))
                .output()
                .unwrap()
                .status
                .success());
        }
        world.ukl(&["verify", "--key", "a.pub", &project]).fails(120, &["is not signed", "ukl sign"]);
        world.ukl(&["sign", "--key", "a.key", &project]).ends(0, &[]);
        let said = world.ukl(&["verify", "--key", "a.pub", &project]);
        said.ends(0, &[]);
        assert!(said.out.contains("signature: made with this key"), "{said:?}");
        world.ukl(&["verify", "--key", "b.pub", &project]).fails(120, &["was not made for it with this key"]);
        world.ukl(&["pkg", "oci", &project, "-o", "packed"]).ends(0, &[]);
        world.ukl(&["verify", "--key", "a.pub", "oci:packed"]).ends(0, &[]);
    }
    let lock = "format = 1\n\n[[source]]\npackage = \"musl\"\nversion = \"0\"\nsha256 = \"x\"\n";
    world.write("hello/ukl.lock", lock);
    world.ukl(&["verify", &project]).fails(120, &["`ukl.lock` says `musl` 0"]);
    world.ukl(&["sbom", &project]).fails(120, &["`ukl.lock` says `musl` 0"]);
    fs::remove_file(world.at("project/hello/ukl.lock")).unwrap();
    fs::remove_file(image.join("twin")).unwrap();
    fs::write(image.join("twin"), "other").unwrap();
    world.ukl(&["verify", &project]).fails(120, &["twin", "is not what `image.json` says"]);
}

#[test]
fn licences_that_exclude_the_gpl_are_told_and_refused() {
    let world = World::booting();
    let project = project(&world);
    world.ukl(&["pkg", "oci", "--strict", &project, "-o", "packed"]).ends(0, &[]);
    world.ukl(&["pkg", "oci", "--strict", "hello/build/hello", "-o", "packed"]).fails(2, &["where there is a project"]);
    // A tree that says nothing of its licence, and one that excludes the GPL, both as a package's copyright file would.
    let manifest = fs::read_to_string(world.at("project/hello/ukl.toml")).unwrap();
    world.write("hello/lib/code.c", "");
    let built = "source = { path = \"lib\" }\nbuild = [\"true\"]\nprogram = \"lib/code\"";
    world.write("hello/ukl.toml", &manifest.replace("sources = [\"main.c\"]", built));
    let said = world.ukl(&["pkg", "oci", &project, "-o", "packed"]);
    said.ends(0, &["warning:", "lib: unknown (no copyright file that a machine reads)"]);
    let text = "Format: https://x/1.0/\n\nFiles: *\nCopyright: x\nLicense: Apache-2.0\n";
    world.write("hello/lib/debian/copyright", text);
    let before = digest(&world.at("project/packed"));
    let said = world.ukl(&["pkg", "oci", "--strict", &project, "-o", "packed"]);
    said.fails(121, &["lib: Apache-2.0 (*): excludes the GPL, version 2", "without `--strict` this is a warning"]);
    assert_eq!(digest(&world.at("project/packed")), before);
}

#[test]
fn the_source_archive_holds_what_the_build_needs() {
    let world = World::booting();
    let project = project(&world);
    world.ukl(&["pkg", "source", &project, "-o", "out/source.tar.gz"]).ends(0, &[]);
    assert_eq!(world.files("project/out"), ["source.tar.gz"]);
    let mut tar = Command::new("tar");
    tar.args(["--list", "--gzip", "--file"]).arg(world.at("project/out/source.tar.gz"));
    let listed = String::from_utf8(tar.output().unwrap().stdout).unwrap();
    let has = |name: &str| listed.lines().any(|line| line.starts_with(&format!("hello-source/{name}")));
    let wanted = ["linux", "patches/series", "patches/0001-", "kernel.config", "musl/COPYRIGHT", "program/main.c"];
    for name in wanted.iter().chain(&["program/ukl.toml", "init/init.c", "build.sh"]) {
        assert!(has(name), "no {name}");
    }
}
