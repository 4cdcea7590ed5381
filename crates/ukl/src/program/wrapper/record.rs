//! What is kept of a program's final link: its inputs as one object, and where they came from.

use std::path::{Path, PathBuf};

use object::Object;
use serde::{Deserialize, Serialize};

use super::Tools;
use crate::base::error::{fail, Class, Result};
use crate::base::workdir::{self, Cache};
use crate::manifest::Libc;

/// One finished link of `ukl cc`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    format: u32,
    /// The executable, where it was linked.
    pub program: PathBuf,
    /// Its build ID, which outlives copying and stripping.
    pub build_id: String,
    /// The same inputs as one relocatable object.
    pub object: PathBuf,
    /// The linker's call, in `dir`.
    pub command: String,
    /// The folder of that call.
    pub dir: PathBuf,
    /// The compiler, as it names itself.
    pub compiler: String,
    /// The C library.
    pub libc: Libc,
    /// Its key.
    pub sysroot: String,
}

const FORMAT: u32 = 2;

/// Keeps `part` as the inputs of the fresh executable `output`.
pub(super) fn write(cache: &Cache, tools: &Tools, output: &Path, part: &Path, command: &str) -> Result<()> {
    let program = std::path::absolute(output)?;
    let object = workdir::linked_object(&program);
    std::fs::rename(part, &object)?;
    let build_id = build_id(&program)?.ok_or_else(|| fail(Class::Host, "the linker wrote no build ID"))?;
    let record = Record {
        format: FORMAT,
        build_id,
        object,
        command: command.to_owned(),
        dir: std::env::current_dir()?,
        compiler: tools.userland.toolchain.version.clone(),
        libc: tools.userland.sysroot.libc,
        sysroot: tools.userland.sysroot.key.clone(),
        program,
    };
    let text = serde_json::to_vec_pretty(&record)?;
    workdir::write_atomic(&workdir::link_record(&record.program), &text)?;
    // `make install` copies the program away from its record.
    workdir::write_atomic(&cache.fact(&format!("link-{}", record.build_id)), &text)
}

/// The record of the executable `program`, wherever it was copied to.
///
/// Errors: no such file (class `App`), not linked by `ukl cc`, its record is gone (class `Usage`).
pub fn find(cache: &Cache, program: &Path) -> Result<Record> {
    if !program.is_file() {
        return Err(fail(Class::App, format!("no program `{}`", program.display())).into());
    }
    let foreign = || {
        let failure = fail(Class::Usage, format!("`{}` was not linked by `ukl cc`", program.display()));
        failure.hint("build it once more after `eval \"$(ukl env)\"`, which sets CC for configure, make and cmake")
    };
    let build_id = build_id(program).ok().flatten().ok_or_else(foreign)?;
    let program = std::path::absolute(program)?;
    let places = [workdir::link_record(&program), cache.fact(&format!("link-{build_id}"))];
    let read = |path: PathBuf| serde_json::from_slice::<Record>(&std::fs::read(path).ok()?).ok();
    let fits = |record: &Record| record.format == FORMAT && record.build_id == build_id;
    let mut record = places.into_iter().filter_map(read).find(fits).ok_or_else(foreign)?;
    if !record.object.is_file() {
        let text = format!("`{}` is gone, which was kept of the program's link", record.object.display());
        return Err(fail(Class::Usage, text).hint("link the program once more").into());
    }
    // Its copy may have been stripped, and is what the user means.
    record.program = program;
    Ok(record)
}

fn build_id(program: &Path) -> Result<Option<String>> {
    let bytes = workdir::read(program)?;
    let id = object::File::parse(&*bytes)?.build_id()?;
    Ok(id.map(|id| id.iter().map(|byte| format!("{byte:02x}")).collect()))
}
