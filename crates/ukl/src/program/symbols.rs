//! Which object defines a symbol and which one wants it, for messages.

use std::collections::BTreeSet;
use std::path::PathBuf;

use object::read::archive::ArchiveFile;
use object::read::elf::{ElfFile64, ElfSymbol64};
use object::{elf, Object, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget, SectionIndex, SymbolKind};

use crate::base::error::Result;
use crate::base::workdir;

/// Where a symbol occurs; names as people know them: `main.c.o`, `libc.a(printf.lo)`.
#[derive(Debug, Default)]
pub struct Places {
    /// Objects with a global definition.
    pub defined: Vec<String>,
    /// Objects that refer to it without defining it.
    pub wanted: Vec<String>,
}

/// Looks for `symbol` in objects and archives.
pub fn places<'a>(files: impl Iterator<Item = &'a PathBuf>, symbol: &str) -> Result<Places> {
    let mut places = Places::default();
    for file in files {
        let bytes = workdir::read(file)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if !bytes.starts_with(b"!<arch>") {
            look(&bytes, symbol, &name, &mut places);
            continue;
        }
        // A file that ld reads and we do not is no reason to lose ld's message.
        let Ok(archive) = ArchiveFile::parse(bytes.as_slice()) else { continue };
        for member in archive.members().filter_map(|member| member.ok()) {
            let Ok(data) = member.data(bytes.as_slice()) else { continue };
            look(data, symbol, &format!("{name}({})", String::from_utf8_lossy(member.name())), &mut places);
        }
    }
    Ok(places)
}

/// Names in a message: the first few.
pub fn list(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(5).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(shown.len());
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    shown.join(", ") + &tail
}

fn look(bytes: &[u8], symbol: &str, name: &str, places: &mut Places) {
    let Ok(file) = ElfFile64::<object::Endianness>::parse(bytes) else { return };
    for found in file.symbols().filter(|s| s.is_global() && s.name() == Ok(symbol)) {
        let list = if found.is_undefined() { &mut places.wanted } else { &mut places.defined };
        list.push(name.to_owned());
    }
}

/// The symbols that an object needs and lacks, weak ones apart: those become zero.
///
/// Only those that a relocation names count: what a partial link dropped leaves its symbols behind, and weak ones
/// no longer say so.
pub fn undefined(bytes: &[u8]) -> Result<Vec<String>> {
    let file = ElfFile64::<object::Endianness>::parse(bytes)?;
    let mut named = BTreeSet::new();
    for section in file.sections() {
        for (_, relocation) in section.relocations() {
            if let RelocationTarget::Symbol(index) = relocation.target() {
                named.insert(index.0);
            }
        }
    }
    let missing = file.symbols().filter(|s| s.is_undefined() && s.is_global() && !s.is_weak());
    let names = missing.filter(|s| named.contains(&s.index().0)).filter_map(|s| s.name().ok());
    Ok(names.filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

/// Where code or data takes an address of the text in 32 bits without a sign.
#[derive(Debug)]
pub struct ShortAddress {
    /// The function or object that does.
    pub function: String,
    /// How far behind its beginning.
    pub offset: u64,
    /// Whose address.
    pub target: String,
}

/// The first address that would be cut short in the kernel's text.
pub fn short_address(bytes: &[u8]) -> Result<Option<ShortAddress>> {
    let file = ElfFile64::<object::Endianness>::parse(bytes)?;
    let Some(text) = file.section_by_name(".ukl.text") else { return Ok(None) };
    for section in file.sections().filter(|section| section.name().is_ok_and(|name| name.starts_with(".ukl."))) {
        for (at, relocation) in section.relocations() {
            let is_short = matches!(relocation.flags(), RelocationFlags::Elf { r_type: elf::R_X86_64_32 });
            let RelocationTarget::Symbol(index) = relocation.target() else { continue };
            let symbol = file.symbol_by_index(index)?;
            if !is_short || symbol.section_index() != Some(text.index()) {
                continue;
            }
            let target = match symbol.kind() {
                SymbolKind::Section => around(&file, text.index(), relocation.addend() as u64).0,
                _ => symbol.name()?.to_owned(),
            };
            let (function, start) = around(&file, section.index(), at);
            return Ok(Some(ShortAddress { function, offset: at - start, target }));
        }
    }
    Ok(None)
}

/// The symbol in whose range an address lies, and its beginning.
fn around(file: &ElfFile64, section: SectionIndex, at: u64) -> (String, u64) {
    let inside = |s: &ElfSymbol64| {
        s.section_index() == Some(section) && (s.address()..s.address() + s.size().max(1)).contains(&at)
    };
    let found = file.symbols().find(|symbol| inside(symbol) && symbol.kind() != SymbolKind::Section);
    found.and_then(|s| Some((s.name().ok()?.to_owned(), s.address()))).unwrap_or(("a nameless place".to_owned(), 0))
}

/// A defined function that a resolver chooses when the program starts.
pub fn resolver(bytes: &[u8]) -> Result<Option<String>> {
    let file = ElfFile64::<object::Endianness>::parse(bytes)?;
    let is_resolver = |symbol: &ElfSymbol64| symbol.elf_symbol().st_type() == elf::STT_GNU_IFUNC;
    let found = file.symbols().find(|symbol| symbol.is_definition() && is_resolver(symbol));
    let found = found.or_else(|| file.symbols().find(|symbol| !symbol.is_undefined() && is_resolver(symbol)));
    Ok(found.and_then(|symbol| symbol.name().ok().map(str::to_owned)))
}
