//! Symbol prefixing in place: a string table is appended, names are repointed, not a byte else changes.
//!
//! The table is appended rather than replaced because clang keeps section and symbol names in
//! one table. No section, relocation, group or index moves, so nothing that refers to a symbol
//! by its index (relocations, group signatures, address-significance tables) can break.
//! What is renamed is what GNU `objcopy --prefix-symbols` renames: every symbol but section symbols,
//! the nameless too.

use crate::raw::{Object, Section, Symbol, LE};
use crate::{ar, Error, Result};
use object::elf;
use object::read::elf::{SectionHeader, Sym};
use object::read::SectionIndex;
use std::collections::BTreeSet;
use std::mem::offset_of;

/// The data file of the names that are never prefixed, with the reasons.
pub const EXEMPT: &str = include_str!("prefix-exempt.txt");

/// The names in [`EXEMPT`].
pub fn default_exempt() -> BTreeSet<&'static str> {
    EXEMPT.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_whitespace().next()).collect()
}

/// Returns the relocatable object with `prefix` before the name of every symbol that is not exempt.
pub fn prefix(object: &[u8], prefix: &str, exempt: &dyn Fn(&str) -> bool) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    Renamer::new(prefix, exempt)?.append(object, &mut out)?;
    Ok(out)
}

/// [`prefix`] in the object's own buffer: what is large is not copied. An object that is refused stays as it is.
pub fn prefix_in_place(object: &mut Vec<u8>, prefix: &str, exempt: &dyn Fn(&str) -> bool) -> Result<()> {
    let mut renamer = Renamer::new(prefix, exempt)?;
    if let Some(offsets) = renamer.offsets(object)? {
        renamer.apply(&offsets, object, 0);
    }
    Ok(())
}

/// [`prefix`] for each object of an archive; members keep their names, order and modes, the index is rebuilt.
pub fn prefix_archive(archive: &[u8], prefix: &str, exempt: &dyn Fn(&str) -> bool) -> Result<Vec<u8>> {
    let mut renamer = Renamer::new(prefix, exempt)?;
    let mut writer = ar::Writer::with_capacity(archive.len() + archive.len() / 2);
    for entry in ar::read(archive)? {
        let object = &archive[entry.range.clone()];
        writer
            .member(&entry.name, entry.mode, |out| renamer.append(object, out))
            .map_err(|error| error.of(&entry.name))?;
    }
    writer.finish()
}

/// The new string table and what refers to it; the buffers are shared by the objects of one archive.
struct Renamer<'a> {
    prefix: &'a [u8],
    exempt: &'a dyn Fn(&str) -> bool,
    /// Old string offset → new string offset; 0 = not seen yet (no new name starts at 0).
    renamed: Vec<u32>,
    /// The new string table: the old one, then the new names.
    strings: Vec<u8>,
    /// The new `st_name` of each symbol but the null symbol.
    names: Vec<u32>,
}

/// Offsets in the object of what is to be patched.
struct Offsets {
    /// The symbol table.
    symbols: usize,
    /// The section header of its string table.
    header: usize,
}

impl<'a> Renamer<'a> {
    fn new(prefix: &'a str, exempt: &'a dyn Fn(&str) -> bool) -> Result<Self> {
        if prefix.contains('\0') {
            return Err(Error::new("a symbol prefix cannot contain a NUL"));
        }
        let (renamed, strings, names) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Renamer { prefix: prefix.as_bytes(), exempt, renamed, strings, names })
    }

    /// Appends the renamed object to `out`.
    fn append(&mut self, object: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let offsets = self.offsets(object)?;
        let start = out.len();
        out.reserve(object.len() + self.strings.len());
        out.extend_from_slice(object);
        if let Some(offsets) = offsets {
            self.apply(&offsets, out, start);
        }
        Ok(())
    }

    /// Makes the new table and names; `None` when the object has no symbols.
    fn offsets(&mut self, bytes: &[u8]) -> Result<Option<Offsets>> {
        let object = Object::relocatable(bytes)?;
        self.names.clear();
        self.strings.clear();
        if object.symbols.is_empty() {
            return Ok(None);
        }
        let table = object.symbols.string_section();
        self.strings.extend_from_slice(strings(&object, table)?);
        if self.strings.is_empty() {
            self.strings.push(0);
        }
        self.renamed.clear();
        self.renamed.resize(self.strings.len(), 0);
        // Symbol 0 is the null symbol.
        for symbol in object.symbols.iter().skip(1) {
            let name = match symbol.st_type() {
                // Named by their section alone; a name of their own is dropped, as objcopy does.
                elf::STT_SECTION => 0,
                _ => self.rename(&object, symbol)?,
            };
            self.names.push(name);
        }
        let symbols = object.sections.section(object.symbols.section())?.sh_offset(LE) as usize;
        Ok(Some(Offsets { symbols, header: object.section_header_offset(table) }))
    }

    /// Where the new table has the symbol's name; one entry for all symbols that share a name's offset.
    fn rename(&mut self, object: &Object, symbol: &Symbol) -> Result<u32> {
        let old = symbol.st_name(LE);
        match self.renamed.get(old as usize) {
            None => return Err(Error::new("symbol name beyond the string table")),
            Some(0) => {}
            Some(known) => return Ok(*known),
        }
        let name = object.name(symbol)?;
        if name == b"__gnu_lto_slim" {
            return Err(Error::new("holds only LTO bytecode: compile without -flto"));
        }
        let new = if std::str::from_utf8(name).is_ok_and(self.exempt) {
            old
        } else {
            let new = u32::try_from(self.strings.len()).map_err(|_| Error::new("symbol names exceed 4 GiB"))?;
            self.strings.extend_from_slice(self.prefix);
            self.strings.extend_from_slice(name);
            self.strings.push(0);
            new
        };
        self.renamed[old as usize] = new;
        Ok(new)
    }

    /// Appends the new table to the object that begins at `start` and ends `out`, and points at it.
    fn apply(&self, offsets: &Offsets, out: &mut Vec<u8>, start: usize) {
        let table = out.len() - start;
        out.extend_from_slice(&self.strings);
        let object = &mut out[start..];
        // st_name is a symbol's first field.
        for (index, name) in self.names.iter().enumerate() {
            put(object, offsets.symbols + (index + 1) * size_of::<Symbol>(), &name.to_le_bytes());
        }
        put(object, offsets.header + offset_of!(Section, sh_offset), &(table as u64).to_le_bytes());
        put(object, offsets.header + offset_of!(Section, sh_size), &(self.strings.len() as u64).to_le_bytes());
    }
}

/// The bytes of the symbols' string table, checked to end a name that runs to its end.
fn strings<'a>(object: &Object<'a>, table: SectionIndex) -> Result<&'a [u8]> {
    let section = object.sections.section(table).map_err(|_| Error::new("symbol table without a string table"))?;
    let strings = section.data(LE, object.bytes)?;
    match strings.last() {
        None | Some(0) => Ok(strings),
        Some(_) => Err(Error::new("unterminated string table")),
    }
}

/// Overwrites bytes; the reader has checked that they lie in the object.
fn put(object: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = object.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}
