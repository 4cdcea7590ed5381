//! Facts about ELF files: sections, symbols, sizes.

use crate::raw::{text, Object, LE};
use crate::Result;
use object::elf::{self, SymbolBind, SymbolType};
use object::read::elf::{SectionHeader, Sym};
use object::read::SymbolIndex;

/// What one ELF64 file says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Relocatable, executable or shared.
    pub kind: FileKind,
    /// `e_machine`; 62 is x86-64.
    pub machine: u16,
    /// Entry address; 0 in objects.
    pub entry: u64,
    /// All sections but the null section, in file order; a symbol's section is an index into these.
    pub sections: Vec<Section>,
    /// All symbols but the null symbol, in file order.
    pub symbols: Vec<Symbol>,
}

/// What the file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Input of a linker.
    Relocatable,
    /// Linked at fixed addresses.
    Executable,
    /// Shared library or position-independent executable.
    Shared,
    /// Core dump or something unknown.
    Other,
}

/// One section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Name.
    pub name: String,
    /// `sh_type`.
    pub kind: u32,
    /// `sh_flags`.
    pub flags: u64,
    /// Address when loaded; 0 in objects.
    pub address: u64,
    /// Offset of the contents in the file.
    pub offset: u64,
    /// Size in bytes, in memory.
    pub size: u64,
    /// Alignment in bytes.
    pub align: u64,
}

impl Section {
    /// It takes memory at run time.
    pub fn is_alloc(&self) -> bool {
        self.has(elf::SHF_ALLOC)
    }

    /// The program may write to it.
    pub fn is_write(&self) -> bool {
        self.has(elf::SHF_WRITE)
    }

    /// It holds code.
    pub fn is_code(&self) -> bool {
        self.has(elf::SHF_EXECINSTR)
    }

    /// It is thread-local.
    pub fn is_tls(&self) -> bool {
        self.has(elf::SHF_TLS)
    }

    /// It has no bytes in the file.
    pub fn is_nobits(&self) -> bool {
        self.kind == elf::SHT_NOBITS.0
    }

    /// Its contents, a slice of the file that the facts were read from; empty when there are none.
    pub fn data<'a>(&self, file: &'a [u8]) -> &'a [u8] {
        let range = self.offset as usize..self.offset.saturating_add(self.size) as usize;
        if self.is_nobits() {
            &[]
        } else {
            file.get(range).unwrap_or_default()
        }
    }

    fn has(&self, flag: elf::SectionFlags) -> bool {
        self.flags & flag.0 != 0
    }
}

/// One symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Name; a section symbol has none.
    pub name: String,
    /// What it names.
    pub kind: SymbolKind,
    /// Who sees it.
    pub binding: Binding,
    /// Where it is.
    pub place: Place,
    /// Address, or offset in the section of an object; the alignment of a common symbol.
    pub value: u64,
    /// Size in bytes.
    pub size: u64,
}

impl Symbol {
    /// Defined here and visible to other objects.
    pub fn is_exported(&self) -> bool {
        self.binding != Binding::Local && self.place != Place::Undefined
    }
}

/// What a symbol names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The words of the ELF specification.
pub enum SymbolKind {
    None,
    Object,
    Function,
    Section,
    File,
    Common,
    Tls,
    Ifunc,
    Other(u8),
}

/// Who sees a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The words of the ELF specification.
pub enum Binding {
    Local,
    Global,
    Weak,
    Unique,
    Other(u8),
}

/// Where a symbol is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Defined elsewhere.
    Undefined,
    /// A number rather than a place.
    Absolute,
    /// To be allocated by the linker.
    Common,
    /// In the section with this index in [`Facts::sections`].
    Section(usize),
}

impl Facts {
    /// Reads an ELF64 little-endian file of any kind.
    pub fn read(file: &[u8]) -> Result<Facts> {
        let object = Object::parse(file)?;
        let mut sections = Vec::with_capacity(object.sections.len());
        for section in object.sections.iter().skip(1) {
            sections.push(Section {
                name: text(object.section_name(section)?),
                kind: section.sh_type(LE).0,
                flags: section.sh_flags(LE).0,
                address: section.sh_addr(LE),
                offset: section.sh_offset(LE),
                size: section.sh_size(LE),
                align: section.sh_addralign(LE),
            });
        }
        let mut symbols = Vec::with_capacity(object.symbols.len());
        for (index, symbol) in object.symbols.enumerate().skip(1) {
            symbols.push(Symbol {
                name: text(object.name(symbol)?),
                kind: kind(symbol.st_type()),
                binding: binding(symbol.st_bind()),
                place: place(&object, symbol, index)?,
                value: symbol.st_value(LE),
                size: symbol.st_size(LE),
            });
        }
        let kind = match object.header.e_type.get(LE) {
            elf::ET_REL => FileKind::Relocatable,
            elf::ET_EXEC => FileKind::Executable,
            elf::ET_DYN => FileKind::Shared,
            _ => FileKind::Other,
        };
        Ok(Facts {
            kind,
            machine: object.header.e_machine.get(LE).0,
            entry: object.header.e_entry.get(LE),
            sections,
            symbols,
        })
    }

    /// Names that other objects must define, each once, in order of appearance; weak ones included.
    pub fn undefined(&self) -> Vec<&str> {
        let mut seen = std::collections::HashSet::new();
        let undefined = self.symbols.iter().filter(|s| s.place == Place::Undefined && !s.name.is_empty());
        undefined.map(|s| s.name.as_str()).filter(|name| seen.insert(*name)).collect()
    }

    /// Symbols that other objects may refer to.
    pub fn exported(&self) -> impl Iterator<Item = &Symbol> {
        self.symbols.iter().filter(|s| s.is_exported())
    }

    /// The section with this name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|s| s.name == name)
    }

    /// The first symbol with this name that is defined here.
    pub fn symbol(&self, name: &str) -> Option<&Symbol> {
        self.symbols.iter().find(|s| s.place != Place::Undefined && s.name == name)
    }

    /// The function of a linked file that holds `address`, and the offset in it.
    ///
    /// Hand-written assembly often has no size: then the nearest function below in the same section counts.
    pub fn function_at(&self, address: u64) -> Option<(&Symbol, u64)> {
        let inside = |s: &&Section| s.is_code() && s.address <= address && address - s.address < s.size;
        let section = self.sections.iter().position(|s| inside(&s))?;
        let here = self.symbols.iter().filter(|s| s.place == Place::Section(section) && s.value <= address);
        let code = here.filter(|s| {
            matches!(s.kind, SymbolKind::Function | SymbolKind::None | SymbolKind::Ifunc) && !s.name.is_empty()
        });
        let sized = |s: &Symbol| address - s.value < s.size;
        code.max_by_key(|s| (sized(s), s.value)).map(|s| (s, address - s.value))
    }
}

fn kind(kind: SymbolType) -> SymbolKind {
    match kind {
        elf::STT_NOTYPE => SymbolKind::None,
        elf::STT_OBJECT => SymbolKind::Object,
        elf::STT_FUNC => SymbolKind::Function,
        elf::STT_SECTION => SymbolKind::Section,
        elf::STT_FILE => SymbolKind::File,
        elf::STT_COMMON => SymbolKind::Common,
        elf::STT_TLS => SymbolKind::Tls,
        elf::STT_GNU_IFUNC => SymbolKind::Ifunc,
        other => SymbolKind::Other(other.0),
    }
}

fn binding(binding: SymbolBind) -> Binding {
    match binding {
        elf::STB_LOCAL => Binding::Local,
        elf::STB_GLOBAL => Binding::Global,
        elf::STB_WEAK => Binding::Weak,
        elf::STB_GNU_UNIQUE => Binding::Unique,
        other => Binding::Other(other.0),
    }
}

fn place(object: &Object, symbol: &crate::raw::Symbol, index: SymbolIndex) -> Result<Place> {
    Ok(match symbol.st_shndx(LE) {
        elf::SHN_UNDEF => Place::Undefined,
        elf::SHN_COMMON => Place::Common,
        elf::SHN_ABS => Place::Absolute,
        _ => match object.symbols.symbol_section(LE, symbol, index)? {
            // `sections` leaves out the null section.
            Some(section) if (1..object.sections.len()).contains(&section.0) => Place::Section(section.0 - 1),
            Some(_) => return Err(crate::Error::new("symbol in a section that does not exist")),
            None => Place::Absolute,
        },
    })
}
