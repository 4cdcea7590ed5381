//! The rules of this repository that a compiler does not know: layering, sizes, headers, leftovers.

#![allow(clippy::unwrap_used)] // Helpers of tests.

mod layers;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Longest file, median file and longest function, in lines.
const FILE_MAX: usize = 700;
const FILE_MEDIAN: usize = 200;
const FUNCTION_MAX: usize = 70;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below `dir`, without build output.
fn files(dir: &str) -> Vec<PathBuf> {
    let skip = |name: &str| matches!(name, ".git" | "target" | "build");
    let walk = walkdir::WalkDir::new(root().join(dir)).sort_by_file_name().into_iter();
    let walk = walk.filter_entry(move |entry| !skip(&entry.file_name().to_string_lossy()));
    walk.filter_map(|entry| entry.ok()).filter(|e| e.file_type().is_file()).map(|e| e.into_path()).collect()
}

fn rust_files(dir: &str) -> Vec<PathBuf> {
    files(dir).into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs")).collect()
}

fn short(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// The lines of `text` that are code, with their numbers.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let comment = |line: &str| line.trim_start().starts_with("//");
    text.lines().enumerate().map(|(i, line)| (i + 1, line)).filter(move |(_, line)| !comment(line))
}

/// `text` up to its tests.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

fn assert_none(what: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

/// Is `path` a file of the room `room`, named as `base/run`?
fn in_room(path: &Path, room: &str) -> bool {
    let inside = path.strip_prefix(root().join("crates/ukl/src")).map(|inside| inside.with_extension(""));
    inside.is_ok_and(|inside| inside.starts_with(room))
}

#[test]
fn only_run_starts_processes() {
    let mut wrong = Vec::new();
    for path in rust_files("crates").iter().filter(|path| path.components().any(|c| c.as_os_str() == "src")) {
        if in_room(path, "base/run") {
            continue;
        }
        let text = read(path);
        let starts = |line: &str| line.contains("process::") && line.contains("Command") || line.contains("libc::exec");
        wrong.extend(code(&text).filter(|(_, line)| starts(line)).map(|(n, _)| format!("{}:{n}", short(path))));
    }
    assert_none("use `run::Shell` instead of `std::process::Command`", wrong);
}

#[test]
fn formats_and_report_are_pure() {
    let impure = ["std::fs", "std::process", "std::env", "std::time", "std::net", "std::io", "std::thread"];
    let mut wrong = Vec::new();
    let files = rust_files("crates/formats/src").into_iter().chain(rust_files("crates/report/src"));
    // The program beside the library reads and writes for it.
    for path in files.filter(|path| short(path) != "crates/report/src/main.rs") {
        let text = read(&path);
        for (number, line) in code(without_tests(&text)) {
            if let Some(word) = impure.iter().find(|word| line.contains(**word)) {
                wrong.push(format!("{}:{number}: {word}", short(&path)));
            }
        }
    }
    assert_none("bytes in, value out, and nothing else", wrong);
}

#[test]
fn only_workdir_names_our_paths() {
    let ours = ["\"image.json\"", "\"guest.json\"", "\"qemu.sh\"", "\"console.log\"", "\"control.log\""];
    let ours = [&ours[..], &["\"XDG_CACHE_HOME\"", "\"XDG_STATE_HOME\""]].concat();
    let mut wrong = Vec::new();
    for path in rust_files("crates/ukl/src").iter().filter(|path| !in_room(path, "base/workdir")) {
        let text = read(path);
        for (number, line) in code(without_tests(&text)) {
            if let Some(word) = ours.iter().find(|word| line.contains(**word)) {
                wrong.push(format!("{}:{number}: {word}", short(path)));
            }
        }
    }
    assert_none("ask `workdir` for the path", wrong);
}

/// Words of one architecture, and where they may stand beside its table and the bytes of its code.
const ONE_ARCHITECTURE: [&str; 8] =
    ["x86_64", "arch/x86", "\"x86", "-x86\"", "ttyS0", "linux-gnu", "microvm,", "bzImage\""];
/// How `formats` takes the only row of its own table.
const TAKES_THE_ROW: &str = "arch::x86_64::";
const ARCHITECTURE_PLACES: [(&str, &str); 4] = [
    ("base/target", "the table"),
    ("base/workdir", "the name of a file in the image folder, which scripts of users know"),
    ("machine/accel", "reads the counter of the processor that we run on: an instruction, not a fact"),
    ("measure/bench", "the names of rows and of JSON keys"),
];

#[test]
fn one_table_knows_the_architecture() {
    let may = |path: &Path| {
        let inside = |(room, _): &(&str, &str)| in_room(path, room);
        ARCHITECTURE_PLACES.iter().any(inside) || short(path).starts_with("crates/formats/src/arch")
    };
    let mut wrong = Vec::new();
    let mut files = rust_files("crates/ukl/src");
    files.extend(rust_files("crates/formats/src"));
    for path in files.iter().filter(|path| !may(path)) {
        let text = read(path);
        for (number, line) in code(without_tests(&text)).filter(|(_, line)| !line.contains(TAKES_THE_ROW)) {
            if let Some(word) = ONE_ARCHITECTURE.iter().find(|word| line.contains(**word)) {
                wrong.push(format!("{}:{number}: {word}", short(path)));
            }
        }
    }
    assert_none("ask `base::target` for what differs between architectures", wrong);
}

#[test]
fn what_is_process_wide_decides_nothing() {
    // Signals and the terminal are the process's own; everything else is a value that somebody passes.
    let (own, state) = (["base/run/interrupt", "base/term"], ["Mutex", "Atomic", "Once", "Lazy", "Cell", "RwLock"]);
    let mut wrong = Vec::new();
    for path in rust_files("crates/ukl/src").iter().filter(|path| !own.iter().any(|room| in_room(path, room))) {
        let text = read(path);
        let is_state = |line: &str| line.contains("static mut ") || line.contains("thread_local!");
        let is_static = |line: &str| line.trim_start().trim_start_matches("pub ").starts_with("static ");
        let found = code(without_tests(&text))
            .filter(|(_, line)| is_state(line) || is_static(line) && state.iter().any(|word| line.contains(word)));
        wrong.extend(found.map(|(n, _)| format!("{}:{n}", short(path))));
    }
    assert_none("pass the value, or return it", wrong);
}

#[test]
fn stages_do_not_print() {
    let mut wrong = Vec::new();
    for path in rust_files("crates/ukl/src") {
        let text = read(&path);
        let prints = |line: &str| ["println!(", "print!("].iter().any(|word| line.contains(word));
        let lines = code(without_tests(&text)).filter(|(_, line)| prints(line));
        wrong.extend(lines.map(|(n, _)| format!("{}:{n}", short(&path))));
    }
    assert_none("use `term::say` or return the text", wrong);
}

#[test]
fn files_and_functions_are_short() {
    let mut wrong = Vec::new();
    let mut sizes = Vec::new();
    for path in rust_files("crates") {
        let text = read(&path);
        let lines = text.lines().count();
        if lines > FILE_MAX {
            wrong.push(format!("{}: {lines} lines", short(&path)));
        }
        sizes.push(lines);
        for (name, start, length) in functions(&text) {
            if length > FUNCTION_MAX {
                wrong.push(format!("{}:{start}: `{name}` has {length} lines", short(&path)));
            }
        }
    }
    sizes.sort();
    let median = sizes[sizes.len() / 2];
    assert!(median <= FILE_MEDIAN, "median file: {median} lines");
    assert_none(&format!("files up to {FILE_MAX} lines, functions up to {FUNCTION_MAX}"), wrong);
}

/// Name, first line and number of lines of every function of formatted code.
fn functions(text: &str) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let body = line.trim_start();
        let before = body.split("fn ").next().unwrap_or_default();
        let words = ["pub", "pub(crate)", "pub(super)", "const", "unsafe", "extern", "\"C\""];
        let is_function = body.contains("fn ") && before.split_whitespace().all(|word| words.contains(&word));
        if !is_function || body.ends_with(['}', ';']) {
            continue;
        }
        let end = format!("{}}}", &line[..line.len() - body.len()]);
        let length = lines[i..].iter().position(|l| *l == end).map_or(1, |n| n + 1);
        let name = body[before.len() + 3..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        found.push((name, i + 1, length));
    }
    found
}

#[test]
fn the_counter_of_functions_counts() {
    let text =
        "fn a() {\n    x;\n}\nimpl B {\n    pub const fn b(\n        self,\n    ) -> C {\n    }\n    fn c() {}\n}\n";
    assert_eq!(functions(text), [("a".into(), 1, 3), ("b".into(), 5, 4)]);
}

#[test]
fn every_rust_file_says_what_lives_there() {
    let silent = |path: &PathBuf| !read(path).starts_with("//! ");
    let wrong = rust_files("crates").into_iter().filter(silent).map(|path| short(&path)).collect();
    assert_none("the first line must be a `//!` sentence", wrong);
}

#[test]
fn code_is_formatted() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(["fmt", "--all", "--check"]).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "run `cargo fmt --all`:\n{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn every_patch_is_listed_and_explains_itself() {
    let mut wrong = Vec::new();
    for series in files("linux-patches").iter().filter(|path| path.ends_with("series")) {
        let dir = series.parent().unwrap();
        let text = read(series);
        let listed: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
        let mut sorted = listed.clone();
        sorted.sort();
        assert_eq!(listed, sorted, "{}: numbers and order disagree", short(series));
        let names = |path: PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        let there = files(&short(dir)).into_iter().map(names).filter(|name| name.ends_with(".patch"));
        let there: Vec<String> = there.collect();
        assert_eq!(listed, there, "{}: series and folder disagree", short(series));
        for name in listed {
            if let Err(what) = check_patch(&read(&dir.join(name))) {
                wrong.push(format!("{}/{name}: {what}", short(dir)));
            }
        }
    }
    assert_none("a patch is a letter to a maintainer", wrong);
}

fn check_patch(text: &str) -> Result<(), &'static str> {
    let (header, rest) = text.split_once("\n\n").ok_or("no header")?;
    // With or without a statistic between the message and the change.
    let (message, diff) = rest.split_once("\n---\n").or(rest.split_once("\ndiff --git ")).ok_or("no change")?;
    let subject = header.lines().find_map(|line| line.strip_prefix("Subject: ")).ok_or("no Subject")?;
    let trailer = |line: &&str| line.starts_with("Signed-off-by: ") && line.contains('@');
    let why = message.lines().filter(|line| !line.trim().is_empty() && !trailer(line)).count();
    match () {
        () if !header.starts_with("From ") => Err("not written by git format-patch"),
        () if !subject.contains(": ") => Err("the subject names no part of the kernel"),
        () if !message.lines().any(|line| trailer(&line)) => Err("no Signed-off-by"),
        () if why == 0 => Err("does not say why"),
        () if !diff.contains("\n@@ ") && !diff.contains("\n--- /dev/null") => Err("changes nothing"),
        () => Ok(()),
    }
}

#[test]
fn a_patch_without_a_reason_is_found() {
    let good =
        "From 1 Mon\nSubject: [PATCH] x86: y\n\nBecause.\n\nSigned-off-by: A <a@b>\n---\n x | 1 +\n\n@@ -1 +1 @@\n";
    assert_eq!(check_patch(good), Ok(()));
    assert_eq!(check_patch(&good.replace("Because.\n", "")), Err("does not say why"));
    assert_eq!(check_patch(&good.replace("x86: ", "")), Err("the subject names no part of the kernel"));
    assert_eq!(check_patch(&good.replace("Signed", "Unsigned")), Err("no Signed-off-by"));
}

#[test]
fn every_example_is_a_test() {
    let Ok(entries) = fs::read_dir(root().join("examples")) else { panic!("no examples") };
    let folders: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).filter(|path| path.is_dir()).collect();
    // What a program prints, or what a client of a server hears.
    let has = |path: &PathBuf, name: &str| path.join(name).is_file();
    let lacks = |path: &PathBuf| !has(path, "ukl.toml") || has(path, "expect.txt") == has(path, "client.sh");
    assert_none(
        "no ukl.toml, or not one of expect.txt and client.sh",
        folders.iter().filter(|p| lacks(p)).map(|p| short(p)).collect(),
    );
}

#[test]
fn nothing_is_left_over() {
    // Joined here, so that this file does not find itself.
    let words = ["TO|DO", "FIX|ME", "X|XX:", "to|do!(", "unimplemen|ted!(", "db|g!(", "/ro|ot/", "/wo|rk/"];
    let words: Vec<String> = words.iter().map(|word| word.replace('|', "")).collect();
    let text_files = ["rs", "c", "h", "S", "toml", "md", "sh", "patch", "config", "txt", "lds", "json", ""];
    let mut wrong = Vec::new();
    for path in files("") {
        let extension = path.extension().map(|e| e.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(text) = fs::read_to_string(&path).ok().filter(|_| text_files.contains(&extension.as_str())) else {
            continue;
        };
        for (i, line) in text.lines().enumerate() {
            // Context of a patch is somebody else's text.
            let ours = extension != "patch" || line.starts_with('+');
            if let Some(word) = words.iter().find(|word| ours && line.contains(word.as_str())) {
                wrong.push(format!("{}:{}: {word}", short(&path), i + 1));
            }
        }
    }
    assert_none("leftovers or paths of one machine", wrong);
}

/// Words that are not used any more, and what is said instead: docs/glossary.md. The kernel's and QEMU's own names stay.
const RETIRED: [(&str, &str); 7] = [
    ("application", "program"),
    ("chance", "seed, or random numbers"),
    ("initramfs", "RAM disk"),
    ("kernel mode", "app mode"),
    ("supervisor mode", "app mode, or privilege level 0"),
    ("virtual machine", "guest"),
    ("vm", "guest"),
];

/// The retired words in a line: whole words, with an `s` or without.
fn retired(line: &str) -> Vec<&'static (&'static str, &'static str)> {
    let line = line.to_lowercase();
    let letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '='));
    let whole = |word: &str, at: usize| {
        let rest = &line[at + word.len()..];
        let rest = rest.strip_prefix('s').unwrap_or(rest);
        !letter(line[..at].chars().next_back()) && !rest.starts_with(|c: char| c.is_alphanumeric() || "_-/".contains(c))
    };
    RETIRED.iter().filter(|(word, _)| line.match_indices(word).any(|(at, _)| whole(word, at))).collect()
}

#[test]
fn retired_words_stay_retired() {
    let folders =
        ["docs", "crates/formats/src", "crates/report/src", "crates/ukl/src", "initrd", "tests", "examples", "scripts"];
    let pages = ["README.md", "DESIGN.md"].map(|page| root().join(page));
    // The glossary lists them; a foreign server's results and words are its own.
    let ours = |path: &PathBuf| {
        let extension = path.extension().map(|e| e.to_string_lossy().into_owned()).unwrap_or_default();
        ["rs", "c", "h", "md", "toml", "sh", "txt", ""].contains(&extension.as_str()) && !path.ends_with("glossary.md")
    };
    let mut wrong = Vec::new();
    for path in folders.into_iter().flat_map(files).filter(ours).chain(pages) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (i, line) in text.lines().enumerate() {
            let found = retired(line).into_iter().map(|(word, instead)| format!("`{word}`: {instead}"));
            wrong.extend(found.map(|what| format!("{}:{}: {what}", short(&path), i + 1)));
        }
    }
    assert_none("one word for one thing (docs/glossary.md)", wrong);
}

#[test]
fn retired_words_are_found_whole() {
    assert_eq!(retired("A Virtual Machine by chance.").len(), 2);
    assert_eq!(retired("two applications in VMs").len(), 2);
    assert!(retired("the mechanics of DEBUG_VM, kvm and microvm").is_empty());
}

/// Names that say too little to be given twice, and who has each; a `Kind` of nothing nobody has.
const ONE_OWNER: [(&str, &str); 6] = [
    ("Plan", "base/plan"),
    ("Mode", "measure/pair"),
    ("Machine", "machine"),
    ("Kind", "nobody"),
    ("Report", "nobody"),
    ("Boot", "nobody"),
];

#[test]
fn names_of_types_explain_themselves() {
    let mut wrong = Vec::new();
    for path in rust_files("crates").iter().filter(|path| path.components().any(|c| c.as_os_str() == "src")) {
        let text = read(path);
        for (number, line) in code(&text) {
            let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
            let defines = words.any(|word| ["struct", "enum", "type", "trait", "union"].contains(&word));
            let name = words.next().filter(|_| defines).unwrap_or_default();
            let taken = ONE_OWNER.iter().any(|(short, owner)| name == *short && !in_room(path, owner));
            wrong.extend(taken.then(|| format!("{}:{number}: `{name}`", short(path))));
        }
    }
    assert_none("say of what it is one", wrong);
}

#[test]
fn the_design_lists_the_wings_in_order() {
    let design = read(&root().join("DESIGN.md"));
    let mut rest = design.as_str();
    for module in layers::wings() {
        let row = format!("| `{module}` |");
        let at = rest.find(&row).unwrap_or_else(|| panic!("DESIGN.md: `{module}` is missing or out of order"));
        rest = &rest[at..];
    }
}
