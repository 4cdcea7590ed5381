//! The file that starts a program, made of a small kernel with the program's sections where the real one has them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{compile, have, run, scratch};
use formats::trigger;
use std::path::Path;

/// A program's parts under the names that they have in the kernel, beside something of the kernel's own.
const PROGRAM: &str = r#"
    .section .text, "ax"
    .globl  kernel_own
kernel_own:
    nop
    .section .ukl.text, "ax"
    .globl  ukl__start, ukl_main, __ukl_text_start, __ukl_text_end
    .type   ukl_main, @function
    .type   ukl_inner, @function
    nop
__ukl_text_start:
ukl__start:
    call    ukl_main
ukl_main:
    ret
    .size   ukl_main, 1
ukl_inner:
    ret
    .size   ukl_inner, 1
__ukl_text_end:
    .ascii  "the entry code"
    .section .ukl.rodata, "a"
    .globl  ukl_constant
ukl_constant:
    .ascii  "constant"
    .section .ukl.data, "aw"
    .globl  ukl_variable
ukl_variable:
    .ascii  "variable"
    .section .tdata, "awT", @progbits
    .globl  ukl_each
    .type   ukl_each, @object
ukl_each:
    .ascii  "each"
    .section .ukl.bss, "aw", @nobits
    .globl  ukl_zeros
ukl_zeros:
    .skip   10000
"#;

/// What the kernel's linker script does for the program, as far as the file goes.
const SCRIPT: &str = r#"
ENTRY(kernel_own)
PHDRS { text PT_LOAD FLAGS(5); ukl 0x60554b4c FLAGS(6); tls PT_TLS FLAGS(4); }
SECTIONS
{
    . = 0xffffffff81000000;
    .text : { *(.text) } :text
    .ukl.text : { *(.ukl.text) } :text
    kernel_end = .;
    . = 0x100000;
    .ukl.rodata : AT(ADDR(.ukl.rodata) + 0x100000000) {
        LONG(0x464c457f) LONG(0x00010102) QUAD(0) SHORT(2) SHORT(62) LONG(1) QUAD(ENTRY) QUAD(64) QUAD(0)
        LONG(0) SHORT(64) SHORT(56) SHORT(4) SHORT(64) LONG(0)
        LONG(1) LONG(4) QUAD(0) QUAD(0x100000) QUAD(0x100000) QUAD(r_end - 0x100000) QUAD(r_end - 0x100000) QUAD(4096)
        LONG(1) LONG(6) QUAD(d_start - 0x100000) QUAD(d_start) QUAD(d_start)
        QUAD(d_end - d_start) QUAD(b_end - d_start) QUAD(4096)
        LONG(1) LONG(5) QUAD(text_offset)
        QUAD(__ukl_text_start) QUAD(__ukl_text_start)
        QUAD(__ukl_text_end - __ukl_text_start) QUAD(__ukl_text_end - __ukl_text_start) QUAD(4096)
        LONG(7) LONG(4) QUAD(t_start - 0x100000) QUAD(t_start) QUAD(t_start) QUAD(d_end - t_start) QUAD(d_end - t_start) QUAD(1)
        *(.ukl.rodata)
    } :ukl
    r_end = .;
    . = ALIGN(4096);
    d_start = .;
    .ukl.data : AT(ADDR(.ukl.data) + 0x100000000) { *(.ukl.data) } :ukl
    .tdata : AT(ADDR(.tdata) + 0x100000000) { t_start = .; *(.tdata) } :ukl :tls
    d_end = .;
    .ukl.bss (NOLOAD) : AT(ADDR(.ukl.bss) + 0x100000000) { *(.ukl.bss) } :ukl
    b_end = .;
    text_offset = ALIGN(d_end - 0x100000, 4096) + (__ukl_text_start & 4095);
    /DISCARD/ : { *(.note*) }
}
"#;

/// A kernel whose headers name `entry`.
fn kernel(folder: &Path, entry: &str) -> Vec<u8> {
    compile(folder, "k.s", PROGRAM, &["gcc"]);
    std::fs::write(folder.join("k.lds"), SCRIPT.replace("QUAD(ENTRY)", &format!("QUAD({entry})"))).unwrap();
    run(folder, &["ld", "-static", "-T", "k.lds", "k.s.o", "-o", "vmlinux"]);
    std::fs::read(folder.join("vmlinux")).unwrap()
}

#[test]
fn the_file_is_the_program_as_readers_of_elf_files_know_it() {
    if !have(&["gcc", "ld", "readelf"]) {
        return;
    }
    let scratch = scratch("trigger");
    let vmlinux = kernel(scratch.path(), "ukl__start");
    let bytes = trigger::write(&vmlinux, "ukl_").unwrap();
    let elf = goblin::elf::Elf::parse(&bytes).unwrap();
    assert!(elf.header.e_type == goblin::elf::header::ET_EXEC && elf.entry > 0xffff_ffff_8100_0000);

    // Each byte is where its segment says, the ELF header in the first.
    let loads: Vec<_> = elf.program_headers.iter().filter(|p| p.p_type == 1).collect();
    let text = &bytes[loads[2].file_range()];
    assert_eq!(text.len(), 7, "the call and two returns: nothing of what is around them");
    assert_eq!((text[0], &text[5..]), (0xe8, &[0xc3, 0xc3][..]));
    assert!(bytes[loads[0].file_range()].ends_with(b"constant"));
    assert_eq!(&bytes[loads[1].file_range()], b"variableeach");
    assert_eq!(loads[1].p_memsz - loads[1].p_filesz, 10000);
    for load in &loads {
        assert_eq!(load.p_vaddr % 4096, load.p_offset % 4096);
    }
    let tls = elf.program_headers.iter().find(|p| p.p_type == 7).unwrap();
    assert_eq!(&bytes[tls.file_range()], b"each");

    let names: Vec<&str> = elf.section_headers.iter().map(|s| &elf.shdr_strtab[s.sh_name]).collect();
    assert_eq!(names, ["", ".rodata", ".data", ".tdata", ".bss", ".text", ".symtab", ".strtab", ".shstrtab"]);
    let symbols: Vec<&str> = elf.syms.iter().map(|s| &elf.strtab[s.st_name]).collect();
    for name in ["_start", "main", "inner", "constant", "variable", "each", "zeros"] {
        assert!(symbols.contains(&name), "{name}: {symbols:?}");
    }
    assert!(!symbols.contains(&"kernel_own") && !symbols.iter().any(|name| name.starts_with("ukl_")), "{symbols:?}");
    let main = elf.syms.iter().find(|s| &elf.strtab[s.st_name] == "main").unwrap();
    assert_eq!((main.st_value, names[main.st_shndx]), (elf.entry + 5, ".text"));
    // readelf is stricter than most: locals first, sizes that fit.
    std::fs::write(scratch.path().join("trigger"), &bytes).unwrap();
    let said = run(scratch.path(), &["sh", "-c", "readelf -aW trigger 2>&1"]);
    assert!(!said.contains("Warning") && !said.contains("Error"), "{said}");
    assert_eq!(trigger::write(&vmlinux, "ukl_").unwrap(), bytes, "the same every time");
}

#[test]
fn what_holds_no_program_is_refused() {
    let refused = |bytes: &[u8]| trigger::write(bytes, "ukl_").unwrap_err().to_string();
    assert_eq!(refused(b"\x7fUKL\n"), "not an ELF object");
    if !have(&["gcc", "ld"]) {
        return;
    }
    let scratch = scratch("trigger-none");
    assert_eq!(refused(&kernel(scratch.path(), "0")), "no program is linked into this kernel");
    let object = compile(scratch.path(), "o.c", "int x;", &["gcc"]);
    assert_eq!(refused(&object), "no section `.ukl.rodata`: not a kernel for a linked program");
    // A file cut off anywhere is an error or a shorter file, never a crash.
    let vmlinux = kernel(scratch.path(), "ukl__start");
    for end in (0..vmlinux.len()).step_by(61) {
        let _ = trigger::write(&vmlinux[..end], "ukl_");
    }
}
