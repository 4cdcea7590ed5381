//! `ukl inspect`: what is in a program's archive or object, and in its image.

mod code;

use std::path::{Path, PathBuf};

use formats::elf::{Binding, Facts, Place, Section, SymbolKind};
use formats::sites::{self, Form};
use serde::Serialize;

use crate::base::error::{fail, Class, Result};
use crate::base::workdir::{self, ImageDir};
use crate::tools::cache::human_size;

pub use code::Found;

/// Everything that one object holds.
#[derive(Debug, Clone, Serialize)]
pub struct Contents {
    /// The file that was read.
    pub file: PathBuf,
    /// The object's name in the archive; the file's name when it is not an archive.
    pub object: String,
    /// Sections that take memory, in file order.
    pub sections: Vec<SectionSize>,
    /// Bytes by what the program may do with them.
    pub totals: Totals,
    /// Symbols defined here.
    pub symbols: usize,
    /// The biggest of them.
    pub biggest: Vec<Big>,
    /// Undefined names: what the kernel must define.
    pub imports: Vec<String>,
    /// System call sites.
    pub sites: Sites,
    /// Instructions that behave differently, or not at all, at the highest privilege level.
    pub raw: Vec<Found>,
    /// Functions that write below the stack pointer.
    pub red_zones: Vec<Found>,
}

/// One section and its size.
#[derive(Debug, Clone, Serialize)]
pub struct SectionSize {
    /// Its name.
    pub name: String,
    /// Bytes in memory.
    pub bytes: u64,
    /// `code`, `read`, `write`, `zero` or `tls`.
    pub kind: &'static str,
}

/// Bytes in memory by kind; thread-local ones are counted once.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Totals {
    /// Executable, in the kernel's text.
    pub code: u64,
    /// Read-only, in the process.
    pub read: u64,
    /// Writable, in the process.
    pub write: u64,
    /// Writable and zero at the start.
    pub zero: u64,
    /// The image of thread-local variables.
    pub tls: u64,
}

/// One big symbol.
#[derive(Debug, Clone, Serialize)]
pub struct Big {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// The section that holds it.
    pub section: String,
}

/// How the program makes system calls.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Sites {
    /// Marked sites that jump to the kernel's entry.
    pub jumps: usize,
    /// Marked sites that still execute the instruction.
    pub native: usize,
}

/// The file that holds the program, for a project's or image's folder, an archive or an object.
pub fn program_of(path: &Path) -> PathBuf {
    if path.is_dir() {
        ImageDir::at(path).archive()
    } else {
        path.to_owned()
    }
}

/// Reads an object or every object of an archive.
///
/// Errors (class `Usage`): it does not exist, or is neither.
pub fn inspect(path: &Path, top: usize) -> Result<Vec<Contents>> {
    if !path.exists() {
        let failure = fail(Class::Usage, format!("no file `{}`", path.display()));
        return Err(failure.hint("build the image first: `ukl build`").into());
    }
    let bytes = workdir::read(path)?;
    let not_ours = |error: formats::Error| fail(Class::Usage, format!("cannot read `{}`: {error}", path.display()));
    if !bytes.starts_with(b"!<arch>\n") {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        return Ok(vec![contents(path, &name, &bytes, top).map_err(not_ours)?]);
    }
    let members = formats::ar::read(&bytes).map_err(not_ours)?;
    let all = members.iter().map(|member| contents(path, &member.name, &bytes[member.range.clone()], top));
    Ok(all.collect::<formats::Result<Vec<_>>>().map_err(not_ours)?)
}

fn contents(file: &Path, object: &str, bytes: &[u8], top: usize) -> formats::Result<Contents> {
    let facts = Facts::read(bytes)?;
    let mut totals = Totals::default();
    let mut sections = Vec::new();
    for section in facts.sections.iter().filter(|s| s.is_alloc() && s.size > 0) {
        let kind = kind(section, &mut totals);
        sections.push(SectionSize { name: section.name.clone(), bytes: section.size, kind });
    }
    let imported = |s: &&formats::elf::Symbol| s.place == Place::Undefined && s.binding == Binding::Global;
    // The linker itself defines the first of these; weak names become 0 when nobody defines them.
    let imported = facts.symbols.iter().filter(imported).filter(|s| s.name != "_GLOBAL_OFFSET_TABLE_");
    let imports = imported.map(|s| s.name.clone()).collect();
    let defined = |s: &&formats::elf::Symbol| {
        s.place != Place::Undefined && !matches!(s.kind, SymbolKind::Section | SymbolKind::File)
    };
    let marked = sites::find(bytes)?;
    let jumps = marked.iter().filter(|site| site.form == Form::Call).count();
    let (red_zones, raw) = code::scan(&facts, bytes, &marked).into_iter().partition(|f| f.what == code::RED_ZONE);
    Ok(Contents {
        file: file.to_owned(),
        object: object.to_owned(),
        symbols: facts.symbols.iter().filter(defined).count(),
        biggest: biggest(&facts, top),
        sections,
        totals,
        imports,
        sites: Sites { jumps, native: marked.len() - jumps },
        raw,
        red_zones,
    })
}

fn kind(section: &Section, totals: &mut Totals) -> &'static str {
    let (kind, total) = match () {
        () if section.is_tls() => ("tls", &mut totals.tls),
        () if section.is_code() => ("code", &mut totals.code),
        () if section.is_nobits() => ("zero", &mut totals.zero),
        () if section.is_write() => ("write", &mut totals.write),
        () => ("read", &mut totals.read),
    };
    *total += section.size;
    kind
}

fn biggest(facts: &Facts, top: usize) -> Vec<Big> {
    let mut found: Vec<Big> = Vec::new();
    for symbol in facts.symbols.iter().filter(|s| s.size > 0) {
        if let Place::Section(index) = symbol.place {
            let section = facts.sections.get(index).map(|s| s.name.clone()).unwrap_or_default();
            found.push(Big { name: symbol.name.clone(), bytes: symbol.size, section });
        }
    }
    // Aliases name the same bytes again; all of them are shown, in a stable order.
    found.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    found.truncate(top);
    found
}

impl Contents {
    /// The report as `ukl inspect` prints it.
    pub fn text(&self) -> String {
        let mut text = format!("{} in {}\n\nsections\n", self.object, self.file.display());
        for section in &self.sections {
            text.push_str(&format!("  {:<28} {:>10}  {}\n", section.name, human_size(section.bytes), section.kind));
        }
        let t = &self.totals;
        let sizes = [("code", t.code), ("read-only", t.read), ("writable", t.write), ("zero", t.zero), ("tls", t.tls)];
        let sizes = sizes.map(|(name, bytes)| format!("{name} {}", human_size(bytes)));
        text.push_str(&format!("  total: {}\n\nsymbols: {} defined\n", sizes.join(", "), self.symbols));
        for big in &self.biggest {
            text.push_str(&format!("  {:<28} {:>10}  {}\n", big.name, human_size(big.bytes), big.section));
        }
        let names = if self.imports.is_empty() { "none".to_owned() } else { self.imports.join(" ") };
        text.push_str(&format!("\nimports from the kernel: {names}\n"));
        let (jumps, native) = (self.sites.jumps, self.sites.native);
        text.push_str(&format!("system call sites: {jumps} jump into the kernel, {native} execute `syscall`\n"));
        text.push_str(&format!("raw instructions:{}\n", list(&self.raw, |f| format!("{} in", f.what))));
        text.push_str(&format!("red zones:{}\n", list(&self.red_zones, |_| "in".to_owned())));
        text
    }
}

fn list(found: &[Found], what: impl Fn(&Found) -> String) -> String {
    if found.is_empty() {
        return " none".into();
    }
    let times = |f: &Found| if f.count > 1 { format!(" ({} times)", f.count) } else { String::new() };
    let line = |f: &Found| format!("\n  {} {}+{:#x}{}", what(f), f.function, f.offset, times(f));
    found.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_no_object_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let text = inspect(&dir.path().join("UKL.a"), 1).unwrap_err().to_string();
        assert!(text.starts_with("no file"), "{text}");
        let file = dir.path().join("text");
        workdir::write_atomic(&file, b"no object").unwrap();
        let text = inspect(&file, 1).unwrap_err().to_string();
        assert!(text.starts_with("cannot read"), "{text}");
    }
}
