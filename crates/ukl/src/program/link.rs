//! [`Objects`] → [`Linked`]: one relocatable object and the ring-3 twin.

mod script;
mod inputs;
mod blame;

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::plan::{Made, Plan};
use crate::base::run::{Cmd, Shell};
use crate::base::stamp::{self, Inputs as Stamp};
use crate::base::workdir::{self, ImageDir};
use crate::manifest::Manifest;
use crate::program::compile::Objects;
use crate::program::symbols;
use crate::program::toolchain::Toolchain;
use crate::program::unfit;
use crate::program::userland::Userland;
use crate::program::wrapper::Record;

use inputs::Inputs;

pub use script::{KNOWN, TEMPLATE};

/// The program as one relocatable object, and its twin.
#[derive(Debug, Clone)]
pub struct Linked {
    /// `ld -r` output with the private `.ukl.*` sections.
    pub relocatable: PathBuf,
    /// The same objects as a static executable for ring 3.
    pub twin: PathBuf,
}

impl Linked {
    /// Where both come to lie.
    pub fn of(dir: &ImageDir) -> Self {
        Linked { relocatable: dir.stage("link").join("program.o"), twin: dir.twin() }
    }

    fn files(&self) -> [&Path; 2] {
        [&self.relocatable, &self.twin]
    }
}

/// Links the program twice: for ring 3, and into one object for the kernel.
///
/// Errors (class `App`): a library is not found, a symbol is undefined (named, with the object
/// that wants it) or defined twice, a section would have no place in the kernel.
pub fn link(
    env: &Env,
    userland: &Userland,
    manifest: &Manifest,
    objects: &Made<Objects>,
    dir: &ImageDir,
) -> Result<Made<Linked>> {
    let inputs = Inputs::new(userland, &objects.files, &manifest.libs)?;
    let (linked, stage, log) = (Linked::of(dir), dir.stage("link"), dir.log("link"));
    let stamp = if objects.pending { Stamp::pending() } else { inputs.stamp(userland)? };
    let twin = stage.join("twin");
    let why = stamp::stale(&stamp, &linked.files());
    let commands = inputs.commands(userland, &stage, &twin).into();
    Plan { output: linked, why, commands }.carry_out(&env.shell, |linked, commands: Vec<Cmd>| {
        stamp::renew(&stamp, &linked.files(), || {
            workdir::create_dir(&stage)?;
            workdir::write_atomic(&log, b"")?;
            // First the twin: an ordinary link reports what a partial link lets pass.
            let (links, merge) = commands.split_at(commands.len() - 1);
            links.iter().try_for_each(|cmd| step(&env.shell, &inputs, cmd, &log))?;
            if let Some(failure) = unfit::check(&workdir::read(&stage.join("whole.o"))?, inputs.libc, inputs.files())? {
                return Err(failure.log(&log).into());
            }
            merged(&env.shell, &inputs, merge, &stage, &log)?;
            workdir::copy_atomic(&twin, &linked.twin)
        })?;
        Ok(linked)
    })
}

/// The last step: `whole.o` of the stage's folder becomes `program.o`, its sections merged under private names.
fn merged(shell: &Shell, inputs: &Inputs, merge: &[Cmd], stage: &Path, log: &Path) -> Result<()> {
    let text = script::for_program(&workdir::read(&stage.join("whole.o"))?, inputs.libc)?;
    workdir::write_atomic(&stage.join("partial.lds"), text.as_bytes())?;
    merge.iter().try_for_each(|cmd| step(shell, inputs, cmd, log))?;
    verify(shell, inputs, &stage.join("program.o"))
}

/// The three calls of the linker: the twin, everything in one object, the same object with its sections merged
/// as the linker script `partial.lds` beside it says.
pub fn commands(userland: &Userland, manifest: &Manifest, objects: &[PathBuf], dir: &ImageDir) -> Result<[Cmd; 3]> {
    let inputs = Inputs::new(userland, objects, &manifest.libs)?;
    Ok(inputs.commands(userland, &dir.stage("link"), &dir.twin()))
}

/// Takes a program that `ukl cc` linked: its twin is the executable itself, its objects were kept.
///
/// Errors (class `App`): a section would have no place in the kernel.
pub fn recorded(env: &Env, toolchain: &Toolchain, record: &Record, dir: &ImageDir) -> Result<Made<Linked>> {
    let (linked, stage, log) = (Linked::of(dir), dir.stage("link"), dir.log("link"));
    let files = [workdir::hash_file(&record.object)?, workdir::hash_file(&record.program)?];
    let stamp = Stamp::default().with("the compiler", &toolchain.id).with("the linker script", script::TEMPLATE);
    let stamp = stamp.hashed("the program's objects", &files[0]).hashed("the program", &files[1]);
    let whole = stage.join("whole.o");
    let why = stamp::stale(&stamp, &linked.files());
    let commands = vec![partial(toolchain, &stage)];
    Plan { output: linked, why, commands }.carry_out(&env.shell, |linked, commands| {
        stamp::renew(&stamp, &linked.files(), || {
            // Evidence first: how the program's own build linked it.
            workdir::write_atomic(&log, format!("$ cd {} && {}\n", record.dir.display(), record.command).as_bytes())?;
            workdir::copy_atomic(&record.object, &whole)?;
            merged(&env.shell, &Inputs::finished(toolchain, record.libc, &whole), &commands, &stage, &log)?;
            workdir::copy_atomic(&record.program, &linked.twin)
        })?;
        Ok(linked)
    })
}

/// The linker's call for a static ring-3 executable.
pub fn executable_command(userland: &Userland, objects: &[PathBuf], output: &Path) -> Result<Cmd> {
    Ok(Inputs::new(userland, objects, &[])?.executable(output))
}

/// Calls the linker for a static ring-3 executable of `objects`, for the guest's own programs.
pub fn executable(shell: &Shell, userland: &Userland, objects: &[PathBuf], cmd: &Cmd, log: &Path) -> Result<()> {
    step(shell, &Inputs::new(userland, objects, &[])?, cmd, log)
}

/// The call of the linker for [`merged`]; what nothing refers to is dropped.
fn partial(toolchain: &Toolchain, stage: &Path) -> Cmd {
    Cmd::new(&toolchain.ld)
        .args(["-r", "-d", "--gc-sections", "-e", "_start", "--force-group-allocation", "--no-demangle"])
        .arg("-T")
        .arg(stage.join("partial.lds"))
        .arg("-o")
        .arg(stage.join("program.o"))
        .arg(stage.join("whole.o"))
}

fn step(shell: &Shell, inputs: &Inputs, cmd: &Cmd, log: &Path) -> Result<()> {
    let cmd = cmd.clone().env("LC_ALL", "C").log(log);
    let mut text = String::new();
    let output = shell.run_with(&cmd, &mut |line| {
        text.push_str(line);
        text.push('\n');
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(blame::explain(shell, inputs, &text)?.command(cmd.display()).log(log).into())
}

/// What the kernel's final link may still have to define: the entry, and what linkers invent there. Functions on
/// the kernel's side are no such case: the program has a stub for each (see `exports`).
const DEFINED_LATER: [&str; 7] = [
    "__ukl_syscall",
    "_GLOBAL_OFFSET_TABLE_",
    "__tls_get_addr",
    "__ehdr_start",
    "__executable_start",
    "__rela_iplt_start",
    "__rela_iplt_end",
];

/// `ld -r` tolerates almost everything, so what it wrote is checked: no symbol is missing, no
/// section would be placed where the linker likes, no address would be cut short.
fn verify(shell: &Shell, inputs: &Inputs, relocatable: &Path) -> Result<()> {
    let bytes = workdir::read(relocatable)?;
    let context = || format!("failed to read back `{}`", relocatable.display());
    let missing = symbols::undefined(&bytes).with_context(context)?;
    let missing: Vec<String> = missing.into_iter().filter(|name| !DEFINED_LATER.contains(&name.as_str())).collect();
    if !missing.is_empty() {
        return Err(blame::undefined(shell, inputs, &missing)?.into());
    }
    if let Some(section) = script::unplaced(&bytes).with_context(context)? {
        let text = format!("section `{section}` has no place in the kernel's image");
        return Err(fail(Class::App, text).into());
    }
    if let Some(place) = symbols::short_address(&bytes).with_context(context)? {
        return Err(blame::short_address(inputs, &place)?.into());
    }
    Ok(())
}
