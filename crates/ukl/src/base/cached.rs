//! Entries of the cache: made once, beside their place, and renamed there when they are whole.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;

use crate::base::env::Env;
use crate::base::error::Result;
use crate::base::plan::{Made, Plan, NOT_CACHED};
use crate::base::run::Cmd;
use crate::base::workdir::{self, Cache};

/// Where an entry is made.
#[derive(Debug)]
pub struct Work {
    /// A folder for whatever is needed on the way.
    pub dir: PathBuf,
    /// What becomes the entry.
    pub out: PathBuf,
}

/// The entry `key` of `kind`, made by `fill` unless it is there.
///
/// `commands` says what is called for it; `fill` gets them, and an empty `out`. One build at a time fills an entry, the
/// others wait for it. After a failure nothing is left that a later build would take for an entry.
pub fn entry(
    env: &Env,
    kind: &str,
    key: &str,
    commands: impl Fn(&Work) -> Result<Vec<Cmd>>,
    fill: impl FnOnce(&Work, &[Cmd]) -> Result<()>,
) -> Result<Made<PathBuf>> {
    let place = env.cache.entry(kind, key);
    if place.exists() {
        return Ok(Made::found(place));
    }
    let shown = commands(&Work { dir: staging_name(&place, "work"), out: place.clone() })?;
    Plan::always(NOT_CACHED, place, shown).carry_out(&env.shell, |place, _| {
        let _lock = env.cache.lock(kind, key)?;
        // The build that we waited for may have made it.
        if !place.exists() {
            make(&place, |work| fill(work, &commands(work)?))?;
        }
        Ok(place)
    })
}

/// As [`entry`], but made anew where it is there; the old one stays until the new one is whole.
pub fn renewed(cache: &Cache, kind: &str, key: &str, fill: impl FnOnce(&Work) -> Result<()>) -> Result<PathBuf> {
    let place = cache.entry(kind, key);
    let _lock = cache.lock(kind, key)?;
    make(&place, fill)?;
    Ok(place)
}

/// A folder for work that leaves no entry; ours alone until it is dropped.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
    _lock: File,
}

impl Scratch {
    /// The folder.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Waits for the folder in which the work called `name` is done.
pub fn scratch(cache: &Cache, kind: &str, name: &str) -> Result<Scratch> {
    let lock = cache.lock(kind, name)?;
    Ok(Scratch { dir: staging(&cache.entry(kind, name))?, _lock: lock })
}

/// Removes an entry, also while others look for it.
pub fn remove(entry: &Path) -> Result<()> {
    // Renamed first: a removal that is cut short leaves nothing that looks like an entry.
    let name = entry.file_name().unwrap_or_default().to_string_lossy();
    let doomed = entry.with_file_name(format!(".removed-{}", name.trim_start_matches('.')));
    if doomed == entry || doomed.exists() {
        return workdir::remove_dir(entry);
    }
    fs::rename(entry, &doomed).with_context(|| format!("failed to remove `{}`", entry.display()))?;
    workdir::remove_dir(&doomed)
}

fn make(place: &Path, fill: impl FnOnce(&Work) -> Result<()>) -> Result<()> {
    let staging = staging(place)?;
    let out = staging.path().join("out");
    workdir::create_dir(&out)?;
    let work = Work { dir: staging.path().to_owned(), out };
    fill(&work)?;
    let out = work.out;
    workdir::set_mode(&out, 0o755)?;
    if place.exists() {
        remove(place)?;
    }
    fs::rename(&out, place).with_context(|| format!("failed to create `{}`", place.display()))
}

/// No entry has such a name.
fn staging_name(entry: &Path, end: &str) -> PathBuf {
    entry.with_file_name(format!(".{}-{end}", entry.file_name().unwrap_or_default().to_string_lossy()))
}

/// A temporary folder beside the entry.
///
/// The caller holds the entry's lock, so whatever an interrupted build left here is rubbish.
fn staging(entry: &Path) -> Result<TempDir> {
    let dir = entry.parent().unwrap_or(Path::new("."));
    workdir::create_dir(dir)?;
    let prefix = staging_name(entry, "");
    let prefix = prefix.file_name().unwrap_or_default().to_string_lossy();
    for left in fs::read_dir(dir)?.filter_map(|left| left.ok()) {
        if left.file_name().to_string_lossy().starts_with(prefix.as_ref()) {
            workdir::remove_dir(&left.path())?;
        }
    }
    let context = || format!("failed to create a folder in `{}`", dir.display());
    tempfile::Builder::new().prefix(prefix.as_ref()).tempdir_in(dir).with_context(context)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::base::error::Class;
    use crate::base::run::Shell;

    fn env() -> (TempDir, Env) {
        let dir = tempfile::tempdir().unwrap();
        let env = Env { shell: Shell::plain(), cache: Cache::at(dir.path()) };
        (dir, env)
    }

    fn nothing(_: &Work) -> Result<Vec<Cmd>> {
        Ok(Vec::new())
    }

    fn file(work: &Work, text: &str) -> Result<()> {
        workdir::write_atomic(&work.out.join("sub/file"), text.as_bytes())
    }

    #[test]
    fn an_entry_is_made_once_whoever_asks() {
        let (_dir, env) = env();
        let made = AtomicUsize::new(0);
        let fill = |work: &Work, _: &[Cmd]| {
            made.fetch_add(1, Ordering::SeqCst);
            file(work, "x")
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let asks = || entry(&env, "musl", "key", nothing, fill).unwrap().join("sub/file").is_file();
                scope.spawn(move || assert!(asks()));
            }
        });
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_failure_or_an_interruption_leaves_no_entry_and_no_rubbish_for_ever() {
        let (dir, env) = env();
        let place = env.cache.entry("musl", "key");
        let interrupted = staging(&place).unwrap().keep();
        let failed = entry(&env, "musl", "key", nothing, |work, _| {
            file(work, "half")?;
            anyhow::bail!("no")
        });
        assert!(failed.is_err() && !place.exists() && !interrupted.exists());
        assert_eq!(fs::read_dir(dir.path().join("musl")).unwrap().count(), 0);
    }

    #[test]
    fn a_dry_run_shows_what_a_build_calls_and_touches_nothing() {
        let (dir, env) = env();
        let dry = Env { shell: Shell::dry(), ..env.clone() };
        let commands = |work: &Work| Ok(vec![Cmd::new("touch").arg(work.out.join("file"))]);
        let ask =
            |env: &Env| entry(env, "x", "key", commands, |_, cmds| env.shell.check_all(cmds, Class::Host)).unwrap();
        let would = ask(&dry);
        assert!(would.pending && would.why == [NOT_CACHED] && !dir.path().join("x").exists());
        assert_eq!(dry.shell.shown(), [format!("touch {}", would.join("file").display())]);
        assert!(ask(&env).join("file").is_file());
        assert!(!ask(&dry).pending && dry.shell.shown().len() == 1);
    }

    #[test]
    fn the_old_entry_stays_until_the_new_one_is_whole() {
        let (dir, env) = env();
        let read = || fs::read_to_string(env.cache.entry("x", "key").join("sub/file")).unwrap();
        entry(&env, "x", "key", nothing, |work, _| file(work, "old")).unwrap();
        assert!(renewed(&env.cache, "x", "key", |_| anyhow::bail!("no network")).is_err());
        assert_eq!(read(), "old");
        renewed(&env.cache, "x", "key", |work| file(work, "new")).unwrap();
        assert_eq!(read(), "new");
        assert_eq!(fs::read_dir(dir.path().join("x")).unwrap().count(), 1);
    }
}
