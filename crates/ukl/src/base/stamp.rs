//! Whether an output is still what its inputs would make: the hash of each input beside the output.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::base::error::Result;
use crate::base::workdir;

/// What an output is made from: a hash and a name for each input, one a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inputs(String);

impl Inputs {
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

/// Why outputs were found stale, since the last time that somebody asked.
static REASONS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Takes the reasons for which outputs were found stale, sorted.
pub fn reasons() -> Vec<String> {
    let mut reasons = std::mem::take(&mut *REASONS.lock().unwrap_or_else(PoisonError::into_inner));
    reasons.sort();
    reasons.dedup();
    reasons
}

/// Remembers a reason.
pub fn note(reason: String) {
    REASONS.lock().unwrap_or_else(PoisonError::into_inner).push(reason);
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

/// True when `output` exists and was made from inputs that hash to `key`; otherwise [`reasons`] has why.
pub fn is_fresh(output: &Path, key: &str) -> bool {
    let name = output.file_name().unwrap_or_default().to_string_lossy();
    let stamp = std::fs::read_to_string(path(output)).ok().filter(|_| output.exists());
    match stamp {
        Some(stamp) if stamp == key => return true,
        Some(stamp) => {
            let words = difference(&stamp, key);
            let more = if words.len() > 3 { format!(" and {} more", words.len() - 3) } else { String::new() };
            note(format!("{name}: {}{more}", words.iter().take(3).cloned().collect::<Vec<_>>().join(", ")));
        }
        None => note(format!("{name}: not made yet")),
    }
    false
}

/// Has `make` make `files` unless they are what `inputs` would make.
///
/// A failure leaves files of which nobody knows what they were made from.
pub fn output(inputs: &Inputs, files: &[&Path], make: impl FnOnce() -> Result<()>) -> Result<()> {
    if files.iter().all(|file| is_fresh(file, inputs.key())) {
        return Ok(());
    }
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
    fn fresh_means_same_key_and_an_output_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("out");
        write(&output, "k").unwrap();
        assert!(!is_fresh(&output, "k"), "no output yet");
        workdir::write_atomic(&output, b"x").unwrap();
        assert!(is_fresh(&output, "k") && !is_fresh(&output, "other"));
        clear(&output).unwrap();
        clear(&output).unwrap();
        assert!(!is_fresh(&output, "k"));
    }

    #[test]
    fn an_output_is_made_until_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let files = ["a", "b"].map(|name| dir.path().join(name));
        let inputs = Inputs::default().with("x", "1");
        let [a, b] = &files;
        let mut made = 0;
        let mut make = |fails: bool| {
            output(&inputs, &[a, b], || {
                made += 1;
                workdir::write_atomic(a, b"")?;
                anyhow::ensure!(!fails, "no");
                workdir::write_atomic(b, b"")
            })
        };
        assert!(make(true).is_err());
        make(false).unwrap();
        make(false).unwrap();
        assert_eq!(made, 2);
    }
}
