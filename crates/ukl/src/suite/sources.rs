//! `tests/guest/`, embedded by `build.rs`: the suite must work from one installed binary.

use std::path::Path;

use crate::error::Result;
use crate::workdir;

/// (file name, contents), sorted.
pub(super) static FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/suite.rs"));

/// The cases that differ, each with its reason.
pub(super) const KNOWN: &str = include_str!("../../../../tests/guest/known.txt");

/// Writes the suite to `folder`; files that are there already keep their times, so that nothing is compiled again.
pub(super) fn unpack(folder: &Path) -> Result<()> {
    for (name, text) in FILES {
        let path = folder.join(name);
        if workdir::read(&path).is_ok_and(|old| old == text.as_bytes()) {
            continue;
        }
        workdir::write_atomic(&path, text.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacking_twice_touches_nothing() {
        let dir = tempfile::tempdir().unwrap();
        unpack(dir.path()).unwrap();
        let main = dir.path().join("main.c");
        let first = std::fs::metadata(&main).unwrap().modified().unwrap();
        unpack(dir.path()).unwrap();
        assert_eq!(std::fs::metadata(&main).unwrap().modified().unwrap(), first);
        assert!(dir.path().join("ukl.toml").is_file());
    }
}
