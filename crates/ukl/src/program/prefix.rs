//! [`Linked`] → [`Prefixed`]: every symbol gets `ukl_`, every call site a jump.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context;
use formats::{halts, sites};
use goblin::elf::Elf;

use crate::base::error::{fail, Class, Result};
use crate::base::plan::Made;
use crate::base::workdir::{self, ImageDir};
use crate::program::link::Linked;

/// The relocatable object with prefixed symbols and rewritten call sites.
#[derive(Debug, Clone)]
pub struct Prefixed {
    /// The object.
    pub object: PathBuf,
    /// Kernel symbols that it imports (unprefixed, undefined).
    pub imports: Vec<String>,
    /// Number of system call sites turned into jumps.
    pub sites: usize,
}

/// What stands before every symbol of the program, so that none can meet one of the kernel's.
pub const PREFIX: &str = "ukl_";

/// Turns the program into what the kernel links: own names, and jumps for system calls.
///
/// Errors (class `App`): an object that is not what the compile and link stages make; a name
/// that escaped the prefix.
pub fn prefix(linked: &Linked, dir: &ImageDir) -> Result<Prefixed> {
    let context = || format!("failed to prefix `{}`", linked.relocatable.display());
    let mut bytes = workdir::read(&linked.relocatable)?;
    let sites = sites::rewrite(&mut bytes, sites::ENTRY).map_err(app).with_context(context)?;
    halts::rewrite(&mut bytes).map_err(app).with_context(context)?;
    let exempt = formats::prefix::default_exempt();
    let bytes = formats::prefix::prefix(&bytes, PREFIX, &|name| exempt.contains(name));
    let bytes = bytes.map_err(app).with_context(context)?;
    let imports = check(&bytes, &exempt).with_context(context)?;
    let object = dir.stage("prefix").join("program.o");
    workdir::write_if_changed(&object, &bytes)?;
    Ok(Prefixed { object, imports, sites })
}

/// What [`prefix`] would make of `linked`, as far as that is known without doing it.
pub fn planned(linked: &Made<Linked>, dir: &ImageDir) -> Made<Prefixed> {
    Made::later(Prefixed { object: dir.stage("prefix").join("program.o"), imports: Vec::new(), sites: 0 }, linked)
}

fn app(error: formats::Error) -> anyhow::Error {
    fail(Class::App, error.to_string()).into()
}

/// Reads the object back with another reader: no global name without prefix, bar the exempt ones.
///
/// The answer is the exempt names that somebody else has to define, sorted.
fn check(bytes: &[u8], exempt: &BTreeSet<&str>) -> Result<Vec<String>> {
    let elf = Elf::parse(bytes)?;
    let mut imports = BTreeSet::new();
    for symbol in elf.syms.iter().filter(|symbol| symbol.st_bind() != goblin::elf::sym::STB_LOCAL) {
        let name = elf.strtab.get_at(symbol.st_name).unwrap_or_default();
        if !exempt.contains(name) && !name.starts_with(PREFIX) {
            return Err(fail(Class::App, format!("symbol `{name}` has no prefix")).into());
        }
        if symbol.is_import() && exempt.contains(name) {
            imports.insert(name.to_owned());
        }
    }
    Ok(imports.into_iter().collect())
}
