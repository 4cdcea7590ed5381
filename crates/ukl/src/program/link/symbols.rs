//! Which object defines a symbol and which one wants it, for messages.

use std::path::PathBuf;

use object::read::archive::ArchiveFile;
use object::read::elf::ElfFile64;
use object::{Object, ObjectSymbol};

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

fn look(bytes: &[u8], symbol: &str, name: &str, places: &mut Places) {
    let Ok(file) = ElfFile64::<object::Endianness>::parse(bytes) else { return };
    for found in file.symbols().filter(|s| s.is_global() && s.name() == Ok(symbol)) {
        let list = if found.is_undefined() { &mut places.wanted } else { &mut places.defined };
        list.push(name.to_owned());
    }
}

/// The symbols that an object needs and lacks, weak ones apart: those become zero.
pub fn undefined(bytes: &[u8]) -> Result<Vec<String>> {
    let file = ElfFile64::<object::Endianness>::parse(bytes)?;
    let missing = file.symbols().filter(|s| s.is_undefined() && s.is_global() && !s.is_weak());
    let names = missing.filter_map(|s| s.name().ok()).filter(|name| !name.is_empty());
    Ok(names.map(str::to_owned).collect())
}
