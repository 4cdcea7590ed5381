//! `hlt` → an undefined instruction, in place: what prebuilt code has where it means "die here".
//!
//! At privilege level 0 `hlt` would sleep and go on. Only what lies within a function and what the scan takes for an
//! instruction is touched, so that data between functions stays as it is.

use crate::arch::x86_64::{HALT, UNDEFINED};
use crate::raw::{Object, LE};
use crate::scan::{scan, Suspect};
use crate::{Error, Result};
use object::elf;
use object::read::elf::{SectionHeader, Sym};
use std::collections::BTreeSet;

/// Replaces each `hlt` of the functions of a relocatable object and returns their number.
pub fn rewrite(object: &mut [u8]) -> Result<usize> {
    let places = places(&Object::relocatable(object)?)?;
    for &at in &places {
        *object.get_mut(at).ok_or_else(|| Error::new("a function lies beyond the object"))? = UNDEFINED;
    }
    Ok(places.len())
}

/// The offsets in the file.
fn places(object: &Object) -> Result<BTreeSet<usize>> {
    let mut places = BTreeSet::new();
    for (index, symbol) in object.symbols.enumerate() {
        let is_code = matches!(symbol.st_type(), elf::STT_FUNC | elf::STT_GNU_IFUNC);
        let Some(section) = object.symbols.symbol_section(LE, symbol, index)?.filter(|_| is_code) else { continue };
        let section = object.sections.section(section)?;
        if !section.sh_flags(LE).contains(elf::SHF_EXECINSTR) {
            continue;
        }
        let (start, size) = (symbol.st_value(LE) as usize, symbol.st_size(LE) as usize);
        let code = start.checked_add(size).and_then(|end| section.data(LE, object.bytes).ok()?.get(start..end));
        let code = code.ok_or_else(|| Error::new("a function lies beyond its section"))?;
        for found in scan(code, 0).into_iter().filter(|found| found.suspect == Suspect::Halt) {
            // Prefixes may precede it.
            let at = found.address as usize;
            let prefixes = code[at..].iter().take_while(|byte| **byte != HALT).count();
            places.insert(section.sh_offset(LE) as usize + start + at + prefixes);
        }
    }
    Ok(places)
}
