//! `ukl watch`: on each save the image is built anew and the guest started again.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{json, Value};

use super::answer::Answer;
use super::options::{BootOptions, BuildOptions, PlatOption, Target};
use super::{images, linuxu, project, run};
use crate::base::env::Env;
use crate::base::error::{self, fail, Class, Result};
use crate::base::run::interrupted;
use crate::base::term;
use crate::base::workdir::{self, GuestDir, Guests, ImageDir};
use crate::guests;
use crate::image::folder::Image;
use crate::machine::{self, Request};
use crate::manifest::{Manifest, Storage};
use crate::tools::saved::Saved;

/// How often guest and files are looked at.
const TICK: Duration = Duration::from_millis(50);
/// How long a program may take to end when it is asked to.
const STOP: Duration = Duration::from_secs(10);

/// `ukl watch`.
#[derive(Debug, Clone, Args)]
pub struct WatchArgs {
    /// What to build and run.
    #[command(flatten)]
    pub target: Target,
    /// How to build.
    #[command(flatten)]
    pub build: BuildOptions,
    /// How to run.
    #[command(flatten)]
    pub boot: BootOptions,
}

/// Builds and starts again on each save, until Ctrl-C.
pub(super) fn watch(env: &Env, args: &WatchArgs, json: bool) -> Result<Answer> {
    refuse(args, json)?;
    let manifest = read(args)?;
    if linuxu::is_wanted(PlatOption::default(), || Ok(manifest.clone())) {
        let failure = fail(Class::Usage, "the platform of this project is linuxu: `ukl watch` starts guests");
        return Err(failure.hint("`ukl configure --plat qemu` changes it").into());
    }
    let request = run::translate(&args.boot)?;
    machine::storage::check(&manifest.storage.with(&request.storage))?;
    if env.shell.dry_run {
        build(env, args)?;
        return Ok(Answer::new("", Value::Null));
    }
    let all = Guests::from_env()?;
    if guests::running(&all)?.contains(&manifest.name) {
        let failure = fail(Class::Usage, format!("a guest `{}` runs already", manifest.name));
        return Err(failure.hint(format!("`ukl stop {}` ends it", manifest.name)).into());
    }
    let mut saved = saved(args, &manifest, &request.storage)?;
    let dir = all.guest(&manifest.name);
    let mut watched = Watched { env, args, request, all, name: manifest.name, dir, image: None, printer: None };
    watched.round(&mut saved, &[])?;
    let mut told = false;
    loop {
        anyhow::ensure!(!interrupted(), "interrupted");
        let changes = saved.changes();
        if !changes.is_empty() {
            watched.round(&mut saved, &changes)?;
            told = false;
        }
        if !told && watched.image.is_some() {
            if let Some(state) = watched.ended() {
                term::say(&format!("`{}` has ended: {state}; it starts again at the next save", watched.name));
                told = true;
            }
        }
        watched.printer.as_mut().map_or(Ok(()), Printer::check)?;
        std::thread::sleep(TICK);
    }
}

/// What has no meaning for a guest that comes and goes.
fn refuse(args: &WatchArgs, json: bool) -> Result<()> {
    let words =
        [("--shell", args.boot.shell), ("--detach", args.boot.detach), ("--rm", args.boot.rm), ("--json", json)];
    match words.into_iter().find(|(_, is_given)| *is_given) {
        Some((word, _)) => {
            Err(fail(Class::Usage, format!("`ukl watch` goes on until Ctrl-C: it takes no `{word}`")).into())
        }
        None => Ok(()),
    }
}

fn read(args: &WatchArgs) -> Result<Manifest> {
    let mut manifest = images::manifest(&args.target, &args.build)?;
    manifest.kernel.storage |= !run::storage(&args.boot).is_empty();
    Ok(manifest)
}

fn build(env: &Env, args: &WatchArgs) -> Result<Image> {
    let manifest = read(args)?;
    let dir = project::image_dir(&args.target, &manifest)?;
    let work = || images::from_manifest(env, &manifest, &dir);
    Ok(project::locked(env, &args.target, &manifest, true, work)?.0)
}

/// The files that count: a project's folder, or the folders of plain files; not what we or the guest write.
fn saved(args: &WatchArgs, manifest: &Manifest, own: &Storage) -> Result<Saved> {
    let is_folder = project::has_manifest(&args.target) || args.target.target.iter().all(|one| one.is_dir());
    let outside = manifest.sources.iter().chain(manifest.files.iter().map(|file| &file.src));
    let outside = outside.filter(|path| !path.starts_with(&manifest.dir)).cloned();
    let roots: Vec<PathBuf> = match is_folder {
        true => std::iter::once(manifest.dir.clone()).chain(outside).collect(),
        false => {
            let parents = args.target.target.iter().map(std::path::absolute).collect::<std::io::Result<Vec<_>>>()?;
            parents.iter().filter_map(|file| file.parent()).map(Path::to_owned).collect()
        }
    };
    let image = project::image_dir(&args.target, manifest)?;
    let storage = manifest.storage.with(own);
    let ours = [manifest.dir.join("build"), image.root().to_owned(), next_root(&image), workdir::lock_of(image.root())];
    let theirs = storage.disks.iter().map(|disk| disk.path.clone());
    let shared = storage.shares.iter().map(|share| share.path.clone());
    Ok(Saved::new(roots, is_folder, ours.into_iter().chain(theirs).chain(shared).collect()))
}

fn next_root(image: &ImageDir) -> PathBuf {
    image.next().root().to_owned()
}

/// The guest, which ends with this value.
struct Watched<'a> {
    env: &'a Env,
    args: &'a WatchArgs,
    request: Request,
    all: Guests,
    name: String,
    dir: GuestDir,
    /// What was started last.
    image: Option<Value>,
    printer: Option<Printer>,
}

impl Watched<'_> {
    /// Builds; what is new is started. What fails is said, and the guest that runs goes on.
    fn round(&mut self, saved: &mut Saved, changes: &[PathBuf]) -> Result<()> {
        let begun = Instant::now();
        let built = build(self.env, self.args);
        anyhow::ensure!(!interrupted(), "interrupted");
        let image = match built {
            Ok(image) => image,
            Err(error) => {
                let goes_on = if self.ended().is_none() { "; the guest runs on as it is" } else { "" };
                term::say(&error::render(&error).0);
                term::say(&format!("{}not built{goes_on}", cause(changes)));
                return Ok(());
            }
        };
        let built = begun.elapsed().as_secs_f64();
        let info = json!(image.info);
        if self.image.as_ref() == Some(&info) && self.ended().is_none() {
            // A build that writes into its own sources would never come to an end.
            saved.accept();
            term::say(&format!("{}nothing is new in the image: the guest runs on", cause(changes)));
            return Ok(());
        }
        let again = Instant::now();
        self.stop()?;
        self.image = Some(info);
        let how = self.start(&image, saved);
        anyhow::ensure!(!interrupted(), "interrupted");
        match how {
            Ok(how) => {
                let seconds = again.elapsed().as_secs_f64();
                term::say(&format!("{}built in {built:.1} s, {how} {seconds:.1} s later", cause(changes)));
            }
            Err(error) => term::say(&error::render(&error).0),
        }
        Ok(())
    }

    /// How the guest ended, if it did.
    fn ended(&self) -> Option<String> {
        match guests::find(&self.all, &self.name) {
            Ok(guest) if guest.state.is_alive() => None,
            Ok(guest) => Some(guest.state.to_string()),
            Err(_) => Some("gone".into()),
        }
    }

    fn stop(&mut self) -> Result<()> {
        if self.image.is_some() && self.ended().is_none() {
            guests::stop(&self.all, &self.name, STOP)?;
        }
        // It prints the last words, too.
        self.printer.take().map_or(Ok(()), Printer::end)
    }

    /// Starts the guest; nobody waits for a server any more when the next save is there.
    fn start(&mut self, image: &Image, saved: &mut Saved) -> Result<String> {
        workdir::remove_file(&self.dir.run().console())?;
        self.printer = Some(Printer::start(self.dir.run().console()));
        let saved = std::cell::RefCell::new(saved);
        let given_up = || saved.borrow_mut().is_behind();
        let started = guests::start_unless(&self.all, &self.name, image, &self.request, &given_up)?;
        Ok(match started.ready {
            Some((Some(endpoint), _)) => format!("ready at {endpoint}"),
            Some((None, _)) => "ready".into(),
            None => "started".into(),
        })
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if self.image.is_none() {
            return;
        }
        if let Ok(guest) = guests::find(&self.all, &self.name) {
            if guest.state.is_alive() {
                guests::switch_off(&guest);
            }
            // Whoever ends us has seen what it printed.
            let _ = guests::remove(&self.all, &self.name, false);
        }
        let _ = self.printer.take().map(Printer::end);
    }
}

/// Which files were saved.
fn cause(changes: &[PathBuf]) -> String {
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match changes {
        [] => String::new(),
        [one] => format!("`{}` saved: ", name(one)),
        [first, rest @ ..] => format!("`{}` and {} more saved: ", name(first), rest.len()),
    }
}

/// Prints what a guest's console shows.
struct Printer {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Printer {
    fn start(console: PathBuf) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let until = over.clone();
        Printer { over, thread: Some(std::thread::spawn(move || follow(&console, &until))) }
    }

    /// Error: our output is closed.
    fn check(&mut self) -> Result<()> {
        match self.thread.take_if(|thread| thread.is_finished()).map(JoinHandle::join) {
            Some(Ok(result)) => result,
            _ => Ok(()),
        }
    }

    fn end(mut self) -> Result<()> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or(Ok(()))
    }
}

fn follow(console: &Path, over: &AtomicBool) -> Result<()> {
    let mut file = None;
    loop {
        // Asked before it is read: what comes after the end is nothing.
        let is_over = over.load(Ordering::Relaxed);
        if file.is_none() {
            file = std::fs::File::open(console).ok();
        }
        if let Some(file) = &mut file {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(file, &mut bytes)?;
            if !bytes.is_empty() {
                term::out_bytes(&bytes)?;
            }
        }
        if is_over {
            return Ok(());
        }
        std::thread::sleep(TICK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_file_is_named_and_the_others_are_counted() {
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(cause(&paths(&["/p/a.c"])), "`a.c` saved: ");
        assert_eq!(cause(&paths(&["/p/a.c", "b.c", "c.c"])), "`a.c` and 2 more saved: ");
    }
}
