//! Root causes of recorded logs.
//!
//! Each `data/makelog/*.log` is the output of a real failing build (the kernel's final steps imitate its
//! layout), beside it what is to be found in it. `UKL_UPDATE_GOLDENS=1` writes the expectations anew.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use formats::makelog::{root_cause, root_cause_in, Cause};
use std::path::Path;

fn shown(cause: Option<Cause>) -> String {
    let Some(cause) = cause else { return "none\n".into() };
    let place = match (&cause.file, cause.line) {
        (Some(file), Some(line)) => format!("{file}, line {line}"),
        (Some(file), None) => file.clone(),
        (None, _) => "no file".into(),
    };
    let blame = if cause.host { "host" } else { "source" };
    format!("{blame}; {place}\n{}\n", cause.lines.join("\n"))
}

#[test]
fn recorded_logs() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/makelog");
    let mut logs: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    logs.retain(|path| path.extension().is_some_and(|e| e == "log"));
    logs.sort();
    assert!(logs.len() >= 30, "{} logs", logs.len());
    let mut wrong = String::new();
    for path in &logs {
        let cause = root_cause_in(&std::fs::read_to_string(path).unwrap(), &["/home/user/hello"]);
        assert!(cause.as_ref().is_none_or(|cause| (1..=20).contains(&cause.lines.len())), "{path:?}");
        let found = shown(cause);
        let golden = path.with_extension("cause");
        if std::env::var_os("UKL_UPDATE_GOLDENS").is_some() {
            std::fs::write(&golden, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        if found != expected {
            wrong += &format!("{}:\nexpected {expected}found {found}\n", path.display());
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn folders_that_make_enters_are_left_out() {
    let log = "make: Entering directory '/src/linux'\n/src/linux/fs/exec.c:7:9: error: expected ';'\n";
    let cause = root_cause(log).unwrap();
    assert_eq!((cause.file.as_deref(), cause.line), (Some("fs/exec.c"), Some(7)));
    assert_eq!(cause.lines, ["fs/exec.c:7:9: error: expected ';'"]);
}

#[test]
fn colours_do_not_hide_errors() {
    let log = "\u{1b}[01m\u{1b}[Ka.c:1:5:\u{1b}[m\u{1b}[K \u{1b}[01;31m\u{1b}[Kerror: \u{1b}[m\u{1b}[Kexpected ';'\n";
    assert_eq!(root_cause(log).unwrap().lines, ["a.c:1:5: error: expected ';'"]);
}

#[test]
fn silence_has_no_cause() {
    for log in ["", "\n\n", "  CC      fs/error.o\n  LD      vmlinux\n", "a.c:1:5: warning: unused variable 'error'\n"]
    {
        assert_eq!(root_cause(log), None, "{log}");
    }
}
