//! [`Source`] → [`PatchedSource`]: the series applied with zero fuzz.

mod embedded;

use std::path::{Path, PathBuf};

use crate::base::cached::{self, Work};
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::plan::Made;
use crate::base::run::{Cmd, Output, Shell};
use crate::base::workdir;
use crate::supply::linux_source::Source;

pub use embedded::{file, lines};

/// A patched tree in the cache.
#[derive(Debug, Clone)]
pub struct PatchedSource {
    /// The tree.
    pub tree: PathBuf,
    /// Full version of the kernel.
    pub version: String,
    /// Names of the patches, in order.
    pub patches: Vec<String>,
    /// Hash of source and patches.
    pub hash: String,
}

/// Applies the series of the kernel line `version` to a copy of `source`.
///
/// Error (class `Kernel`): a patch does not apply; it names patch, file and hunk, and nothing is left.
pub fn apply(env: &Env, source: &Made<Source>, version: &str) -> Result<Made<PatchedSource>> {
    apply_all(env, source, &series(version)?)
}

/// The patches of the kernel line `version` in order: (name, text).
pub fn series(version: &str) -> Result<Vec<(String, &'static str)>> {
    let series = file(version, "series")?.unwrap_or_default();
    let names = formats::series::parse(series).map_err(|error| error.of(format!("linux-patches/{version}/series")))?;
    let mut patches = Vec::new();
    for name in names {
        let text = file(version, &name)?;
        let missing =
            || fail(Class::Kernel, format!("linux-patches/{version}/series lists `{name}`, which is missing"));
        patches.push((name.clone(), text.ok_or_else(missing)?));
    }
    Ok(patches)
}

/// The call of patch(1) in `tree`, which reads the patch from its standard input.
pub fn command(tree: &Path) -> Cmd {
    let options = ["-p1", "--fuzz=0", "--no-backup-if-mismatch", "--forward", "--batch", "--reject-file=-"];
    Cmd::new("patch").args(options).cwd(tree).env("LC_ALL", "C")
}

/// Applies `patches` (name, text) in order to a copy of `source`.
pub fn apply_all(env: &Env, source: &Made<Source>, patches: &[(String, &str)]) -> Result<Made<PatchedSource>> {
    let names: Vec<String> = patches.iter().map(|(name, _)| name.clone()).collect();
    let parts = patches.iter().flat_map(|(name, text)| [name.as_str(), *text]);
    let hash = workdir::hash(["patched-1", &source.hash].into_iter().chain(parts));
    let key = &hash[..16];
    let tree = match patches {
        [] => Made { value: source.tree.clone(), why: Vec::new(), pending: source.pending },
        patches => {
            let commands = |work: &Work| Ok(commands(source, patches, &work.out));
            cached::entry(env, "patched", key, commands, |_, commands| apply_to(&env.shell, source, patches, commands))?
        }
    };
    Ok(tree.map(|tree| PatchedSource { tree, version: source.version.clone(), patches: names, hash: hash.clone() }))
}

/// What makes the copy `tree`, and then each patch's call.
fn commands(source: &Source, patches: &[(String, &str)], tree: &Path) -> Vec<Cmd> {
    // Hard links: patch(1) writes a new file and renames it, so the pristine tree keeps its own.
    let copy = Cmd::new("cp").args(["-a", "--link", "--"]).arg(source.tree.join(".")).arg(tree);
    std::iter::once(copy).chain(patches.iter().map(|(_, text)| command(tree).stdin(*text))).collect()
}

fn apply_to(shell: &Shell, source: &Source, patches: &[(String, &str)], commands: &[Cmd]) -> Result<()> {
    let (copy, calls) = commands.split_at(1);
    shell.check_all(copy, Class::Host)?;
    for ((name, _), cmd) in patches.iter().zip(calls) {
        let output = shell.run(cmd)?;
        if !output.status.success() {
            return Err(rejected(name, cmd, &output, &source.version).into());
        }
    }
    Ok(())
}

/// The failure of one patch: which file, which hunk.
fn rejected(patch: &str, cmd: &Cmd, output: &Output, version: &str) -> crate::base::error::Failure {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let mut file = "";
    let mut what = Vec::new();
    for line in text.lines().chain(errors.lines()) {
        if let Some(name) = line.strip_prefix("patching file ") {
            file = name;
        } else if line.contains("FAILED at") || line.starts_with("can't find file") || line.starts_with("patch: ") {
            what.push(format!("{file}: {}", line.trim_end_matches('.')).trim_start_matches(": ").to_owned());
        } else if line.starts_with("Reversed (or previously applied)") {
            what.push(format!("{file}: this change is in the source already"));
        }
    }
    if what.is_empty() {
        what.push(format!("{} ({})", errors.lines().next().unwrap_or("patch failed"), output.status));
    }
    let message = format!("`{patch}` does not apply to Linux {version}: {}", what.join("; "));
    let hint = "the patches fit the release line's own source: was the tree changed in these places?";
    fail(Class::Kernel, message).command(format!("{} < {patch}", cmd.display())).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::workdir::Cache;
    use std::fs;

    const GOOD: &str = "--- a/f.c\n+++ b/f.c\n@@ -1,3 +1,3 @@\n one\n-two\n+TWO\n three\n";
    const BAD: &str = "--- a/f.c\n+++ b/f.c\n@@ -1,3 +1,3 @@\n one\n-deux\n+TWO\n three\n";
    /// Applies with fuzz only: the last line of context differs.
    const FUZZY: &str = "--- a/f.c\n+++ b/f.c\n@@ -1,3 +1,3 @@\n one\n-two\n+TWO\n drei\n";

    fn source(dir: &Path) -> Made<Source> {
        let tree = dir.join("tree");
        workdir::write_atomic(&tree.join("f.c"), b"one\ntwo\nthree\n").unwrap();
        Made::found(Source { tree, version: "6.12.1".into(), hash: "s".into() })
    }

    fn env(dir: &Path) -> Env {
        Env { shell: Shell::plain(), cache: Cache::at(dir.join("cache")) }
    }

    #[test]
    fn a_patch_changes_the_copy_and_not_the_source() {
        let dir = tempfile::tempdir().unwrap();
        let (source, env) = (source(dir.path()), env(dir.path()));
        let patched = apply_all(&env, &source, &[("0001-x.patch".into(), GOOD)]).unwrap();
        assert_eq!(fs::read_to_string(patched.tree.join("f.c")).unwrap(), "one\nTWO\nthree\n");
        assert_eq!(fs::read_to_string(source.tree.join("f.c")).unwrap(), "one\ntwo\nthree\n");
        assert_eq!(fs::read_dir(&patched.tree).unwrap().count(), 1, "no backups");
    }

    #[test]
    fn a_patch_that_does_not_apply_is_named_with_file_and_hunk_and_leaves_nothing() {
        for bad in [BAD, FUZZY] {
            let dir = tempfile::tempdir().unwrap();
            let (source, env) = (source(dir.path()), env(dir.path()));
            let patches = [
                ("0001-good.patch".to_owned(), "--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+x\n"),
                ("0002-bad.patch".to_owned(), bad),
            ];
            let error = apply_all(&env, &source, &patches).unwrap_err();
            let (text, code) = crate::base::error::render(&error);
            assert_eq!(code, Class::Kernel.exit_code());
            for word in ["`0002-bad.patch`", "f.c", "Hunk #1 FAILED at 1"] {
                assert!(text.contains(word), "{word} is not in: {text}");
            }
            assert_eq!(fs::read_dir(env.cache.root().join("patched")).unwrap().count(), 0);
        }
    }

    #[test]
    fn the_embedded_series_is_complete() {
        for line in lines() {
            let names = formats::series::parse(file(line, "series").unwrap().unwrap()).unwrap();
            for name in names {
                assert!(file(line, &name).unwrap().is_some(), "{line}/{name}");
            }
        }
    }
}
