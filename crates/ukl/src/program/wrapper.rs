//! `ukl cc`, `ukl c++`, `ukl fc`, `ukl ar` and `ukl ld`: the program's own build system, with our compiler in it.
//!
//! `ukl cc` is the compiler driver with the flags that make one object fit both privilege levels;
//! `ukl ld` is found by the driver beside the assembler hook. It sees the final link after driver
//! and libtool did their part: it links for ring 3, and keeps the same inputs for the kernel.

mod refused;
mod questions;
mod args;
mod record;
mod line;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::base::cached::{self, Work};
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::plan::Made;
use crate::base::quote;
use crate::base::run::{self, Cmd, Shell};
use crate::base::target::TARGET;
use crate::base::term;
use crate::base::workdir::{self, Cache};
use crate::manifest::Libc;
use crate::program::malloc;
use crate::program::toolchain;
use crate::program::userland::{self, Userland};

pub use record::{find, Record};

/// Everything that a call of the wrapper has to know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tools {
    /// The compiler and the C library.
    #[serde(flatten)]
    pub userland: Userland,
    /// The cache entry with the files that build systems and drivers look for.
    pub dir: PathBuf,
}

impl Tools {
    /// A file of the wrapper's own folder.
    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// Which compiler is behind the wrapper: `gcc`, `clang` or a path.
const COMPILER: &str = "UKL_COMPILER";
/// Which C library: `musl` or `glibc`.
const LIBC: &str = "UKL_LIBC";
/// The folder with libraries that were built before, as `--prefix` of their builds.
const PREFIX: &str = "UKL_PREFIX";

/// Cargo's variables for one target.
const CARGO_LINKER: &str = "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER";
const CARGO_FLAGS: &str = "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS";

/// The compiler drivers for build systems that take no words behind them.
const DRIVERS: &str = "bin";

const CALL: &str = "#!/bin/sh\nUKL_COMPILER='@COMPILER@' UKL_LIBC=@LIBC@ exec '@UKL@' @VERB@ \"$@\"\n";
const CONFIG_SITE: &str = include_str!("../../data/config.site");
const CMAKE: &str = include_str!("../../data/toolchain.cmake");
/// What keeps cmake from the host's libraries.
const CMAKE_MUSL: &str = include_str!("../../data/musl.cmake");

/// Runs `ukl cc`, `ukl c++`, `ukl fc`, `ukl ar` or `ukl ld` if that is what `words` (without our own name) ask for; the
/// answer is the exit code.
///
/// Their arguments are those of the tools that they stand for, none is an option of ours.
pub fn main(words: &[OsString]) -> Option<Result<u8>> {
    let (first, rest) = words.split_first()?;
    match first.to_str()? {
        "cc" => Some(words_of(rest).and_then(|words| cc(Language::C, words))),
        "c++" => Some(words_of(rest).and_then(|words| cc(Language::Cxx, words))),
        "fc" => Some(words_of(rest).and_then(|words| cc(Language::Fortran, words))),
        "ar" => Some(words_of(rest).and_then(|words| ar(&words))),
        "ld" => Some(words_of(rest).and_then(|words| ld(&words))),
        _ => None,
    }
}

fn words_of(words: &[OsString]) -> Result<Vec<String>> {
    let text = |word: &OsString| word.to_str().map(str::to_owned);
    let words: Option<Vec<String>> = words.iter().map(text).collect();
    let words = words.ok_or_else(|| fail(Class::Usage, "an argument is no UTF-8 text"))?;
    args::expand(words)
}

/// Which of the compiler's drivers is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// `ukl cc`.
    C,
    /// `ukl c++`.
    Cxx,
    /// `ukl fc`.
    Fortran,
}

fn cc(language: Language, mut words: Vec<String>) -> Result<u8> {
    let libc = libc_of(&mut words, language)?;
    let tools = for_libc(libc)?;
    if let Some(answer) = questions::answer(&tools.userland.sysroot, &words).filter(|_| libc == Libc::Musl) {
        term::out(&(answer + "\n"))?;
        return Ok(0);
    }
    let driver = match language {
        Language::C => tools.userland.toolchain.cc.clone(),
        Language::Cxx => tools.userland.toolchain.cxx()?,
        Language::Fortran => tools.userland.toolchain.fortran()?,
    };
    let prefix = std::env::var_os(PREFIX).filter(|prefix| !prefix.is_empty()).map(PathBuf::from);
    let args = args::cc(&tools, &words, prefix.as_deref())?;
    Err(run::replace(&Cmd::new(driver).whole_env().args(args)))
}

/// The C library that the environment or the option `--libc=NAME`, which is taken out, asks for.
fn libc_of(words: &mut Vec<String>, language: Language) -> Result<Libc> {
    let unknown = |name: &str| fail(Class::Usage, format!("`{name}` is no C library: `musl` or `glibc`"));
    let mut asked = match std::env::var(LIBC).ok().filter(|name| !name.is_empty()) {
        Some(name) => Some(Libc::from_name(&name).ok_or_else(|| unknown(&name))?),
        None => None,
    };
    while let Some(at) = words.iter().position(|word| word.starts_with("--libc=")) {
        let word = words.remove(at);
        let name = word.trim_start_matches("--libc=");
        asked = Some(Libc::from_name(name).ok_or_else(|| unknown(name))?);
    }
    match (asked, language) {
        (Some(Libc::Musl), Language::Cxx | Language::Fortran) => {
            let text = "C++ and Fortran cannot use musl: their libraries are compiled for glibc";
            Err(fail(Class::Usage, text).hint("`libc = \"glibc\"` in ukl.toml, or `ukl env --libc glibc`").into())
        }
        (Some(libc), _) => Ok(libc),
        (None, Language::Cxx | Language::Fortran) => Ok(Libc::Glibc),
        (None, Language::C) => Ok(Libc::Musl),
    }
}

fn ar(words: &[String]) -> Result<u8> {
    Err(run::replace(&Cmd::new(&from_env()?.userland.toolchain.ar).whole_env().args(words)))
}

fn ld(words: &[String]) -> Result<u8> {
    line::link(&Cache::from_env()?, &from_env()?, words)
}

fn from_env() -> Result<Tools> {
    for_libc(libc_of(&mut Vec::new(), Language::C)?)
}

fn for_libc(libc: Libc) -> Result<Tools> {
    let compiler = std::env::var(COMPILER).ok().filter(|name| !name.is_empty());
    let env = Env { shell: Shell::plain(), cache: Cache::from_env()? };
    let Tools { userland, dir } = tools(&env, compiler.as_deref().unwrap_or("gcc"), libc)?.value;
    Ok(Tools { userland: malloc::of_build(&env, userland)?, dir })
}

/// Toolchain and C library for `compiler`; a build asks a thousand times, so the answer is remembered.
pub fn tools(env: &Env, compiler: &str, libc: Libc) -> Result<Made<Tools>> {
    let fact = env.cache.fact(&format!("wrapper-{}-{}", libc.name(), &signature(compiler)?[..16]));
    let known = std::fs::read(&fact).ok().and_then(|text| serde_json::from_slice::<Tools>(&text).ok());
    if let Some(tools) = known.filter(|tools| tools.userland.sysroot.dir.exists() && tools.dir.exists()) {
        return Ok(Made::found(tools));
    }
    let userland = userland::find(env, compiler, libc)?;
    let tools = with(env, &userland)?.behind(&userland);
    if !tools.pending {
        workdir::write_atomic(&fact, &serde_json::to_vec(&tools.value)?)?;
    }
    Ok(tools)
}

/// The wrapper around a toolchain and a C library that are at hand.
pub fn with(env: &Env, userland: &Userland) -> Result<Made<Tools>> {
    let ukl = own_program()?;
    let compiler = userland.toolchain.cc.display().to_string();
    let parts = [CALL, CONFIG_SITE, CMAKE, CMAKE_MUSL, &ukl, &compiler, &userland.sysroot.key];
    let key = workdir::hash(parts)[..16].to_owned();
    // Its files name the folder that it will be in.
    let drivers = env.cache.entry("wrapper", &key).join(DRIVERS);
    let libc = userland.sysroot.libc;
    let fill = |work: &Work, _: &[Cmd]| {
        let words = [("@UKL@", quote::in_quotes(&ukl)), ("@COMPILER@", quote::in_quotes(&compiler))];
        let call = CALL.replace("@LIBC@", libc.name());
        let call = words.iter().fold(call, |call, (word, value)| call.replace(word, value));
        for (name, verb) in [("hook/ld", "ld"), ("bin/cc", "cc"), ("bin/c++", "c++"), ("bin/fc", "fc")] {
            workdir::write_script(&work.out.join(name), &call.replace("@VERB@", verb))?;
        }
        workdir::write_atomic(&work.out.join("config.site"), CONFIG_SITE.as_bytes())?;
        let mut cmake = CMAKE.replace("@BIN@", &drivers.display().to_string());
        if libc == Libc::Musl {
            cmake.push_str(CMAKE_MUSL);
        }
        workdir::write_atomic(&work.out.join("toolchain.cmake"), cmake.as_bytes())?;
        // The host's libraries are not for us: without a prefix, pkg-config finds nothing.
        workdir::create_dir(&work.out.join("pkgconfig"))
    };
    let dir = cached::entry(env, "wrapper", &key, |_| Ok(Vec::new()), fill)?;
    Ok(dir.map(|dir| Tools { userland: userland.clone(), dir }))
}

/// The variables that put the wrapper into a build; `prefix` has what was built before.
pub fn environment(tools: &Tools, prefix: Option<&Path>) -> Result<Vec<(&'static str, String)>> {
    let text = |path: PathBuf| path.display().to_string();
    let ukl = own_program()?;
    let ranlib = text(tools.userland.toolchain.ar.with_file_name("ranlib"));
    let folders = prefix.map(|prefix| ["lib/pkgconfig", "share/pkgconfig"].map(|dir| text(prefix.join(dir))).join(":"));
    let mut env = vec![
        ("CC", format!("{ukl} cc")),
        ("AR", format!("{ukl} ar")),
        ("RANLIB", ranlib),
        ("CONFIG_SITE", text(tools.file("config.site"))),
        ("CMAKE_TOOLCHAIN_FILE", text(tools.file("toolchain.cmake"))),
        (COMPILER, text(tools.userland.toolchain.cc.clone())),
        (LIBC, tools.userland.sysroot.libc.name().to_owned()),
    ];
    match tools.userland.sysroot.libc {
        // The host's packages are compiled for another C library.
        Libc::Musl => {
            env.push(("PKG_CONFIG_LIBDIR", folders.unwrap_or_else(|| text(tools.file("pkgconfig")))));
            env.push(("PKG_CONFIG_PATH", String::new()));
        }
        Libc::Glibc => {
            env.push(("CXX", format!("{ukl} c++")));
            env.extend(["FC", "F77"].map(|key| (key, format!("{ukl} fc"))));
            env.push(("PKG_CONFIG", "pkg-config --static".to_owned()));
            env.push(("PKG_CONFIG_PATH", folders.unwrap_or_default()));
            // Said aloud, since the shell may have it from before, for musl.
            let host = [TARGET.libraries, "/usr/lib", "/usr/share", "/usr/local/lib", "/usr/local/share"];
            env.push(("PKG_CONFIG_LIBDIR", host.map(|folder| format!("{folder}/pkgconfig")).join(":")));
            // Naming the target, even the host's own, keeps build scripts and macros as they are.
            env.push(("CARGO_BUILD_TARGET", TARGET.triple.to_owned()));
            env.push((CARGO_LINKER, text(tools.file("bin/cc"))));
            env.push((CARGO_FLAGS, "-Ctarget-feature=+crt-static".to_owned()));
        }
    }
    if let Some(prefix) = prefix {
        env.push((PREFIX, text(prefix.to_owned())));
    }
    Ok(env)
}

/// The `ukl` that build systems call: this one, unless a test says otherwise.
fn own_program() -> Result<String> {
    let path = match std::env::var_os("UKL_PROGRAM").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => std::env::current_exe()?,
    };
    Ok(path.display().to_string())
}

/// Changes when the compiler, the binutils or `ukl` itself are exchanged.
fn signature(compiler: &str) -> Result<String> {
    let mut parts = vec![compiler.to_owned(), own_program()?];
    let programs = [compiler, "ld.bfd", "as", "ar"].map(toolchain::which);
    let own = std::env::current_exe().ok();
    for path in programs.into_iter().flatten().chain(own).chain(["/usr/include/linux/version.h".into()]) {
        let Ok(meta) = std::fs::metadata(&path) else { continue };
        let time = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        parts.push(format!("{} {} {}", path.display(), meta.len(), time.as_nanos()));
    }
    Ok(workdir::hash(parts))
}
