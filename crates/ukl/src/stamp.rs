//! Whether an output is still what its inputs would make: a hash of the inputs beside the output.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::workdir;

/// Where the stamp of `output` lies.
pub fn path(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".stamp");
    PathBuf::from(name)
}

/// True when `output` exists and was made from inputs that hash to `key`.
pub fn is_fresh(output: &Path, key: &str) -> bool {
    output.exists() && std::fs::read(path(output)).is_ok_and(|stamp| stamp == key.as_bytes())
}

/// Forgets what `output` was made from; done before it is made again.
pub fn clear(output: &Path) -> Result<()> {
    match std::fs::remove_file(path(output)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Remembers that `output` was made from inputs that hash to `key`; done last.
pub fn write(output: &Path, key: &str) -> Result<()> {
    workdir::write_atomic(&path(output), key.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
