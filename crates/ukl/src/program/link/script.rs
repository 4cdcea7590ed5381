//! The partial link's script, completed with the sections that only this program has.

use std::fmt::Write;

use object::read::elf::ElfFile64;
use object::{elf, Object, ObjectSection, SectionFlags};

use crate::base::error::Result;
use crate::manifest::Libc;

/// The script with its `@…@` words.
pub const TEMPLATE: &str = include_str!("../../../data/partial.lds");

/// Section names that the template itself places or drops, alone or with a `.suffix`.
pub const KNOWN: [&str; 13] = [
    ".init",
    ".fini",
    ".text",
    ".rodata",
    ".tdata",
    ".tbss",
    ".preinit_array",
    ".init_array",
    ".fini_array",
    ".data",
    ".bss",
    ".eh_frame",
    ".note",
];

/// The sections of a finished partial link.
const PLACED: [&str; 7] = [".ukl.text", ".ukl.rodata", ".ukl.data", ".ukl.bss", ".tdata", ".tbss", ".eh_frame"];

/// How the stack is unwound, under its own name: the linker reads it, and makes the index in the final link.
const UNWIND: &str = "\t.eh_frame 0 : { KEEP(*(.eh_frame .eh_frame.*)) }";

/// The script for the program whose first partial link is `whole`.
pub fn for_program(whole: &[u8], libc: Libc) -> Result<String> {
    let file = ElfFile64::<object::Endianness>::parse(whole)?;
    let [mut text, mut rodata, mut data, mut bss] = [const { String::new() }; 4];
    let mut seen = std::collections::BTreeSet::new();
    for section in file.sections() {
        let name = section.name()?;
        let SectionFlags::Elf { sh_flags, sh_type } = section.flags() else { continue };
        // Thread-local data under a name of its own stays unplaced, and `unplaced` says so.
        let ours = sh_flags.contains(elf::SHF_ALLOC) && !sh_flags.contains(elf::SHF_TLS);
        if !ours || is_known(name) || !seen.insert(name) {
            continue;
        }
        let list = if sh_flags.contains(elf::SHF_EXECINSTR) {
            &mut text
        } else if !sh_flags.contains(elf::SHF_WRITE) {
            &mut rodata
        } else if sh_type == elf::SHT_NOBITS {
            &mut bss
        } else {
            &mut data
        };
        statement(list, name);
    }
    let unwind = if libc == Libc::Glibc { UNWIND.to_owned() } else { String::new() };
    let words = [("@TEXT@", text), ("@RODATA@", rodata), ("@DATA@", data), ("@BSS@", bss), ("@UNWIND@", unwind)];
    Ok(words.iter().fold(TEMPLATE.to_owned(), |script, (word, lines)| script.replace(word, lines.trim_end())))
}

/// One input statement; a section whose name is a C identifier also gets its bounds.
fn statement(list: &mut String, name: &str) {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_identifier = name.chars().all(is_word) && !name.starts_with(|c: char| c.is_ascii_digit());
    // Writing to a String cannot fail.
    let _ = if is_identifier {
        writeln!(
            list,
            "\t\t. = ALIGN(16);\n\t\tPROVIDE_HIDDEN(__start_{name} = .);\n\t\tKEEP(*(\"{name}\"))\n\
             \t\tPROVIDE_HIDDEN(__stop_{name} = .);"
        )
    } else {
        writeln!(list, "\t\t*(\"{name}\")")
    };
}

fn is_known(name: &str) -> bool {
    let below = |known: &str| name.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    name == ".comment" || KNOWN.iter().any(|known| below(known))
}

/// The first section of a finished partial link that the kernel's linker script would not place.
pub fn unplaced(relocatable: &[u8]) -> Result<Option<String>> {
    let file = ElfFile64::<object::Endianness>::parse(relocatable)?;
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else { continue };
        let name = section.name()?;
        let executable = sh_flags.contains(elf::SHF_EXECINSTR);
        let alloc = sh_flags.contains(elf::SHF_ALLOC) && section.size() > 0;
        if alloc && (!PLACED.contains(&name) || executable != (name == ".ukl.text")) {
            return Ok(Some(name.to_owned()));
        }
    }
    Ok(None)
}
