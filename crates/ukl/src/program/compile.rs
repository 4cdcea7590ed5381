//! [`Manifest`] → [`Objects`]: compiled once, for both modes.

mod deps;

use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;

use crate::base::env::Env;
use crate::base::error::{fail, Class, Failure, Result};
use crate::base::plan::{Made, Plan};
use crate::base::run::{Cmd, Shell};
use crate::base::stamp::{self, Inputs};
use crate::base::term;
use crate::base::workdir::{self, ImageDir};
use crate::manifest::Manifest;
use crate::program::build::{cause, DEFAULT_FLAGS};
use crate::program::userland::Userland;

/// Objects and archives in link order; system call sites are still `syscall` instructions.
#[derive(Debug, Clone)]
pub struct Objects {
    /// Objects and archives of the program itself.
    pub files: Vec<PathBuf>,
}

/// Compiles the manifest's sources, as far as they changed.
///
/// Errors (class `App`): a source does not compile, a listed object does not exist, a source is in
/// a language that is not supported.
pub fn compile(env: &Env, userland: &Made<Userland>, manifest: &Manifest, dir: &ImageDir) -> Result<Made<Objects>> {
    let Userland { toolchain, sysroot } = &userland.value;
    let compiler = compiler(userland, manifest);
    let key = Inputs::default().with("the compiler", &toolchain.id).with("the C library", &sysroot.key);
    let key = (!userland.pending).then_some(key);
    let jobs = jobs(manifest, dir)?;
    let todo = in_parallel(&jobs, |job| todo(job, &compiler, &manifest.dir, key.as_ref()));
    let todo: Vec<Todo> = todo.into_iter().flatten().collect();
    let plan = Plan {
        why: todo.iter().flat_map(|todo| todo.why.iter().cloned()).collect(),
        commands: todo.iter().filter_map(|todo| todo.cmd.clone()).collect(),
        output: Objects { files: jobs.iter().map(|job| job.output().to_owned()).collect() },
    };
    plan.carry_out(&env.shell, |objects, _| {
        let outcomes = in_parallel(&todo, |todo| todo.carry_out(&env.shell, manifest, key.as_ref()));
        let outcomes = outcomes.into_iter().collect::<Result<Vec<_>>>()?;
        let log = dir.log("compile");
        let text: String = outcomes.iter().map(|outcome| outcome.log.as_str()).collect();
        if !text.is_empty() {
            workdir::write_atomic(&log, text.as_bytes())?;
        }
        match outcomes.into_iter().find_map(|outcome| outcome.failure) {
            Some(failure) => Err(failure.log(log).into()),
            None => Ok(objects),
        }
    })
}

/// A source that has to be compiled, or an object that is missing.
struct Todo<'a> {
    job: &'a Job,
    why: Vec<String>,
    cmd: Option<Cmd>,
}

/// What one job leaves: its part of the log, and why it failed.
#[derive(Default)]
struct Outcome {
    log: String,
    failure: Option<Failure>,
}

/// What becomes of one entry of `sources`.
#[derive(Debug)]
pub enum Job {
    /// It is compiled: the source as the compiler gets it, and the object.
    Compile {
        /// As in the manifest.
        source: PathBuf,
        /// Below the image folder.
        object: PathBuf,
    },
    /// It is an object or archive.
    Take(PathBuf),
}

impl Job {
    /// What is linked.
    pub fn output(&self) -> &Path {
        match self {
            Job::Compile { object, .. } => object,
            Job::Take(path) => path,
        }
    }
}

/// What becomes of the manifest's sources, in their order.
pub fn jobs(manifest: &Manifest, dir: &ImageDir) -> Result<Vec<Job>> {
    let stage = dir.stage("compile");
    manifest.sources.iter().map(|source| job(manifest, source, &stage)).collect()
}

fn job(manifest: &Manifest, source: &Path, stage: &Path) -> Result<Job> {
    let shown = source.strip_prefix(&manifest.dir).unwrap_or(source);
    match source.extension().and_then(|e| e.to_str()) {
        Some("c" | "S" | "s" | "cc" | "cpp" | "cxx" | "C") => {
            Ok(Job::Compile { source: shown.to_owned(), object: stage.join(object_name(shown)) })
        }
        Some("o" | "a") => Ok(Job::Take(source.to_owned())),
        _ => {
            let text = format!("`{}` is neither C, C++ nor assembler, object or archive", shown.display());
            Err(fail(Class::App, text).hint("sources end in .c, .cc, .cpp, .cxx, .C, .S, .s, .o or .a").into())
        }
    }
}

/// A name below the stage's folder that no other source shares.
fn object_name(source: &Path) -> PathBuf {
    let mut name = source.file_name().unwrap_or_default().to_owned();
    name.push(".o");
    if source.components().all(|part| matches!(part, Component::Normal(_))) {
        return source.with_file_name(name);
    }
    let place = &workdir::hash([source.as_os_str().as_encoded_bytes()])[..8];
    Path::new("outside").join(place).join(name)
}

/// The compiler with every flag that all sources share.
pub fn compiler(Userland { toolchain, sysroot }: &Userland, manifest: &Manifest) -> Cmd {
    let mut flags: Vec<String> = DEFAULT_FLAGS.map(str::to_owned).to_vec();
    flags.extend(manifest.cflags.iter().cloned());
    // The same sources give the same bytes, wherever project and cache lie.
    flags.push(format!("-ffile-prefix-map={}=.", manifest.dir.display()));
    flags.push(format!("-ffile-prefix-map={}=/{}", sysroot.dir.display(), sysroot.libc.name()));
    // Last, so that no flag of the program undoes them.
    flags.extend(sysroot.cflags(toolchain));
    Cmd::new(&toolchain.cc).args(&flags).cwd(&manifest.dir).env("LC_ALL", "C")
}

/// Compiles one source with `compiler`.
pub fn command(compiler: Cmd, source: &Path, object: &Path) -> Cmd {
    // A source from elsewhere must not carry its place into the object either.
    let place = source.parent().filter(|place| place.is_absolute());
    let cmd = compiler.args(place.map(|place| format!("-ffile-prefix-map={}=.", place.display())));
    // A name that begins like an option is none.
    let is_dashed = source.as_os_str().as_encoded_bytes().starts_with(b"-");
    let source = if is_dashed { Path::new(".").join(source) } else { source.to_owned() };
    cmd.arg("-c").arg(source).arg("-o").arg(object)
}

/// What is to be done for one job; nothing when its output is what `key` and its files would make.
fn todo<'a>(job: &'a Job, compiler: &Cmd, cwd: &Path, key: Option<&Inputs>) -> Option<Todo<'a>> {
    let (source, object) = match job {
        Job::Compile { source, object } => (source, object),
        Job::Take(path) if path.exists() => return None,
        Job::Take(path) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            return Some(Todo { job, why: vec![format!("{name}: not made yet")], cmd: None });
        }
    };
    let depfile = depfile(object);
    let cmd = command(compiler.clone(), source, object).arg("-MD").arg("-MF").arg(&depfile);
    let inputs = key.map(|key| deps::inputs(&with_command(key, &cmd), cwd, source, &depfile));
    let why = match inputs {
        None => stamp::stale(&Inputs::pending(), &[object]),
        Some(Some(inputs)) => stamp::stale(&inputs, &[object]),
        Some(None) => vec![format!("{}: a file that it included is gone", source.display())],
    };
    (!why.is_empty()).then_some(Todo { job, why, cmd: Some(cmd) })
}

fn depfile(object: &Path) -> PathBuf {
    object.with_extension("o.d")
}

fn with_command(key: &Inputs, cmd: &Cmd) -> Inputs {
    key.clone().with("the command line", cmd.display())
}

impl Todo<'_> {
    fn carry_out(&self, shell: &Shell, manifest: &Manifest, key: Option<&Inputs>) -> Result<Outcome> {
        let (Job::Compile { source, object }, Some(cmd)) = (self.job, &self.cmd) else {
            let failure = fail(Class::App, format!("`{}` does not exist", self.job.output().display()));
            let failure = failure.hint("the manifest's build commands have to make it");
            return Ok(Outcome { failure: Some(failure), ..Outcome::default() });
        };
        let depfile = depfile(object);
        workdir::create_parent(object)?;
        stamp::clear(object)?;
        workdir::remove_file(&depfile)?;
        let output = shell.run(cmd)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let log = format!("$ {}\n{said}", cmd.display());
        if !output.status.success() {
            let failure = cause(&format!("`{}` does not compile", source.display()), &said, &output, manifest.libc);
            return Ok(Outcome { log, failure: Some(failure.command(cmd.display())) });
        }
        if !said.is_empty() {
            term::say(said.trim_end());
        }
        // What it includes is known only now.
        if let Some(after) = key.and_then(|key| deps::inputs(&with_command(key, cmd), &manifest.dir, source, &depfile))
        {
            stamp::write(object, after.key())?;
        }
        Ok(Outcome { log, failure: None })
    }
}

/// `work` on every item, on as many threads as there are processors; answers in the items' order.
fn in_parallel<'a, T: Sync, R: Send>(items: &'a [T], work: impl Fn(&'a T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get()).min(items.len());
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(index) else { break };
                let result = work(item);
                results.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((index, result));
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_never_share_a_name() {
        let names = ["a.c", "a.S", "src/a.c", "/elsewhere/a.c", "../a.c"].map(|name| object_name(Path::new(name)));
        assert_eq!(names[0], Path::new("a.c.o"));
        assert_eq!(names[2], Path::new("src/a.c.o"));
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
        assert!(names.iter().all(|name| name.is_relative()));
    }

    #[test]
    fn answers_come_back_in_the_order_of_the_items() {
        let items: Vec<usize> = (0..100).collect();
        assert_eq!(in_parallel(&items, |n| n * 2), items.iter().map(|n| n * 2).collect::<Vec<_>>());
        assert!(in_parallel(&[] as &[u8], |n| *n).is_empty());
    }
}
