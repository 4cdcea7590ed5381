//! System call sites: `nop; syscall` → `lea; jmp`, in place, for the objects that go into the kernel.
//!
//! Each site is 12 bytes and is marked by a relocation against the entry symbol that does nothing.
//! In both forms the program goes on at the byte behind the site, with that address in %rcx.

use crate::arch::x86_64::{JUMP, JUMP_ADDEND, MARK, OPERAND};
use crate::raw::{text, Object, Rela, Symbol, LE};
use crate::{Error, Result};
use object::elf;
use object::read::elf::{SectionHeader, Sym};
use object::read::SymbolIndex;

pub use crate::arch::x86_64::{CALL, NATIVE};

/// The symbol that the marks refer to; the kernel defines it.
pub const ENTRY: &str = "__ukl_syscall";

/// What a site does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// It executes the `syscall` instruction.
    Native,
    /// It jumps to the entry.
    Call,
}

/// One system call of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Name of the section that holds it.
    pub section: String,
    /// Offset of its first byte in the section.
    pub offset: u64,
    /// What it does.
    pub form: Form,
}

/// Lists the sites of a relocatable object, marked or already rewritten, in file order.
pub fn find(object: &[u8]) -> Result<Vec<Site>> {
    let object = Object::relocatable(object)?;
    let mut sites = Vec::new();
    for found in marks(&object, ENTRY)? {
        let section = object.sections.section(found.section)?;
        sites.push(Site { section: text(object.section_name(section)?), offset: found.offset, form: found.form });
    }
    Ok(sites)
}

/// Rewrites the marked sites of a relocatable object to jumps to `entry` and returns their number.
///
/// Nothing moves. `entry` becomes a strong undefined symbol, so that a kernel without it does not link.
/// Objects that cannot be rewritten as a whole are left as they are.
pub fn rewrite(object: &mut [u8], entry: &str) -> Result<usize> {
    let mut edits: Vec<(usize, Vec<u8>)> = Vec::new();
    let parsed = Object::relocatable(object)?;
    let symbols = parsed.sections.section(parsed.symbols.section()).map_or(0, |s| s.sh_offset(LE) as usize);
    for index in entry_symbols(&parsed, entry)? {
        let symbol = parsed.symbols.symbol(index)?;
        let info = elf::SymbolInfo::new(elf::STB_GLOBAL, symbol.st_type());
        edits.push((symbols + index.0 * size_of::<Symbol>() + 4, vec![info.0]));
    }
    let mut count = 0;
    for mark in marks(&parsed, entry)?.into_iter().filter(|mark| mark.form == Form::Native) {
        let section = parsed.sections.section(mark.section)?;
        if !section.sh_flags(LE).contains(elf::SHF_EXECINSTR) {
            return Err(mark.error(&parsed, "lies in a section that is not code"));
        }
        let start = usize::try_from(mark.offset).unwrap_or(usize::MAX);
        let bytes =
            start.checked_add(NATIVE.len()).and_then(|end| section.data(LE, parsed.bytes).ok()?.get(start..end));
        if bytes != Some(&NATIVE) {
            let found = bytes.map_or("nothing".into(), |b| format!("{b:02x?}"));
            return Err(
                mark.error(&parsed, &format!("is not the nop and syscall that the assembler's macro emits: {found}"))
            );
        }
        edits.push((section.sh_offset(LE) as usize + start, CALL.to_vec()));
        edits.push((mark.file_offset, (mark.offset + OPERAND).to_le_bytes().to_vec()));
        edits.push((mark.file_offset + 8, ((mark.symbol.0 as u64) << 32 | u64::from(JUMP.0)).to_le_bytes().to_vec()));
        edits.push((mark.file_offset + 16, JUMP_ADDEND.to_le_bytes().to_vec()));
        count += 1;
    }
    for (at, bytes) in edits {
        object[at..at + bytes.len()].copy_from_slice(&bytes);
    }
    Ok(count)
}

/// A relocation that makes a site.
struct Mark {
    section: object::SectionIndex,
    /// Of the site's first byte.
    offset: u64,
    form: Form,
    /// Where the relocation lies in the file.
    file_offset: usize,
    symbol: SymbolIndex,
}

impl Mark {
    fn error(&self, object: &Object, what: &str) -> Error {
        let section = object.sections.section(self.section).and_then(|s| object.sections.section_name(LE, s));
        Error::new(format!("system call site {}+{:#x} {what}", text(section.unwrap_or_default()), self.offset))
    }
}

/// The indices of the symbols named `entry`; each must be undefined.
fn entry_symbols(object: &Object, entry: &str) -> Result<Vec<SymbolIndex>> {
    let mut found = Vec::new();
    for (index, symbol) in object.symbols.enumerate() {
        if symbol.st_type() == elf::STT_SECTION || object.name(symbol)? != entry.as_bytes() {
            continue;
        }
        if !symbol.is_undefined(LE) || symbol.is_local() {
            return Err(Error::new(format!("{entry} is defined by the program; only the kernel may define it")));
        }
        found.push(index);
    }
    Ok(found)
}

fn marks(object: &Object, entry: &str) -> Result<Vec<Mark>> {
    let entries = entry_symbols(object, entry)?;
    let mut found = Vec::new();
    if entries.is_empty() {
        return Ok(found);
    }
    // Linkers write RELA alone here; a mark in another kind of table would be overlooked.
    if object.sections.iter().any(|s| matches!(s.sh_type(LE), elf::SHT_REL | elf::SHT_CREL)) {
        return Err(Error::new("relocations that are not RELA"));
    }
    for section in object.relocation_sections() {
        let (header, patched, relocations) = section?;
        for (index, relocation) in relocations.iter().enumerate() {
            let symbol = SymbolIndex(relocation.r_sym(LE, false) as usize);
            if !entries.contains(&symbol) {
                continue;
            }
            let at = relocation.r_offset.get(LE);
            let (offset, form) = match relocation.r_type(LE, false) {
                MARK => (at, Form::Native),
                JUMP if is_call(object, patched, relocation) => (at - OPERAND, Form::Call),
                // The program refers to the entry by hand: no site.
                _ => continue,
            };
            let file_offset = header.sh_offset(LE) as usize + index * size_of::<Rela>();
            found.push(Mark { section: patched, offset, form, file_offset, symbol });
        }
    }
    Ok(found)
}

/// The relocation is the operand of a rewritten site's jump.
fn is_call(object: &Object, section: object::SectionIndex, relocation: &Rela) -> bool {
    let Some(start) = relocation.r_offset.get(LE).checked_sub(OPERAND) else { return false };
    let code = object.sections.section(section).and_then(|s| s.data(LE, object.bytes)).unwrap_or_default();
    let site = usize::try_from(start).ok().and_then(|start| code.get(start..)?.get(..OPERAND as usize));
    site == Some(&CALL[..OPERAND as usize]) && relocation.r_addend.get(LE) == JUMP_ADDEND
}
