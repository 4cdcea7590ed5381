//! `ukl cp`: files and folders into a guest that runs, and out of it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::answer::Answer;
use crate::base::error::{fail, Class, Result};
use crate::base::workdir::Guests;
use crate::guests::{self, Guest};

/// `ukl cp`.
#[derive(Debug, Clone, Args)]
pub struct CpArgs {
    /// A file or a folder: here, or in a guest as NAME:/PATH (`FOLDER/.` is what it contains)
    #[arg(value_name = "FROM")]
    pub from: OsString,
    /// Where it goes: into it if that is a folder
    #[arg(value_name = "TO")]
    pub to: OsString,
}

/// One end of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Here(PathBuf),
    /// The guest's name, empty for the only one that runs; an absolute path.
    Inside(String, String),
}

/// Reads an end: a word before a colon names a guest, as docker and scp have it.
fn end(word: &OsStr) -> End {
    let split = word.to_str().and_then(|word| word.split_once(':'));
    match split {
        Some((name, path)) if !name.contains('/') && !name.starts_with('.') => {
            let slash = if path.starts_with('/') { "" } else { "/" };
            End::Inside(name.to_owned(), format!("{slash}{path}"))
        }
        _ => End::Here(PathBuf::from(word)),
    }
}

/// Copies.
pub(super) fn cp(args: &CpArgs, dry_run: bool) -> Result<Answer> {
    let (guest, copied) = match (end(&args.from), end(&args.to)) {
        (End::Here(from), End::Inside(name, to)) => {
            let guest = find(&name)?;
            (guest.name.clone(), perform(dry_run, || guests::copy_in(&guest, &from, &to))?)
        }
        (End::Inside(name, from), End::Here(to)) => {
            let guest = find(&name)?;
            (guest.name.clone(), perform(dry_run, || guests::copy_out(&guest, &from, &to))?)
        }
        (End::Here(_), End::Here(_)) => {
            let failure = fail(Class::Usage, "neither path is in a guest");
            return Err(failure.hint("write NAME:/PATH for one of them: `ukl ps` lists the guests").into());
        }
        (End::Inside(..), End::Inside(..)) => {
            let failure = fail(Class::Usage, "both paths are in a guest");
            return Err(failure.hint("copy by way of this machine; `./a:b` is a file here").into());
        }
    };
    let text = |word: &OsStr| Path::new(word).display().to_string();
    let json = json!({
        "name": guest, "from": text(&args.from), "to": text(&args.to),
        "files": copied.files, "bytes": copied.bytes,
    });
    Ok(Answer::new("", json))
}

fn find(name: &str) -> Result<Guest> {
    let all = Guests::from_env()?;
    let names: Vec<String> = Some(name.to_owned()).filter(|name| !name.is_empty()).into_iter().collect();
    guests::find(&all, &guests::meant(&all, &names)?.remove(0))
}

fn perform(dry_run: bool, copy: impl FnOnce() -> Result<guests::Copied>) -> Result<guests::Copied> {
    if dry_run {
        return Ok(guests::Copied::default());
    }
    copy()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_before_a_colon_is_a_guest() {
        let inside = |name: &str, path: &str| End::Inside(name.into(), path.into());
        let of = |word: &str| end(OsStr::new(word));
        assert_eq!(
            (of("web:/etc/"), of("web:a:b"), of(":/x")),
            (inside("web", "/etc/"), inside("web", "/a:b"), inside("", "/x"))
        );
        for here in ["a", "/a:b", "./a:b", "a/b:c", "../x:y"] {
            assert_eq!(of(here), End::Here(here.into()));
        }
    }
}
