//! [`Objects`] → [`Linked`]: one relocatable object and the ring-3 twin.

mod script;
mod symbols;

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::base::error::{fail, Class, Failure, Result};
use crate::base::run::{Cmd, Shell};
use crate::base::stamp::{self, Inputs as Stamp};
use crate::base::workdir::{self, ImageDir};
use crate::manifest::Manifest;
use crate::program::compile::Objects;
use crate::program::musl::{self, Sysroot};
use crate::program::toolchain::Toolchain;
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

/// Links the program twice: for ring 3, and into one object for the kernel.
///
/// Errors (class `App`): a library is not found, a symbol is undefined (named, with the object
/// that wants it) or defined twice, a section would have no place in the kernel.
pub fn link(
    shell: &Shell,
    toolchain: &Toolchain,
    sysroot: &Sysroot,
    manifest: &Manifest,
    objects: &Objects,
    dir: &ImageDir,
) -> Result<Linked> {
    let inputs = Inputs::new(toolchain, sysroot, &objects.files, &manifest.libs)?;
    let stage = dir.stage("link");
    let linked = Linked { relocatable: stage.join("program.o"), twin: dir.twin() };
    let log = dir.log("link");
    if shell.dry_run {
        // What is compiled before would be another object.
        let fresh = |key: Stamp| [&linked.twin, &linked.relocatable].map(|file| stamp::is_fresh(file, key.key()));
        let known = crate::base::run::announced().is_empty().then(|| inputs.stamp(toolchain, sysroot).ok().map(fresh));
        if known == Some(Some([true, true])) {
            return Ok(linked);
        }
        for cmd in inputs.commands(toolchain, dir) {
            shell.run(&cmd)?;
        }
        return Ok(linked);
    }
    stamp::output(&inputs.stamp(toolchain, sysroot)?, &[&linked.relocatable, &linked.twin], || {
        workdir::create_dir(&stage)?;
        workdir::write_atomic(&log, b"")?;
        // First the twin: an ordinary link reports what a partial link lets pass.
        let twin = stage.join("twin");
        step(shell, &inputs, &inputs.executable(&twin), &log)?;
        step(shell, &inputs, &inputs.whole(&stage.join("whole.o")), &log)?;
        merge(shell, toolchain, &inputs, &stage, &log)?;
        workdir::copy_atomic(&twin, &linked.twin)
    })?;
    Ok(linked)
}

/// The last step: `whole.o` of the stage's folder becomes `program.o`, its sections merged under private names.
fn merge(shell: &Shell, toolchain: &Toolchain, inputs: &Inputs, stage: &Path, log: &Path) -> Result<()> {
    let text = script::for_program(&workdir::read(&stage.join("whole.o"))?)?;
    workdir::write_atomic(&stage.join("partial.lds"), text.as_bytes())?;
    let program = stage.join("program.o");
    step(shell, inputs, &partial(toolchain, stage, &program), log)?;
    verify(inputs, &program)
}

/// The three calls of the linker: the twin, everything in one object, the same object with its sections merged
/// as the linker script `partial.lds` beside it says.
pub fn commands(
    toolchain: &Toolchain,
    sysroot: &Sysroot,
    manifest: &Manifest,
    objects: &[PathBuf],
    dir: &ImageDir,
) -> Result<[Cmd; 3]> {
    Ok(Inputs::new(toolchain, sysroot, objects, &manifest.libs)?.commands(toolchain, dir))
}

/// Takes a program that `ukl cc` linked: its twin is the executable itself, its objects were kept.
///
/// Errors (class `App`): a section would have no place in the kernel.
pub fn recorded(shell: &Shell, toolchain: &Toolchain, record: &Record, dir: &ImageDir) -> Result<Linked> {
    let stage = dir.stage("link");
    let linked = Linked { relocatable: stage.join("program.o"), twin: dir.twin() };
    let log = dir.log("link");
    let files = [workdir::hash_file(&record.object)?, workdir::hash_file(&record.program)?];
    let key = Stamp::default().with("the compiler", &toolchain.id).with("the linker script", script::TEMPLATE);
    let key = key.hashed("the program's objects", &files[0]).hashed("the program", &files[1]);
    stamp::output(&key, &[&linked.relocatable, &linked.twin], || {
        // Evidence first: how the program's own build linked it.
        workdir::write_atomic(&log, format!("$ cd {} && {}\n", record.dir.display(), record.command).as_bytes())?;
        let whole = stage.join("whole.o");
        workdir::copy_atomic(&record.object, &whole)?;
        let inputs = Inputs {
            ld: toolchain.ld.clone(),
            start: Vec::new(),
            objects: Vec::new(),
            archives: Vec::new(),
            end: whole,
        };
        merge(shell, toolchain, &inputs, &stage, &log)?;
        workdir::copy_atomic(&record.program, &linked.twin)
    })?;
    Ok(linked)
}

/// The linker's call for a static ring-3 executable.
pub fn executable_command(toolchain: &Toolchain, sysroot: &Sysroot, objects: &[PathBuf], output: &Path) -> Result<Cmd> {
    Ok(Inputs::new(toolchain, sysroot, objects, &[])?.executable(output))
}

/// Links `objects` to the static ring-3 executable `output`, for the guest's own programs.
pub fn executable(
    shell: &Shell,
    toolchain: &Toolchain,
    sysroot: &Sysroot,
    objects: &[PathBuf],
    output: &Path,
    log: &Path,
) -> Result<()> {
    let inputs = Inputs::new(toolchain, sysroot, objects, &[])?;
    if !shell.dry_run {
        workdir::create_parent(log)?;
    }
    step(shell, &inputs, &inputs.executable(output), log)
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
    fn new(toolchain: &Toolchain, sysroot: &Sysroot, files: &[PathBuf], libs: &[String]) -> Result<Self> {
        let is_archive = |path: &PathBuf| path.extension().is_some_and(|e| e == "a");
        let (mut archives, objects): (Vec<_>, Vec<_>) = files.iter().cloned().partition(is_archive);
        for lib in libs {
            archives.push(library(sysroot, lib)?);
        }
        archives.extend([sysroot.lib("libc.a"), toolchain.libgcc.clone()]);
        let start = ["crt1.o", "crti.o"].map(|name| sysroot.lib(name)).to_vec();
        Ok(Inputs { ld: toolchain.ld.clone(), start, objects, archives, end: sysroot.lib("crtn.o") })
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
    fn commands(&self, toolchain: &Toolchain, dir: &ImageDir) -> [Cmd; 3] {
        let stage = dir.stage("link");
        let partial = partial(toolchain, &stage, &stage.join("program.o"));
        [self.executable(&dir.twin()), self.whole(&stage.join("whole.o")), partial]
    }

    /// All that decides the outputs.
    fn stamp(&self, toolchain: &Toolchain, sysroot: &Sysroot) -> Result<Stamp> {
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

/// The call of the linker for [`merge`]; what nothing refers to is dropped.
fn partial(toolchain: &Toolchain, stage: &Path, output: &Path) -> Cmd {
    Cmd::new(&toolchain.ld)
        .args(["-r", "-d", "--gc-sections", "-e", "_start", "--force-group-allocation"])
        .arg("-T")
        .arg(stage.join("partial.lds"))
        .arg("-o")
        .arg(output)
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
/// the kernel's side are no such case: the program has a stub for each (see `calls`).
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
