//! A make log → its root cause: the first error of a compiler, assembler, linker or make, and the guilty file.

const LIMIT: usize = 20;

/// Why a build failed, in the words of the program that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The message with its context, at most 20 lines, without the folders of source and build.
    pub lines: Vec<String>,
    /// The file that the message is about.
    pub file: Option<String>,
    /// The line in that file.
    pub line: Option<u32>,
    /// The machine is to blame rather than the source: disk full, out of memory, killed, tool missing.
    pub host: bool,
}

/// How sure a line is to tell the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    None,
    /// It says that something failed.
    Weak,
    /// It says what is wrong.
    Strong,
    /// The machine gave up; whatever else failed may be a consequence.
    Host,
}

/// Finds the cause in a log; paths are shortened by the folders that make says it enters.
pub fn root_cause(log: &str) -> Option<Cause> {
    root_cause_in(log, &[])
}

/// [`root_cause`], with more folders to be left out of the message's paths.
pub fn root_cause_in(log: &str, folders: &[&str]) -> Option<Cause> {
    let entered = log.lines().filter_map(|line| line.split_once("Entering directory '")?.1.strip_suffix('\''));
    let mut prefixes: Vec<String> =
        folders.iter().copied().chain(entered).map(|f| format!("{}/", f.trim_end_matches('/'))).collect();
    // The longest first: folders may lie within each other.
    prefixes.sort_by_key(|prefix| std::cmp::Reverse(prefix.len()));
    prefixes.retain(|prefix| prefix.len() > 1);
    let lines: Vec<String> = log.lines().map(|line| shorten(line, &prefixes)).collect();

    let strengths: Vec<_> = lines.iter().map(|line| strength(line)).collect();
    let strongest = strengths.iter().copied().max().filter(|s| *s > Strength::None)?;
    let at = strengths.iter().position(|s| *s == strongest)?;
    let (first, end) = match strongest {
        // A program that we do not know failed: what it said stands before make's line.
        Strength::Weak => (first_of_unknown(&lines, at), at + 1),
        _ => (first_of_context(&lines, at), end_of_message(&lines, at)),
    };
    let (file, line) = location(&lines[at]).map_or((None, None), |(file, line)| (Some(file.to_string()), line));
    let file = file
        .or_else(|| lines[first..at].iter().rev().find_map(|line| context_file(line).or_else(|| object(line))))
        .or_else(|| lines[at..end].iter().find_map(|line| referrer(line)));
    // A macro from the command line: the note tells where it is used.
    let note = || lines[at..end].iter().find(|line| line.contains(": note: ")).and_then(|line| location(line));
    let (file, line) = match file {
        None => note().map_or((None, None), |(file, line)| (Some(file.to_string()), line)),
        file => (file, line),
    };
    let shown = first.max((at + 1).saturating_sub(LIMIT))..end;
    let lines = lines[shown].iter().take(LIMIT).cloned().collect();
    Some(Cause { lines, file, line, host: strongest == Strength::Host })
}

fn shorten(line: &str, prefixes: &[String]) -> String {
    let mut line = crate::console::plain(line.trim_end());
    // make names folders that must stay.
    if !line.contains(" directory '") {
        for prefix in prefixes {
            line = line.replace(prefix.as_str(), "");
        }
    }
    line
}

fn strength(line: &str) -> Strength {
    const HOST: &[&str] = &[
        "No space left on device",
        "Killed signal terminated program",
        "virtual memory exhausted",
        "out of memory allocating",
        "Cannot allocate memory",
        "Disk quota exceeded",
        "Read-only file system",
        "Too many open files",
        "pahole (pahole) is not available",
    ];
    // Summaries that follow the message.
    const SUMMARY: &[&str] = &["collect2: error:", "error: linker command failed", "warnings being treated as errors"];
    const STRONG: &[&str] = &[
        "undefined reference to",
        "relocation truncated to fit",
        "multiple definition of",
        "ERROR: modpost:",
        "Failed to generate BTF",
        "Inconsistent kallsyms data",
        "internal compiler error:",
        "CMake Error",
        "configure: error:",
    ];
    let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
    let is_make = line.starts_with("make") && line.contains("*** ");
    if has(HOST) || is_missing_tool(line) {
        Strength::Host
    } else if has(SUMMARY) {
        Strength::Weak
    } else if line.starts_with("  ") {
        // Progress of the kernel's build, snippets, command lines of a verbose build.
        Strength::None
    } else if is_make && [" Error ", " Segmentation fault"].iter().any(|end| line.contains(&format!("]{end}"))) {
        Strength::Weak
    } else if has(STRONG) || is_error(line) || is_linker(line) || is_make_error(line) || is_kconfig(line) {
        Strength::Strong
    } else {
        Strength::None
    }
}

/// `/bin/sh: 1: flex: not found`, `make: flex: No such file or directory`, `bash: line 1: bc: command not found`.
fn is_missing_tool(line: &str) -> bool {
    let shell = line.starts_with("/bin/sh: ") || line.starts_with("sh: ") || line.contains("bash: ");
    (shell && line.ends_with("not found"))
        || (line.starts_with("make") && !line.contains("***") && line.ends_with(": No such file or directory"))
}

/// `file:1:2: error: …`, `gcc: fatal error: …`, gas's `Error:`.
fn is_error(line: &str) -> bool {
    let starts = ["error: ", "fatal error: ", "Error: ", "Fatal error: ", "fatal: "];
    starts.iter().any(|word| line.starts_with(word) || line.contains(&format!(": {word}")))
}

/// A message of a linker that is not a warning and no context.
fn is_linker(line: &str) -> bool {
    let Some((program, message)) = line.split_once(':') else { return false };
    let name = program.rsplit('/').next().unwrap_or_default();
    let is_ld = name == "ld" || name.ends_with("-ld") || name == "ld.bfd" || name == "ld.gold";
    is_ld && !message.contains("warning:") && !message.contains(": in function `") && !message.contains("NOTE:")
}

/// `Makefile:3: *** missing separator.  Stop.`, `make: *** No rule to make target …`, `*** Configuration file …`.
fn is_make_error(line: &str) -> bool {
    line.ends_with("Stop.") && line.contains("*** ") || line.starts_with("*** Configuration file")
}

/// `fs/Kconfig:3: syntax error`: messages of the kernel's configuration without the word error.
fn is_kconfig(line: &str) -> bool {
    location(line).is_some_and(|(file, number)| file.contains("Kconfig") && number.is_some())
        && !line.contains("warning")
}

/// Lines before a message that belong to it.
fn first_of_context(lines: &[String], at: usize) -> usize {
    let mut first = at;
    while first > 0 && is_context(&lines[first - 1]) {
        first -= 1;
    }
    first
}

fn is_context(line: &str) -> bool {
    line.starts_with("In file included from")
        || line.trim_start().starts_with("from ") && line.starts_with("   ")
        || context_file(line).is_some()
        || line.contains(": in function `")
        || line.ends_with("Assembler messages:")
        || line == "***"
}

/// The file in `file.c: In function 'f':` and the like.
fn context_file(line: &str) -> Option<String> {
    let (file, rest) = line.split_once(": ")?;
    let is =
        rest.starts_with("In function ") || rest.starts_with("At top level") || rest.starts_with("Assembler messages");
    (is && file != "{standard input}" && !file.starts_with("/tmp/")).then(|| file.to_string())
}

/// The object in `ld: main.o: in function `main':`.
fn object(line: &str) -> Option<String> {
    let (object, _) = line.split_once(": in function `")?;
    Some(object.rsplit(": ").next()?.to_string())
}

/// The file in lld's `>>> referenced by main.c:4 (src/main.c:4)`.
fn referrer(line: &str) -> Option<String> {
    let file = line.strip_prefix(">>> referenced by ").or(line.strip_prefix(">>> defined at "))?;
    Some(file.split([' ', ':']).next()?.to_string())
}

/// The line behind a message: snippets, notes, and the further messages of a linker.
fn end_of_message(lines: &[String], at: usize) -> usize {
    let goes_on = |line: &str| {
        let snippet = line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(" |");
        let indented = line.starts_with("\t") || line.starts_with("   ") || line.starts_with(">>>");
        snippet
            || indented
            || line.contains(": note: ")
            || line.starts_with("*** ")
            || line == "***"
            || line.contains(": in definition of")
    };
    let same_kind = |line: &str| {
        strength(line) == strength(&lines[at])
            && speaker(line) == speaker(&lines[at])
            && speaker(line) != Speaker::Compiler
    };
    let mut end = at + 1;
    while end < lines.len() && end - at < LIMIT {
        let line = &lines[end];
        let leads_on = is_context(line) && lines.get(end + 1).is_some_and(|next| same_kind(next));
        // lld sets its messages apart by empty lines.
        let gap = line.is_empty() && lines.get(end + 1).is_some_and(|next| same_kind(next));
        if !(goes_on(line) || same_kind(line) || leads_on || gap) {
            break;
        }
        end += 1;
    }
    end
}

/// Who speaks; a linker's or assembler's messages are shown together, of a compiler's the first.
#[derive(PartialEq, Eq)]
enum Speaker {
    Compiler,
    Assembler,
    Linker,
    Modpost,
    Other,
}

fn speaker(line: &str) -> Speaker {
    let linker = ["undefined reference to", "relocation truncated", "multiple definition of", "ld.lld: error:"];
    if linker.iter().any(|word| line.contains(word)) || is_linker(line) {
        Speaker::Linker
    } else if line.contains("ERROR: modpost:") {
        Speaker::Modpost
    } else if line.contains(": Error: ") {
        Speaker::Assembler
    } else if is_error(line) {
        Speaker::Compiler
    } else {
        Speaker::Other
    }
}

/// The output of an unknown program begins where the last progress line or command ended: up to 10 lines.
fn first_of_unknown(lines: &[String], at: usize) -> usize {
    let is_progress = |line: &str| {
        let kernel = line.starts_with("  ")
            && line
                .trim_start()
                .split(' ')
                .next()
                .is_some_and(|w| w.len() > 1 && w.chars().all(|c| c.is_ascii_uppercase()));
        kernel || line.starts_with("make")
    };
    let earliest = at.saturating_sub(10);
    (earliest..at).rev().take_while(|index| !is_progress(&lines[*index])).last().unwrap_or(at)
}

/// The file and line that a message begins with, behind a linker's name.
fn location(line: &str) -> Option<(&str, Option<u32>)> {
    let (first, rest) = line.split_once(':')?;
    let name = first.rsplit('/').next().unwrap_or_default();
    let is_tool = matches!(
        name,
        "ld" | "gcc" | "cc" | "clang" | "cc1" | "make" | "sh" | "ld.lld" | "collect2" | "configure" | "ERROR" | "error"
    ) || name.ends_with("-ld")
        || name.starts_with("make[");
    if is_tool {
        return if is_linker(line) { location(rest.trim_start()) } else { None };
    }
    if first.is_empty() || first.starts_with(['<', '{', ' ', '*', '>']) || first.contains(' ') {
        return None;
    }
    let number = rest.split(':').next().and_then(|number| number.parse().ok());
    // A file that is not a source: `file.c:(.text+0x6): undefined reference`, `a.o: error: objtool:`.
    let is_file = number.is_some() || rest.starts_with("(.") || rest.starts_with(" error: ");
    (is_file && !first.starts_with("/tmp/")).then_some((first, number))
}
