//! Archives against GNU ar, nm and ld, and goblin.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{compile, file, have, run, scratch, GLIBC, MUSL};
use formats::ar::{self, Member};
use std::path::Path;

fn member<'a>(name: &'a str, data: &'a [u8]) -> Member<'a> {
    Member { name, data, mode: 0o644 }
}

/// GNU ar's archive of the same files, which must be ours byte for byte.
fn same_as_gnu(folder: &Path, members: &[Member]) {
    for member in members {
        std::fs::write(folder.join(member.name), member.data).unwrap();
    }
    let _ = std::fs::remove_file(folder.join("gnu.a"));
    let names: Vec<_> = members.iter().map(|m| m.name).collect();
    run(folder, &[&["ar", "rcsD", "gnu.a"], &names[..]].concat());
    let theirs = std::fs::read(folder.join("gnu.a")).unwrap();
    let ours = ar::write(members).unwrap();
    let differ = ours.iter().zip(&theirs).position(|(a, b)| a != b);
    assert!(ours == theirs, "differ at {differ:?}, sizes {} and {}", ours.len(), theirs.len());
}

const C: &str =
    "int global = 1; int common_; int *get(void) { return &common_; } extern int absent; static int local = 2;
    __attribute__((weak)) int weak(void) { return local + absent; } __thread int tls; int zero;";

#[test]
fn every_kind_of_member_is_written_as_gnu_ar_does() {
    if !have(&["ar", "gcc", "g++"]) {
        return;
    }
    let scratch = scratch("ar-kinds");
    let folder = scratch.path();
    let c = compile(folder, "c.c", C, &["gcc", "-fcommon"]);
    let unique = "template<class T> struct S { static inline int x; }; int f() { return S<int>::x; }";
    let unique = compile(folder, "u.cc", unique, &["g++"]);
    let nothing = compile(folder, "n.c", "", &["gcc"]);
    let ifunc =
        "int i(void) { return 1; } void *pick(void) { return i; } int f(void) __attribute__((ifunc(\"pick\")));";
    let ifunc = compile(folder, "i.c", ifunc, &["gcc"]);
    let cases: &[&[Member]] = &[
        &[],
        &[member("text", b"no object")],
        &[member("odd", b"odd"), member("even", b"even")],
        &[member("n.o", &nothing)],
        &[member("c.o", &c), member("u.o", &unique), member("n.o", &nothing), member("i.o", &ifunc), member("t", b"x")],
        &[
            member("fifteen-chars-o", &c),
            member("sixteen-chars-.o", &c),
            member("a-name-that-is-much-longer.o", &unique),
            member("another-long-name.o", b"odd"),
        ],
    ];
    for case in cases {
        same_as_gnu(folder, case);
    }
}

#[test]
fn whole_libraries_are_rewritten_as_gnu_ar_does() {
    for (path, name) in [(MUSL, "ar-musl"), (GLIBC, "ar-glibc")] {
        let Some(bytes) = file(path) else { continue };
        if !have(&["ar", "nm"]) {
            return;
        }
        let scratch = scratch(name);
        let folder = scratch.path();
        // Extraction needs unique names; libraries may repeat one.
        let entries = ar::read(&bytes).unwrap();
        let names: Vec<_> = (0..entries.len()).map(|n| format!("{n}.o")).collect();
        let members: Vec<_> = entries.iter().zip(&names).map(|(e, n)| member(n, &bytes[e.range.clone()])).collect();
        same_as_gnu(folder, &members);

        let ours = ar::write(&members).unwrap();
        let index = ar::index(&ours).unwrap();
        assert!(index.len() > 1000);
        std::fs::write(folder.join("ours.a"), &ours).unwrap();
        let shown = run(folder, &["nm", "-s", "ours.a"]);
        for (symbol, member) in index.iter().step_by(50) {
            assert!(shown.contains(&format!("\n{symbol} in {member}\n")), "{symbol} in {member}");
        }
    }
}

#[test]
fn members_come_back() {
    let members = [
        member("a.o", b"one"),
        member("a-name-that-is-much-longer.o", b""),
        Member { mode: 0o755, ..member("c", b"three!") },
    ];
    let archive = ar::write(&members).unwrap();
    let entries = ar::read(&archive).unwrap();
    assert_eq!(entries.len(), 3);
    for (entry, member) in entries.iter().zip(&members) {
        assert_eq!((entry.name.as_str(), entry.mode), (member.name, member.mode));
        assert_eq!(&archive[entry.range.clone()], member.data);
    }
    let goblin = goblin::archive::Archive::parse(&archive).unwrap();
    // goblin sorts by name.
    assert_eq!(goblin.members(), ["a-name-that-is-much-longer.o", "a.o", "c"]);
}

#[test]
fn bad_names_and_damaged_objects_are_refused() {
    for name in ["", "a/b.o", "a\nb"] {
        assert!(ar::write(&[member(name, b"")]).is_err(), "{name:?}");
    }
    let error = ar::write(&[member("x.o", b"\x7fELF but no more")]).unwrap_err();
    assert!(error.to_string().starts_with("x.o: "), "{error}");
    assert!(ar::read(b"!<thin>\nx").is_err());
    assert!(ar::read(b"no archive").is_err());
}

#[test]
fn the_linker_finds_members_through_the_index() {
    if !have(&["gcc"]) {
        return;
    }
    let scratch = scratch("ar-link");
    let folder = scratch.path();
    let used = compile(folder, "used.c", "int used(void) { return 7; }", &["gcc"]);
    let unused = compile(folder, "unused.c", "int unused(void) { return missing(); }", &["gcc", "-w"]);
    std::fs::write(folder.join("lib.a"), ar::write(&[member("unused.o", &unused), member("used.o", &used)]).unwrap())
        .unwrap();
    compile(folder, "main.c", "int used(void); int main(void) { return used(); }", &["gcc"]);
    run(folder, &["gcc", "main.c.o", "lib.a", "-o", "program"]);
    let status = std::process::Command::new(folder.join("program")).status().unwrap();
    assert_eq!(status.code(), Some(7));
}
