//! Prefixing against GNU objcopy, goblin and real objects.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{compile, file, have, run, scratch, GLIBC, MUSL};
use formats::{ar, elf, prefix, sites};
use std::path::Path;

fn default(name: &str) -> bool {
    prefix::default_exempt().contains(name)
}

fn renamed(name: &str) -> String {
    if default(name) {
        name.to_string()
    } else {
        format!("ukl_{name}")
    }
}

/// `nm` and `readelf -r` of our prefixing and of GNU objcopy's, with the exemptions undone in the latter.
fn same_as_objcopy(folder: &Path, name: &str, bytes: &[u8]) {
    let ours = prefix::prefix(bytes, "ukl_", &default).unwrap_or_else(|error| panic!("{name}: {error}"));
    std::fs::write(folder.join("in.o"), bytes).unwrap();
    std::fs::write(folder.join("ours.o"), &ours).unwrap();
    run(folder, &["objcopy", "--prefix-symbols=ukl_", "in.o", "theirs.o"]);
    same_symbols_and_relocations(folder, name);
    goblin_agrees(name, bytes, &ours);
}

fn same_symbols_and_relocations(folder: &Path, name: &str) {
    for tool in [["nm", "-a", "-p"], ["readelf", "-r", "-W"], ["readelf", "-g", "-W"]] {
        let ours = run(folder, &[&tool[..], &["ours.o"]].concat());
        let mut theirs = run(folder, &[&tool[..], &["theirs.o"]].concat());
        for exempt in prefix::default_exempt() {
            theirs = theirs.replace(&format!("ukl_{exempt}"), exempt);
        }
        assert_eq!(normal(&ours), normal(&theirs), "{tool:?} of {name}");
    }
}

/// Without what may differ: section offsets and numbers (objcopy lays the file out anew), the file's name,
/// symbol indices (objcopy may sort), and the widths that follow from them.
fn normal(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with("File:") && !line.contains("Offset")) {
        if let Some((section, _)) = line.split_once(" at offset ") {
            lines.push(section.to_string());
            continue;
        }
        let mut words: Vec<&str> = line.split_whitespace().collect();
        // A relocation: offset, info (type and symbol index), type, value, name, addend.
        if words.len() > 3 && words[2].starts_with("R_X86_64_") {
            words.remove(1);
        }
        // `COMDAT group section [   1] …`, `[   32]   .text…`: the numbers are the file's own.
        let words = words.into_iter().filter(|w| !w.starts_with('[') && !w.ends_with(']'));
        lines.push(words.collect::<Vec<_>>().join(" "));
    }
    lines
}

/// The independent reader sees each symbol under its new name and nothing else changed.
fn goblin_agrees(name: &str, old: &[u8], new: &[u8]) {
    let (old, new) = (goblin::elf::Elf::parse(old).unwrap(), goblin::elf::Elf::parse(new).unwrap());
    assert_eq!(old.syms.len(), new.syms.len(), "{name}");
    for (old_symbol, new_symbol) in old.syms.iter().zip(new.syms.iter()).skip(1) {
        let old_name = &old.strtab[old_symbol.st_name];
        let new_name = &new.strtab[new_symbol.st_name];
        let is_section = old_symbol.st_type() == goblin::elf::sym::STT_SECTION;
        let expected = if is_section { String::new() } else { renamed(old_name) };
        assert_eq!(new_name, expected, "{name}");
        let rest = |s: &goblin::elf::Sym| (s.st_info, s.st_other, s.st_shndx, s.st_value, s.st_size);
        assert_eq!(rest(&old_symbol), rest(&new_symbol), "{name}: {old_name}");
    }
}

/// All members at once: one run of each tool over the archive.
fn every_member(archive: &str, scratch_name: &str) {
    let Some(bytes) = file(archive) else { return };
    if !have(&["objcopy", "nm", "readelf"]) {
        return;
    }
    let scratch = scratch(scratch_name);
    let folder = scratch.path();
    let ours = prefix::prefix_archive(&bytes, "ukl_", &default).unwrap();
    std::fs::write(folder.join("in.o"), &bytes).unwrap();
    std::fs::write(folder.join("ours.o"), &ours).unwrap();
    run(folder, &["objcopy", "--prefix-symbols=ukl_", "in.o", "theirs.o"]);
    same_symbols_and_relocations(folder, archive);
    let (before, after) = (ar::read(&bytes).unwrap(), ar::read(&ours).unwrap());
    assert!(before.len() > 1000, "{archive} has {} members", before.len());
    for (before, after) in before.iter().zip(&after) {
        goblin_agrees(&before.name, &bytes[before.range.clone()], &ours[after.range.clone()]);
    }
}

#[test]
fn every_member_of_musl() {
    every_member(MUSL, "prefix-musl");
}

#[test]
fn every_member_of_glibc() {
    every_member(GLIBC, "prefix-glibc");
}

#[test]
fn a_whole_archive_keeps_members_and_gets_an_index() {
    let Some(bytes) = file(GLIBC) else { return };
    let out = prefix::prefix_archive(&bytes, "ukl_", &default).unwrap();
    let (before, after) = (ar::read(&bytes).unwrap(), ar::read(&out).unwrap());
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before.name, after.name);
        let alone = prefix::prefix(&bytes[before.range.clone()], "ukl_", &default).unwrap();
        assert_eq!(alone, &out[after.range.clone()], "{}", before.name);
    }
    let old: Vec<_> = ar::index(&bytes).unwrap().into_iter().map(|(s, m)| (renamed(&s), m)).collect();
    assert_eq!(ar::index(&out).unwrap(), old);
    let goblin = goblin::archive::Archive::parse(&out).unwrap();
    assert_eq!(goblin.member_of_symbol("ukl_printf"), Some("printf.o"));
    assert_eq!(out, prefix::prefix_archive(&bytes, "ukl_", &default).unwrap());
}

const C: &str = "#include <stdio.h>\nstatic _Thread_local int t; int common; static int s; __attribute__((weak)) int w(void) { return t; }
    int main(void) { common = s++; t++; puts(\"x\"); return w(); }";
const CXX: &str = "#include <string>\n#include <vector>\n#include <stdexcept>
    template<class T> T f(T x) { static T last; std::vector<T> v{x}; if (v.empty()) throw std::runtime_error(\"x\"); return last = v[0]; }
    inline int shared = 3; struct A { virtual ~A() {} virtual int g() { return 1; } }; A *make() { return new A; }
    int user(int x) { return f(x) + (int)f(2.5) + shared + (int)std::string(\"abc\").size(); }";

#[test]
fn compilers_and_flags() {
    if !have(&["objcopy", "nm", "readelf", "gcc", "g++", "clang"]) {
        return;
    }
    let scratch = scratch("prefix-compilers");
    let folder = scratch.path();
    let cases: &[(&str, &str, &[&str])] = &[
        ("plain.c", C, &["gcc", "-O2"]),
        ("macros.c", C, &["gcc", "-g3", "-O0"]), // .debug_macro in COMDAT groups
        ("sections.c", C, &["gcc", "-g", "-ffunction-sections", "-fdata-sections", "-fcommon"]),
        ("packed.c", C, &["gcc", "-g", "-gz"]),
        ("plt.c", C, &["gcc", "-fPIC"]),
        ("fat.c", C, &["gcc", "-flto", "-ffat-lto-objects"]),
        ("clang.c", C, &["clang", "-O2"]), // one string table, .llvm_addrsig
        ("clang-g.c", C, &["clang", "-g", "-ffunction-sections", "-fcommon"]),
        ("templates.cc", CXX, &["g++", "-O1", "-g"]), // COMDAT groups
        ("templates-clang.cc", CXX, &["clang++", "-O0", "-g"]),
        ("version.c", "int f1(void) { return 1; } __asm__(\".symver f1,f@V1\");", &["gcc"]),
        ("empty.c", "", &["gcc"]),
        ("empty-clang.c", "", &["clang"]),
    ];
    for (name, source, words) in cases {
        let object = compile(folder, name, source, words);
        same_as_objcopy(folder, name, &object);
    }
}

#[test]
fn bytecode_is_refused() {
    if !have(&["gcc", "clang"]) {
        return;
    }
    let scratch = scratch("prefix-lto");
    let folder = scratch.path();
    let slim = compile(folder, "slim.c", C, &["gcc", "-flto", "-fno-fat-lto-objects"]);
    let bitcode = compile(folder, "bitcode.c", C, &["clang", "-flto"]);
    for object in [slim, bitcode] {
        let error = prefix::prefix(&object, "ukl_", &default).unwrap_err().to_string();
        assert!(error.contains("compile without -flto"), "{error}");
    }
}

#[test]
fn seventy_thousand_sections() {
    if !have(&["gcc", "objcopy", "nm", "readelf"]) {
        return;
    }
    let scratch = scratch("prefix-xindex");
    let folder = scratch.path();
    let mut source = String::new();
    for n in 0..70_000 {
        source += &format!(".section .text.f{n},\"ax\"\n.globl f{n}\nf{n}: ret\n");
    }
    let object = compile(folder, "many.s", &source, &["gcc"]);
    same_as_objcopy(folder, "many.s", &object);
    let facts = elf::Facts::read(&prefix::prefix(&object, "ukl_", &default).unwrap()).unwrap();
    let last = facts.symbol("ukl_f69999").unwrap();
    let elf::Place::Section(section) = last.place else { panic!("{last:?}") };
    assert_eq!(facts.sections[section].name, ".text.f69999");
}

/// Names that are tails of others, a symbol without a name, a section symbol with one.
#[test]
fn odd_names() {
    if !have(&["gcc", "objcopy", "nm", "readelf"]) {
        return;
    }
    let scratch = scratch("prefix-odd");
    let folder = scratch.path();
    let source =
        ".globl foobar, bar, r\nfoobar: ret\nbar: ret\nr: ret\n.local nameless\nnameless: ret\n.quad nameless, bar\n";
    let mut object = compile(folder, "odd.s", source, &["gcc"]);
    let (symbols, names) = {
        let elf = goblin::elf::Elf::parse(&object).unwrap();
        let table = elf.section_headers.iter().find(|s| s.sh_type == goblin::elf::section_header::SHT_SYMTAB).unwrap();
        let names: Vec<_> = elf.syms.iter().map(|s| elf.strtab[s.st_name].to_string()).collect();
        (table.sh_offset as usize, names)
    };
    for (index, name) in names.iter().enumerate().skip(1) {
        let at = symbols + index * 24;
        if object[at + 4] & 15 == goblin::elf::sym::STT_SECTION {
            object[at..at + 4].copy_from_slice(&1u32.to_le_bytes());
        } else if name == "nameless" {
            object[at..at + 4].copy_from_slice(&0u32.to_le_bytes());
        }
    }
    same_as_objcopy(folder, "odd.s", &object);
}

#[test]
fn prefixed_objects_link_and_run() {
    if !have(&["gcc", "objcopy"]) {
        return;
    }
    let scratch = scratch("prefix-run");
    let folder = scratch.path();
    let one = compile(folder, "one.c", "int other(int); int start(void) { return other(40); }", &["gcc"]);
    let two = compile(folder, "two.c", "int other(int x) { return x + 2; }", &["gcc"]);
    compile(folder, "main.c", "int my_start(void); int main(void) { return my_start(); }", &["gcc"]);
    let members = [("one.o", &one), ("two.o", &two)].map(|(name, data)| ar::Member { name, data, mode: 0o644 });
    let archive = prefix::prefix_archive(&ar::write(&members).unwrap(), "my_", &default).unwrap();
    std::fs::write(folder.join("lib.a"), archive).unwrap();
    run(folder, &["gcc", "main.c.o", "lib.a", "-o", "program"]);
    let status = std::process::Command::new(folder.join("program")).status().unwrap();
    assert_eq!(status.code(), Some(42));
}

#[test]
fn exemptions_have_reasons() {
    for line in prefix::EXEMPT.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        assert!(line.split_whitespace().count() > 3, "no reason: {line}");
    }
    let exempt = prefix::default_exempt();
    assert!(["_GLOBAL_OFFSET_TABLE_", "__tls_get_addr", sites::ENTRY].iter().all(|name| exempt.contains(name)));
    assert_eq!(exempt.len(), 3);
}
