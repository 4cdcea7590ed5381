//! ELF64 little-endian objects as raw structures over the file's bytes.
//!
//! `object`'s high-level API hides file offsets; who patches in place needs them.

use crate::{Error, Result};
use object::elf::{self, FileHeader64, Rela64, SectionHeader64, Sym64};
use object::read::elf::{FileHeader, SectionHeader, SectionTable, SymbolTable};
use object::read::SectionIndex;
use object::LittleEndian;

pub(crate) const LE: LittleEndian = LittleEndian;
pub(crate) type Header = FileHeader64<LittleEndian>;
pub(crate) type Section = SectionHeader64<LittleEndian>;
pub(crate) type Symbol = Sym64<LittleEndian>;
pub(crate) type Rela = Rela64<LittleEndian>;

/// The parsed tables of one object.
pub(crate) struct Object<'a> {
    pub bytes: &'a [u8],
    pub header: &'a Header,
    pub sections: SectionTable<'a, Header>,
    /// Empty when the object has no symbol table.
    pub symbols: SymbolTable<'a, Header>,
}

impl<'a> Object<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        if !bytes.starts_with(b"\x7fELF") {
            return Err(Error::new(match bytes {
                [b'B', b'C', 0xc0, 0xde, ..] => "LLVM bitcode, not an ELF object: compile without -flto",
                [] => "empty file, not an ELF object",
                _ => "not an ELF object",
            }));
        }
        let header = Header::parse(bytes)?;
        if !header.is_little_endian() {
            return Err(Error::new("big-endian ELF object"));
        }
        let sections = header.sections(LE, bytes)?;
        let mut tables = sections.iter().filter(|s| s.sh_type(LE) == elf::SHT_SYMTAB);
        if tables.next().is_some() && tables.next().is_some() {
            return Err(Error::new("more than one symbol table"));
        }
        let symbols = sections.symbols(LE, bytes, elf::SHT_SYMTAB)?;
        Ok(Object { bytes, header, sections, symbols })
    }

    /// `parse`, refusing what is not a relocatable object.
    pub fn relocatable(bytes: &'a [u8]) -> Result<Self> {
        let object = Object::parse(bytes)?;
        match object.header.e_type.get(LE) {
            elf::ET_REL => Ok(object),
            _ => Err(Error::new("linked ELF file, not a relocatable object")),
        }
    }

    pub fn name(&self, symbol: &Symbol) -> Result<&'a [u8]> {
        Ok(self.symbols.symbol_name(LE, symbol)?)
    }

    pub fn section_name(&self, section: &Section) -> Result<&'a [u8]> {
        Ok(self.sections.section_name(LE, section)?)
    }

    /// The file offset of the header of section `index`.
    pub fn section_header_offset(&self, index: SectionIndex) -> usize {
        self.header.e_shoff.get(LE) as usize + index.0 * size_of::<Section>()
    }

    /// Each RELA section with the section that its relocations patch.
    pub fn relocation_sections(
        &self,
    ) -> impl Iterator<Item = Result<(&'a Section, SectionIndex, &'a [Rela])>> + use<'a, '_> {
        self.sections.iter().filter(|s| s.sh_type(LE) == elf::SHT_RELA).map(|section| {
            let relocations = section.data_as_array(LE, self.bytes)?;
            Ok((section, SectionIndex(section.sh_info(LE) as usize), relocations))
        })
    }
}

/// A name for messages and reports: what is not UTF-8 is shown with replacement characters.
pub(crate) fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
