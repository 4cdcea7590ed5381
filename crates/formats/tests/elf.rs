//! Facts about ELF files against goblin, readelf and nm.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{compile, file, have, run, scratch, GLIBC, MUSL};
use formats::elf::{Binding, Facts, FileKind, Place, SymbolKind};

/// goblin's view of the same file.
fn same_as_goblin(name: &str, bytes: &[u8]) -> Facts {
    let facts = Facts::read(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    let elf = goblin::elf::Elf::parse(bytes).unwrap();
    assert_eq!((facts.entry, facts.machine), (elf.entry, elf.header.e_machine), "{name}");
    assert_eq!(facts.sections.len() + 1, elf.section_headers.len(), "{name}");
    for (ours, theirs) in facts.sections.iter().zip(&elf.section_headers[1..]) {
        let theirs =
            (&elf.shdr_strtab[theirs.sh_name], theirs.sh_flags, theirs.sh_addr, theirs.sh_size, theirs.sh_addralign);
        assert_eq!((ours.name.as_str(), ours.flags, ours.address, ours.size, ours.align), theirs, "{name}");
    }
    // No symbol table, no null symbol.
    assert_eq!(facts.symbols.len(), elf.syms.len().saturating_sub(1), "{name}");
    for (ours, theirs) in facts.symbols.iter().zip(elf.syms.iter().skip(1)) {
        assert_eq!(ours.name, elf.strtab[theirs.st_name], "{name}");
        assert_eq!((ours.value, ours.size), (theirs.st_value, theirs.st_size), "{name}: {}", ours.name);
        assert_eq!(ours.binding == Binding::Weak, theirs.st_bind() == goblin::elf::sym::STB_WEAK);
        assert_eq!(ours.binding == Binding::Local, theirs.st_bind() == goblin::elf::sym::STB_LOCAL);
        assert_eq!(ours.kind == SymbolKind::Function, theirs.st_type() == goblin::elf::sym::STT_FUNC);
        match ours.place {
            Place::Section(section) => assert_eq!(section + 1, theirs.st_shndx, "{name}: {}", ours.name),
            Place::Undefined => assert_eq!(theirs.st_shndx, 0),
            Place::Absolute => assert_eq!(theirs.st_shndx, 0xfff1),
            Place::Common => assert_eq!(theirs.st_shndx, 0xfff2),
        }
    }
    facts
}

#[test]
fn every_member_of_the_libraries() {
    for path in [MUSL, GLIBC] {
        let Some(bytes) = file(path) else { continue };
        for member in formats::ar::read(&bytes).unwrap() {
            let facts = same_as_goblin(&member.name, &bytes[member.range]);
            assert_eq!(facts.kind, FileKind::Relocatable);
        }
    }
}

const C: &str = "__attribute__((weak)) int absent(void); extern int other; int common; static int local = 3; int zero;
    __thread int tls = 1; const char text[] = \"x\"; int main(void) { return absent ? other + common + local : tls; }";

#[test]
fn what_an_object_defines_and_needs() {
    if !have(&["gcc"]) {
        return;
    }
    let object = compile(scratch("elf-object").path(), "a.c", C, &["gcc", "-fcommon", "-fno-pic"]);
    let facts = same_as_goblin("a.c", &object);
    assert_eq!(facts.undefined(), ["absent", "other", "_GLOBAL_OFFSET_TABLE_"]);
    let place = |name: &str| facts.symbol(name).unwrap().place;
    let section = |name: &str| Place::Section(facts.sections.iter().position(|s| s.name == name).unwrap());
    assert_eq!(place("main"), section(".text"));
    assert_eq!(place("tls"), section(".tdata"));
    assert_eq!(place("common"), Place::Common);
    assert!(facts.symbol("absent").is_none());
    let exported: Vec<_> = facts.exported().map(|s| s.name.as_str()).collect();
    assert!(exported.contains(&"main") && exported.contains(&"common") && !exported.contains(&"local"), "{exported:?}");

    let text = facts.section(".text").unwrap();
    assert!(text.is_code() && text.is_alloc() && !text.is_write() && !text.is_nobits());
    assert_eq!(text.data(&object).len() as u64, text.size);
    assert!(facts.section(".tdata").unwrap().is_tls());
    assert!(facts.section(".data").unwrap().is_write());
    assert!(facts.section(".bss").unwrap().is_nobits() && facts.section(".bss").unwrap().data(&object).is_empty());
}

#[test]
fn addresses_of_a_linked_program_have_names() {
    if !have(&["gcc", "nm"]) {
        return;
    }
    let scratch = scratch("elf-linked");
    let folder = scratch.path();
    compile(folder, "s.s", ".globl _start, one, two\n_start: nop\nnop\none: nop\nnop\nnop\n.type two,@function\ntwo: ret\nret\n.size two,2\n", &["gcc"]);
    run(folder, &["ld", "-static", "s.s.o", "-o", "program"]);
    let program = std::fs::read(folder.join("program")).unwrap();
    let facts = same_as_goblin("program", &program);
    assert_eq!(facts.kind, FileKind::Executable);
    let start = facts.entry;
    assert_ne!(start, 0);
    let at = |address| facts.function_at(address).map(|(symbol, offset)| (symbol.name.as_str(), offset));
    assert_eq!(at(start), Some(("_start", 0)));
    assert_eq!(at(start + 4), Some(("one", 2)));
    assert_eq!(at(start + 6), Some(("two", 1)));
    assert_eq!(at(start - 1), None);
    assert_eq!(at(start + 0x10000), None);
}

#[test]
fn stripped_files_have_no_symbols() {
    if !have(&["gcc", "strip"]) {
        return;
    }
    let scratch = scratch("elf-stripped");
    let folder = scratch.path();
    compile(folder, "m.c", "int main(void) { return 0; }", &["gcc"]);
    run(folder, &["gcc", "m.c.o", "-s", "-o", "program"]);
    let facts = Facts::read(&std::fs::read(folder.join("program")).unwrap()).unwrap();
    assert_eq!((facts.symbols.len(), facts.kind), (0, FileKind::Shared));
    assert_eq!(facts.function_at(facts.entry), None);
    assert!(facts.section(".text").is_some());
}

#[test]
fn other_files_are_refused() {
    let refused = |bytes: &[u8]| Facts::read(bytes).unwrap_err().to_string();
    assert_eq!(refused(b""), "empty file, not an ELF object");
    assert_eq!(refused(b"#!/bin/sh\n"), "not an ELF object");
    assert!(refused(b"BC\xc0\xde1234").contains("LLVM bitcode"));
    if have(&["gcc"]) {
        let scratch = scratch("elf-other");
        let folder = scratch.path();
        compile(folder, "m.c", "int main(void) { return 0; }", &["gcc"]);
        run(folder, &["gcc", "m.c.o", "-o", "program"]);
        let program = std::fs::read(folder.join("program")).unwrap();
        let error = formats::prefix::prefix(&program, "x_", &|_| false).unwrap_err();
        assert_eq!(error.to_string(), "linked ELF file, not a relocatable object");
        run(folder, &["as", "--32", "/dev/null", "-o", "old.o"]);
        assert!(!refused(&std::fs::read(folder.join("old.o")).unwrap()).is_empty());
    }
}
