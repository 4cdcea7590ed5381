//! The symbols of a linked kernel as its program's sources name them, for debuggers: names are repointed in place.

use std::collections::BTreeSet;

use object::read::elf::{SectionHeader, Sym};

use crate::raw::{Object, Symbol, LE};
use crate::{Error, Result};

/// What the names of the program's sections begin with.
const PROGRAM: &[u8] = b".ukl.";

/// Hides `prefix` of the program's symbols in a linked `kernel`; how many it was hidden of.
///
/// A name that the kernel has as well keeps its prefix: it would mean two places. Error: this is no linked ELF file with
/// a symbol table.
pub fn hide_prefix(kernel: &mut [u8], prefix: &str) -> Result<usize> {
    let places = places(kernel, prefix.as_bytes())?;
    for (at, name) in &places {
        kernel[*at..*at + 4].copy_from_slice(&name.to_le_bytes());
    }
    Ok(places.len())
}

/// Where the offset of a name stands in the file, and what it shall be: the string table has the end of a name, too.
fn places(kernel: &[u8], prefix: &[u8]) -> Result<Vec<(usize, u32)>> {
    let object = Object::parse(kernel)?;
    let is_table = |section: &&crate::raw::Section| section.sh_type(LE) == object::elf::SHT_SYMTAB;
    let table = object.sections.iter().find(is_table).ok_or_else(|| Error::new("no symbol table"))?;
    let start = table.sh_offset(LE) as usize;
    let program: BTreeSet<u16> = (0u16..)
        .zip(object.sections.iter())
        .filter_map(|(i, section)| {
            object.section_name(section).is_ok_and(|name| name.starts_with(PROGRAM)).then_some(i)
        })
        .collect();
    let is_programs = |symbol: &Symbol| program.contains(&symbol.st_shndx(LE).0);
    let mut kernels = BTreeSet::new();
    for symbol in object.symbols.iter().filter(|symbol| !is_programs(symbol)) {
        kernels.insert(object.name(symbol)?);
    }
    let mut places = Vec::new();
    for (i, symbol) in object.symbols.iter().enumerate().filter(|(_, symbol)| is_programs(symbol)) {
        match object.name(symbol)?.strip_prefix(prefix) {
            Some(name) if !kernels.contains(name) => {
                places.push((start + i * size_of::<Symbol>(), symbol.st_name(LE) + prefix.len() as u32));
            }
            _ => {}
        }
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ELF64 with the sections null, `.ukl.text`, `.text`, symbol table and string table.
    fn file(symbols: &[(&str, u16)]) -> Vec<u8> {
        let mut strings = b"\0".to_vec();
        let mut string = |text: &str| {
            let at = strings.len() as u32;
            strings.extend_from_slice(text.as_bytes());
            strings.push(0);
            at
        };
        let names = ["", ".ukl.text", ".text", ".symtab", ".strtab"].map(&mut string);
        let mut table = vec![0; 24];
        for (name, section) in symbols {
            table.extend(string(name).to_le_bytes());
            table.extend([0x12, 0]);
            table.extend(section.to_le_bytes());
            table.extend([0; 16]);
        }
        let mut out = vec![0; 64];
        out[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        out[0x10..0x18].copy_from_slice(&[2, 0, 62, 0, 1, 0, 0, 0]);
        let at = (out.len(), out.len() + table.len());
        out.extend(&table);
        out.extend(&strings);
        let headers = out.len() as u64;
        out[0x28..0x30].copy_from_slice(&headers.to_le_bytes());
        out[0x34..0x40].copy_from_slice(&[64, 0, 0, 0, 0, 0, 64, 0, 5, 0, 4, 0]);
        let kinds = [(0, 0, 0), (1, 0, 0), (1, 0, 0), (2, at.0, table.len()), (3, at.1, strings.len())];
        for (name, (kind, offset, size)) in names.into_iter().zip(kinds) {
            let link = if kind == 2 { 4u32 } else { 0 };
            out.extend(name.to_le_bytes());
            out.extend((kind as u32).to_le_bytes());
            out.extend([0; 16]);
            out.extend((offset as u64).to_le_bytes());
            out.extend((size as u64).to_le_bytes());
            out.extend(link.to_le_bytes());
            out.extend([0; 12]);
            out.extend((if kind == 2 { 24u64 } else { 0 }).to_le_bytes());
        }
        out
    }

    fn names(file: &[u8]) -> Vec<String> {
        let object = Object::parse(file).unwrap();
        object.symbols.iter().skip(1).map(|symbol| crate::raw::text(object.name(symbol).unwrap())).collect()
    }

    #[test]
    fn the_programs_names_lose_their_prefix_unless_the_kernel_has_them() {
        let mut file =
            file(&[("ukl_main", 1), ("ukl_memcpy", 1), ("memcpy", 2), ("ukl_of_the_kernel", 2), ("plain", 1)]);
        assert_eq!(hide_prefix(&mut file, "ukl_").unwrap(), 1);
        assert_eq!(names(&file), ["main", "ukl_memcpy", "memcpy", "ukl_of_the_kernel", "plain"]);
        assert_eq!(hide_prefix(&mut file, "ukl_").unwrap(), 0);
    }

    #[test]
    fn what_is_no_elf_file_is_an_error() {
        assert!(hide_prefix(&mut b"#!/bin/sh".to_vec(), "ukl_").is_err());
    }
}
