//! The stages in a row: what `ukl build` does.

use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;

use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::run::announced;
use crate::base::stamp;
use crate::base::term;
use crate::base::workdir::{self, ImageDir};
use crate::image::folder::{self, Image, Parts};
use crate::image::initrd::{self, Mode};
use crate::image::trigger;
use crate::kernel::config::{self, Configured};
use crate::kernel::exports::{self, Calls};
use crate::kernel::patch::{self, PatchedSource};
use crate::kernel::vmlinux::{self, Progress};
use crate::manifest::Manifest;
use crate::program::archive::{self, AppArchive};
use crate::program::build::{self, Made};
use crate::program::compile;
use crate::program::link::{self, Linked};
use crate::program::musl::{self, Sysroot};
use crate::program::prefix::{self, Prefixed};
use crate::program::toolchain::{self, Toolchain};
use crate::supply::linux_source;

/// One stage and the time that it took.
#[derive(Debug, Clone, Serialize)]
pub struct Stage {
    /// Its name, which is its module's.
    pub name: &'static str,
    /// Wall time.
    pub seconds: f64,
    /// It called programs, or would have.
    #[serde(skip)]
    pub ran: bool,
    /// Why what it had made before would not do.
    #[serde(skip)]
    pub why: Vec<String>,
}

/// Times the stages and tells about each when it ends.
#[derive(Debug, Default)]
pub struct Clock {
    /// The stages that ended, in order.
    pub stages: Vec<Stage>,
    silent: bool,
}

impl Clock {
    /// A clock that only keeps the times.
    pub fn silent() -> Self {
        Clock { stages: Vec::new(), silent: true }
    }

    /// Runs one stage.
    pub fn stage<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let before = announced().len();
        let output = work();
        term::clear_bar();
        let output = output?;
        let seconds = start.elapsed().as_secs_f64();
        if !self.silent {
            term::say(&format!("{} {seconds:>7.2} s", term::paint("32", &format!("  {name:<10}"))));
        }
        let ran = announced().len() > before;
        self.stages.push(Stage { name, seconds, ran, why: stamp::reasons() });
        Ok(output)
    }
}

/// The user-space half: the program as an archive for the kernel, and as a ring-3 twin.
#[derive(Debug, Clone)]
pub struct Program {
    /// The compiler.
    pub toolchain: Toolchain,
    /// The C library.
    pub sysroot: Sysroot,
    /// The partial link, and the twin.
    pub linked: Linked,
    /// The prefixed object.
    pub prefixed: Prefixed,
    /// `UKL.a`.
    pub archive: AppArchive,
}

/// The user-space half before it meets the kernel.
struct Half {
    toolchain: Toolchain,
    sysroot: Sysroot,
    linked: Linked,
    calls: Option<Calls>,
}

/// From sources to the partial link and the twin; `progress` hears of the kernel's objects, if the program needs
/// them before it can be compiled.
fn linked(
    env: &Env,
    manifest: &Manifest,
    dir: &ImageDir,
    clock: &mut Clock,
    progress: &mut dyn FnMut(Progress),
) -> Result<Half> {
    let shell = &env.shell;
    let toolchain = clock.stage("toolchain", || toolchain::find(shell, &manifest.compiler))?;
    let sysroot = clock.stage("sysroot", || musl::build(shell, &env.cache, &toolchain))?;
    let calls = match exports::wanted(manifest) {
        true => Some(kernel_side(env, &toolchain, manifest, dir, clock, progress)?),
        false => None,
    };
    let mut manifest = manifest.clone();
    manifest.sources.extend(calls.iter().map(|calls| calls.stubs.clone()));
    let manifest = &manifest;
    let made = match manifest.build.is_empty() && manifest.program.is_none() {
        true => Made { program: None },
        false => clock.stage("make", || build::make(shell, &env.cache, &toolchain, &sysroot, manifest, dir))?,
    };
    let linked = match (&made.program, &manifest.program) {
        (Some(record), _) => clock.stage("link", || link::recorded(shell, &toolchain, record, dir))?,
        // In a dry run nothing was made that could be taken.
        (None, Some(_)) => Linked { relocatable: dir.stage("link"), twin: dir.twin() },
        (None, None) => {
            let objects = clock.stage("compile", || compile::compile(shell, &toolchain, &sysroot, manifest, dir))?;
            clock.stage("link", || link::link(shell, &toolchain, &sysroot, manifest, &objects, dir))?
        }
    };
    Ok(Half { toolchain, sysroot, linked, calls })
}

/// From sources to the ring-3 twin alone.
///
/// An image of other sources beside it is no longer complete, and is said to be none. Error (class `Usage`): the
/// program calls functions of a kernel that it does not run on.
pub fn twin(env: &Env, manifest: &Manifest, dir: &ImageDir, clock: &mut Clock) -> Result<PathBuf> {
    if exports::wanted(manifest) {
        let failure =
            fail(Class::Usage, format!("`{}` calls functions of the kernel: it cannot do without", manifest.name));
        return Err(failure.hint("`ukl run --twin` runs it in ring 3 of its own kernel").into());
    }
    let before = workdir::hash_file(&dir.twin()).ok();
    let linked = linked(env, manifest, dir, clock, &mut |_| ())?.linked;
    if !env.shell.dry_run && workdir::hash_file(&linked.twin).ok() != before {
        dir.invalidate()?;
    }
    Ok(linked.twin)
}

/// From sources to `UKL.a` and the twin; `progress` hears of the kernel's objects.
pub fn program(
    env: &Env,
    manifest: &Manifest,
    dir: &ImageDir,
    clock: &mut Clock,
    progress: &mut dyn FnMut(Progress),
) -> Result<Program> {
    let shell = &env.shell;
    let Half { toolchain, sysroot, linked, calls } = linked(env, manifest, dir, clock, progress)?;
    if shell.dry_run {
        // The last two stages call no program, and have nothing to read now.
        let prefixed = Prefixed { object: dir.stage("prefix"), imports: Vec::new(), sites: 0 };
        let sha256 = workdir::hash_file(&dir.archive()).unwrap_or_default();
        let archive = AppArchive { path: dir.archive(), sha256 };
        return Ok(Program { toolchain, sysroot, linked, prefixed, archive });
    }
    // Until here a failure leaves the last image as it was; from here on it is taken apart.
    dir.invalidate()?;
    let prefixed = clock.stage("prefix", || prefix::prefix(&linked, dir))?;
    let members = calls.map(|calls| calls.members).unwrap_or_default();
    let archive = clock.stage("archive", || archive::archive(&prefixed, &members, dir))?;
    Ok(Program { toolchain, sysroot, linked, prefixed, archive })
}

/// The kernel up to its configuration.
fn configured(
    env: &Env,
    toolchain: &Toolchain,
    manifest: &Manifest,
    clock: &mut Clock,
) -> Result<(PatchedSource, Configured)> {
    let (Env { shell, cache }, spec) = (env, &manifest.kernel);
    let source = clock.stage("source", || linux_source::fetch(shell, cache, spec))?;
    let patched = clock.stage("patch", || patch::apply(shell, cache, &source, &spec.version))?;
    let configured = clock.stage("config", || config::configure(shell, cache, &patched, spec, toolchain))?;
    Ok((patched, configured))
}

/// What the program calls in the kernel: compiled there, before the program can be.
fn kernel_side(
    env: &Env,
    toolchain: &Toolchain,
    manifest: &Manifest,
    dir: &ImageDir,
    clock: &mut Clock,
    progress: &mut dyn FnMut(Progress),
) -> Result<Calls> {
    let (_, configured) = configured(env, toolchain, manifest, clock)?;
    let work = || exports::calls(&env.shell, &env.cache, toolchain, &configured, manifest, dir, progress);
    clock.stage("calls", work)
}

/// From a manifest to a complete image in `dir`; `progress` hears of the kernel's objects.
///
/// Every stage whose inputs are what they were last time keeps its output. The caller holds the
/// image folder's lock. In a dry run the image is only described.
pub fn image(
    env: &Env,
    manifest: &Manifest,
    dir: &ImageDir,
    clock: &mut Clock,
    progress: &mut dyn FnMut(Progress),
) -> Result<Image> {
    let Env { shell, cache } = env;
    let program = program(env, manifest, dir, clock, progress)?;
    let Program { toolchain, sysroot, archive, .. } = &program;
    let (patched, configured) = configured(env, toolchain, manifest, clock)?;
    let kernel = clock.stage("kernel", || vmlinux::build(shell, cache, &configured, archive, dir, progress))?;
    clock.stage("trigger", || trigger::build(shell, &kernel, dir))?;
    let Manifest { name, trigger, args, env, storage, .. } = manifest;
    let mode = Mode::of_image(name, trigger, args, env, storage);
    let initrd = clock.stage("initrd", || initrd::build(shell, cache, toolchain, sysroot, manifest, dir, &mode))?;
    let (patched, configured, kernel, initrd) = (&patched, &configured, &kernel, &initrd);
    let parts = Parts { manifest, toolchain, archive, patched, configured, kernel, initrd };
    if shell.dry_run {
        return Ok(Image { dir: dir.clone(), info: folder::describe(&parts, Default::default()) });
    }
    clock.stage("image", || folder::assemble(&parts, dir))
}
