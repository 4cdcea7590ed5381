//! Symbol prefixing in place: a string table is appended, names are repointed, not a byte else changes.
//!
//! The table is appended rather than replaced because clang keeps section and symbol names in
//! one table. No section, relocation, group or index moves, so nothing that refers to a symbol
//! by its index (relocations, group signatures, address-significance tables) can break.
//! What is renamed is what GNU `objcopy --prefix-symbols` renames: every symbol but section symbols,
//! the nameless too.

use crate::raw::{Object, Symbol, LE};
use crate::{ar, Error, Result};
use object::elf;
use object::read::elf::{SectionHeader, Sym};
use object::read::SectionIndex;
use std::collections::BTreeSet;

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

/// [`prefix`] for each object of an archive; members keep their names, order and modes, the index is rebuilt.
pub fn prefix_archive(archive: &[u8], prefix: &str, exempt: &dyn Fn(&str) -> bool) -> Result<Vec<u8>> {
    let mut renamer = Renamer::new(prefix, exempt)?;
    let mut writer = ar::Writer::with_capacity(archive.len() + archive.len() / 4);
    for entry in ar::read(archive)? {
        let object = &archive[entry.range.clone()];
        writer
            .member(&entry.name, entry.mode, |out| renamer.append(object, out))
            .map_err(|error| error.of(&entry.name))?;
    }
    writer.finish()
}

/// The state that is shared by the objects of one archive, to allocate once.
struct Renamer<'a> {
    prefix: &'a [u8],
    exempt: &'a dyn Fn(&str) -> bool,
    /// Old string offset → new string offset; 0 = not seen yet (no new name starts at 0).
    renamed: Vec<u32>,
}

impl<'a> Renamer<'a> {
    fn new(prefix: &'a str, exempt: &'a dyn Fn(&str) -> bool) -> Result<Self> {
        if prefix.contains('\0') {
            return Err(Error::new("a symbol prefix cannot contain a NUL"));
        }
        Ok(Renamer { prefix: prefix.as_bytes(), exempt, renamed: Vec::new() })
    }

    /// Appends the renamed object to `out`.
    fn append(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let object = Object::relocatable(bytes)?;
        let start = out.len();
        if object.symbols.is_empty() {
            out.extend_from_slice(bytes);
            return Ok(());
        }
        let table = object.symbols.string_section();
        let strings = strings(&object, table)?;
        out.reserve(bytes.len() + 2 * strings.len() + object.symbols.len() * (self.prefix.len() + 8));
        out.extend_from_slice(bytes);
        let new_table = out.len();
        out.extend_from_slice(strings);
        if strings.is_empty() {
            out.push(0);
        }
        self.rename(&object, strings.len(), start, new_table, out)?;

        let size = out.len() - new_table;
        let header = start + object.section_header_offset(table);
        put(out, header + 24, &((new_table - start) as u64).to_le_bytes()); // sh_offset
        put(out, header + 32, &(size as u64).to_le_bytes()); // sh_size
        Ok(())
    }

    /// Appends the new names and points the symbols at them.
    fn rename(
        &mut self,
        object: &Object,
        old_size: usize,
        start: usize,
        new_table: usize,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        self.renamed.clear();
        self.renamed.resize(old_size.max(1), 0);
        let symbols = object.sections.section(object.symbols.section())?.sh_offset(LE) as usize;
        // Symbol 0 is the null symbol.
        for (index, symbol) in object.symbols.iter().enumerate().skip(1) {
            let new = match symbol.st_type() {
                // Named by their section alone; a name of their own is dropped, as objcopy does.
                elf::STT_SECTION => 0,
                _ => self.new_offset(object, symbol, out, new_table)?,
            };
            // st_name is a symbol's first field.
            put(out, start + symbols + index * size_of::<Symbol>(), &new.to_le_bytes());
        }
        Ok(())
    }

    /// Where the new table has the symbol's name; one entry for all symbols that share a name's offset.
    fn new_offset(&mut self, object: &Object, symbol: &Symbol, out: &mut Vec<u8>, new_table: usize) -> Result<u32> {
        let old = symbol.st_name(LE) as usize;
        match self.renamed.get(old) {
            None => return Err(Error::new("symbol name beyond the string table")),
            Some(0) => {}
            Some(known) => return Ok(*known),
        }
        let name = object.name(symbol)?;
        if name == b"__gnu_lto_slim" {
            return Err(Error::new("holds only LTO bytecode: compile without -flto"));
        }
        let new = self.new_name(name, old, out, new_table)?;
        self.renamed[old] = new;
        Ok(new)
    }

    /// The offset of the name to use instead of `name`, which is at `old`.
    fn new_name(&self, name: &[u8], old: usize, out: &mut Vec<u8>, new_table: usize) -> Result<u32> {
        if std::str::from_utf8(name).is_ok_and(self.exempt) {
            return Ok(old as u32);
        }
        let new = u32::try_from(out.len() - new_table).map_err(|_| Error::new("symbol names exceed 4 GiB"))?;
        out.extend_from_slice(self.prefix);
        out.extend_from_slice(name);
        out.push(0);
        Ok(new)
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
fn put(out: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = out.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}
