//! Data flows one way: wings in the order of `lib.rs`, rooms in the order of their wing, and no circle anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{assert_none, read, root, rust_files, short};

/// A module as the names on its path: `["kernel", "vmlinux", "repair"]`; the crate itself is empty.
type Module = Vec<String>;

/// One use of a module: in which file and line, by whom, and the path as it is written, made absolute.
struct Use {
    place: String,
    by: Module,
    path: Module,
}

/// The module that a file of the `ukl` crate is.
fn module_of(path: &Path) -> Module {
    let inside = path.strip_prefix(root().join("crates/ukl/src")).unwrap().with_extension("");
    inside.iter().map(|part| part.to_string_lossy().into_owned()).collect()
}

/// The children of a module in the order in which its file declares them.
fn children(module: &[String]) -> Vec<String> {
    let name = if module.is_empty() { "lib".to_owned() } else { module.join("/") };
    let text = read(&root().join(format!("crates/ukl/src/{name}.rs")));
    let names = text.lines().filter_map(|line| {
        let line = line.strip_prefix("pub(crate) ").or(line.strip_prefix("pub ")).unwrap_or(line);
        line.strip_prefix("mod ")?.strip_suffix(';')
    });
    names.map(String::from).collect()
}

/// The top-level modules, which are the wings.
pub fn wings() -> Vec<String> {
    children(&[])
}

/// The paths that begin at the start of `text`: one, or each of a group in braces, at any depth.
fn tree(text: &str) -> (Vec<Module>, &str) {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        let mut all = Vec::new();
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('}') {
                return (all, after);
            }
            let (paths, after) = tree(rest);
            all.extend(paths);
            // What stands behind a path, as `as name`, is of no interest; without an end there is nothing to read.
            let Some(end) = after.find([',', '}']) else { return (all, "") };
            rest = after[end..].strip_prefix(',').unwrap_or(&after[end..]);
        }
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let Some(below) = rest.strip_prefix("::").filter(|_| !name.is_empty()) else {
        return (vec![vec![name.to_owned()]], rest);
    };
    let (paths, rest) = tree(below);
    (paths.into_iter().map(|path| [&[name.to_owned()], &path[..]].concat()).collect(), rest)
}

/// Every path of `text` that begins with `crate` or `super`, with the line of its beginning.
fn paths(text: &str) -> Vec<(usize, Module)> {
    let blank = |line: &str| if line.trim_start().starts_with("//") { String::new() } else { line.to_owned() };
    let code: String = text.lines().map(|line| blank(line) + "\n").collect();
    let mut found = Vec::new();
    for word in ["crate::", "super::"] {
        for (at, _) in code.match_indices(word) {
            let before = &code[..at];
            if before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':' || c == '$') {
                continue; // The middle of a longer path.
            }
            let line = before.matches('\n').count() + 1;
            found.extend(tree(&code[at..]).0.into_iter().map(|path| (line, path)));
        }
    }
    found
}

/// `path` as seen from `module`, made absolute; `nested` modules of one file are the file's own business.
fn absolute(module: &[String], path: &[String]) -> Module {
    let supers = path.iter().take_while(|name| *name == "super").count();
    if supers == 0 {
        return path[1..].to_vec();
    }
    [&module[..module.len().saturating_sub(supers)], &path[supers..]].concat()
}

/// Every use of a module of the crate, tests included; a file's test module stands one level deeper, so that its
/// `super` is the file.
fn uses() -> Vec<Use> {
    let mut all = Vec::new();
    for file in rust_files("crates/ukl/src") {
        let text = read(&file);
        let module = if file.ends_with("lib.rs") || file.ends_with("main.rs") { Vec::new() } else { module_of(&file) };
        let tests = text.lines().position(|line| line == "mod tests {").map_or(usize::MAX, |line| line + 1);
        for (line, path) in paths(&text) {
            let mut by = module.clone();
            by.extend((line > tests).then(|| "tests".to_owned()));
            let path = absolute(&by, &path);
            all.push(Use { place: format!("{}:{line}", short(&file)), by: module.clone(), path });
        }
    }
    all
}

/// Checks one use against the declared orders: at the first name where the two paths part, the used one stands above.
fn upward(by: &[String], path: &[String], order: &dyn Fn(&[String]) -> Vec<String>) -> Option<String> {
    let same = by.iter().zip(path).take_while(|(a, b)| a == b).count();
    let (here, there) = (by.get(same)?, path.get(same)?);
    let order = order(&by[..same]);
    let place = |name: &String| order.iter().position(|other| other == name);
    (place(there)? > place(here)?)
        .then(|| format!("`{}` uses `{}`, which stands below it", by.join("::"), path.join("::")))
}

#[test]
fn a_module_uses_only_what_stands_above_it() {
    let mut wrong = Vec::new();
    for Use { place, by, path } in uses() {
        wrong.extend(upward(&by, &path, &children).map(|what| format!("{place}: {what}")));
    }
    assert_none("data flows one way (each `mod` list has the order)", wrong);
}

#[test]
fn grouped_nested_and_relative_paths_are_seen() {
    let text =
        "use crate::{a, b::{c, d as e}};\n// crate::no\nlet x = super::super::f::g(1);\nuse super::{\n    h,\n};\n";
    let found: Vec<String> = paths(text).iter().map(|(line, path)| format!("{line} {}", path.join("/"))).collect();
    let wanted = ["1 crate/a", "1 crate/b/c", "1 crate/b/d", "3 super/super/f/g", "4 super/h"];
    assert_eq!(found, wanted);
    let words = |text: &str| -> Module { text.split('/').map(String::from).collect() };
    assert_eq!(absolute(&words("a/b/c"), &words("super/super/f")), words("a/f"));
    assert_eq!(absolute(&words("a/b"), &words("crate/x/y")), words("x/y"));
}

#[test]
fn a_use_of_something_below_is_found() {
    let words = |text: &str| -> Module { text.split('/').map(String::from).collect() };
    let order = |module: &[String]| if module.is_empty() { words("a/b") } else { words("x/y") };
    assert!(upward(&words("a"), &words("b"), &order).is_some());
    assert!(upward(&words("b"), &words("a"), &order).is_none());
    assert!(upward(&words("a/x"), &words("a/y/f"), &order).is_some());
    assert!(upward(&words("a/y"), &words("a/x/f"), &order).is_none());
    assert!(upward(&words("a/x"), &words("a/f"), &order).is_none(), "a function of the parent is no module");
}

/// The C files of the guest's own programs, by `#include "name"` and by what their headers say: see [`c_uses`].
fn c_functions(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with([' ', '\t', '}', '#', '/', '*']) && line.contains('(')) {
        let before = line.split('(').next().unwrap_or_default();
        let is_static = before.starts_with("static ");
        let name = before.rsplit([' ', '*']).next().unwrap_or_default();
        if !is_static && !name.is_empty() && !line.ends_with(';') {
            names.insert(name.to_owned());
        }
    }
    names
}

/// Which file uses functions of which other, among C sources that are linked together.
fn c_uses(files: &BTreeMap<String, String>) -> BTreeMap<String, BTreeSet<String>> {
    let called = |text: &str, name: &str| {
        text.match_indices(&format!("{name}("))
            .any(|(at, _)| !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
    };
    let mut edges = BTreeMap::new();
    for (user, text) in files {
        let others = files.iter().filter(|(other, _)| *other != user);
        let used = others.filter(|(_, other)| c_functions(other).iter().any(|name| called(text, name)));
        edges.insert(user.clone(), used.map(|(name, _)| name.clone()).collect());
    }
    edges
}

/// A circle in `edges`, if there is one, as the names on it.
fn circle(edges: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn visit(
        at: &str,
        edges: &BTreeMap<String, BTreeSet<String>>,
        way: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> Option<Vec<String>> {
        if let Some(start) = way.iter().position(|name| name == at) {
            return Some(way[start..].to_vec());
        }
        if !done.insert(at.to_owned()) {
            return None;
        }
        way.push(at.to_owned());
        let found = edges.get(at).into_iter().flatten().find_map(|next| visit(next, edges, way, done));
        way.pop();
        found
    }
    let mut done = BTreeSet::new();
    edges.keys().find_map(|name| visit(name, edges, &mut Vec::new(), &mut done))
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let modules: BTreeSet<Module> = rust_files("crates/ukl/src").iter().map(|file| module_of(file)).collect();
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for Use { by, path, .. } in uses() {
        let Some(used) = (1..=path.len()).rev().map(|n| &path[..n]).find(|part| modules.contains(*part)) else {
            continue;
        };
        // A parent and what is below it are one thing told in several files.
        if used.starts_with(&by) || by.starts_with(used) {
            continue;
        }
        edges.entry(by.join("::")).or_default().insert(used.join("::"));
    }
    assert_eq!(circle(&edges), None, "files that use each other in a circle");
}

#[test]
fn the_c_files_of_init_use_each_other_in_no_circle() {
    let sources = super::files("initrd").into_iter().filter(|path| path.extension().is_some_and(|e| e == "c"));
    let files: BTreeMap<String, String> = sources.map(|path| (short(&path), read(&path))).collect();
    assert!(files.len() > 1, "no C files of init");
    assert_eq!(circle(&c_uses(&files)), None, "C files that use each other in a circle");
}

#[test]
fn a_circle_is_found() {
    let edge = |from: &str, to: &[&str]| (from.to_owned(), to.iter().map(|to| (*to).to_owned()).collect());
    let edges = [edge("a", &["b"]), edge("b", &["c"]), edge("c", &["b"])].into_iter().collect();
    assert_eq!(circle(&edges), Some(vec!["b".to_owned(), "c".to_owned()]));
    assert_eq!(circle(&[edge("a", &["b", "c"]), edge("b", &["c"])].into_iter().collect()), None);
}
