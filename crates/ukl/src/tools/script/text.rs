//! A shell script in the making: our commands as a person would write them, with variables for folders and programs.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;

use crate::base::quote;
use crate::base::run::Cmd;
use crate::kernel::config::CLEARED;

/// No line of a command is longer, if a word does not make it so.
const WIDTH: usize = 110;

/// A path that stands for the variable `name` until the script is written: no other path is like it.
pub fn placeholder(name: &str) -> String {
    format!("/\u{e000}{name}")
}

/// The script, line by line.
#[derive(Debug, Default)]
pub struct Text {
    out: String,
    /// Levels of indentation.
    depth: usize,
    payload: String,
    /// What is shown as a variable: (text, variable), the longest text first.
    names: Vec<(String, &'static str)>,
    used: RefCell<BTreeSet<&'static str>>,
    functions: Vec<(&'static str, Cmd)>,
}

impl Text {
    /// A script in which `names` (text, variable) are variables.
    pub fn new(mut names: Vec<(String, &'static str)>) -> Self {
        names.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        Text { names, ..Text::default() }
    }

    /// The lines so far, and the files that the script carries.
    pub fn end(self) -> (String, String) {
        (self.out, self.payload)
    }

    /// Whether a command so far has this variable in it.
    pub fn uses(&self, variable: &str) -> bool {
        self.used.borrow().contains(variable)
    }

    /// A new part, with its name for the reader and for whoever watches the script run.
    pub fn part(&mut self, title: &str) {
        self.line(&format!("\n# ---- {title}"));
    }

    /// A comment; each line of `text` becomes one.
    pub fn say(&mut self, text: &str) {
        text.lines().for_each(|line| self.line(format!("# {line}").trim_end()));
    }

    /// Lines of shell.
    pub fn line(&mut self, text: &str) {
        for line in text.lines() {
            let depth = if line.is_empty() { 0 } else { self.depth };
            self.out.push_str(&format!("{}{line}\n", "    ".repeat(depth)));
        }
    }

    /// A line that begins a block, up to [`Text::close`].
    pub fn open(&mut self, line: &str) {
        self.line(line);
        self.depth += 1;
    }

    /// The line that ends the block.
    pub fn close(&mut self, line: &str) {
        self.depth = self.depth.saturating_sub(1);
        self.line(line);
    }

    /// A file below `folder`, as a word.
    pub fn at(&self, folder: &Path, name: &str) -> String {
        self.word(&folder.join(name).to_string_lossy())
    }

    /// A command.
    pub fn cmd(&mut self, cmd: &Cmd) {
        self.cmd_with(cmd, "");
    }

    /// A command and what stands behind it, for instance a redirection.
    pub fn cmd_with(&mut self, cmd: &Cmd, behind: &str) {
        let line = self.command(cmd);
        self.line(&format!("{line}{behind}"));
    }

    /// Defines a function for what several commands begin with, in the same folder.
    pub fn function(&mut self, name: &'static str, cmd: &Cmd) {
        let body = self.command(cmd);
        let body = match body.strip_suffix(')') {
            Some(body) if cmd.dir().is_some() => format!("{body} \"$@\")"),
            _ => format!("{body} \"$@\""),
        };
        self.line(&format!("{name}() {{\n    {}\n}}", body.replace('\n', "\n    ")));
        self.functions.push((name, cmd.clone()));
    }

    /// Adds a file that `payload NAME` prints.
    pub fn file(&mut self, name: &str, text: &str) {
        self.payload.push_str(&format!("#= {name}\n"));
        text.lines().for_each(|line| self.payload.push_str(&format!("#|{line}\n")));
    }

    /// The command in the script's words, without the line's end.
    pub fn command(&self, cmd: &Cmd) -> String {
        let words: Vec<&OsStr> = cmd.words().collect();
        let begins = |(_, start): &&(&str, Cmd)| {
            let start_words: Vec<&OsStr> = start.words().collect();
            start.dir() == cmd.dir() && words.starts_with(&start_words)
        };
        let (known, rest) = match self.functions.iter().rev().find(begins) {
            Some((name, start)) => (Some((name, start)), &words[start.words().count()..]),
            None => (None, &words[..]),
        };
        let mut parts: Vec<String> = Vec::new();
        for (key, value) in cmd.variables() {
            let inherited =
                known.is_some_and(|(_, start)| start.variables().iter().any(|(k, v)| (k, v) == (key, value)));
            let (key, value) = (key.to_string_lossy(), value.to_string_lossy());
            // What the script says once for all commands.
            let everywhere = key == "LC_ALL" && value == "C" || value.is_empty() && CLEARED.contains(&key.as_ref());
            if !inherited && !everywhere {
                parts.push(format!("{key}={}", self.word(&value)));
            }
        }
        // A variable before a function would not reach the programs that it calls.
        let exported = known.is_some() && !parts.is_empty();
        let before =
            if exported { format!("export {} && ", std::mem::take(&mut parts).join(" ")) } else { String::new() };
        parts.extend(known.map(|(name, _)| name.to_string()));
        parts.extend(rest.iter().map(|word| self.word(&word.to_string_lossy())));
        match cmd.dir().filter(|_| known.is_none()) {
            Some(dir) => format!("(cd {} && {})", self.word(&dir.to_string_lossy()), wrapped(&parts)),
            None if exported => format!("({before}{})", wrapped(&parts)),
            None => wrapped(&parts),
        }
    }

    /// One word, quoted where the shell would take it apart, with variables for what has one.
    pub fn word(&self, word: &str) -> String {
        if is_jobs(word) {
            return "\"-j$(nproc)\"".into();
        }
        let (mut text, mut plain, mut variables) = (String::new(), true, false);
        let mut rest = word;
        while let Some(first) = rest.chars().next() {
            if let Some((found, variable)) = self.names.iter().find(|(name, _)| stands_at(rest, name)) {
                rest = &rest[found.len()..];
                let braces = rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
                text.push_str(&if braces { format!("${{{variable}}}") } else { format!("${variable}") });
                self.used.borrow_mut().insert(variable);
                variables = true;
                continue;
            }
            plain &= quote::is_plain(first);
            if matches!(first, '"' | '\\' | '$' | '`') {
                text.push('\\');
            }
            text.push(first);
            rest = &rest[first.len_utf8()..];
        }
        match (variables, plain && !word.is_empty()) {
            (true, _) => format!("\"{text}\""),
            (false, true) => text,
            (false, false) => format!("'{}'", quote::in_quotes(word)),
        }
    }
}

/// `name` begins `text` and ends where a word of a path ends.
fn stands_at(text: &str, name: &str) -> bool {
    let ends = |c: char| !(c.is_alphanumeric() || "._-+".contains(c));
    text.strip_prefix(name).is_some_and(|rest| rest.chars().next().is_none_or(ends))
}

/// The number of processors is the machine's that runs the script.
fn is_jobs(word: &str) -> bool {
    word.strip_prefix("-j").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Words in lines that are not too long; an option stays with its value.
fn wrapped(words: &[String]) -> String {
    let (mut text, mut column) = (String::new(), 0);
    let is_option = |word: &str| word.starts_with('-') && !word.contains('=');
    for (i, word) in words.iter().enumerate() {
        let value = words.get(i + 1).filter(|next| is_option(word) && !next.starts_with('-'));
        let length = word.len() + value.map_or(0, |value| value.len() + 1);
        let is_value = i > 0 && is_option(&words[i - 1]) && !word.starts_with('-');
        if column > 0 && !is_value && column + length + 3 > WIDTH {
            text.push_str(" \\\n    ");
            column = 4;
        } else if column > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += word.len();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> Text {
        Text::new(vec![(placeholder("OUT"), "OUT"), ("/p/hello".into(), "APP"), ("/p/hello/sub".into(), "SUB")])
    }

    #[test]
    fn folders_become_variables_and_other_words_are_quoted() {
        let text = text();
        let word = |word: &str| text.word(word);
        assert_eq!(word("-O2"), "-O2");
        assert_eq!(word("two words"), "'two words'");
        assert_eq!(word("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(word(""), "''");
        assert_eq!(word(&format!("-o={}/a", placeholder("OUT"))), "\"-o=$OUT/a\"");
        assert_eq!(word("-f=/p/hello=."), "\"-f=$APP=.\"");
        assert_eq!(word("/p/hello/sub/$x"), "\"$SUB/\\$x\"");
        assert_eq!((word("/p/hello.c"), word("/p/hello2")), ("/p/hello.c".into(), "/p/hello2".into()));
        assert_eq!((word("-j12"), word("-j")), ("\"-j$(nproc)\"".into(), "-j".into()));
        assert!(text.uses("SUB") && !text.uses("CC"));
    }

    #[test]
    fn a_function_takes_the_place_of_what_it_holds() {
        let mut text = text();
        let start = Cmd::new("cc").arg("-O2").cwd("/p/hello").env("LC_ALL", "C").env("A", "b c");
        text.function("compile", &start);
        text.cmd_with(&start.clone().arg("main.c"), " </dev/null");
        text.cmd(&start.clone().cwd("/p").arg("main.c"));
        text.open("if true; then");
        text.cmd(&start.clone().env("C", "d").arg("x.c"));
        text.close("fi");
        let want = "compile() {\n    (cd \"$APP\" && A='b c' cc -O2 \"$@\")\n}\n\
                    compile main.c </dev/null\n(cd /p && A='b c' cc -O2 main.c)\n\
                    if true; then\n    (export C=d && compile x.c)\nfi\n";
        assert_eq!(text.end().0, want);
    }

    #[test]
    fn long_commands_are_wrapped() {
        let text = text();
        let line = text.command(&Cmd::new("x").args(vec!["0123456789"; 30]));
        assert!(line.lines().count() > 2 && line.lines().all(|line| line.len() <= WIDTH + 2), "{line}");
    }

    #[test]
    fn files_come_behind_the_commands() {
        let mut text = text();
        text.file("a.patch", "--- a\n\n+b\n");
        assert_eq!(text.end().1, "#= a.patch\n#|--- a\n#|\n#|+b\n");
    }
}
