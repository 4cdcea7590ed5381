//! The arguments of a compiler driver: what a build system says → what our compiler is told.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::refused::refusal;
use super::Tools;
use crate::base::error::Result;
use crate::manifest::Libc;

/// What a static, position-dependent program has no use for.
const DROPPED: [&str; 19] = [
    "-fPIC",
    "-fpic",
    "-fPIE",
    "-fpie",
    "-pie",
    "-no-pie",
    "-static-pie",
    "-static",
    "-rdynamic",
    "-fno-plt",
    "-flto",
    "-fno-lto",
    "-ffat-lto-objects",
    "-fno-fat-lto-objects",
    "-fuse-linker-plugin",
    "-fno-use-linker-plugin",
    "-mred-zone",
    "-fasynchronous-unwind-tables",
    "-shared-libgcc",
];

/// The same, up to an argument.
const DROPPED_STARTS: [&str; 4] = ["-flto=", "-fuse-ld=", "-mcmodel=", "-fcf-protection"];

/// Words after which there is nothing to link.
const NO_LINK: [&str; 8] = ["-c", "-S", "-E", "-M", "-MM", "-fsyntax-only", "-r", "--version"];

/// Options whose argument is the next word, among those that a build system may use.
const WITH_ARGUMENT: [&str; 24] = [
    "-o",
    "-x",
    "-I",
    "-L",
    "-D",
    "-U",
    "-l",
    "-include",
    "-imacros",
    "-isystem",
    "-iquote",
    "-idirafter",
    "-isysroot",
    "-MF",
    "-MT",
    "-MQ",
    "-Xlinker",
    "-Xassembler",
    "-Xpreprocessor",
    "-T",
    "-u",
    "-z",
    "-e",
    "--param",
];

/// Options that name a folder of headers.
const HEADERS: [&str; 4] = ["-I", "-isystem", "-idirafter", "-iquote"];

/// The words of a compiler call.
pub(super) fn cc(tools: &Tools, words: &[String], prefix: Option<&Path>) -> Result<Vec<String>> {
    let libc = tools.userland.sysroot.libc;
    // A plug-in of the build's own tools: an ordinary one of the host.
    if libc == Libc::Glibc && words.iter().any(|word| word == "-shared") {
        return Ok(words.to_vec());
    }
    let call = read(words, libc)?;
    let mut args = vec!["-ffunction-sections".to_owned(), "-fdata-sections".to_owned()];
    match (call.links, libc) {
        (true, Libc::Musl) => with_musl(tools, call, prefix, &mut args),
        (true, Libc::Glibc) => {
            args.extend(call.words);
            args.extend(["-static", "-no-pie"].map(str::to_owned));
            args.extend(prefix.map(|prefix| format!("-L{}", prefix.join("lib").display())));
        }
        (false, _) => args.extend(call.words),
    }
    if let Some(prefix) = prefix {
        args.extend(["-isystem".to_owned(), prefix.join("include").display().to_string()]);
    }
    // Last, so that no flag of the build system undoes them.
    args.push(format!("-B{}/", tools.file("hook").display()));
    args.extend(tools.userland.sysroot.cflags(&tools.userland.toolchain));
    Ok(args)
}

/// Start files and library of musl, which the driver does not know.
fn with_musl(tools: &Tools, call: Call, prefix: Option<&Path>, args: &mut Vec<String>) {
    let lib = |path: &PathBuf| ["-Xlinker".to_owned(), path.display().to_string()];
    let sysroot = &tools.userland.sysroot;
    if call.start_files {
        args.extend(sysroot.start.iter().flat_map(lib));
    }
    args.extend(call.words);
    args.extend(["-static", "-no-pie", "-nostdlib"].map(str::to_owned));
    args.extend(prefix.map(|prefix| format!("-L{}", prefix.join("lib").display())));
    args.extend(sysroot.folders.iter().map(|folder| format!("-L{}", folder.display())));
    if call.libraries {
        // In words for the linker alone: after `-x c` the driver would compile a file named here.
        let libgcc = tools.userland.toolchain.libgcc.display().to_string();
        let words = ["--start-group", "-lc", &libgcc, "--end-group"];
        args.extend(words.into_iter().flat_map(|word| ["-Xlinker".to_owned(), word.to_owned()]));
    }
    if call.start_files {
        args.extend(sysroot.end.iter().flat_map(lib));
    }
}

/// A call as the build system meant it.
#[derive(Debug)]
struct Call {
    /// The words that stay.
    words: Vec<String>,
    /// It makes an executable.
    links: bool,
    /// … with the C library's start files.
    start_files: bool,
    /// … and with the C library.
    libraries: bool,
}

fn read(words: &[String], libc: Libc) -> Result<Call> {
    let mut call = Call { words: Vec::new(), links: false, start_files: true, libraries: true };
    let mut stops = false;
    let mut iter = words.iter();
    while let Some(word) = iter.next() {
        let word = word.as_str();
        if let Some(failure) = refusal(word, words, libc) {
            return Err(failure.into());
        }
        if DROPPED.contains(&word) || DROPPED_STARTS.iter().any(|start| word.starts_with(start)) {
            continue;
        }
        stops |= NO_LINK.contains(&word) || word.starts_with("-print-") || word.starts_with("-dump");
        call.start_files &= !matches!(word, "-nostdlib" | "-nostartfiles");
        call.libraries &= !matches!(word, "-nostdlib" | "-nodefaultlibs");
        let argument = WITH_ARGUMENT.contains(&word).then(|| iter.next()).flatten();
        if libc == Libc::Musl && is_host_headers(word, argument) {
            continue;
        }
        // A file, or standard input.
        call.links |= argument.is_none() && (!word.starts_with('-') || word == "-");
        call.words.push(word.to_owned());
        call.words.extend(argument.cloned());
    }
    call.links &= !stops;
    Ok(call)
}

/// The host's C library has other structures than ours: its headers must not come first.
fn is_host_headers(word: &str, argument: Option<&String>) -> bool {
    let joined = || HEADERS.iter().find_map(|option| word.strip_prefix(option)).filter(|dir| !dir.is_empty());
    let dir = if HEADERS.contains(&word) { argument.map(String::as_str) } else { joined() };
    dir.is_some_and(|dir| is_below(dir, &["/usr/include", "/usr/local/include"]))
}

/// Whether the folder `dir` is one of `tops` or lies in one.
pub(super) fn is_below(dir: &str, tops: &[&str]) -> bool {
    let path = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.into());
    tops.iter().any(|top| path.starts_with(top))
}

/// Replaces each `@file` by the words in it, as compilers and linkers do themselves.
pub(super) fn expand(words: Vec<String>) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for word in words {
        match word.strip_prefix('@').filter(|file| Path::new(file).is_file()) {
            Some(file) => {
                let text = std::fs::read_to_string(file).with_context(|| format!("failed to read `{file}`"))?;
                all.extend(split(&text));
            }
            None => all.push(word),
        }
    }
    Ok(all)
}

/// The words of a response file: blanks separate, quotes and backslashes keep them.
fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', _) => word.get_or_insert_default().extend(chars.next()),
            (c, Some(end)) if c == end => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(line: &str) -> Call {
        read(&split(line), Libc::Musl).unwrap()
    }

    #[test]
    fn only_a_call_with_an_input_and_no_stop_links() {
        for links in ["a.c", "-o a a.o", "-x c -", "-O2 -MD -MF a.d a.c -o a", "a.o -lm"] {
            assert!(call(links).links, "{links}");
        }
        for other in ["-v", "--version", "-c a.c", "-E -", "-M a.c", "-print-prog-name=ld", "-dumpmachine", "-r a.o"] {
            assert!(!call(other).links, "{other}");
        }
        assert!(!call("-include config.h -v").links, "the argument of an option is no input");
    }

    #[test]
    fn position_independence_and_the_hosts_headers_are_dropped() {
        let line =
            "-fPIC -DPIC -I/usr/include -I . -isystem /usr/include/x -flto=auto -I/usr/local/include/y -Iinc -pie";
        assert_eq!(call(line).words, ["-DPIC", "-I", ".", "-Iinc"]);
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_reason() {
        for line in ["-shared a.o", "-m32 -c a.c", "-fsanitize=address a.c"] {
            let error = read(&split(line), Libc::Musl).unwrap_err().to_string();
            assert!(error.starts_with("`ukl cc` cannot do `-"), "{error}");
        }
    }

    #[test]
    fn the_c_library_is_left_out_on_demand() {
        let call = call("-nostartfiles a.o");
        assert!(call.links && !call.start_files && call.libraries);
    }

    #[test]
    fn response_files_are_split_as_gcc_splits_them() {
        assert_eq!(split("a  \"b c\"\n'd \"e'\\ f \"\" g\\\\"), ["a", "b c", "d \"e f", "", "g\\"]);
    }
}
