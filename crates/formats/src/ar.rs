//! Deterministic ar archives with a symbol index, byte for byte what GNU `ar rcsD` writes.

use crate::raw::{text, Object, LE};
use crate::{Error, Result};
use object::elf;
use object::read::archive::ArchiveFile;
use object::read::elf::Sym;
use std::ops::Range;

const MAGIC: &[u8] = b"!<arch>\n";
const HEADER: usize = 60;

/// A file to be put into an archive.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    /// File name, without a folder.
    pub name: &'a str,
    /// Contents.
    pub data: &'a [u8],
    /// Permission bits; 0o644 for objects.
    pub mode: u32,
}

/// A file found in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// File name.
    pub name: String,
    /// Where the contents lie in the archive.
    pub range: Range<usize>,
    /// Permission bits.
    pub mode: u32,
}

/// Writes the members in the given order behind an index of the symbols that they define.
///
/// Members that are no ELF objects are stored without being indexed.
pub fn write(members: &[Member]) -> Result<Vec<u8>> {
    let size = members.iter().map(|m| m.data.len() + HEADER + 64).sum();
    let mut writer = Writer::with_capacity(size);
    for member in members {
        let copy = |out: &mut Vec<u8>| {
            out.extend_from_slice(member.data);
            Ok(())
        };
        writer.member(member.name, member.mode, copy).map_err(|error| error.of(member.name))?;
    }
    writer.finish()
}

/// Lists the members of a GNU, BSD or thin-free archive; the index and the name table are not members.
pub fn read(archive: &[u8]) -> Result<Vec<Entry>> {
    let file = ArchiveFile::parse(archive)?;
    if file.is_thin() {
        return Err(Error::new("thin archive: its members are elsewhere"));
    }
    let mut entries = Vec::new();
    for member in file.members() {
        let member = member?;
        let (start, size) = member.file_range();
        let range = start as usize..start.saturating_add(size) as usize;
        if archive.get(range.clone()).is_none() {
            return Err(Error::new(format!("member {} is cut off", text(member.name()))));
        }
        let mode = member.mode().map_or(0o644, |mode| (mode & 0o7777) as u32);
        entries.push(Entry { name: text(member.name()), range, mode });
    }
    Ok(entries)
}

/// Lists the index: each symbol with the name of the member that defines it.
pub fn index(archive: &[u8]) -> Result<Vec<(String, String)>> {
    let file = ArchiveFile::parse(archive)?;
    let Some(symbols) = file.symbols()? else {
        return Ok(Vec::new());
    };
    symbols
        .map(|symbol| {
            let symbol = symbol?;
            let member = file.member(symbol.offset())?;
            Ok((text(symbol.name()), text(member.name())))
        })
        .collect()
}

/// Builds an archive member by member; the contents are produced in place.
pub(crate) struct Writer {
    /// Headers and contents; offsets are from the first member.
    body: Vec<u8>,
    /// The `//` table of names that do not fit a header.
    long_names: Vec<u8>,
    /// Names of the index, NUL-terminated, and the offset in `body` for each.
    index_names: Vec<u8>,
    index_offsets: Vec<u64>,
    /// An archive without objects has no index, one whose objects define nothing has an empty one.
    has_objects: bool,
}

impl Writer {
    pub fn with_capacity(bytes: usize) -> Self {
        Writer {
            body: Vec::with_capacity(bytes),
            long_names: Vec::new(),
            index_names: Vec::new(),
            index_offsets: Vec::new(),
            has_objects: false,
        }
    }

    /// Appends a member whose contents `fill` appends to the vector that it is given.
    pub fn member(&mut self, name: &str, mode: u32, fill: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
        if name.is_empty() || name.contains(['/', '\n', '\0']) {
            return Err(Error::new(format!("{name:?} cannot name a member of an archive")));
        }
        let field = self.name_field(name);
        let at = self.body.len();
        self.body.resize(at + HEADER, b' ');
        fill(&mut self.body)?;
        let size = self.body.len() - at - HEADER;
        let header = header(&field, ["0", "0", "0", &format!("{:o}", mode & 0o7777)], size)?;
        self.body[at..at + HEADER].copy_from_slice(&header);
        self.index(at)?;
        pad(&mut self.body);
        Ok(())
    }

    /// The 16 bytes for a name: itself, or its place in the table of long names.
    fn name_field(&mut self, name: &str) -> String {
        if name.len() < 16 {
            return format!("{name}/");
        }
        let field = format!("/{}", self.long_names.len());
        self.long_names.extend_from_slice(name.as_bytes());
        self.long_names.extend_from_slice(b"/\n");
        field
    }

    /// Adds what the last member, whose header is at `at`, defines for other objects.
    fn index(&mut self, at: usize) -> Result<()> {
        let data = &self.body[at + HEADER..];
        if !data.starts_with(b"\x7fELF") {
            return Ok(());
        }
        let object = Object::parse(data)?;
        self.has_objects = true;
        for symbol in object.symbols.iter().skip(1) {
            let exported = matches!(symbol.st_bind(), elf::STB_GLOBAL | elf::STB_WEAK | elf::STB_GNU_UNIQUE);
            if exported && !symbol.is_undefined(LE) {
                self.index_names.extend_from_slice(object.symbols.symbol_name(LE, symbol)?);
                self.index_names.push(0);
                self.index_offsets.push(at as u64);
            }
        }
        Ok(())
    }

    /// Puts the index and the long names in front.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        if self.index_names.len() % 2 == 1 {
            self.index_names.push(0);
        }
        pad(&mut self.long_names);
        let names = if self.long_names.is_empty() { 0 } else { HEADER + self.long_names.len() };
        let first = |word: usize| {
            let index = word * (1 + self.index_offsets.len()) + self.index_names.len();
            (MAGIC.len() + if self.has_objects { HEADER + index } else { 0 } + names, index)
        };
        // 32-bit offsets unless the archive is too large for them.
        let (word, name) = if (first(4).0 + self.body.len()) >> 32 == 0 { (4, "/") } else { (8, "/SYM64/") };
        let (first, index_size) = first(word);

        let mut head = Vec::with_capacity(first);
        head.extend_from_slice(MAGIC);
        if self.has_objects {
            head.extend_from_slice(&header(name, ["0", "0", "0", "0"], index_size)?);
            let numbers = self.index_offsets.iter().map(|offset| first as u64 + offset);
            for number in std::iter::once(self.index_offsets.len() as u64).chain(numbers) {
                head.extend_from_slice(&number.to_be_bytes()[8 - word..]);
            }
            head.append(&mut self.index_names);
        }
        if names != 0 {
            head.extend_from_slice(&header("//", [""; 4], self.long_names.len())?);
            head.append(&mut self.long_names);
        }
        // The members move up in their own buffer: a second one of that size costs more than the move.
        let mut out = self.body;
        let members = out.len();
        out.resize(members + head.len(), 0);
        out.copy_within(..members, head.len());
        out[..head.len()].copy_from_slice(&head);
        Ok(out)
    }
}

/// A member's 60-byte header; `numbers` are time, user, group and mode.
fn header(name: &str, numbers: [&str; 4], size: usize) -> Result<[u8; HEADER]> {
    let [time, user, group, mode] = numbers;
    let text = format!("{name:<16}{time:<12}{user:<6}{group:<6}{mode:<8}{size:<10}`\n");
    text.as_bytes().try_into().map_err(|_| Error::new(format!("{size} bytes are too many for a member of an archive")))
}

/// Members begin at even offsets.
fn pad(bytes: &mut Vec<u8>) {
    if bytes.len() % 2 == 1 {
        bytes.push(b'\n');
    }
}
