//! What the code of an object holds that behaves differently inside the kernel, function by function.

use formats::elf::{Facts, Place, SymbolKind};
use formats::scan::{self, Suspect};
use formats::sites::{self, Site};
use serde::Serialize;

/// Something that a scan of the code found.
#[derive(Debug, Clone, Serialize)]
pub struct Found {
    /// The function that holds it.
    pub function: String,
    /// Offset of the first one in the function.
    pub offset: u64,
    /// What it is: `syscall`, `int 0x80`, `hlt`, `red zone`, …
    pub what: String,
    /// How many of them the function has.
    pub count: usize,
}

/// What [`Found::what`] says of code that writes below the stack pointer.
pub(super) const RED_ZONE: &str = "red zone";
/// Where the instruction stands in a marked site.
const NATIVE_INSTRUCTION: u64 = sites::NATIVE.len() as u64 - 2;

/// Scans all code; marked system call sites are left out, the same thing in one function is counted.
pub(super) fn scan(facts: &Facts, bytes: &[u8], marked: &[Site]) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for (index, section) in facts.sections.iter().enumerate().filter(|(_, s)| s.is_code()) {
        let functions = functions(facts, index);
        let site = |at: u64| marked.iter().any(|s| s.section == section.name && at == s.offset + NATIVE_INSTRUCTION);
        for finding in scan::scan(section.data(bytes), section.address) {
            let what = match finding.suspect {
                Suspect::Syscall if site(finding.address - section.address) => continue,
                Suspect::Syscall => "syscall".to_owned(),
                Suspect::Sysenter => "sysenter".to_owned(),
                Suspect::Int(vector) => format!("int {vector:#x}"),
                Suspect::Halt => "hlt".to_owned(),
                Suspect::RedZone => RED_ZONE.to_owned(),
                Suspect::Unknown => "no instruction".to_owned(),
            };
            let before = functions.partition_point(|(start, _)| *start <= finding.address);
            let (start, name) =
                before.checked_sub(1).map_or((section.address, section.name.as_str()), |i| functions[i]);
            match found.iter_mut().find(|f| f.function == name && f.what == what) {
                Some(same) => same.count += 1,
                None => found.push(Found { function: name.into(), offset: finding.address - start, what, count: 1 }),
            }
        }
    }
    found
}

/// Start and name of every function of one section, by address.
fn functions(facts: &Facts, section: usize) -> Vec<(u64, &str)> {
    let here = facts.symbols.iter().filter(|s| s.place == Place::Section(section) && !s.name.is_empty());
    let code = here.filter(|s| matches!(s.kind, SymbolKind::Function | SymbolKind::Ifunc | SymbolKind::None));
    let mut functions: Vec<(u64, &str)> = code.map(|s| (s.value, s.name.as_str())).collect();
    functions.sort();
    functions
}
