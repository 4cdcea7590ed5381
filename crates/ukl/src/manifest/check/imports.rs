//! `kernel-sources` and `imports`: what the program calls on the kernel's side.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::super::fields;
use super::super::raw::RawManifest;
use super::{bad, Checked};

/// Every file, absolute; their names differ, for the kernel's build has them in one folder.
pub(in super::super) fn kernel_sources(raw: &RawManifest, dir: &Path) -> Checked<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for (i, text) in raw.kernel_sources.iter().enumerate() {
        let here = ["kernel-sources", &i.to_string()];
        let path = fields::absolute(dir, text);
        if !matches!(path.extension().and_then(OsStr::to_str), Some("c" | "h")) {
            return bad(&here, format!("`{text}` is not a C file: the kernel's side takes .c and .h"));
        }
        if raw.build.is_empty() && !path.is_file() {
            return bad(&here, format!("no file `{text}`"));
        }
        if paths.iter().any(|other| other.file_name() == path.file_name()) {
            return bad(&here, format!("a second file with the name of `{text}`"));
        }
        paths.push(path);
    }
    only_with_sources(raw, "kernel-sources", paths.is_empty())?;
    Ok(paths)
}

/// Names of C functions, each once.
pub(in super::super) fn functions(raw: &RawManifest) -> Checked<Vec<String>> {
    let mut seen = BTreeSet::new();
    for (i, name) in raw.imports.iter().enumerate() {
        let here = ["imports", &i.to_string()];
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(word) || name.starts_with(|c: char| c.is_ascii_digit()) {
            return bad(&here, format!("`{name}` is not the name of a C function"));
        }
        if !seen.insert(name) {
            return bad(&here, format!("`{name}` is listed twice"));
        }
    }
    only_with_sources(raw, "imports", raw.imports.is_empty())?;
    Ok(raw.imports.clone())
}

/// The stubs are linked with the program, which only our own link does.
fn only_with_sources(raw: &RawManifest, key: &str, unused: bool) -> Checked<()> {
    match raw.program.is_some() && !unused {
        true => bad(&[key], format!("`{key}` works with `sources`, not with `program`, which links itself")),
        false => Ok(()),
    }
}
