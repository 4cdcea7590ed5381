//! The file that starts a program in the kernel, made of the vmlinux that holds the program.
//!
//! The kernel's linker script begins the program's read-only data with the file's ELF header and program headers.
//! They say what the file consists of: the bytes of each segment, at its offset. Behind them come sections and
//! symbols, for debuggers, with the names that the program knows.

use crate::raw::{Header, Object, Section, Symbol, LE};
use crate::{Error, Result};
use object::elf::{self, ProgramHeader64};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, Sym};
use object::{pod, LittleEndian, U16, U32, U64};

/// The section that begins with the headers.
const HEADERS: &str = ".ukl.rodata";

type Segment = ProgramHeader64<LittleEndian>;

/// Returns the file for the program in `vmlinux`; `prefix` is what its symbols' names begin with there.
pub fn write(vmlinux: &[u8], prefix: &str) -> Result<Vec<u8>> {
    let kernel = Object::parse(vmlinux)?;
    let headers = headers(&kernel)?;
    let header = Header::parse(headers)?;
    if header.e_entry.get(LE) == 0 {
        return Err(Error::new("no program is linked into this kernel"));
    }
    let segments = header.program_headers(LE, headers)?;
    let loaded: Vec<&Segment> = segments.iter().filter(|s| s.p_type(LE) == elf::PT_LOAD).collect();
    let mut file = contents(&kernel, &loaded)?;
    let sections = sections(&kernel, &loaded)?;
    describe(&kernel, &sections, prefix, &mut file)?;
    Ok(file)
}

/// The bytes of the section that begins with the headers.
fn headers<'a>(kernel: &Object<'a>) -> Result<&'a [u8]> {
    for section in kernel.sections.iter() {
        if kernel.section_name(section)? == HEADERS.as_bytes() {
            return Ok(section.data(LE, kernel.bytes)?);
        }
    }
    Err(Error::new(format!("no section `{HEADERS}`: not a kernel for a linked program")))
}

/// Start, end and file offset of what both the section and the segment cover in memory.
fn overlap(section: &Section, segment: &Segment) -> Option<(u64, u64, u64)> {
    let start = section.sh_addr(LE).max(segment.p_vaddr(LE));
    let end = (section.sh_addr(LE).saturating_add(section.sh_size(LE)))
        .min(segment.p_vaddr(LE).saturating_add(segment.p_memsz(LE)));
    let allocated = section.sh_flags(LE).0 & elf::SHF_ALLOC.0 != 0;
    (allocated && start < end).then(|| (start, end, segment.p_offset(LE) + (start - segment.p_vaddr(LE))))
}

/// The segments' bytes, each at its offset.
fn contents(kernel: &Object, loaded: &[&Segment]) -> Result<Vec<u8>> {
    let end = |segment: &&Segment| segment.p_offset(LE).saturating_add(segment.p_filesz(LE));
    let size = loaded.iter().map(end).max().unwrap_or(0);
    if size > kernel.bytes.len() as u64 {
        return Err(Error::new("the program's headers describe more than the kernel holds"));
    }
    let mut file = vec![0; size as usize];
    for segment in loaded {
        for section in kernel.sections.iter().filter(|section| section.sh_type(LE) != elf::SHT_NOBITS) {
            let Some((start, end, offset)) = overlap(section, segment) else { continue };
            let data = section.data(LE, kernel.bytes)?;
            let from = (start - section.sh_addr(LE)) as usize;
            let bytes = data.get(from..from + (end - start) as usize);
            let place = file.get_mut(offset as usize..(offset + (end - start)) as usize);
            let (Some(bytes), Some(place)) = (bytes, place) else {
                return Err(Error::new("a section goes beyond its segment"));
            };
            place.copy_from_slice(bytes);
        }
    }
    Ok(file)
}

/// One section of the file.
struct Part<'a> {
    /// Its index in the kernel.
    index: usize,
    name: &'a [u8],
    header: Section,
}

/// The sections that lie in the segments, under the names that programs give them.
fn sections<'a>(kernel: &Object<'a>, loaded: &[&Segment]) -> Result<Vec<Part<'a>>> {
    let mut parts = Vec::new();
    for segment in loaded {
        for (index, section) in kernel.sections.enumerate() {
            // Of the kernel's per-CPU variables, for instance, the addresses mean nothing.
            let name = kernel.section_name(section)?;
            let own = name.strip_prefix(b".ukl").unwrap_or(name);
            let known = own.len() < name.len() || name.starts_with(b".eh_frame") || is_tls(section);
            let Some((start, end, offset)) = overlap(section, segment).filter(|_| known) else { continue };
            let mut header = *section;
            header.sh_addr = U64::new(LE, start);
            header.sh_size = U64::new(LE, end - start);
            header.sh_offset = U64::new(LE, offset);
            parts.push(Part { index: index.0, name: own, header });
        }
    }
    Ok(parts)
}

fn is_tls(section: &Section) -> bool {
    section.sh_flags(LE).0 & elf::SHF_TLS.0 != 0
}

/// Appends symbols and section headers, and tells the ELF header of them.
fn describe(kernel: &Object, parts: &[Part], prefix: &str, file: &mut Vec<u8>) -> Result<()> {
    let (symbols, names, locals) = symbols(kernel, parts, prefix)?;
    let mut section_names = vec![0];
    let mut table: Vec<Section> = vec![empty()];
    for part in parts {
        table.push(Section { sh_name: name(&mut section_names, part.name), ..part.header });
    }
    let strings = (table.len() + 1) as u32;
    let size = size_of::<Symbol>() as u64;
    let symtab = append(file, pod::bytes_of_slice(&symbols));
    table.push(Section {
        sh_name: name(&mut section_names, b".symtab"),
        sh_type: U32::new(LE, elf::SHT_SYMTAB),
        sh_link: U32::new(LE, strings),
        sh_info: U32::new(LE, locals),
        sh_entsize: U64::new(LE, size),
        ..symtab
    });
    let strtab = append(file, &names);
    table.push(Section { sh_name: name(&mut section_names, b".strtab"), ..strtab });
    let own = name(&mut section_names, b".shstrtab");
    let shstrtab = append(file, &section_names);
    table.push(Section { sh_name: own, ..shstrtab });
    let place = append(file, pod::bytes_of_slice(&table)).sh_offset;
    let count = table.len() as u16;
    let (header, _) = pod::from_bytes_mut::<Header>(file).map_err(|()| Error::new("no room for the ELF header"))?;
    header.e_shoff = place;
    header.e_shnum = U16::new(LE, count);
    header.e_shstrndx = U16::new(LE, elf::SymbolSection(count - 1));
    Ok(())
}

/// The symbols of `parts`, their names, and the index of the first that is not local.
fn symbols(kernel: &Object, parts: &[Part], prefix: &str) -> Result<(Vec<Symbol>, Vec<u8>, u32)> {
    let mut table = vec![Symbol::default()];
    let mut names = vec![0];
    let mut locals = 1;
    for (index, symbol) in kernel.symbols.enumerate().skip(1) {
        let known = !matches!(symbol.st_type(), elf::STT_SECTION | elf::STT_FILE);
        let Some(section) = kernel.symbols.symbol_section(LE, symbol, index)?.filter(|_| known) else { continue };
        let Some(place) = parts.iter().position(|part| part.index == section.0) else { continue };
        let header = &parts[place].header;
        let inside = symbol.st_value(LE).wrapping_sub(header.sh_addr(LE)) <= header.sh_size(LE);
        if !inside && symbol.st_type() != elf::STT_TLS {
            continue;
        }
        let full = kernel.name(symbol)?;
        let own = full.strip_prefix(prefix.as_bytes()).unwrap_or(full);
        let mut symbol = *symbol;
        symbol.st_name = name(&mut names, own);
        symbol.st_shndx = U16::new(LE, elf::SymbolSection(place as u16 + 1));
        table.push(symbol);
        if symbol.st_bind() == elf::STB_LOCAL {
            locals = table.len() as u32;
        }
    }
    Ok((table, names, locals))
}

/// Adds a name to a table of strings, and returns its place there.
fn name(strings: &mut Vec<u8>, name: &[u8]) -> U32<LittleEndian> {
    let place = strings.len() as u32;
    strings.extend_from_slice(name);
    strings.push(0);
    U32::new(LE, place)
}

/// Appends bytes to the file and returns the header of a section of strings that has them.
fn append(file: &mut Vec<u8>, bytes: &[u8]) -> Section {
    file.resize(file.len().next_multiple_of(8), 0);
    let header = Section {
        sh_type: U32::new(LE, elf::SHT_STRTAB),
        sh_offset: U64::new(LE, file.len() as u64),
        sh_size: U64::new(LE, bytes.len() as u64),
        sh_addralign: U64::new(LE, 8),
        ..empty()
    };
    file.extend_from_slice(bytes);
    header
}

/// A section header of zeros.
fn empty() -> Section {
    Section {
        sh_name: U32::new(LE, 0),
        sh_type: U32::new(LE, elf::SHT_NULL),
        sh_flags: U64::new(LE, elf::SectionFlags(0)),
        sh_addr: U64::new(LE, 0),
        sh_offset: U64::new(LE, 0),
        sh_size: U64::new(LE, 0),
        sh_link: U32::new(LE, 0),
        sh_info: U32::new(LE, 0),
        sh_addralign: U64::new(LE, 0),
        sh_entsize: U64::new(LE, 0),
    }
}
