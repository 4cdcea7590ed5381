//! System call sites: objects of the real assembler and linker, rewritten, linked and run.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{compile, have, run, scratch};
use formats::sites::{self, Form, Site, CALL, ENTRY, NATIVE};

/// A marked site, as the assembler's macro emits it.
fn site() -> String {
    let bytes = NATIVE.map(|b| b.to_string()).join(",");
    format!(".weak {ENTRY}\n.reloc ., R_X86_64_NONE, {ENTRY}\n.byte {bytes}\n")
}

fn program() -> String {
    format!(
        ".text\n.globl _start\n_start: nop\nmov $39,%eax\n{site}call second\nmov %eax,%edi\nmov $60,%eax\n{site}\n\
         .section .text.second,\"ax\"\n.globl second\nsecond:\nmov $42,%eax\nlea 1f(%rip),%rdx\n{site}1: cmp %rdx,%rcx\njne 2f\nret\n2: ud2\n",
        site = site()
    )
}

/// What stands in for the kernel's entry in these tests: it performs the call and goes on at %rcx.
/// Call 42 returns its number, so that the program's exit status tells that the entry was used.
const STAND_IN: &str =
    ".globl __ukl_syscall\n__ukl_syscall: cmp $42,%eax\nje 1f\npush %rcx\nsyscall\npop %rcx\n1: jmp *%rcx\n";

#[test]
fn sites_are_found_in_all_sections() {
    if !have(&["gcc"]) {
        return;
    }
    let object = compile(scratch("sites-find").path(), "p.s", &program(), &["gcc"]);
    let found = sites::find(&object).unwrap();
    let site = |section: &str, offset, form| Site { section: section.into(), offset, form };
    let expected =
        [site(".text", 6, Form::Native), site(".text", 30, Form::Native), site(".text.second", 12, Form::Native)];
    assert_eq!(found, expected);
}

#[test]
fn rewriting_changes_sites_and_marks_alone() {
    if !have(&["gcc"]) {
        return;
    }
    let old = compile(scratch("sites-rewrite").path(), "p.s", &program(), &["gcc"]);
    let mut new = old.clone();
    assert_eq!(sites::rewrite(&mut new, ENTRY).unwrap(), 3);
    assert_eq!(old.len(), new.len());
    let calls: Vec<_> = sites::find(&old).unwrap().into_iter().map(|site| Site { form: Form::Call, ..site }).collect();
    assert_eq!(sites::find(&new).unwrap(), calls);
    // Three sites, three relocations of 24 bytes, one binding.
    let changed = old.iter().zip(&new).filter(|(a, b)| a != b).count();
    assert!(changed <= 3 * (12 + 24) + 1, "{changed} bytes changed");

    let elf = goblin::elf::Elf::parse(&new).unwrap();
    let entry = elf.syms.iter().find(|s| &elf.strtab[s.st_name] == ENTRY).unwrap();
    assert_eq!((entry.st_bind(), entry.st_shndx), (goblin::elf::sym::STB_GLOBAL, 0));
    let mut relocations = 0;
    for relocation in elf.shdr_relocs.iter().flat_map(|(_, relocations)| relocations.iter()) {
        let symbol = elf.syms.get(relocation.r_sym).unwrap();
        if &elf.strtab[symbol.st_name] == ENTRY {
            assert_eq!(relocation.r_type, goblin::elf::reloc::R_X86_64_PLT32);
            assert_eq!(relocation.r_addend, Some(-4));
            relocations += 1;
        }
    }
    assert_eq!(relocations, 3);
    // A second run finds nothing to do.
    let before = new.clone();
    assert_eq!(sites::rewrite(&mut new, ENTRY).unwrap(), 0);
    assert_eq!(before, new);
}

#[test]
fn partial_links_keep_the_marks_and_both_forms_run() {
    if !have(&["gcc", "ld"]) {
        return;
    }
    let scratch = scratch("sites-run");
    let folder = scratch.path();
    compile(folder, "p.s", &program(), &["gcc"]);
    compile(folder, "entry.s", STAND_IN, &["gcc"]);
    run(folder, &["ld", "-r", "--gc-sections", "-e", "_start", "p.s.o", "-o", "r.o"]);
    let mut object = std::fs::read(folder.join("r.o")).unwrap();
    assert_eq!(sites::find(&object).unwrap().len(), 3);

    // The twin: the marks need no definition, the instructions are real; call 42 is shmctl and fails with EFAULT or so.
    run(folder, &["ld", "-static", "r.o", "-o", "twin"]);
    let twin = std::process::Command::new(folder.join("twin")).status().unwrap();
    assert!(twin.code().is_some(), "{twin}");

    sites::rewrite(&mut object, ENTRY).unwrap();
    std::fs::write(folder.join("k.o"), &object).unwrap();
    let alone =
        std::process::Command::new("ld").args(["-static", "k.o", "-o", "x"]).current_dir(folder).output().unwrap();
    assert!(String::from_utf8_lossy(&alone.stderr).contains("undefined reference to `__ukl_syscall'"));
    run(folder, &["ld", "-static", "k.o", "entry.s.o", "-o", "app"]);
    assert_eq!(std::process::Command::new(folder.join("app")).status().unwrap().code(), Some(42));
    let listing = run(folder, &["objdump", "-d", "k.o"]);
    assert_eq!(listing.matches("lea    0x5(%rip),%rcx").count(), 3, "{listing}");
}

#[test]
fn what_is_no_site_is_an_error_and_changes_nothing() {
    if !have(&["gcc"]) {
        return;
    }
    let scratch = scratch("sites-bad");
    let folder = scratch.path();
    let mark = format!(".weak {ENTRY}\n.reloc ., R_X86_64_NONE, {ENTRY}\n");
    let cases = [
        ("bytes", format!("{}{mark}.fill 12,1,0x90\n", site()), "system call site .text+0xc is not the nop"),
        ("short", format!("{mark}.byte 0x0f,0x05\n"), "system call site .text+0x0 is not the nop"),
        ("data", format!(".data\n{}", site()), "lies in a section that is not code"),
        ("bss", format!(".bss\n.skip 16\n.reloc 0, R_X86_64_NONE, {ENTRY}\n.weak {ENTRY}\n"), "not code"),
        (
            "defined",
            format!("{}.globl {ENTRY}\n{ENTRY}: ret\n", site().replace(".weak", "#")),
            "defined by the program",
        ),
    ];
    for (name, source, message) in cases {
        let mut object = compile(folder, &format!("{name}.s"), &source, &["gcc"]);
        let before = object.clone();
        let error = sites::rewrite(&mut object, ENTRY).unwrap_err().to_string();
        assert!(error.contains(message), "{name}: {error}");
        assert_eq!(before, object, "{name}");
    }
}

#[test]
fn other_kinds_of_relocations_are_not_overlooked() {
    if !have(&["gcc"]) {
        return;
    }
    let mut object = compile(scratch("sites-crel").path(), "p.s", &program(), &["gcc"]);
    let header = {
        let elf = goblin::elf::Elf::parse(&object).unwrap();
        let rela = elf.section_headers.iter().position(|s| s.sh_type == goblin::elf::section_header::SHT_RELA).unwrap();
        elf.header.e_shoff as usize + rela * 64
    };
    object[header + 4..header + 8].copy_from_slice(&0x40000014u32.to_le_bytes());
    assert_eq!(sites::find(&object).unwrap_err().to_string(), "relocations that are not RELA");
}

#[test]
fn objects_without_sites_stay() {
    if !have(&["gcc"]) {
        return;
    }
    let scratch = scratch("sites-none");
    let folder = scratch.path();
    for (name, source) in [("none.c", "int f(void) { return 1; }"), ("empty.c", "")] {
        let mut object = compile(folder, name, source, &["gcc"]);
        let before = object.clone();
        assert_eq!(sites::rewrite(&mut object, ENTRY).unwrap(), 0);
        assert_eq!((sites::find(&object).unwrap(), &before), (vec![], &object));
    }
    // Taking the entry's address is not a site.
    let source = format!(".globl f\nf: nop; nop; nop; nop; nop; nop; nop; nop\njmp {ENTRY}\n.quad {ENTRY}\n");
    let object = compile(folder, "address.s", &source, &["gcc"]);
    assert_eq!(sites::find(&object).unwrap(), vec![]);
    assert_eq!(CALL.len(), NATIVE.len());
}
