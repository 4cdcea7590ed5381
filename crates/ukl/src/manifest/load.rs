//! A folder, a `ukl.toml` or plain C files → [`Manifest`]; errors name file, line and key.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::check::{check, libc_for, Bad};
use super::raw::RawManifest;
use super::{Libc, Manifest};
use crate::base::error::{fail, nearest, Class, Result};
use crate::base::term;
use crate::base::workdir;

/// Reads the manifest in the folder `path`, or the manifest `path` itself.
///
/// All errors are of class `Usage` and name the file and, where there is one, the line.
pub fn load(path: &Path) -> Result<Manifest> {
    let file = if path.is_dir() { path.join("ukl.toml") } else { path.to_owned() };
    if !file.is_file() {
        let failure = fail(Class::Usage, format!("no manifest at `{}`", file.display()));
        return Err(failure.hint("name a folder with `ukl.toml`, or C files: `ukl up hello.c`").into());
    }
    let text = String::from_utf8(workdir::read(&file)?)
        .map_err(|_| fail(Class::Usage, format!("`{}` is not UTF-8 text", file.display())))?;
    let dir = std::path::absolute(file.parent().unwrap_or(Path::new(".")))?;
    // `ukl up .` must know the folder's name.
    parse(&text, &file, &super::fields::absolute(Path::new("/"), &dir.to_string_lossy()))
}

/// Checks a manifest's new text before it is written to `file`.
pub(super) fn check_text(text: &str, file: &Path) -> Result<()> {
    let dir = std::path::absolute(file.parent().unwrap_or(Path::new(".")))?;
    parse(text, file, &super::fields::absolute(Path::new("/"), &dir.to_string_lossy())).map(drop)
}

/// `text` of the manifest `file` in the absolute folder `dir` → the checked manifest.
fn parse(text: &str, file: &Path, dir: &Path) -> Result<Manifest> {
    let raw: RawManifest = toml::from_str(text).map_err(|error| syntax_error(text, file, &error))?;
    check(raw, dir).map_err(|bad| value_error(text, file, &bad).into())
}

/// A manifest for plain C files: the first one names the image, all defaults apply.
pub fn from_files(files: &[PathBuf]) -> Result<Manifest> {
    let first = files.first().ok_or_else(|| fail(Class::Usage, "no file to build"))?;
    // Without an ending it was meant as a folder.
    if let Some(missing) = files.iter().find(|file| file.extension().is_none() && !file.exists()) {
        let failure = fail(Class::Usage, format!("no file or folder `{}`", missing.display()));
        // The first one is a file: what follows was meant for the program.
        let meant = (missing != first)
            .then(|| format!("arguments go behind `--`: {} -- {}", first.display(), missing.display()));
        return Err(match meant {
            Some(hint) => failure.hint(hint).into(),
            None => failure.into(),
        });
    }
    let name = image_name(&first.file_stem().unwrap_or_default().to_string_lossy());
    let dir = std::env::current_dir()?;
    let sources = files.iter().map(|f| f.to_string_lossy().into_owned()).collect();
    let raw = RawManifest { name: Some(name), sources, ..RawManifest::default() };
    check(raw, &dir).map_err(|bad| fail(Class::Usage, bad.text).into())
}

/// A manifest for a folder without one: its C files make the program, the folder names the image.
///
/// Error (class `Usage`): there are none.
pub fn from_folder(dir: &Path) -> Result<Manifest> {
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("failed to read `{}`", dir.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        sources.extend(Some(name).filter(|name| name.ends_with(".c")));
    }
    if sources.is_empty() {
        return load(dir);
    }
    sources.sort();
    term::say(&format!("no ukl.toml in `{}`: the program is {}", dir.display(), sources.join(", ")));
    let dir = std::path::absolute(dir)?;
    let dir = super::fields::absolute(Path::new("/"), &dir.to_string_lossy());
    let name = image_name(&dir.file_name().unwrap_or_default().to_string_lossy());
    let raw = RawManifest { name: Some(name), sources, ..RawManifest::default() };
    check(raw, &dir).map_err(|bad| fail(Class::Usage, bad.text).into())
}

/// A manifest for a program that `ukl cc` linked: it names the image, all defaults apply.
pub fn from_program(program: &Path) -> Result<Manifest> {
    let path = std::path::absolute(program)?;
    let dir = path.parent().unwrap_or(Path::new("/")).to_owned();
    let raw = RawManifest {
        name: Some(image_name(&path.file_name().unwrap_or_default().to_string_lossy())),
        program: Some(path.to_string_lossy().into_owned()),
        ..RawManifest::default()
    };
    check(raw, &dir).map_err(|bad| fail(Class::Usage, bad.text).into())
}

/// Gives a manifest another C library. The error is a lower-case fragment.
pub fn set_libc(manifest: &mut Manifest, libc: Libc) -> std::result::Result<(), String> {
    manifest.libc = libc_for(Some(libc), &manifest.sources)?;
    Ok(())
}

/// A name for an image made of a file's name.
fn image_name(stem: &str) -> String {
    let good = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = stem.chars().map(good).collect();
    let name: String = name.trim_matches('-').chars().take(64).collect();
    if name.is_empty() {
        "program".into()
    } else {
        name
    }
}

/// What the TOML reader refused, with the line and, for a misspelt key, the nearest good one.
fn syntax_error(text: &str, file: &Path, error: &toml::de::Error) -> anyhow::Error {
    let line = error.span().map(|span| line_of(text, span.start));
    let (message, hint) = reword(error.message());
    let failure = fail(Class::Usage, format!("{}: {message}", place(file, line)));
    match hint {
        Some(hint) => failure.hint(hint).into(),
        None => failure.into(),
    }
}

fn value_error(text: &str, file: &Path, bad: &Bad) -> crate::base::error::Failure {
    fail(Class::Usage, format!("{}: {}", place(file, locate(text, &bad.at)), bad.text))
}

fn place(file: &Path, line: Option<usize>) -> String {
    match line {
        Some(line) => format!("{}:{line}", file.display()),
        None => file.display().to_string(),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1
}

/// The line on which the value at `path` stands.
fn locate(text: &str, path: &[String]) -> Option<usize> {
    use toml::de::{DeTable, DeValue};
    let (first, rest) = path.split_first()?;
    let table = DeTable::parse(text).ok()?;
    let mut value = table.get_ref().get(first.as_str())?;
    for step in rest {
        value = match value.get_ref() {
            DeValue::Table(table) => table.get(step.as_str())?,
            DeValue::Array(array) => array.get(step.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(line_of(text, value.span().start))
}

/// serde's words → ours, and a hint.
fn reword(message: &str) -> (String, Option<String>) {
    let message = message.trim();
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if message.starts_with("missing field") && !names.is_empty() {
        return (format!("`{}` is missing", names[0]), None);
    }
    let unknown = ["unknown field", "unknown variant"].iter().position(|start| message.starts_with(start));
    let (Some(kind), Some((got, known))) = (unknown, names.split_first()) else {
        return (message.replace('\n', ", "), None);
    };
    let what = ["key", "value"][kind];
    let hint = nearest(got, known.iter().copied())
        .map_or_else(|| format!("known here: {}", known.join(", ")), |good| format!("did you mean `{good}`?"));
    (format!("unknown {what} `{got}`"), Some(hint))
}

#[cfg(test)]
mod tests;
