//! [`Configured`] + [`AppArchive`] → [`Kernel`]: the objects once, a link for each program.

mod failure;
mod repair;

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::env::Env;
use crate::base::error::Result;
use crate::base::plan::{Made, Plan};
use crate::base::run::{Cmd, Shell};
use crate::base::stamp::{self, Inputs};
use crate::base::target::TARGET;
use crate::base::workdir::{self, ImageDir};
use crate::kernel::config::{self, Configured};
use crate::program::archive::AppArchive;

/// The linked kernel of one program, in the image folder.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// What a boot loader starts.
    pub bzimage: PathBuf,
    /// The ELF file with symbols.
    pub vmlinux: PathBuf,
    /// Its configuration.
    pub config: PathBuf,
}

/// How far the kernel's objects are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Steps of make that are done.
    pub done: u64,
    /// Steps of an earlier complete build; a guess before the first.
    pub total: u64,
    /// The step that just began: `CC kernel/fork.o`.
    pub item: String,
}

/// Steps of the base configuration: what the first build goes by.
const STEPS_GUESS: u64 = 1450;

/// No kernel build takes this long on a machine that can hold one.
const LIMIT: Duration = Duration::from_secs(4 * 3600);

/// xz as a kernel needs it (see scripts/xz_wrap.sh there), at less than half of the time for 7 % more bytes.
pub const XZ: &str = "#!/bin/sh\n\
    case \"$*\" in *--version*) exec xz \"$@\" ;; esac\n\
    exec xz --check=crc32 --threads=1 --x86 --lzma2=preset=1,mode=normal,mf=hc3,nice=12,depth=4\n";

/// The file of a build folder that says: every object is there.
pub const OBJECTS_DONE: &str = "objects.done";

/// What a program's link makes in the build folder.
pub const LINKED: [&str; 3] = ["vmlinux", TARGET.boot_image, TARGET.boot_unpacker];

/// Builds the kernel's objects if they are not in the cache, links `app` into it and copies the
/// result to the image folder; does nothing when it is there already.
///
/// Errors: the kernel does not compile (class `Kernel`); the program does not fit into the link:
/// undefined symbols, too much data (class `App`).
pub fn build(
    env: &Env,
    configured: &Made<Configured>,
    app: &Made<AppArchive>,
    image: &ImageDir,
    progress: &mut dyn FnMut(Progress),
) -> Result<Made<Kernel>> {
    let kernel = Kernel { bzimage: image.bzimage(), vmlinux: image.vmlinux(), config: image.kernel_config() };
    let stamp = match configured.pending || app.pending {
        true => Inputs::pending(),
        false => configured.inputs.clone().hashed("the program (UKL.a)", &app.sha256),
    };
    let mut why = stamp::stale(&stamp, &[&kernel.bzimage]);
    let gone = [&kernel.vmlinux, &kernel.config].into_iter().find(|file| !file.exists());
    if let (Some(file), true) = (gone, why.is_empty()) {
        why.push(format!("{}: not made yet", file.file_name().unwrap_or_default().to_string_lossy()));
    }
    let mut commands = objects_commands(configured);
    commands.push(link_command(configured));
    Plan { output: kernel, why, commands }.carry_out(&env.shell, |kernel, _| {
        let Kernel { bzimage, vmlinux, .. } = &kernel;
        stamp::renew(&stamp, &[bzimage], || {
            let _held = objects(env, configured, image, progress)?;
            link(&env.shell, configured, app, &image.log("kernel"))?;
            workdir::copy_atomic(&configured.out.join("vmlinux"), vmlinux)?;
            workdir::copy_atomic(&configured.out.join(TARGET.boot_image), bzimage)
        })?;
        Ok(kernel)
    })
}

/// Lets children hold the lock too: the compilers that outlive a killed ukl keep the next build waiting.
fn leave_open(lock: &File) -> Result<()> {
    // SAFETY: the descriptor is open; F_SETFD takes a plain integer.
    let result = unsafe { libc::fcntl(lock.as_raw_fd(), libc::F_SETFD, 0) };
    anyhow::ensure!(result == 0, std::io::Error::last_os_error());
    Ok(())
}

/// The kernel's build folder, with every object in it: ours alone as long as this lives.
#[derive(Debug)]
pub struct Held {
    _lock: File,
}

/// The calls that [`objects`] makes: none where they are made already.
pub fn objects_commands(configured: &Configured) -> Vec<Cmd> {
    let wanted = !objects_done(configured).exists();
    wanted.then(|| objects_command(configured)).into_iter().collect()
}

/// What is there as soon as every object is.
fn objects_done(configured: &Configured) -> PathBuf {
    configured.out.join(OBJECTS_DONE)
}

/// Builds everything but a program's link: the slow part, once for all programs.
///
/// Errors: the kernel does not compile (class `Kernel`).
pub fn objects(
    env: &Env,
    configured: &Configured,
    image: &ImageDir,
    progress: &mut dyn FnMut(Progress),
) -> Result<Held> {
    let log = &image.log("kernel");
    let lock = env.cache.lock("kernel", &configured.key)?;
    leave_open(&lock)?;
    // Evidence first: the configuration survives a failure.
    workdir::copy_atomic(&configured.out.join(".config"), &image.kernel_config())?;
    workdir::write_atomic(log, b"")?;
    workdir::write_script(&configured.out.join("xz"), XZ)?;
    make_objects(env, configured, log, progress)?;
    Ok(Held { _lock: lock })
}

fn make_objects(
    Env { shell, cache }: &Env,
    configured: &Configured,
    log: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<()> {
    let Some(cmd) = objects_commands(configured).pop() else { return Ok(()) };
    workdir::remove_file(&configured.out.join("UKL.a"))?;
    repair::after_interruption(&configured.out)?;
    let remembered = cache.fact(&format!("kernel-steps-{}", configured.version));
    let total = fs::read_to_string(&remembered).ok().and_then(|text| text.parse().ok()).unwrap_or(STEPS_GUESS);
    let mut steps = 0;
    let cmd = cmd.log(log);
    let output = shell.run_with(&cmd, &mut |line| {
        if let Some(item) = step(line) {
            steps += 1;
            progress(Progress { done: steps, total, item });
        }
    })?;
    if !output.status.success() {
        anyhow::ensure!(!crate::base::run::interrupted(), "interrupted");
        return Err(failure::of_objects(&cmd, log, &configured.tree).into());
    }
    if steps > total / 2 {
        // A build that went on after an interruption says nothing about a whole one.
        workdir::write_atomic(&remembered, steps.to_string().as_bytes())?;
    }
    workdir::write_atomic(&objects_done(configured), b"")
}

/// The first error in a log of the kernel's make, in a few lines.
pub(crate) fn log_message(log: &Path, tree: &Path) -> String {
    failure::in_log(log, tree)
}

/// Links `app` into the objects and makes bzImage of it.
fn link(shell: &Shell, configured: &Configured, app: &AppArchive, log: &Path) -> Result<()> {
    let out = &configured.out;
    // An interrupted link may have left parts that look new.
    for name in LINKED {
        workdir::remove_file(&out.join(name))?;
    }
    workdir::copy_atomic(&app.path, &out.join("UKL.a"))?;
    let cmd = link_command(configured).log(log);
    let output = shell.run(&cmd)?;
    if output.status.success() {
        return Ok(());
    }
    anyhow::ensure!(!crate::base::run::interrupted(), "interrupted");
    Err(failure::of_link(&cmd, log, &configured.tree).into())
}

/// The call of make that builds every object, the slow part.
pub fn objects_command(configured: &Configured) -> Cmd {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    make(configured).arg(format!("-j{jobs}")).arg(TARGET.boot_goal)
}

/// The call of make that links `UKL.a` of the build folder into them.
pub fn link_command(configured: &Configured) -> Cmd {
    make(configured).arg("ukl-image")
}

/// Every call of make on the build folder begins like this.
pub fn make(configured: &Configured) -> Cmd {
    config::make(configured).arg(format!("XZ={}", configured.out.join("xz").display())).limit(LIMIT)
}

/// `  CC      kernel/fork.o` → `CC kernel/fork.o`.
fn step(line: &str) -> Option<String> {
    let (verb, rest) = line.strip_prefix("  ")?.split_once(' ')?;
    let is_verb = verb.len() >= 2 && verb.bytes().all(|b| b.is_ascii_uppercase() || b == b'_' || b.is_ascii_digit());
    is_verb.then(|| format!("{verb} {}", rest.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::plan::INPUTS_ANEW;

    /// What a dry run says of a kernel whose image folder is complete, and how many programs it would call.
    fn asked(dir: &Path, app_pending: bool, without: &[&str]) -> (Vec<String>, usize) {
        let image = ImageDir::at(dir.join("image"));
        let configured = Configured {
            tree: dir.join("linux"),
            out: dir.join("out"),
            key: "key".into(),
            version: "6.12.1".into(),
            cc: "gcc".into(),
            ld: "ld".into(),
            inputs: Inputs::default().with("the kernel's compiler", "gcc"),
        };
        let app = AppArchive { path: image.archive(), sha256: workdir::hash(["program"]) };
        let stamp = configured.inputs.clone().hashed("the program (UKL.a)", &app.sha256);
        for file in [&image.bzimage(), &image.vmlinux(), &image.kernel_config(), &objects_done(&configured)] {
            workdir::write_atomic(file, b"x").unwrap();
        }
        stamp::write(&image.bzimage(), stamp.key()).unwrap();
        without.iter().for_each(|name| fs::remove_file(dir.join(name)).unwrap());
        let env = Env { shell: Shell::dry(), cache: workdir::Cache::at(dir.join("cache")) };
        let app = Made { pending: app_pending, ..Made::found(app) };
        let made = build(&env, &Made::found(configured), &app, &image, &mut |_| ()).unwrap();
        assert_eq!(made.pending, !made.why.is_empty());
        (made.why, env.shell.shown().len())
    }

    #[test]
    fn a_kernel_is_linked_again_for_another_program_and_its_objects_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let asked = |pending: bool, without: &[&str]| asked(dir.path(), pending, without);
        assert_eq!(asked(false, &[]), (vec![], 0));
        assert_eq!(asked(true, &[]), (vec![INPUTS_ANEW.to_owned()], 1));
        assert_eq!(asked(false, &["image/vmlinux"]), (vec!["vmlinux: not made yet".to_owned()], 1));
        assert_eq!(asked(true, &["out/objects.done"]), (vec![INPUTS_ANEW.to_owned()], 2));
    }

    #[test]
    fn steps_of_make_are_counted_and_other_lines_are_not() {
        assert_eq!(step("  CC      kernel/fork.o").as_deref(), Some("CC kernel/fork.o"));
        assert_eq!(step("  HOSTCC  scripts/kconfig/conf.o").as_deref(), Some("HOSTCC scripts/kconfig/conf.o"));
        let long = step("  XZKERN  arch/x86/boot/compressed/vmlinux.bin.xz");
        assert_eq!(long.as_deref(), Some("XZKERN arch/x86/boot/compressed/vmlinux.bin.xz"));
        for other in ["make[1]: Entering directory", "  from here", "CC x.o", "", "  "] {
            assert_eq!(step(other), None, "{other}");
        }
    }
}
