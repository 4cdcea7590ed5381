//! [`Objects`] → [`Linked`]: one relocatable object and the ring-3 twin.

mod script;
mod symbols;

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::base::env::Env;
use crate::base::error::{fail, Class, Failure, Result};
use crate::base::plan::{Made, Plan};
use crate::base::run::{Cmd, Shell};
use crate::base::stamp::{self, Inputs as Stamp};
use crate::base::workdir::{self, ImageDir};
use crate::manifest::Manifest;
use crate::program::compile::Objects;
use crate::program::musl::{self, Sysroot};
use crate::program::toolchain::Toolchain;
use crate::program::userland::Userland;
use crate::program::wrapper::Record;

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
            merged(&env.shell, &inputs, merge, &stage, &log)?;
            workdir::copy_atomic(&twin, &linked.twin)
        })?;
        Ok(linked)
    })
}

/// The last step: `whole.o` of the stage's folder becomes `program.o`, its sections merged under private names.
fn merged(shell: &Shell, inputs: &Inputs, merge: &[Cmd], stage: &Path, log: &Path) -> Result<()> {
    let text = script::for_program(&workdir::read(&stage.join("whole.o"))?)?;
    workdir::write_atomic(&stage.join("partial.lds"), text.as_bytes())?;
    merge.iter().try_for_each(|cmd| step(shell, inputs, cmd, log))?;
    verify(inputs, &stage.join("program.o"))
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
            merged(&env.shell, &Inputs::finished(toolchain, &whole), &commands, &stage, &log)?;
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

/// Everything that is linked, in link order.
struct Inputs {
    ld: PathBuf,
    start: Vec<PathBuf>,
    objects: Vec<PathBuf>,
    archives: Vec<PathBuf>,
    end: PathBuf,
}

impl Inputs {
    fn new(Userland { toolchain, sysroot }: &Userland, files: &[PathBuf], libs: &[String]) -> Result<Self> {
        let is_archive = |path: &PathBuf| path.extension().is_some_and(|e| e == "a");
        let (mut archives, objects): (Vec<_>, Vec<_>) = files.iter().cloned().partition(is_archive);
        for lib in libs {
            archives.push(library(sysroot, lib)?);
        }
        archives.extend([sysroot.lib("libc.a"), toolchain.libgcc.clone()]);
        let start = ["crt1.o", "crti.o"].map(|name| sysroot.lib(name)).to_vec();
        Ok(Inputs { ld: toolchain.ld.clone(), start, objects, archives, end: sysroot.lib("crtn.o") })
    }

    /// One object that has everything in it.
    fn finished(toolchain: &Toolchain, whole: &Path) -> Self {
        let [start, objects, archives] = [const { Vec::new() }; 3];
        Inputs { ld: toolchain.ld.clone(), start, objects, archives, end: whole.to_owned() }
    }

    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let start = self.start.iter().chain(&self.objects);
        start.chain(&self.archives).chain(std::iter::once(&self.end))
    }

    /// `options` and all inputs; archives may need one another in any order.
    fn command(&self, options: &[&str], output: &Path) -> Cmd {
        let cmd = Cmd::new(&self.ld).args(options).arg("-o").arg(output);
        let cmd = cmd.args(&self.start).args(&self.objects);
        cmd.arg("--start-group").args(&self.archives).arg("--end-group").arg(&self.end)
    }

    fn executable(&self, output: &Path) -> Cmd {
        self.command(&["-static", "--gc-sections", "--build-id=none", "-z", "noexecstack"], output)
    }

    fn whole(&self, output: &Path) -> Cmd {
        self.command(&["-r", "-d"], output)
    }

    /// [`commands`].
    fn commands(&self, userland: &Userland, stage: &Path, twin: &Path) -> [Cmd; 3] {
        [self.executable(twin), self.whole(&stage.join("whole.o")), partial(&userland.toolchain, stage)]
    }

    /// All that decides the outputs.
    fn stamp(&self, Userland { toolchain, sysroot }: &Userland) -> Result<Stamp> {
        let mut stamp = Stamp::default().with("the compiler", &toolchain.id).with("the C library", &sysroot.key);
        stamp = stamp.with("the linker script", script::TEMPLATE);
        // The sysroot's own files never change behind its key.
        let own = |file: &&PathBuf| !file.starts_with(&sysroot.dir);
        for file in self.objects.iter().chain(&self.archives).filter(own) {
            if !file.exists() {
                let text = format!("`{}` does not exist", file.display());
                return Err(fail(Class::App, text).into());
            }
            stamp = stamp.hashed(&file.display().to_string(), &workdir::hash_file(file)?);
        }
        Ok(stamp)
    }
}

fn library(sysroot: &Sysroot, lib: &str) -> Result<PathBuf> {
    if lib.contains('/') {
        return Ok(PathBuf::from(lib));
    }
    let name = format!("lib{lib}.a");
    if musl::PARTS.contains(&name.as_str()) {
        return Ok(sysroot.lib(&name));
    }
    let hint = "`libs` takes musl's own libraries by name, any other archive by path";
    Err(fail(Class::App, format!("library `{lib}` is not part of the C library")).hint(hint).into())
}

/// The call of the linker for [`merged`]; what nothing refers to is dropped.
fn partial(toolchain: &Toolchain, stage: &Path) -> Cmd {
    Cmd::new(&toolchain.ld)
        .args(["-r", "-d", "--gc-sections", "-e", "_start", "--force-group-allocation"])
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
    Err(explain(inputs, &text)?.command(cmd.display()).log(log).into())
}

/// The linker's complaint, with symbol and object named.
fn explain(inputs: &Inputs, text: &str) -> Result<Failure> {
    if let Some(symbol) = quoted_after(text, "undefined reference to ") {
        return undefined(inputs, symbol);
    }
    if let Some(symbol) = quoted_after(text, "multiple definition of ") {
        let places = symbols::places(inputs.files(), symbol)?;
        let text = format!("`{symbol}` is defined more than once: in {}", list(&places.defined));
        return Ok(fail(Class::App, text));
    }
    let first = text.lines().find(|line| !line.contains("warning:")).unwrap_or("the linker failed");
    Ok(fail(Class::App, first.to_owned()))
}

fn undefined(inputs: &Inputs, symbol: &str) -> Result<Failure> {
    let places = symbols::places(inputs.files(), symbol)?;
    let text = format!("undefined symbol `{symbol}`, wanted by {}", list(&places.wanted));
    Ok(fail(Class::App, text).hint("add what defines it to `sources` or `libs`"))
}

fn list(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(5).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(shown.len());
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    shown.join(", ") + &tail
}

/// GNU ld quotes names like `this'.
fn quoted_after<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    let rest = text.split_once(words)?.1.strip_prefix('`')?;
    rest.split_once('\'').map(|(name, _)| name)
}

/// What the kernel's final link may still have to define: the entry, and two linker inventions. Functions on
/// the kernel's side are no such case: the program has a stub for each (see `exports`).
const DEFINED_LATER: [&str; 3] = ["__ukl_syscall", "_GLOBAL_OFFSET_TABLE_", "__tls_get_addr"];

/// `ld -r` tolerates almost everything, so what it wrote is checked: no symbol is missing, no
/// section would be placed where the linker likes.
fn verify(inputs: &Inputs, relocatable: &Path) -> Result<()> {
    let bytes = workdir::read(relocatable)?;
    let context = || format!("failed to read back `{}`", relocatable.display());
    for symbol in symbols::undefined(&bytes).with_context(context)? {
        if !DEFINED_LATER.contains(&symbol.as_str()) {
            return Err(undefined(inputs, &symbol)?.into());
        }
    }
    if let Some(section) = script::unplaced(&bytes).with_context(context)? {
        let text = format!("section `{section}` has no place in the kernel's image");
        return Err(fail(Class::App, text).into());
    }
    Ok(())
}
