//! glibc: the host's own static archives, as its distribution built them.
//!
//! They need no other code model: whatever is position-independent reaches the program's data from the
//! kernel's text, and their `syscall` instructions work there as they are.

use std::path::{Path, PathBuf};

use crate::base::cached;
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::plan::Made;
use crate::base::run::{Cmd, Shell};
use crate::base::target::TARGET;
use crate::base::workdir;
use crate::manifest::Libc;
use crate::program::toolchain::{self, Toolchain};

use super::sysroot::{self, Sysroot};

/// One file of each package that a program's bytes depend on.
pub const PINNED: [&str; 3] = ["libc.a", "libgcc_eh.a", "libstdc++.a"];

/// Start and end files of position-independent programs: those of static ones hold addresses of 32 bits without a sign.
const START: [&str; 3] = ["crt1.o", "crti.o", "crtbeginS.o"];
const END: [&str; 2] = ["crtendS.o", "crtn.o"];
/// The last two know each other.
const ARCHIVES: [&str; 4] = ["libm.a", "libgcc.a", "libgcc_eh.a", "libc.a"];

/// Finds the host's glibc; only the assembler's hook is made.
///
/// Error (class `Host`): its static archives are not installed.
pub fn build(env: &Env, toolchain: &Toolchain) -> Result<Made<Sysroot>> {
    let shell = &env.shell;
    let find = |names: &[&str]| names.iter().map(|name| file(shell, toolchain, name)).collect::<Result<Vec<_>>>();
    let (start, end, mut archives) = (find(&START)?, find(&END)?, find(&ARCHIVES)?);
    // C++ is an extra package; who needs it learns from the compiler that it is missing.
    archives.splice(0..0, file(shell, toolchain, "libstdc++.a"));
    let mut parts = vec![toolchain.id.clone(), toolchain.kernel_flags().join(" ")];
    parts.extend(sysroot::hook(toolchain).map(|(_, text)| text));
    for path in start.iter().chain(&archives).chain(&end) {
        parts.push(workdir::hash_file(path)?);
    }
    let key = workdir::hash(parts)[..24].to_owned();
    let folders = folders(&archives);
    let fill = |work: &cached::Work, _: &[Cmd]| sysroot::write_hook(toolchain, &work.out);
    let dir = cached::entry(env, "glibc", &key, |_| Ok(Vec::new()), fill)?;
    Ok(dir.map(|dir| Sysroot { libc: Libc::Glibc, dir, key, start, archives, end, folders }))
}

/// The folders of the host's archives: who links statically against them does so on purpose.
fn folders(archives: &[PathBuf]) -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from("/usr/local/lib")];
    for folder in archives.iter().rev().filter_map(|path| path.parent()) {
        if !folders.iter().any(|known| known == folder) {
            folders.push(folder.to_owned());
        }
    }
    folders
}

/// A file that the compiler's driver knows by name.
pub fn file(shell: &Shell, toolchain: &Toolchain, name: &str) -> Result<PathBuf> {
    let option = format!("-print-file-name={name}");
    let cmd = Cmd::new(&toolchain.cc).arg(option).env("LC_ALL", "C").probe();
    let output = shell.check(&cmd, Class::Host)?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    // The driver repeats the name of what it does not have.
    match path.is_absolute() && path.is_file() {
        true => Ok(std::fs::canonicalize(&path).unwrap_or(path)),
        false => Err(missing(toolchain, name).into()),
    }
}

/// Name and version of the installed package that `file` belongs to; nothing where there is no dpkg.
pub fn package(shell: &Shell, file: &Path) -> Result<Option<(String, String)>> {
    if toolchain::which("dpkg-query").is_none() {
        return Ok(None);
    }
    let ask = |args: &[&str]| -> Result<Option<String>> {
        let output = shell.run(&Cmd::new("dpkg-query").args(args).env("LC_ALL", "C").probe())?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok((output.status.success() && !text.is_empty()).then_some(text))
    };
    let Some(owner) = ask(&["--search", &file.display().to_string()])? else { return Ok(None) };
    let name = owner.split(": ").next().unwrap_or_default();
    let Some(version) = ask(&["--show", "--showformat=${Version}", name])? else { return Ok(None) };
    Ok(Some((name.split(':').next().unwrap_or(name).to_owned(), version)))
}

fn missing(toolchain: &Toolchain, name: &str) -> crate::base::error::Failure {
    let failure = fail(Class::Host, format!("`{}` has no `{name}` of glibc", toolchain.cc.display()));
    let package = match name {
        "libstdc++.a" => "g++",
        "libc.a" | "libm.a" | "crt1.o" | "crti.o" | "crtn.o" => "libc6-dev",
        _ => "gcc",
    };
    failure.hint(format!("apt-get install --yes {package}"))
}

/// Whether `path` is one of the host's own libraries, compiled for glibc.
pub fn is_hosts(path: &Path) -> bool {
    let path = std::fs::canonicalize(path).unwrap_or(path.to_owned());
    ["/lib", "/lib64", "/usr/lib", "/usr/lib64"].iter().any(|folder| path.starts_with(folder))
}

/// Where the host's distribution puts static libraries.
const FOLDERS: [&str; 3] = [TARGET.libraries, "/usr/lib", "/usr/local/lib"];

/// Whether the host has the archive `name`.
pub fn has(name: &str) -> bool {
    FOLDERS.iter().any(|folder| Path::new(folder).join(name).is_file())
}

/// What a compiler or linker with musl missed in `text` and this host has for glibc: the hint.
pub fn wanted(text: &str) -> Option<String> {
    let header = |line: &str| {
        let name = line.split_once("fatal error: ")?.1.strip_suffix(": No such file or directory")?;
        let there = ["/usr/include", TARGET.headers].iter().any(|folder| Path::new(folder).join(name).is_file());
        there.then(|| format!("this host has `{name}` for glibc: `libc = \"glibc\"` takes it"))
    };
    let library = |line: &str| {
        let name = line.split_once("cannot find -l")?.1.split(':').next()?.trim();
        let name = format!("lib{name}.a");
        has(&name).then(|| format!("this host's `{name}` was made for glibc: `libc = \"glibc\"` takes it as it is"))
    };
    text.lines().find_map(|line| header(line).or_else(|| library(line)))
}

/// Whether glibc or its C++ library defines a symbol that musl may lack.
pub fn defines(symbol: &str) -> bool {
    let cxx = ["_ZSt", "_ZNSt", "_ZNKSt", "_ZTVN10__cxxabiv1", "__cxa_", "__gxx_personality_v0"];
    if cxx.iter().any(|start| symbol.starts_with(start)) {
        return true;
    }
    let Ok(bytes) = std::fs::read(Path::new(TARGET.libraries).join("libc.a")) else { return false };
    let archive = object::read::archive::ArchiveFile::parse(bytes.as_slice());
    let Some(names) = archive.ok().and_then(|archive| archive.symbols().ok().flatten()) else { return false };
    names.filter_map(|name| name.ok()).any(|name| name.name() == symbol.as_bytes())
}
