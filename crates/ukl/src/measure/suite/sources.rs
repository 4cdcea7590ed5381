//! `tests/conformance/` and `tests/suites/`, embedded by `build.rs`: the suite must work from one installed binary.

use std::path::Path;

use crate::base::error::Result;
use crate::base::workdir;

/// (file name, contents), sorted.
pub(super) static FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/suite.rs"));

/// The cases that differ, each with its reason.
pub(super) const KNOWN: &str = include_str!("../../../../../tests/conformance/known.txt");

/// The cases that only hardware can run, by their family's name.
pub(super) fn hardware() -> Vec<String> {
    let text = FILES.iter().find(|(name, _)| *name == "hardware.c").map_or("", |(_, text)| *text);
    let cases = text.split("CASE(").skip(1).filter_map(|rest| rest.split(')').next());
    cases.map(String::from).collect()
}

/// One file: name and contents.
type File = (&'static str, &'static str);

/// (suite, files) of the public suites; the one without a name is what they share.
static SUITES: &[(&str, &[File])] = include!(concat!(env!("OUT_DIR"), "/suites.rs"));

fn public(suite: &str) -> &'static [File] {
    SUITES.iter().find(|(name, _)| *name == suite).map_or(&[], |(_, files)| files)
}

/// A file of a public suite; empty when there is none.
pub(super) fn public_file(suite: &str, file: &str) -> &'static str {
    public(suite).iter().find(|(name, _)| *name == file).map_or("", |(_, text)| text)
}

/// Writes a public suite to `folder`: its manifest, and in `many/` what its build takes.
pub(super) fn unpack_public(folder: &Path, suite: &str) -> Result<()> {
    write(&folder.join("ukl.toml"), public_file(suite, "ukl.toml"))?;
    for (name, text) in public("").iter().chain(public(suite)).filter(|(name, _)| is_source(name)) {
        write(&folder.join("many").join(name), text)?;
    }
    Ok(())
}

fn is_source(name: &str) -> bool {
    [".c", ".mk", ".sh"].iter().any(|end| name.ends_with(end))
}

/// Writes the suite to `folder`; files that are there already keep their times, so that nothing is compiled again.
pub(super) fn unpack(folder: &Path) -> Result<()> {
    for (name, text) in FILES {
        write(&folder.join(name), text)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    if workdir::read(path).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    workdir::write_atomic(path, text.as_bytes())
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
