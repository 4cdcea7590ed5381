//! The stages in a row: what `ukl build` does.

mod stale;

use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;

use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::plan::Made;
use crate::base::term;
use crate::base::workdir::{self, ImageDir};
use crate::image::folder::{self, Image, Parts};
use crate::image::initrd::{self, Startup};
use crate::image::trigger;
use crate::kernel::config::{self, Configured};
use crate::kernel::exports::{self, Exports, Side};
use crate::kernel::patch::{self, PatchedSource};
use crate::kernel::vmlinux::{self, Progress};
use crate::manifest::{Libc, Malloc, Manifest};
use crate::program::archive::{self, AppArchive};
use crate::program::build;
use crate::program::compile;
use crate::program::libc::{self, musl};
use crate::program::link::{self, Linked};
use crate::program::malloc;
use crate::program::prefix::{self, Prefixed};
use crate::program::toolchain::{self, Toolchain};
use crate::program::userland::Userland;
use crate::supply::linux_source;

pub use stale::changes;

/// One stage and the time that it took.
#[derive(Debug, Clone, Serialize)]
pub struct Stage {
    /// Its name, which is its module's.
    pub name: &'static str,
    /// Wall time.
    pub seconds: f64,
    /// Why it made something, or would; nothing where all was there.
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
    pub fn stage<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<Made<T>>) -> Result<Made<T>> {
        let start = Instant::now();
        let output = work();
        term::clear_bar();
        let output = output?;
        let seconds = start.elapsed().as_secs_f64();
        if !self.silent {
            term::say(&format!("{} {seconds:>7.2} s", term::paint("32", &format!("  {name:<10}"))));
        }
        let mut why = output.why.clone();
        why.sort();
        why.dedup();
        self.stages.push(Stage { name, seconds, why });
        Ok(output)
    }
}

/// The user-space half: the program as an archive for the kernel, and as a ring-3 twin.
#[derive(Debug, Clone)]
pub struct Program {
    /// Compiler and C library.
    pub userland: Made<Userland>,
    /// The partial link, and the twin.
    pub linked: Made<Linked>,
    /// The prefixed object.
    pub prefixed: Made<Prefixed>,
    /// `UKL.a`.
    pub archive: Made<AppArchive>,
}

/// The user-space half before it meets the kernel.
struct Half {
    userland: Made<Userland>,
    linked: Made<Linked>,
    exported: Option<Made<Exports>>,
}

/// One walk through the stages.
struct Walk<'a> {
    env: &'a Env,
    manifest: &'a Manifest,
    dir: &'a ImageDir,
    clock: &'a mut Clock,
    progress: &'a mut dyn FnMut(Progress),
}

impl Walk<'_> {
    /// From sources to the partial link and the twin.
    fn linked(&mut self) -> Result<Half> {
        let Walk { env, dir, .. } = *self;
        if !env.shell.dry_run {
            workdir::create_dir(dir.twin().parent().unwrap_or(dir.root()))?;
        }
        let find = || Ok(Made::found(toolchain::find(&env.shell, &self.manifest.compiler)?));
        let toolchain = self.clock.stage("toolchain", find)?.value;
        let sysroot = self.clock.stage("sysroot", || libc::build(env, &toolchain, self.manifest.libc))?;
        let exported = match exports::wanted(self.manifest) {
            true => Some(self.exports(&toolchain)?),
            false => None,
        };
        let plain = sysroot.map(|sysroot| Userland { toolchain, sysroot });
        let userland = match self.manifest.malloc {
            Malloc::Libc => plain,
            other => self.clock.stage("malloc", || malloc::with(env, plain, other))?,
        };
        let mut manifest = self.manifest.clone();
        manifest.sources.extend(exported.iter().map(|exported| exported.stubs.clone()));
        let (manifest, clock) = (&manifest, &mut *self.clock);
        let made = match manifest.build.is_empty() && manifest.program.is_none() {
            true => Made::found(None),
            false => clock.stage("build", || build::run(env, &userland, manifest, dir))?,
        };
        let linked = match (&made.value, &manifest.program) {
            (Some(record), _) => clock.stage("link", || link::recorded(env, &userland.toolchain, record, dir))?,
            // Of a program that is not made yet, there is no link to take.
            (None, Some(_)) => clock.stage("link", || Ok(Made::later(Linked::of(dir), &made)))?,
            (None, None) => {
                let mut objects = clock.stage("compile", || compile::compile(env, &userland, manifest, dir))?;
                // What the build commands and the kernel make may be among the sources.
                objects.pending |= made.pending || exported.as_ref().is_some_and(|exported| exported.pending);
                clock.stage("link", || link::link(env, &userland, manifest, &objects, dir))?
            }
        };
        Ok(Half { userland, linked, exported })
    }

    /// From sources to `UKL.a` and the twin.
    fn program(&mut self) -> Result<Program> {
        let Half { userland, linked, exported } = self.linked()?;
        let dir = self.dir;
        if self.env.shell.dry_run {
            // The last two stages call no program: what they would make is what lies there, or not known yet.
            let (prefixed, archive) = (prefix::planned(&linked, dir), archive::planned(&linked, dir));
            return Ok(Program { userland, linked, prefixed, archive });
        }
        let prefixed = self.clock.stage("prefix", || Ok(Made::found(prefix::prefix(&linked, dir)?)))?;
        let members = exported.map(|exported| exported.value.members).unwrap_or_default();
        let archived = || Ok(Made::found(archive::archive(&prefixed, &members, dir)?));
        let archive = self.clock.stage("archive", archived)?;
        Ok(Program { userland, linked, prefixed, archive })
    }

    /// The kernel up to its configuration.
    fn configured(&mut self, toolchain: &Toolchain) -> Result<(Made<PatchedSource>, Made<Configured>)> {
        let (env, spec) = (self.env, &self.manifest.kernel);
        // Nothing is downloaded for a line without patches.
        patch::series(&spec.version)?;
        let source = self.clock.stage("source", || linux_source::fetch(env, spec))?;
        let patched = self.clock.stage("patch", || patch::apply(env, &source, &spec.version))?;
        let configured = self.clock.stage("config", || config::configure(env, &patched, spec, toolchain))?;
        Ok((patched, configured))
    }

    /// What the program calls in the kernel: compiled there, before the program can be.
    fn exports(&mut self, toolchain: &Toolchain) -> Result<Made<Exports>> {
        let (_, configured) = self.configured(toolchain)?;
        let side = Side { toolchain, configured: &configured, manifest: self.manifest, image: self.dir };
        let (env, progress) = (self.env, &mut *self.progress);
        self.clock.stage("exports", || exports::build(env, &side, progress))
    }

    /// From a manifest to a complete image, which takes the place of the last one at `place`.
    fn image(&mut self, place: &ImageDir) -> Result<Image> {
        let Program { userland, archive, .. } = self.program()?;
        let toolchain = &userland.toolchain;
        let (patched, configured) = self.configured(toolchain)?;
        let Walk { env, manifest, dir, .. } = *self;
        let (clock, progress) = (&mut *self.clock, &mut *self.progress);
        let kernel = clock.stage("kernel", || vmlinux::build(env, &configured, &archive, dir, progress))?;
        let Manifest { name, trigger, args, env: variables, storage, .. } = manifest;
        let startup = Startup::of_image(name, trigger, args, variables, storage);
        let started_by = clock.stage("trigger", || trigger::build(env, &kernel, dir))?;
        let initrd = clock.stage("initrd", || {
            // The guest's own programs are musl's: they are small.
            let own = match userland.sysroot.libc {
                Libc::Musl => Made::found(userland.value.clone()),
                Libc::Glibc => {
                    let toolchain = toolchain.clone();
                    musl::build(env, &toolchain)?.map(|sysroot| Userland { toolchain, sysroot })
                }
            };
            Ok(initrd::build(env, &own, &started_by, manifest, dir, &startup)?.behind(&own))
        })?;
        let (archive, patched, configured) = (&archive.value, &patched.value, &configured.value);
        let parts = Parts { manifest, toolchain, archive, patched, configured, kernel: &kernel, initrd: &initrd };
        if env.shell.dry_run {
            return Ok(Image { dir: place.clone(), info: folder::describe(&parts, Default::default()) });
        }
        Ok(clock.stage("image", || Ok(Made::found(folder::assemble(&parts, place)?)))?.value)
    }
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
    let next = &dir.next();
    let linked = Walk { env, manifest, dir: next, clock, progress: &mut |_| () }.linked()?.linked;
    if !env.shell.dry_run && workdir::hash_file(&linked.twin).ok() != before {
        dir.invalidate()?;
        dir.publish(&[linked.value.twin])?;
    }
    Ok(dir.twin())
}

/// From sources to `UKL.a` and the twin; `progress` hears of the kernel's objects, if the program needs them before it
/// can be compiled.
pub fn program(
    env: &Env,
    manifest: &Manifest,
    dir: &ImageDir,
    clock: &mut Clock,
    progress: &mut dyn FnMut(Progress),
) -> Result<Program> {
    Walk { env, manifest, dir, clock, progress }.program()
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
    // A stage that fails leaves the last image as it was.
    Walk { env, manifest, dir: &dir.next(), clock, progress }.image(dir)
}
