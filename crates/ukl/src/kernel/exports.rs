//! Configured kernel + manifest → [`Exports`]: functions on the kernel's side that the program calls by name.
//!
//! A call is a system call whose number is an index into a table (see `docs/kernel.md`). The program
//! gets a stub for each function; the kernel gets the table, and the functions that the manifest brings.

mod names;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::plan::{Made, Plan};
use crate::base::run::{Cmd, Shell};
use crate::base::target::TARGET;
use crate::base::workdir::{self, ImageDir};
use crate::kernel::config::{self, Configured};
use crate::kernel::vmlinux::{self, Progress};
use crate::manifest::Manifest;
use crate::program::toolchain::Toolchain;

/// What the two sides get.
#[derive(Debug, Clone)]
pub struct Exports {
    /// Assembler source that defines every function for the program: one more of its sources.
    pub stubs: PathBuf,
    /// Objects that join `UKL.a` under their own names: the manifest's functions, and the table.
    pub members: Vec<PathBuf>,
}

/// UKL_CALL_BASE of the patched kernel's asm/ukl.h: the number of the first function.
const BASE: u32 = 0x554b_0000;
/// No more functions than that: far above the numbers of system calls, and far from the sign.
const MAX: usize = 0x1_0000;

/// Does the manifest name anything on the kernel's side?
pub fn wanted(manifest: &Manifest) -> bool {
    !manifest.kernel_sources.is_empty() || !manifest.imports.is_empty()
}

/// What the kernel's side of a program is made from.
#[derive(Debug)]
pub struct Side<'a> {
    /// The compiler that assembles the table.
    pub toolchain: &'a Toolchain,
    /// The kernel.
    pub configured: &'a Made<Configured>,
    /// What is called, and what is compiled.
    pub manifest: &'a Manifest,
    /// Where the outputs lie.
    pub image: &'a ImageDir,
}

/// Compiles the kernel's side of the program as the kernel is compiled; builds the kernel's objects first
/// where they are not in the cache.
///
/// Errors: a source does not compile, or an import is not a global function of the kernel (class `App`); the
/// kernel does not build (class `Kernel`).
pub fn build(env: &Env, side: &Side, progress: &mut dyn FnMut(Progress)) -> Result<Made<Exports>> {
    let log = side.image.log("exports");
    let outputs = Exports { stubs: side.image.stage("exports").join("stubs.s"), members: Vec::new() };
    let mut commands = vmlinux::objects_commands(side.configured);
    commands.push(compile_command(side.configured, &log));
    let plan = Plan::always("functions of the kernel are compiled and looked up each time", outputs, commands);
    plan.carry_out(&env.shell, |outputs, _| {
        // Other builds share the folder: it is ours until the objects are copied.
        let _held = vmlinux::objects(env, side.configured, side.image, progress)?;
        workdir::write_atomic(&log, b"")?;
        outputs.made(&env.shell, side, &log)
    })
}

impl Exports {
    /// Both sides, in a build folder that is ours.
    fn made(self, shell: &Shell, side: &Side, log: &Path) -> Result<Self> {
        let Side { toolchain, configured, manifest, image } = side;
        let stage = image.stage("exports");
        let mut members = compile(shell, configured, manifest, &stage, log)?;
        let mut functions = Vec::new();
        for object in &members {
            functions.extend(names::defined(&workdir::read(object)?)?);
        }
        if !manifest.kernel_sources.is_empty() && functions.is_empty() {
            let text = "`kernel-sources` define no function that the program could call";
            return Err(fail(Class::App, text).hint("a function for the program is not `static`").into());
        }
        if !manifest.imports.is_empty() {
            let map = configured.out.join("System.map");
            let map = String::from_utf8_lossy(&workdir::read(&map)?).into_owned();
            names::check(&manifest.imports, &map)?;
        }
        functions.extend(manifest.imports.iter().cloned());
        anyhow::ensure!(functions.len() <= MAX, fail(Class::App, format!("more than {MAX} functions to call")));
        workdir::write_atomic(&self.stubs, stubs(&functions).as_bytes())?;
        members.push(assemble(shell, toolchain, &table(&functions), &stage, log)?);
        Ok(Exports { members, ..self })
    }
}

fn compile_command(configured: &Configured, log: &Path) -> Cmd {
    // Lines for messages; the build folder's place must not get into the object.
    let sources = TARGET.kernel_sources;
    let flags = format!("KCFLAGS=-g -ffile-prefix-map={}=. -ffile-prefix-map={sources}/=", configured.out.display());
    config::make(configured).args([&flags, "ukl-objects"]).log(log)
}

/// Has the kernel's own build compile `kernel-sources`; copies of the objects, in the manifest's order.
fn compile(
    shell: &Shell,
    configured: &Configured,
    manifest: &Manifest,
    stage: &Path,
    log: &Path,
) -> Result<Vec<PathBuf>> {
    let folder = configured.out.join(TARGET.kernel_sources);
    // Nothing of another program may stay.
    workdir::remove_dir(&folder)?;
    let mut objects = Vec::new();
    for source in &manifest.kernel_sources {
        let name = Path::new(source.file_name().unwrap_or_default());
        workdir::copy_atomic(source, &folder.join(name))?;
        if name.extension().is_some_and(|extension| extension == "c") {
            objects.push((folder.join(name.with_extension("o")), stage.join(name.with_extension("kernel.o"))));
        }
    }
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let cmd = compile_command(configured, log);
    if !shell.run(&cmd)?.status.success() {
        let message = vmlinux::log_message(log, &configured.tree).replace(&format!("{}/", TARGET.kernel_sources), "");
        let text = format!("`kernel-sources` do not compile: {message}");
        return Err(fail(Class::App, text).command(cmd.display()).log(log).into());
    }
    for (made, kept) in &objects {
        workdir::copy_atomic(made, kept)?;
    }
    Ok(objects.into_iter().map(|(_, kept)| kept).collect())
}

/// Each function in a section of its own, so that the linker drops what the program does not call.
fn stubs(functions: &[String]) -> String {
    let mut text = String::from("# A function of the kernel is called as a system call: the fourth argument in R10.\n");
    for (number, name) in (BASE..).zip(functions) {
        let _ = write!(
            text,
            "\t.section .text.{name},\"ax\",@progbits\n\t.globl\t{name}\n\t.type\t{name},@function\n{name}:\n\
             \tmovq\t%rcx,%r10\n\tmovl\t${number:#x},%eax\n\tsyscall\n\tret\n\t.size\t{name},.-{name}\n"
        );
    }
    text.push_str("\t.section .note.GNU-stack,\"\",@progbits\n");
    text
}

/// The addresses in the order of the numbers, read-only, under the names that the kernel knows.
fn table(functions: &[String]) -> String {
    let mut text =
        String::from("\t.section .rodata.ukl_calls,\"a\"\n\t.balign 8\n\t.globl\t__ukl_calls\n__ukl_calls:\n");
    for name in functions {
        let _ = writeln!(text, "\t.quad\t{name}");
    }
    text.push_str("\t.globl\t__ukl_calls_end\n__ukl_calls_end:\n\t.section .note.GNU-stack,\"\",@progbits\n");
    text
}

fn assemble(shell: &Shell, toolchain: &Toolchain, text: &str, stage: &Path, log: &Path) -> Result<PathBuf> {
    let (source, object) = (stage.join("table.s"), stage.join("table.o"));
    workdir::write_atomic(&source, text.as_bytes())?;
    let cmd = Cmd::new(&toolchain.cc).arg("-c").arg(&source).arg("-o").arg(&object).log(log);
    if !shell.run(&cmd)?.status.success() {
        let failure = fail(Class::Host, "the table of functions could not be assembled");
        return Err(failure.command(cmd.display()).log(log).into());
    }
    Ok(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_addresses_are_in_one_order() {
        let functions = ["b", "a"].map(str::to_owned);
        let stubs = stubs(&functions);
        let at = |text: &str| stubs.find(text).unwrap();
        assert!(at("b:\n") < at("$0x554b0000") && at("$0x554b0000") < at("a:\n") && at("a:\n") < at("$0x554b0001"));
        assert!(table(&functions).contains("__ukl_calls:\n\t.quad\tb\n\t.quad\ta\n\t.globl\t__ukl_calls_end\n"));
    }
}
