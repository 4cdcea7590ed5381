//! What `ukl init` begins a project with: the examples, embedded by `build.rs`; no network, no account.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::error::{fail, nearest, Class, Result};
use crate::base::workdir;

/// A path below the project's folder, whether the file is executable, and its contents.
type File = (&'static str, bool, &'static [u8]);

/// Example → its files, sorted.
static EXAMPLES: &[(&str, &[File])] = include!(concat!(env!("OUT_DIR"), "/templates.rs"));

/// One example to begin with.
#[derive(Debug, Clone, Serialize)]
pub struct Template {
    /// Its name.
    pub name: &'static str,
    /// `template`: sources of its own; `recipe`: builds a program of the distribution.
    pub kind: &'static str,
    /// The first comment of its manifest.
    pub about: String,
}

/// Every template, sorted by name.
pub fn all() -> Vec<Template> {
    EXAMPLES.iter().map(|(name, files)| describe(name, files)).collect()
}

fn describe(name: &'static str, files: &[File]) -> Template {
    let manifest = files.iter().find(|(path, _, _)| *path == "ukl.toml").map_or(&[][..], |(_, _, bytes)| bytes);
    let text = String::from_utf8_lossy(manifest);
    let about = text.lines().next().and_then(|line| line.strip_prefix("# ")).unwrap_or_default();
    let is_recipe = text.lines().any(|line| line.starts_with("source ="));
    Template { name, kind: if is_recipe { "recipe" } else { "template" }, about: about.to_owned() }
}

/// Begins a project in `dir` with the template `name`; the answer is the files that were written.
///
/// Errors (class `Usage`): no such template, a file of the same name is there already; then nothing is written.
pub fn begin(name: &str, dir: &Path, dry_run: bool) -> Result<Vec<PathBuf>> {
    let Some((_, files)) = EXAMPLES.iter().find(|(known, _)| *known == name) else {
        let names = EXAMPLES.iter().map(|(name, _)| *name);
        let near =
            nearest(name, names).map_or("`ukl list` shows them".into(), |near| format!("did you mean `{near}`?"));
        return Err(fail(Class::Usage, format!("no template `{name}`")).hint(near).into());
    };
    if dir.exists() && !dir.is_dir() {
        return Err(fail(Class::Usage, format!("`{}` is not a folder", dir.display())).into());
    }
    let paths: Vec<PathBuf> = files.iter().map(|(path, _, _)| dir.join(path)).collect();
    if let Some(there) = paths.iter().find(|path| path.symlink_metadata().is_ok()) {
        let failure = fail(Class::Usage, format!("`{}` exists: nothing was written", there.display()));
        return Err(failure.hint("name another folder: `ukl init -t TEMPLATE DIR`").into());
    }
    if !dry_run {
        for ((_, executable, bytes), path) in files.iter().zip(&paths) {
            workdir::write_new(path, bytes, if *executable { 0o755 } else { 0o644 })?;
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_loads_as_a_project_and_says_what_it_is() {
        for template in all() {
            let dir = tempfile::tempdir().unwrap();
            let to = dir.path().join("Some Folder");
            let files = begin(template.name, &to, false).unwrap();
            assert!(files.contains(&to.join("ukl.toml")), "{files:?}");
            crate::manifest::load(&to).unwrap();
            assert!(!template.about.is_empty(), "the first line of {}'s ukl.toml is not a comment", template.name);
        }
    }

    #[test]
    fn the_examples_folder_is_embedded() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        let there = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let mut there: Vec<String> = there.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        there.sort();
        let embedded: Vec<&str> = EXAMPLES.iter().map(|(name, _)| *name).collect();
        assert_eq!(embedded, there, "an example is new: `touch crates/ukl/build.rs`");
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("main.c"), "mine").unwrap();
        let (text, code) = crate::base::error::render(&begin("hello", dir.path(), false).unwrap_err());
        assert!(text.contains("main.c` exists: nothing was written"), "{text}");
        assert_eq!((code, std::fs::read_dir(dir.path()).unwrap().count()), (2, 1));
        assert!(crate::base::error::render(&begin("helo", dir.path(), false).unwrap_err()).0.contains("`hello`?"));
    }
}
