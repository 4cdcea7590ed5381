//! Whether an output is still what its inputs would make: the hash of each input beside the output.

use std::path::{Path, PathBuf};

use crate::base::error::Result;
use crate::base::plan::INPUTS_ANEW;
use crate::base::workdir;

/// What an output is made from: a hash and a name for each input, one a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inputs(String);

impl Inputs {
    /// Inputs that are not made yet: nothing is made from them.
    pub fn pending() -> Self {
        Inputs::default()
    }

    /// Adds an input by what it says.
    pub fn with(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.hashed(name, &workdir::hash([value]))
    }

    /// Adds an input whose hash is known.
    pub fn hashed(mut self, name: &str, hash: &str) -> Self {
        self.0.push_str(&format!("{hash} {}\n", name.escape_debug()));
        self
    }

    /// The stamp of an output that these inputs make.
    pub fn key(&self) -> &str {
        &self.0
    }
}

/// What is different between two stamps, in words.
fn difference(old: &str, new: &str) -> Vec<String> {
    let lines = |text: &str| -> Vec<(String, String)> {
        text.lines().filter_map(|line| line.split_once(' ')).map(|(h, n)| (n.to_owned(), h.to_owned())).collect()
    };
    let (old, new) = (lines(old), lines(new));
    let find = |list: &[(String, String)], name: &str| list.iter().find(|(n, _)| n == name).map(|(_, h)| h.clone());
    let mut words = Vec::new();
    for (name, hash) in &new {
        match find(&old, name) {
            Some(before) if before == *hash => {}
            Some(_) => words.push(format!("{name} changed")),
            None => words.push(format!("{name} is new")),
        }
    }
    let gone = old.iter().filter(|(name, _)| find(&new, name).is_none());
    words.extend(gone.map(|(name, _)| format!("{name} is gone")));
    words
}

/// Where the stamp of `output` lies.
pub fn path(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".stamp");
    PathBuf::from(name)
}

/// Why `files` are not what `inputs` would make; nothing when they are.
pub fn stale(inputs: &Inputs, files: &[&Path]) -> Vec<String> {
    if inputs.0.is_empty() {
        return vec![INPUTS_ANEW.to_owned()];
    }
    files.iter().filter_map(|file| reason(file, inputs.key())).collect()
}

fn reason(output: &Path, key: &str) -> Option<String> {
    let name = output.file_name().unwrap_or_default().to_string_lossy();
    let stamp = std::fs::read_to_string(path(output)).ok().filter(|_| output.exists());
    let Some(stamp) = stamp else { return Some(format!("{name}: not made yet")) };
    if stamp == key {
        return None;
    }
    let words = difference(&stamp, key);
    let more = if words.len() > 3 { format!(" and {} more", words.len() - 3) } else { String::new() };
    Some(format!("{name}: {}{more}", words.iter().take(3).cloned().collect::<Vec<_>>().join(", ")))
}

/// Has `make` make `files`, and remembers that they are what `inputs` make.
///
/// A failure leaves files of which nobody knows what they were made from.
pub fn renew(inputs: &Inputs, files: &[&Path], make: impl FnOnce() -> Result<()>) -> Result<()> {
    files.iter().try_for_each(|file| clear(file))?;
    make()?;
    files.iter().try_for_each(|file| write(file, inputs.key()))
}

/// Forgets what `output` was made from; done before it is made again.
pub fn clear(output: &Path) -> Result<()> {
    workdir::remove_file(&path(output))
}

/// Remembers that `output` was made from inputs that hash to `key`; done last.
pub fn write(output: &Path, key: &str) -> Result<()> {
    workdir::write_atomic(&path(output), key.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_told_by_name() {
        let old = Inputs::default().with("main.c", "1").with("flags", "x").with("gone.h", "");
        let new = Inputs::default().with("main.c", "2").with("flags", "x").with("new.h", "");
        let words = difference(old.key(), new.key());
        assert_eq!(words, ["main.c changed", "new.h is new", "gone.h is gone"]);
        assert!(difference(old.key(), old.key()).is_empty());
    }

    #[test]
    fn fresh_means_the_same_inputs_and_an_output_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("out");
        let inputs = Inputs::default().with("x", "1");
        write(&output, inputs.key()).unwrap();
        assert_eq!(stale(&inputs, &[&output]), ["out: not made yet"], "no output yet");
        workdir::write_atomic(&output, b"x").unwrap();
        assert!(stale(&inputs, &[&output]).is_empty());
        assert_eq!(stale(&Inputs::default().with("x", "2"), &[&output]), ["out: x changed"]);
        assert_eq!(stale(&Inputs::pending(), &[&output]), [INPUTS_ANEW]);
        clear(&output).unwrap();
        clear(&output).unwrap();
        assert_eq!(stale(&inputs, &[&output]), ["out: not made yet"]);
    }

    #[test]
    fn a_failure_leaves_nothing_that_looks_fresh() {
        let dir = tempfile::tempdir().unwrap();
        let files = ["a", "b"].map(|name| dir.path().join(name));
        let [a, b] = [&*files[0], &*files[1]];
        let inputs = Inputs::default().with("x", "1");
        let make = |fails: bool| {
            renew(&inputs, &[a, b], || {
                workdir::write_atomic(a, b"")?;
                anyhow::ensure!(!fails, "no");
                workdir::write_atomic(b, b"")
            })
        };
        make(false).unwrap();
        assert!(stale(&inputs, &[a, b]).is_empty());
        make(true).unwrap_err();
        assert_eq!(stale(&inputs, &[a, b]).len(), 2);
    }
}
