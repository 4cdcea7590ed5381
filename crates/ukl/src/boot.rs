//! [`Machine`] → [`BootRun`]: QEMU started, streamed, judged.

mod backlog;
mod nmi;
mod noise;
mod panic;
mod printer;
mod stdin;
mod times;
mod stream;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use formats::console::{self, Control, End};

use crate::base::env::Env;
use crate::base::error::{fail, Class, Failure, Result, EXIT_PANIC, EXIT_TIMEOUT};
use crate::base::run::{Cmd, Shell};
use crate::base::workdir::{self, ImageDir, RunDir};
use crate::image::folder::Image;
use crate::image::initrd;
use crate::machine::storage::{self, Prepared};
use crate::machine::{self, Input, Machine, Output, Request};

use nmi::Injector;

pub use times::place;

/// How a guest ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The program exited with this status (0–255).
    Exited(u8),
    /// The program was ended by this signal.
    Signaled(u8),
    /// The guest kernel panicked: the text of the panic.
    Panic(String),
    /// The time limit passed.
    Timeout,
    /// QEMU ended and no status had been reported.
    NoStatus,
}

impl Outcome {
    /// The exit code of `ukl run`; `None` when the boot itself failed.
    pub fn exit_code(&self) -> Option<u8> {
        match self {
            Outcome::Exited(status) => Some(*status),
            Outcome::Signaled(signal) => Some(128 + signal),
            Outcome::Panic(_) => Some(EXIT_PANIC),
            Outcome::Timeout => Some(EXIT_TIMEOUT),
            Outcome::NoStatus => None,
        }
    }
}

impl From<End> for Outcome {
    fn from(end: End) -> Self {
        match end {
            End::Exited(status) => Outcome::Exited(status),
            End::Killed(signal) => Outcome::Signaled(signal),
        }
    }
}

/// One finished boot.
#[derive(Debug, Clone)]
pub struct BootRun {
    /// How it ended: the last command's end, unless the boot ended otherwise.
    pub outcome: Outcome,
    /// How each command ended, in order, as far as they got.
    pub ends: Vec<Outcome>,
    /// QEMU start to the program's first output, in seconds.
    pub first_output_s: Option<f64>,
    /// The program's first output to its last, in seconds.
    pub output_s: Option<f64>,
    /// QEMU start to the moment when the program listened at its port, in seconds.
    pub ready_s: Option<f64>,
    /// QEMU start to QEMU end, in seconds.
    pub total_s: f64,
    /// A fault in the kernel that it survived, and where it was.
    pub oops: Option<String>,
    /// What the console showed.
    pub console: Vec<u8>,
    /// The core file of the program, if it crashed.
    pub core: Option<PathBuf>,
    /// What the kernel said when it ended the program for want of memory.
    pub shortage: Option<String>,
}

impl BootRun {
    /// The exit code of `ukl run`; `None` when the boot itself failed. A fault in the kernel is never a success.
    pub fn exit_code(&self) -> Option<u8> {
        match (self.outcome.exit_code(), &self.oops) {
            (Some(0), Some(_)) => Some(EXIT_PANIC),
            (code, _) => code,
        }
    }

    /// Of a dry run, which starts nothing.
    fn none() -> Self {
        BootRun {
            outcome: Outcome::Exited(0),
            ends: Vec::new(),
            first_output_s: None,
            output_s: None,
            ready_s: None,
            total_s: 0.0,
            oops: None,
            console: Vec::new(),
            core: None,
            shortage: None,
        }
    }
}

/// Boots `image` and waits for its end.
///
/// The console goes to `console.log` as well, the exact QEMU line to `qemu.sh`. A panic or a
/// timeout is an outcome, not an error. Errors: no QEMU, no KVM although demanded (class `Host`),
/// QEMU ended before the guest's init began (class `Boot`).
pub fn run(env: &Env, image: &Image, request: &Request) -> Result<BootRun> {
    run_in(env, image, request, &image.dir.run())
}

/// As [`run`], with the boot's files in `files`.
pub fn run_in(env: &Env, image: &Image, request: &Request, files: &RunDir) -> Result<BootRun> {
    let machine = machine::resolve(env, image, request, (Input::of(request), Output::of(request)), files)?;
    start(&env.shell, &machine)
}

/// As [`run`], with input and output on these ways whatever our own are.
pub fn run_through(env: &Env, image: &Image, request: &Request, ways: (Input, Output)) -> Result<BootRun> {
    start(&env.shell, &machine::resolve(env, image, request, ways, &image.dir.run())?)
}

/// Starts `machine` and waits for its end; errors as those of [`run`].
pub fn start(shell: &Shell, machine: &Machine) -> Result<BootRun> {
    let mut prepared = storage::prepare(shell, machine)?;
    if shell.dry_run {
        let none = std::process::Stdio::null;
        shell.spawn(&machine.command(None), none(), none(), none())?;
        return Ok(BootRun::none());
    }
    let cmd = write_files(shell, machine, &prepared)?;
    let injector = match (machine.nmi, &machine.hardware.monitor) {
        (Some(every), Some(monitor)) => {
            Some(Injector::start(every, monitor.clone(), machine.files.control(), machine.programs))
        }
        _ => None,
    };
    let streamed = stream::run(shell, &cmd, machine)?;
    drop(injector);
    judge(shell, machine, streamed, &mut prepared, &cmd)
}

/// Writes what the boot reads, and how it is started: evidence is on disk before anything runs.
fn write_files(shell: &Shell, machine: &Machine, prepared: &Prepared) -> Result<Cmd> {
    let Machine { files, hardware, .. } = machine;
    if let Some(startup) = &machine.startup {
        initrd::compose(shell, &machine.image, startup, hardware.initrd.clone())?;
    }
    if let Some(script) = &machine.tap_script {
        workdir::write_script(&script.path, &script.text)?;
    }
    let cmd = machine.command(SystemTime::now().duration_since(UNIX_EPOCH).ok());
    let beside: String = prepared.commands().map(|command| format!("# Beside it: {command}\n")).collect();
    workdir::write_script(&files.qemu_line(), &format!("#!/bin/sh\n{beside}exec {}\n", cmd.display()))?;
    if let (Some(link), Some((socket, _))) = (files.debugger(), &hardware.debugger) {
        workdir::link(socket, &link)?;
    }
    workdir::remove_file(&files.core())?;
    // Whether the guest is up is read from there: the last boot's must be gone.
    workdir::write_atomic(&files.control(), b"")?;
    Ok(cmd)
}

/// What the boot was, by what it left.
fn judge(
    shell: &Shell,
    machine: &Machine,
    streamed: stream::Streamed,
    prepared: &mut Prepared,
    cmd: &Cmd,
) -> Result<BootRun> {
    let files = &machine.files;
    let facts = console::read(&String::from_utf8_lossy(&streamed.serial));
    let control = console::control(&streamed.control);
    let ends: Vec<Outcome> = control.runs.iter().filter_map(|run| run.end).map(Outcome::from).collect();
    let oops = match facts.panic {
        None => facts.oops.as_ref().map(|oops| panic::describe_oops(shell, &machine.image, oops)),
        Some(_) => None,
    };
    let outcome = outcome(shell, &machine.image, &streamed.end, &facts, &control, &ends);
    if outcome == Outcome::NoStatus && !control.started {
        let failure = prepared.failure();
        return Err(failure.unwrap_or_else(|| no_boot(&streamed, files, &cmd.display())).into());
    }
    if matches!(outcome, Outcome::Exited(_) | Outcome::Signaled(_)) {
        check_output(&streamed, &control).map_err(|failure| failure.log(files.console()))?;
    }
    if let Some(what) = control.failed.first() {
        return Err(fail(Class::Boot, format!("the guest failed: {what}")).log(files.console()).into());
    }
    // What did not arrive whole is nothing that a debugger reads.
    let is_whole = control.core == Some(streamed.core.len() as u64);
    let core = (matches!(outcome, Outcome::Signaled(_)) && is_whole).then(|| files.core());
    if let Some(path) = &core {
        workdir::write_atomic(path, &streamed.core)?;
    }
    let seconds = |time: Duration| time.as_secs_f64();
    let first_output_s = streamed.output_times.map(|(first, _)| seconds(first));
    let output_s = streamed.output_times.map(|(first, last)| seconds(last - first));
    let ready_s = streamed.ready.map(|time| time.as_secs_f64());
    let total_s = streamed.total.as_secs_f64();
    let (shortage, console) = (control.shortage, streamed.console);
    Ok(BootRun { outcome, ends, first_output_s, output_s, ready_s, total_s, oops, console, core, shortage })
}

/// Whether all that programs wrote arrived. Error (class `Boot`): some of it was lost.
fn check_output(streamed: &stream::Streamed, control: &Control) -> std::result::Result<(), Failure> {
    let text = match control.output {
        Some(bytes) if streamed.output < bytes => {
            format!("{} of {bytes} bytes of output were lost on their way out of the guest", bytes - streamed.output)
        }
        // Init waits for the last byte before it ends the machine.
        None if control.has_output && streamed.end == stream::End::Itself => {
            "the guest ended before all output had left it".to_owned()
        }
        _ => return Ok(()),
    };
    Err(fail(Class::Boot, text))
}

/// How the guest ended, by what ended the stream, the console and init's report.
fn outcome(
    shell: &Shell,
    image: &ImageDir,
    end: &stream::End,
    facts: &console::Facts,
    control: &Control,
    ends: &[Outcome],
) -> Outcome {
    let complete = control.runs.iter().all(|run| run.end.is_some());
    match (facts.init_end, &facts.panic) {
        // A limit that passed while the machine was going down does not count.
        _ if *end == stream::End::Timeout && !(control.started && complete && !ends.is_empty()) => Outcome::Timeout,
        // The kernel's own fault took process 1 with it.
        (Some(End::Killed(9)), Some(panic)) if facts.oops.is_some() => {
            Outcome::Panic(panic::describe(shell, image, panic, facts.oops.as_ref()))
        }
        (Some(end), _) => end.into(),
        (None, Some(panic)) => Outcome::Panic(panic::describe(shell, image, panic, facts.oops.as_ref())),
        (None, None) if complete => ends.last().cloned().unwrap_or(Outcome::NoStatus),
        (None, None) => Outcome::NoStatus,
    }
}

fn no_boot(streamed: &stream::Streamed, files: &RunDir, command: &str) -> Failure {
    let said = String::from_utf8_lossy(&streamed.errors).trim().to_owned();
    let text = match streamed.end {
        stream::End::Stuck => "the guest did not come up in a minute".to_owned(),
        _ if said.is_empty() => format!("QEMU ended ({}) before the guest was up", streamed.status),
        _ => format!("QEMU ended ({}) before the guest was up: {said}", streamed.status),
    };
    // A QEMU that refuses to start says why, and that lies in its options or in this machine.
    let class = if said.is_empty() || streamed.status.success() { Class::Boot } else { Class::Host };
    let hint = "too little memory ends a boot without a word: try `--memory 64M`; `--accel tcg` rules out a broken KVM";
    fail(class, text).command(command).log(files.console()).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_in_the_kernel_is_no_success() {
        let run = |outcome| BootRun { outcome, oops: Some("Oops: int3".into()), ..BootRun::none() };
        assert_eq!(run(Outcome::Exited(0)).exit_code(), Some(EXIT_PANIC));
        assert_eq!(run(Outcome::Exited(3)).exit_code(), Some(3));
        assert_eq!(run(Outcome::Signaled(9)).exit_code(), Some(137));
        assert_eq!(BootRun::none().exit_code(), Some(0));
    }

    #[test]
    fn an_outcome_becomes_the_shells_code() {
        assert_eq!(Outcome::Exited(42).exit_code(), Some(42));
        assert_eq!(Outcome::Signaled(11).exit_code(), Some(139));
        assert_eq!(Outcome::Panic("x".into()).exit_code(), Some(255));
        assert_eq!(Outcome::Timeout.exit_code(), Some(124));
        assert_eq!(Outcome::NoStatus.exit_code(), None);
    }
}
