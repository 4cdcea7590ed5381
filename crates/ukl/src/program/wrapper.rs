//! `ukl cc`, `ukl ar` and `ukl ld`: the program's own build system, with our compiler in it.
//!
//! `ukl cc` is the compiler driver with the flags that make one object fit both privilege levels;
//! `ukl ld` is found by the driver beside the assembler hook. It sees the final link after driver
//! and libtool did their part: it links for ring 3, and keeps the same inputs for the kernel.

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
use crate::base::workdir::{self, Cache};
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
/// The folder with libraries that were built before, as `--prefix` of their builds.
const PREFIX: &str = "UKL_PREFIX";

/// The compiler driver for build systems that take no words behind it.
const DRIVER: &str = "bin/cc";

const LD: &str = "#!/bin/sh\nUKL_COMPILER='@COMPILER@' exec '@UKL@' ld \"$@\"\n";
const CC: &str = "#!/bin/sh\nUKL_COMPILER='@COMPILER@' exec '@UKL@' cc \"$@\"\n";
const CONFIG_SITE: &str = include_str!("../../data/config.site");
const CMAKE: &str = include_str!("../../data/toolchain.cmake");

/// Runs `ukl cc`, `ukl ar` or `ukl ld` if that is what `words` (without our own name) ask for; the
/// answer is the exit code.
///
/// Their arguments are those of the tools that they stand for, none is an option of ours.
pub fn main(words: &[OsString]) -> Option<Result<u8>> {
    let (first, rest) = words.split_first()?;
    match first.to_str()? {
        "cc" => Some(words_of(rest).and_then(|words| cc(&words))),
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

fn cc(words: &[String]) -> Result<u8> {
    let tools = from_env()?;
    let prefix = std::env::var_os(PREFIX).filter(|prefix| !prefix.is_empty()).map(PathBuf::from);
    let args = args::cc(&tools, words, prefix.as_deref())?;
    Err(run::replace(&Cmd::new(&tools.userland.toolchain.cc).whole_env().args(args)))
}

fn ar(words: &[String]) -> Result<u8> {
    Err(run::replace(&Cmd::new(&from_env()?.userland.toolchain.ar).whole_env().args(words)))
}

fn ld(words: &[String]) -> Result<u8> {
    line::link(&Cache::from_env()?, &from_env()?, words)
}

fn from_env() -> Result<Tools> {
    let compiler = std::env::var(COMPILER).ok().filter(|name| !name.is_empty());
    let env = Env { shell: Shell::plain(), cache: Cache::from_env()? };
    let Tools { userland, dir } = tools(&env, compiler.as_deref().unwrap_or("gcc"))?.value;
    Ok(Tools { userland: malloc::of_build(&env, userland)?, dir })
}

/// Toolchain and C library for `compiler`; a build asks a thousand times, so the answer is remembered.
pub fn tools(env: &Env, compiler: &str) -> Result<Made<Tools>> {
    let fact = env.cache.fact(&format!("wrapper-{}", &signature(compiler)?[..16]));
    let known = std::fs::read(&fact).ok().and_then(|text| serde_json::from_slice::<Tools>(&text).ok());
    if let Some(tools) = known.filter(|tools| tools.userland.sysroot.dir.exists() && tools.dir.exists()) {
        return Ok(Made::found(tools));
    }
    let userland = userland::find(env, compiler)?;
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
    let parts = [LD, CC, CONFIG_SITE, CMAKE, &ukl, &compiler, &userland.sysroot.key];
    let key = workdir::hash(parts)[..16].to_owned();
    // Its files name the folder that it will be in.
    let driver = env.cache.entry("wrapper", &key).join(DRIVER);
    let fill = |work: &Work, _: &[Cmd]| {
        let words = [("@UKL@", quote::in_quotes(&ukl)), ("@COMPILER@", quote::in_quotes(&compiler))];
        for (name, text) in [("hook/ld", LD), (DRIVER, CC)] {
            let text = words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value));
            workdir::write_script(&work.out.join(name), &text)?;
        }
        workdir::write_atomic(&work.out.join("config.site"), CONFIG_SITE.as_bytes())?;
        let cmake = CMAKE.replace("@CC@", &driver.display().to_string());
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
    let pkgconfig = match prefix {
        Some(prefix) => ["lib/pkgconfig", "share/pkgconfig"].map(|dir| text(prefix.join(dir))).join(":"),
        None => text(tools.file("pkgconfig")),
    };
    let mut env = vec![
        ("CC", format!("{ukl} cc")),
        ("AR", format!("{ukl} ar")),
        ("RANLIB", ranlib),
        ("CONFIG_SITE", text(tools.file("config.site"))),
        ("CMAKE_TOOLCHAIN_FILE", text(tools.file("toolchain.cmake"))),
        ("PKG_CONFIG_LIBDIR", pkgconfig),
        ("PKG_CONFIG_PATH", String::new()),
        (COMPILER, text(tools.userland.toolchain.cc.clone())),
    ];
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
