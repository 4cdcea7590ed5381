//! What an object was made from: the compiler's dependency file, and the content of what it names.

use std::path::{Path, PathBuf};

use crate::base::stamp::Inputs;
use crate::base::workdir;

/// `key` and the content of every file that went into an object.
///
/// `depfile` is missing for sources that are not preprocessed: then only `source` counts.
/// `None` when a file that counted is gone: the object is stale.
pub fn inputs(key: &Inputs, cwd: &Path, source: &Path, depfile: &Path) -> Option<Inputs> {
    let files = match std::fs::read_to_string(depfile) {
        Ok(text) => parse(&text),
        Err(_) => vec![source.to_owned()],
    };
    let mut inputs = key.clone();
    for file in files {
        inputs = inputs.hashed(&file.display().to_string(), &workdir::hash_file(&cwd.join(&file)).ok()?);
    }
    Some(inputs)
}

/// The prerequisites of the one rule in a dependency file.
fn parse(text: &str) -> Vec<PathBuf> {
    let text = text.replace("\\\n", " ");
    let rule = text.lines().next().unwrap_or_default();
    let Some((_, files)) = rule.split_once(": ") else { return Vec::new() };
    let mut words = vec![String::new()];
    let mut chars = files.chars().peekable();
    while let Some(c) = chars.next() {
        let word = match words.last_mut() {
            Some(word) => word,
            None => break,
        };
        match (c, chars.peek()) {
            ('\\', Some(&next @ (' ' | '#'))) | ('$', Some(&next @ '$')) => {
                word.push(next);
                chars.next();
            }
            (c, _) if c.is_whitespace() => words.push(String::new()),
            (c, _) => word.push(c),
        }
    }
    words.into_iter().filter(|word| !word.is_empty()).map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continued_lines_and_escapes_are_read() {
        let text = "out/a.c.o: a.c \\\n  /usr/my\\ include/a.h \\\n odd$$name.h\n";
        assert_eq!(parse(text), ["a.c", "/usr/my include/a.h", "odd$name.h"].map(PathBuf::from));
        assert!(parse("").is_empty());
    }

    #[test]
    fn a_changed_or_vanished_header_shows() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| workdir::write_atomic(&dir.path().join(name), text.as_bytes()).unwrap();
        file("a.c", "");
        file("a.h", "1");
        file("a.d", "a.o: a.c a.h\n");
        let now = || inputs(&Inputs::default(), dir.path(), Path::new("a.c"), &dir.path().join("a.d"));
        let before = now().unwrap();
        assert_eq!(now().unwrap(), before);
        file("a.h", "2");
        assert_ne!(now().unwrap(), before);
        std::fs::remove_file(dir.path().join("a.h")).unwrap();
        assert_eq!(now(), None);
    }
}
