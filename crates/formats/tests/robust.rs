//! Damaged objects and archives: an error or a result, never a panic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{compile, file, have, scratch, Random, GLIBC};
use formats::{ar, elf, prefix, scan, sites};

/// Everything that reads an object.
fn read_all(bytes: &[u8]) -> usize {
    let mut errors = 0;
    if let Ok(facts) = elf::Facts::read(bytes) {
        for section in &facts.sections {
            scan::scan(&section.data(bytes)[..section.data(bytes).len().min(4096)], section.address);
        }
        let _ = (facts.undefined(), facts.function_at(facts.entry), facts.exported().count());
    } else {
        errors += 1;
    }
    let renamed = prefix::prefix(bytes, "ukl_", &|name| name.starts_with('_'));
    errors += usize::from(renamed.is_err());
    let mut in_place = bytes.to_vec();
    let done = prefix::prefix_in_place(&mut in_place, "ukl_", &|name| name.starts_with('_'));
    assert_eq!(done.map(|()| in_place.clone()), renamed.clone());
    assert!(renamed.is_ok() || in_place == bytes);
    if let Ok(renamed) = renamed {
        // What we write, we can read.
        assert!(renamed.len() >= bytes.len());
        if elf::Facts::read(bytes).is_ok() {
            assert_eq!(elf::Facts::read(&renamed).map(|_| ()), Ok(()));
        }
    }
    let _ = sites::find(bytes);
    let mut rewritten = bytes.to_vec();
    if sites::rewrite(&mut rewritten, sites::ENTRY).is_err() {
        assert_eq!(rewritten, bytes);
    }
    let _ = ar::write(&[ar::Member { name: "x.o", data: bytes, mode: 0o644 }]);
    errors
}

fn objects() -> Vec<Vec<u8>> {
    if !have(&["gcc", "clang", "g++"]) {
        return Vec::new();
    }
    let scratch = scratch("robust");
    let folder = scratch.path();
    let native = sites::NATIVE.map(|b| b.to_string()).join(",");
    let entry = sites::ENTRY;
    let assembly = format!(".globl f\nf: nop\n.weak {entry}\n.reloc ., R_X86_64_NONE, {entry}\n.byte {native}\n1: ret\n.quad 1b\n.comm c,8\n");
    let c = "int u(void); static int s; int f(int x) { return s += u() + x; }";
    let cxx = "template<class T> T f(T x) { static T y; return y += x; } int g() { return f(1) + (int)f(1.5); }";
    vec![
        compile(folder, "sites.s", &assembly, &["gcc"]),
        compile(folder, "plain.c", c, &["gcc", "-g"]),
        compile(folder, "clang.c", c, &["clang", "-g"]),
        compile(folder, "groups.cc", cxx, &["g++", "-O0"]),
    ]
}

#[test]
fn ten_thousand_mutations() {
    let mut random = Random(0x9e3779b97f4a7c15);
    let objects = objects();
    if objects.is_empty() {
        return;
    }
    let mut errors = 0;
    for round in 0..10_000 {
        let mut bytes = objects[round % objects.len()].clone();
        let length = bytes.len();
        // Headers and tables decide more than contents: aim at them as often.
        let table = u64::from_le_bytes(bytes[40..48].try_into().unwrap()) as usize;
        for _ in 0..=random.below(4) {
            let at = match random.below(3) {
                0 => random.below(64),
                1 => table + random.below(length - table),
                _ => random.below(length),
            };
            bytes[at] = match random.below(3) {
                0 => bytes[at] ^ (1 << random.below(8)),
                1 => [0, 0xff, 0x7f, 0x80][random.below(4)],
                _ => random.next() as u8,
            };
        }
        errors += read_all(&bytes);
    }
    assert!(errors > 500, "the mutations do no harm: {errors}");
}

#[test]
fn every_truncation() {
    for object in objects() {
        assert_eq!(read_all(&object), 0);
        for end in 0..object.len() {
            // Section headers stand last: nothing cut off can be read.
            assert_eq!(read_all(&object[..end]), 2, "{end} of {}", object.len());
        }
    }
}

#[test]
fn archives() {
    let Some(whole) = file(GLIBC) else { return };
    let members = ar::read(&whole).unwrap();
    let members: Vec<_> =
        members[..8].iter().map(|m| ar::Member { name: &m.name, data: &whole[m.range.clone()], mode: 0o644 }).collect();
    let archive = ar::write(&members).unwrap();
    let mut random = Random(0x2545f4914f6cdd1d);
    for round in 0..4_000 {
        let mut bytes = archive.clone();
        if round % 2 == 0 {
            bytes.truncate(random.below(bytes.len()));
        }
        for _ in 0..random.below(4) {
            if !bytes.is_empty() {
                let at = random.below(bytes.len().min(if round % 3 == 0 { 1000 } else { usize::MAX }));
                bytes[at] = random.next() as u8;
            }
        }
        if let Ok(entries) = ar::read(&bytes) {
            assert!(entries.iter().all(|entry| bytes.get(entry.range.clone()).is_some()));
        }
        let _ = ar::index(&bytes);
        let _ = prefix::prefix_archive(&bytes, "ukl_", &|_| false);
    }
}
