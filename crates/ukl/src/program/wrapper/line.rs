//! The linker's line: what the driver says → the ring-3 executable, and the same inputs for the kernel.

use std::path::{Path, PathBuf};

use super::args::is_below;
use super::{record, Tools};
use crate::base::error::{fail, Class, Result};
use crate::base::run::{self, Cmd, Shell};
use crate::base::term;
use crate::base::workdir::{self, Cache};
use crate::manifest::Libc;
use crate::program::libc::glibc;
use crate::program::unfit;

/// Options whose argument is the next word; with one dash or two.
const WITH_ARGUMENT: [&str; 38] = [
    "m",
    "z",
    "e",
    "u",
    "T",
    "L",
    "l",
    "A",
    "b",
    "c",
    "F",
    "f",
    "G",
    "h",
    "I",
    "R",
    "Y",
    "y",
    "a",
    "rpath",
    "rpath-link",
    "soname",
    "dynamic-linker",
    "plugin",
    "plugin-opt",
    "defsym",
    "wrap",
    "Map",
    "version-script",
    "dynamic-list",
    "script",
    "entry",
    "undefined",
    "library",
    "library-path",
    "oformat",
    "format",
    "require-defined",
];

/// Options that also decide what a partial link takes.
const SHAPING: [&str; 12] = [
    "u",
    "undefined",
    "require-defined",
    "defsym",
    "wrap",
    "start-group",
    "end-group",
    "(",
    ")",
    "whole-archive",
    "no-whole-archive",
    "allow-multiple-definition",
];

/// Options of a form of program that ours is not.
const DROPPED: [&str; 14] = [
    "pie",
    "no-pie",
    "pic-executable",
    "export-dynamic",
    "E",
    "Bdynamic",
    "Bstatic",
    "dy",
    "dn",
    "call_shared",
    "non_shared",
    "dynamic-linker",
    "build-id",
    "gc-keep-exported",
];

/// Where the host keeps what was compiled for its own C library.
const HOST_LIBRARIES: [&str; 4] = ["/lib", "/lib64", "/usr/lib", "/usr/local/lib"];
/// Below it are the compiler's own libraries, which know no C library.
const COMPILER_LIBRARIES: [&str; 2] = ["/usr/lib/gcc", "/usr/lib/llvm"];

/// One part of a linker's line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// An object, an archive or a script.
    File(String),
    /// `-l`.
    Library(String),
    /// `-L`.
    Folder(String),
    /// An option that also decides what a partial link takes.
    Shaping(Vec<String>),
    /// Any other option.
    Other(Vec<String>),
}

/// A linker's line, understood.
#[derive(Debug, Default, PartialEq, Eq)]
struct Line {
    output: Option<String>,
    /// `-r`.
    relocatable: bool,
    /// It only asks something (`-v`, `--help`), or makes no program that Linux could start.
    foreign: bool,
    /// `-shared`.
    shared: bool,
    parts: Vec<Part>,
}

impl Line {
    /// It links what Linux could start.
    fn is_program(&self) -> bool {
        let has_input = self.parts.iter().any(|part| matches!(part, Part::File(_)));
        has_input && !self.relocatable && !self.foreign && !self.shared
    }

    /// It names the C library.
    fn has_libc(&self) -> bool {
        let is_libc = |part: &Part| match part {
            Part::Library(name) => name == "c",
            Part::File(file) => file.ends_with("/libc.a"),
            _ => false,
        };
        self.parts.iter().any(is_libc)
    }
}

/// Does what the line says; a finished program is kept for the kernel as well.
pub(super) fn link(cache: &Cache, tools: &Tools, words: &[String]) -> Result<u8> {
    let line = read(words)?;
    let ld = &tools.userland.toolchain.ld;
    let libc = tools.userland.sysroot.libc;
    if line.shared && libc == Libc::Musl {
        return Err(no_shared().into());
    }
    if !line.is_program() {
        return Err(run::replace(&Cmd::new(ld).whole_env().args(words)));
    }
    let output = PathBuf::from(line.output.as_deref().unwrap_or("a.out"));
    refuse_shared_objects(&line)?;
    // Linkers of other languages name one and leave out what it needs of the compiler's.
    let rest = if libc == Libc::Glibc && line.has_libc() { &tools.userland.sysroot.archives[..] } else { &[] };
    let rest: Vec<&PathBuf> = rest.iter().filter(|path| !path.ends_with("libstdc++.a")).collect();
    let rest = |cmd: Cmd| match rest.as_slice() {
        [] => cmd,
        rest => cmd.arg("--start-group").args(rest).arg("--end-group"),
    };
    let cmd = rest(Cmd::new(ld).args(executable(&line, libc))).arg("-o").arg(&output);
    let code = call(&cmd, libc)?;
    if code != 0 {
        return Ok(code);
    }
    // A probe is linked as the program will be, or it would say yes to what the program cannot have.
    let object = workdir::linked_object(&std::path::absolute(&output)?);
    workdir::create_parent(&object)?;
    let part = object.with_extension("part");
    let partial = rest(Cmd::new(ld).args(relocatable(&line, libc))).arg("-o").arg(&part);
    let code = call(&partial, libc)?;
    if code != 0 {
        return Ok(code);
    }
    if let Some(failure) = unfit::check(&workdir::read(&part)?, libc, files(&line).iter())? {
        workdir::remove_file(&part)?;
        workdir::remove_file(&output)?;
        return Err(failure.into());
    }
    if is_probe(&output) {
        workdir::remove_file(&part)?;
    } else {
        record::write(cache, tools, &output, &part, &cmd.display())?;
    }
    Ok(code)
}

/// Runs the linker; what it says is the build's own to show.
fn call(cmd: &Cmd, libc: Libc) -> Result<u8> {
    let output = Shell::plain().run(cmd)?;
    let said = String::from_utf8_lossy(&output.stderr);
    // Of a nested function: refused by name afterwards.
    let said: Vec<&str> = said.lines().filter(|line| !line.contains("requires executable stack")).collect();
    if !said.is_empty() {
        term::say(&said.join("\n"));
    }
    if let (Libc::Musl, Some(hint)) = (libc, glibc::wanted(&said.join("\n"))) {
        term::say(&format!("ukl: {hint}"));
    }
    term::out_bytes(&output.stdout)?;
    Ok(output.status.code().map_or(1, |code| code as u8))
}

/// The objects and archives of a line, as far as they can be named; libraries by name are looked up as the linker does.
fn files(line: &Line) -> Vec<PathBuf> {
    let folders =
        || line.parts.iter().filter_map(|part| if let Part::Folder(folder) = part { Some(folder) } else { None });
    let file = |part: &Part| match part {
        Part::File(file) => Some(PathBuf::from(file)),
        Part::Library(name) => {
            let name = format!("lib{name}.a");
            folders().map(|folder| Path::new(folder).join(&name)).find(|path| path.is_file())
        }
        _ => None,
    };
    line.parts.iter().filter_map(file).collect()
}

/// What configure and cmake link only to see whether it can be linked.
fn is_probe(output: &Path) -> bool {
    let name = output.file_name().unwrap_or_default().to_string_lossy();
    ["conftest", "cmTC_", "CMakeC"].iter().any(|start| name.starts_with(start))
}

fn read(words: &[String]) -> Result<Line> {
    let mut line = Line::default();
    let mut iter = words.iter();
    while let Some(word) = iter.next() {
        let Some(option) = option_of(word) else {
            line.parts.push(Part::File(word.clone()));
            continue;
        };
        let (name, joined) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        let mut whole = vec![word.clone()];
        if name == "o" || name == "output" {
            line.output = joined.map(str::to_owned).or_else(|| iter.next().cloned());
            continue;
        }
        if joined.is_none() && WITH_ARGUMENT.contains(&name) {
            whole.extend(iter.next().cloned());
        }
        match name {
            "shared" | "Bshareable" => line.shared = true,
            "r" | "i" | "relocatable" | "Ur" => line.relocatable = true,
            "v" | "V" | "version" | "help" | "T" | "script" | "oformat" => line.foreign = true,
            _ => (),
        }
        if !DROPPED.contains(&name) {
            line.parts.push(part(word, name, whole));
        }
    }
    Ok(line)
}

/// The option's name without its dashes; `-ofile` is `-o file`, as `ld` reads it.
fn option_of(word: &str) -> Option<&str> {
    let option = word.strip_prefix("--").or(word.strip_prefix('-'))?;
    (!option.is_empty()).then_some(option)
}

fn part(word: &str, name: &str, whole: Vec<String>) -> Part {
    let argument = |short: &str| match whole.get(1) {
        Some(argument) => Some(argument.clone()),
        None => word.strip_prefix(short).map(str::to_owned).filter(|rest| !rest.is_empty()),
    };
    let value = || word.split_once('=').map(|(_, value)| value.to_owned()).or(whole.get(1).cloned());
    let found = match name {
        "library" => value().map(Part::Library),
        "library-path" => value().map(Part::Folder),
        _ if word.starts_with("--") => None,
        _ if word.starts_with("-l") => argument("-l").map(Part::Library),
        _ if word.starts_with("-L") => argument("-L").map(Part::Folder),
        _ => None,
    };
    found.unwrap_or(if SHAPING.contains(&name) { Part::Shaping(whole) } else { Part::Other(whole) })
}

fn no_shared() -> crate::base::error::Failure {
    fail(Class::Usage, "`ukl ld` makes no shared libraries: the program becomes one static object")
        .hint("configure it without shared libraries and modules, e.g. --disable-shared")
}

/// No part of a static program may be a shared library.
fn refuse_shared_objects(line: &Line) -> Result<()> {
    let files = line.parts.iter().filter_map(|part| if let Part::File(file) = part { Some(file) } else { None });
    files.map(String::as_str).try_for_each(refuse_shared_object)
}

fn refuse_shared_object(file: &str) -> Result<()> {
    let name = file.rsplit('/').next().unwrap_or(file);
    if name.ends_with(".so") || name.contains(".so.") {
        let text = format!("`{file}` is a shared library, which a static program cannot use");
        let hint = "build the library with `ukl cc` first and give its folder as UKL_PREFIX (see `ukl env --help`)";
        return Err(fail(Class::App, text).hint(hint).into());
    }
    Ok(())
}

fn is_hosts(folder: &str) -> bool {
    let (host, own) = (is_below(folder, &HOST_LIBRARIES), is_below(folder, &COMPILER_LIBRARIES[..1]));
    let llvm = || folder.contains(COMPILER_LIBRARIES[1]) && folder.contains("/lib/clang/");
    host && !own && !llvm()
}

/// The words of the ordinary link, without output.
fn executable(line: &Line, libc: Libc) -> Vec<String> {
    let mut words = vec!["-static".to_owned()];
    for part in &line.parts {
        match part {
            Part::Folder(folder) if libc == Libc::Musl && is_hosts(folder) => (),
            Part::Other(whole) if whole.iter().any(|word| word == "-static") => (),
            part => words.extend(spoken(part, libc)),
        }
    }
    words.extend(asked(libc));
    // The build ID tells which partial link belongs to a program that was copied or stripped.
    words.extend(["-z", "noexecstack", "--build-id=sha1"].map(str::to_owned));
    words
}

/// The words that take the same inputs into one object, without output.
fn relocatable(line: &Line, libc: Libc) -> Vec<String> {
    let mut words = ["-r", "-d", "-static"].map(str::to_owned).to_vec();
    for part in &line.parts {
        match part {
            Part::Folder(folder) if libc == Libc::Musl && is_hosts(folder) => (),
            Part::Other(_) => (),
            part => words.extend(spoken(part, libc)),
        }
    }
    words.extend(asked(libc));
    words
}

/// What the C library asks of either link: no folder of the linker's own with musl, an index of unwinding with glibc.
fn asked(libc: Libc) -> Option<String> {
    Some(if libc == Libc::Musl { "-nostdlib" } else { "--eh-frame-hdr" }.to_owned())
}

/// Start files of static programs, which hold addresses of 32 bits without a sign, and what stands in for them.
const START: [(&str, &str); 3] =
    [("crtbeginT.o", "crtbeginS.o"), ("crtbegin.o", "crtbeginS.o"), ("crtend.o", "crtendS.o")];

fn spoken(part: &Part, libc: Libc) -> Vec<String> {
    match part {
        Part::File(file) if libc == Libc::Glibc => {
            let replaced = START.iter().find_map(|(name, own)| {
                file.strip_suffix(name).filter(|dir| dir.ends_with('/')).map(|dir| format!("{dir}{own}"))
            });
            vec![replaced.unwrap_or(file.clone())]
        }
        Part::File(file) => vec![file.clone()],
        // What unwinds, shared by all programs of the host; cargo names it for its own build scripts.
        Part::Library(name) if libc == Libc::Glibc && name == "gcc_s" => vec!["-lgcc_eh".to_owned()],
        Part::Library(name) => vec![format!("-l{name}")],
        Part::Folder(folder) => vec![format!("-L{folder}")],
        Part::Shaping(whole) | Part::Other(whole) => whole.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_final_link_becomes_two() {
        let driver = "-plugin /x/liblto_plugin.so -plugin-opt=-pass -m elf_x86_64 -static -pie -o prog -L/s/lib \
                      -L/usr/lib/x86_64-linux-gnu /s/lib/crt1.o a.o -Lsub -lz --wrap=f -u main --export-dynamic \
                      --start-group -lc /g/libgcc.a --end-group /s/lib/crtn.o";
        let line = read(&words(driver)).unwrap();
        assert_eq!(line.output.as_deref(), Some("prog"));
        assert!(!line.relocatable && !line.foreign);
        let inputs = "/s/lib/crt1.o a.o -Lsub -lz --wrap=f -u main";
        let end = "--start-group -lc /g/libgcc.a --end-group /s/lib/crtn.o";
        let want = format!("-r -d -static -L/s/lib {inputs} {end} -nostdlib");
        assert_eq!(relocatable(&line, Libc::Musl), words(&want));
        let plugin = "-plugin /x/liblto_plugin.so -plugin-opt=-pass -m elf_x86_64";
        let want = format!("-static {plugin} -L/s/lib {inputs} {end} -nostdlib -z noexecstack --build-id=sha1");
        assert_eq!(executable(&line, Libc::Musl), words(&want));
    }

    #[test]
    fn questions_and_partial_links_are_passed_on() {
        assert!(read(&words("-v")).unwrap().foreign);
        assert!(read(&words("-r -o a.o b.o")).unwrap().relocatable);
        assert!(read(&words("-T boot.lds -o a b.o")).unwrap().foreign);
    }

    #[test]
    fn shared_libraries_are_refused() {
        assert!(read(&words("-shared -o liba.so a.o")).unwrap().shared);
        for line in ["-o a a.o /usr/lib/libz.so", "-o a libx.so.1.2"] {
            let error = refuse_shared_objects(&read(&words(line)).unwrap()).unwrap_err().to_string();
            assert!(error.contains("shared librar"), "{error}");
        }
    }

    #[test]
    fn glibcs_start_files_are_those_of_position_independent_programs() {
        let line = read(&words("-o a -L/usr/lib /g/crtbeginT.o a.o mycrtend.o -lgcc /g/crtend.o")).unwrap();
        let want = "-static -L/usr/lib /g/crtbeginS.o a.o mycrtend.o -lgcc /g/crtendS.o --eh-frame-hdr -z noexecstack --build-id=sha1";
        assert_eq!(executable(&line, Libc::Glibc), words(want));
    }

    #[test]
    fn only_the_compilers_own_folder_of_the_host_stays() {
        assert!(is_hosts("/usr/lib") && is_hosts("/usr/local/lib/x"));
        assert!(!is_hosts("/usr/lib/gcc") && !is_hosts("/home") && !is_hosts("lib"));
    }
}
