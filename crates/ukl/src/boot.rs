//! [`Image`] → [`BootRun`]: QEMU started, streamed, judged.

mod kind;
mod net;
mod qemu;
mod accel;
mod nmi;
mod panic;
mod stdin;
pub mod storage;
mod stream;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use formats::console::{self, Control, End};
use serde::{Deserialize, Serialize};

use crate::base::error::{fail, Class, Result, EXIT_PANIC, EXIT_TIMEOUT};
use crate::base::run::{Cmd, Shell};
use crate::base::workdir::{self, Cache, RunDir};
use crate::image::folder::{Image, Info};
use crate::image::initrd::{self, Command, Console, Mode};
use crate::manifest::storage::{Kind as ShareKind, Storage};
use crate::manifest::Network;

use nmi::Injector;
use stdin::Input;

pub use accel::Accel;
pub use kind::Kind;

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
    /// QEMU start to the moment when the program listened at its port, in seconds.
    pub ready_s: Option<f64>,
    /// QEMU start to QEMU end, in seconds.
    pub total_s: f64,
    /// A fault in the kernel that it survived, and where it was.
    pub oops: Option<String>,
    /// What the console showed.
    pub console: Vec<u8>,
}

/// What the guest does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// The program, with these arguments instead of the image's.
    Program(Option<Vec<String>>),
    /// The program's ring-3 twin.
    Twin(Option<Vec<String>>),
    /// The program and then its twin, in one boot.
    Both(Option<Vec<String>>),
    /// The program as process 1.
    Pid1(Option<Vec<String>>),
    /// A shell on the console.
    Shell,
    /// These commands; `/twin` is there.
    Commands(Vec<Command>),
}

impl What {
    /// How many programs run, one after the other.
    fn programs(&self) -> usize {
        match self {
            What::Both(_) => 2,
            What::Commands(commands) => commands.len(),
            What::Program(_) | What::Twin(_) | What::Pid1(_) | What::Shell => 1,
        }
    }
}

/// How to boot; `None` takes what the image says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Options {
    /// What the guest does.
    pub what: What,
    /// The engine.
    pub accel: Accel,
    /// The machine; by default microvm for one CPU, q35 for more.
    pub machine: Option<Kind>,
    /// Memory in MiB.
    pub memory_mib: Option<u32>,
    /// Number of virtual CPUs.
    pub cpus: Option<u32>,
    /// Forwarded TCP ports: (host, guest).
    pub ports: Option<Vec<(u16, u16)>>,
    /// The network, as far as it is to differ from the image's.
    pub network: Network,
    /// Disks and shares beside the image's; one at the same place in the guest stands instead of it.
    pub storage: Storage,
    /// The guest is stopped after this time.
    pub timeout: Option<Duration>,
    /// The console appears on our standard output, and our standard input reaches the program.
    pub attach: bool,
    /// More words for the kernel.
    pub words: Vec<String>,
    /// Where instructions are emulated, the guest's clock counts them: how busy the host is makes no difference.
    pub icount: bool,
    /// With `icount`: the seed of the guest's random numbers. Its date is fixed then, so that a boot without input from
    /// outside is the same in every instruction whenever it is repeated, and its time stamp counter counts them.
    #[serde(default)]
    pub seed: Option<u32>,
    /// The guest gets an interrupt that cannot be masked so often.
    pub nmi: Option<Duration>,
}

impl Options {
    /// Runs the program as the image says, attached to our standard streams.
    pub fn new(what: What) -> Self {
        Options {
            what,
            accel: Accel::Auto,
            machine: None,
            memory_mib: None,
            cpus: None,
            ports: None,
            network: Network::default(),
            storage: Storage::default(),
            timeout: None,
            attach: true,
            words: Vec::new(),
            icount: false,
            seed: None,
            nmi: None,
        }
    }
}

/// Boots `image` and waits for its end.
///
/// The console goes to `console.log` as well, the exact QEMU line to `qemu.sh`. A panic or a
/// timeout is an outcome, not an error. Errors: no QEMU, no KVM although demanded (class `Host`),
/// QEMU ended before the guest's init began (class `Boot`).
pub fn run(shell: &Shell, cache: &Cache, image: &Image, options: &Options) -> Result<BootRun> {
    run_in(shell, cache, image, options, &image.dir.run())
}

/// As [`run`], with the boot's files in `files`.
pub fn run_in(shell: &Shell, cache: &Cache, image: &Image, options: &Options, files: &RunDir) -> Result<BootRun> {
    let storage = storage_of(shell, image, options)?;
    let mut prepared = storage::prepare(shell, &image.dir, &storage)?;
    let input = Input::of(options.attach, &options.what);
    let mut machine = machine(shell, cache, image, options, &storage, files, input)?;
    machine.storage = prepared.qemu_words(&storage, machine.kind);
    let injector = match options.nmi.filter(|_| !shell.dry_run) {
        Some(every) => {
            // Whether the guest is up is read from there: the last boot's must be gone.
            workdir::write_atomic(&files.control(), b"")?;
            Some(Injector::start(every, files.control(), options.what.programs())?)
        }
        None => None,
    };
    machine.monitor = injector.as_ref().map(Injector::socket);
    machine.words.extend(clock_word(shell, options));
    let cmd = qemu::command(&machine);
    if shell.dry_run {
        shell.spawn(&cmd, std::process::Stdio::null(), std::process::Stdio::null(), std::process::Stdio::null())?;
        return Ok(BootRun {
            outcome: Outcome::Exited(0),
            ends: Vec::new(),
            first_output_s: None,
            ready_s: None,
            total_s: 0.0,
            oops: None,
            console: Vec::new(),
        });
    }
    // Evidence first: what is run is on disk before it runs.
    let beside: String = prepared.commands().map(|command| format!("# Beside it: {command}\n")).collect();
    workdir::write_script(&files.qemu_line(), &format!("#!/bin/sh\n{beside}exec {}\n", cmd.display()))?;
    workdir::write_atomic(&files.control(), b"")?;
    let streamed = stream::run(shell, &cmd, image, options, files)?;
    drop(injector);
    let text = String::from_utf8_lossy(&streamed.console);
    let facts = console::read(&text);
    let control = console::control(&streamed.control);
    let ends: Vec<Outcome> = control.runs.iter().filter_map(|run| run.end).map(Outcome::from).collect();
    let oops = match facts.panic {
        None => facts.oops.as_ref().map(|oops| panic::describe_oops(shell, &image.dir, oops)),
        Some(_) => None,
    };
    let outcome = outcome(shell, image, &streamed.end, &facts, &control, &ends);
    if outcome == Outcome::NoStatus && !control.started {
        let failure = prepared.failure();
        return Err(failure.unwrap_or_else(|| no_boot(&streamed, files, &cmd.display())).into());
    }
    if let Some(what) = control.failed.first() {
        return Err(fail(Class::Boot, format!("the guest failed: {what}")).log(files.console()).into());
    }
    let first_output_s = streamed.first_output.map(|time| time.as_secs_f64());
    let ready_s = streamed.ready.map(|time| time.as_secs_f64());
    let total_s = streamed.total.as_secs_f64();
    Ok(BootRun { outcome, ends, first_output_s, ready_s, total_s, oops, console: streamed.console })
}

/// How the guest ended, by what ended the stream, the console and init's report.
fn outcome(
    shell: &Shell,
    image: &Image,
    end: &stream::End,
    facts: &console::Facts,
    control: &Control,
    ends: &[Outcome],
) -> Outcome {
    let complete = control.runs.iter().all(|run| run.end.is_some());
    match (facts.init_end, &facts.panic) {
        // A limit that passed while the machine was going down is no limit passed.
        _ if *end == stream::End::Timeout && !(control.started && complete && !ends.is_empty()) => Outcome::Timeout,
        // The kernel's own fault took process 1 with it.
        (Some(End::Killed(9)), Some(panic)) if facts.oops.is_some() => {
            Outcome::Panic(panic::describe(shell, &image.dir, panic, facts.oops.as_ref()))
        }
        (Some(end), _) => end.into(),
        (None, Some(panic)) => Outcome::Panic(panic::describe(shell, &image.dir, panic, facts.oops.as_ref())),
        (None, None) if complete => ends.last().cloned().unwrap_or(Outcome::NoStatus),
        (None, None) => Outcome::NoStatus,
    }
}

/// The time in milliseconds since 1970, with which init corrects the clock of the machine. A plan has no time, a clock that
/// counts instructions is not the host's, and without init nobody listens.
fn clock_word(shell: &Shell, options: &Options) -> Option<String> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let wanted = !shell.dry_run && !options.icount && !matches!(options.what, What::Pid1(_));
    wanted.then(|| format!("ukl.clock={}", since.as_millis()))
}

/// QEMU's call for an image that need not exist yet, with a person at the console; nothing is written or checked.
pub fn command(cache: &Cache, image: &Image, options: &Options) -> Result<Cmd> {
    let shell = &Shell { verbose: false, dry_run: true };
    let storage = storage_of(shell, image, options)?;
    let mut machine = machine(shell, cache, image, options, &storage, &image.dir.run(), Input::Lines)?;
    machine.storage = storage::prepare(shell, &image.dir, &storage)?.qemu_words(&storage, machine.kind);
    Ok(qemu::command(&machine))
}

fn no_boot(streamed: &stream::Streamed, files: &RunDir, command: &str) -> crate::base::error::Failure {
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

/// The disks and shares of this boot; fails unless this kernel and this mode can have them.
fn storage_of(shell: &Shell, image: &Image, options: &Options) -> Result<Storage> {
    let storage = image.info.storage.with(&options.storage);
    if options.machine == Some(Kind::Microvm) && !storage::fits_microvm(&storage) {
        let failure = fail(Class::Usage, "a microvm takes 6 disks and shares, and none of the kind virtiofs");
        return Err(failure.hint("leave the machine to ukl, or name `--machine q35`").into());
    }
    if storage.is_empty() {
        return Ok(storage);
    }
    if matches!(options.what, What::Pid1(_)) {
        let failure = fail(Class::Usage, "a program that is process 1 gets no disks and shares: init mounts them");
        return Err(failure.hint("run it without `--pid1`").into());
    }
    if !shell.dry_run {
        storage::check_kernel(image, &storage)?;
    }
    Ok(storage)
}

/// The machine for this image and these options; writes the RAM disk if the image's own does not do.
fn machine(
    shell: &Shell,
    cache: &Cache,
    image: &Image,
    options: &Options,
    storage: &Storage,
    files: &RunDir,
    input: Input,
) -> Result<qemu::Machine> {
    let info = &image.info;
    let cpus = options.cpus.unwrap_or(info.cpus);
    let fits = cpus == 1 && !net::needs_pci(image, options) && storage::fits_microvm(storage);
    let kind = options.machine.unwrap_or(if fits { Kind::Microvm } else { Kind::Q35 });
    let kernel = image.dir.vmlinux();
    let engine = match accel::choose(shell, cache, options.accel, &kernel)? {
        kind::Engine::Tcg { .. } if options.icount => kind::Engine::Counted { seed: options.seed },
        engine => engine,
    };
    let mut words = options.words.clone();
    // Without init nobody watches.
    if !matches!(options.what, What::Pid1(_)) {
        words.extend(net::ready_port(image, options).map(|port| format!("ukl.ready={port}")));
        words.extend(net::words(image, options));
    }
    if let What::Pid1(args) = &options.what {
        words.push(format!("rdinit={}", info.trigger));
        let args = args.as_ref().unwrap_or(&info.args);
        if !args.is_empty() {
            // The kernel passes on what stands behind the dashes; it knows quotes, but no way to quote one.
            words.push("--".into());
            words.extend(args.iter().map(|arg| kernel_word(arg)).collect::<Result<Vec<_>>>()?);
        }
    }
    Ok(qemu::Machine {
        kind,
        engine,
        memory_mib: options.memory_mib.unwrap_or(info.memory_mib),
        cpus,
        card: net::card(shell, image, options, kind, cpus, files)?,
        kernel,
        initrd: ram_disk(shell, image, &options.what, input, storage, files)?,
        control: files.control(),
        control_pipe: files.pipe().map(Into::into),
        input_port: input == Input::Port,
        storage: Vec::new(),
        shared_memory: storage.shares.iter().any(|share| share.kind == ShareKind::Virtiofs),
        monitor: None,
        words,
    })
}

/// Where this machine reaches the program once it listens at its port, `ADDRESS:PORT`, as far as it is known.
pub fn endpoint(image: &Image, options: &Options, control: &Control) -> Option<String> {
    net::endpoint(image, options)?.text(control)
}

/// Forwarded TCP ports, (host, guest), and the guest's own address in a tap's or bridge's network.
pub fn reach(image: &Image, options: &Options) -> (Vec<(u16, u16)>, Option<String>) {
    net::reach(image, options)
}

/// One argument on the kernel's command line.
fn kernel_word(arg: &str) -> Result<String> {
    if arg.is_empty() || arg.contains('"') {
        let text = format!("argument {arg:?} cannot be passed to a program that is process 1");
        return Err(fail(Class::Usage, text).hint("run it without `--pid1`: init passes on every argument").into());
    }
    Ok(if arg.contains(char::is_whitespace) { format!("\"{arg}\"") } else { arg.to_owned() })
}

/// The image's own RAM disk, or one that is composed for this run.
fn ram_disk(
    shell: &Shell,
    image: &Image,
    what: &What,
    input: Input,
    storage: &Storage,
    files: &RunDir,
) -> Result<PathBuf> {
    let Info { name, trigger, args, env, .. } = &image.info;
    let mut mode = mode(image, what);
    mode.mounts = storage::mounts(storage);
    match input {
        Input::Port => mode.console = Console::Port,
        Input::None => mode.console = Console::Null,
        Input::Lines | Input::Terminal => {}
    }
    if mode == default_mode(name, trigger, args, env, &image.info.storage) {
        return Ok(image.dir.initrd());
    }
    Ok(initrd::compose(shell, &image.dir, &mode, files.initrd())?.path)
}

/// What init does in an image unless a run says otherwise: it starts the program `name` by its trigger.
pub fn default_mode(
    name: &str,
    trigger: &str,
    args: &[String],
    env: &BTreeMap<String, String>,
    storage: &Storage,
) -> Mode {
    let mode = Mode::commands(vec![initrd::command(name, trigger, args, env)]);
    Mode { mounts: storage::mounts(storage), ..mode }
}

fn mode(image: &Image, what: &What) -> Mode {
    let info = &image.info;
    let command = |path: &str, args: &Option<Vec<String>>| {
        initrd::command(&info.name, path, args.as_ref().unwrap_or(&info.args), &info.env)
    };
    let app = |args| command(&info.trigger, args);
    let twin = |args| command("/twin", args);
    match what {
        What::Program(args) => Mode::commands(vec![app(args)]),
        What::Twin(args) => Mode { twin: true, ..Mode::commands(vec![twin(args)]) },
        What::Both(args) => Mode { twin: true, ..Mode::commands(vec![app(args), twin(args)]) },
        What::Pid1(_) => Mode::pid1(),
        What::Shell => Mode::shell(initrd::environment(&info.env)),
        What::Commands(commands) => Mode { twin: true, ..Mode::commands(commands.clone()) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_becomes_the_shells_code() {
        assert_eq!(Outcome::Exited(42).exit_code(), Some(42));
        assert_eq!(Outcome::Signaled(11).exit_code(), Some(139));
        assert_eq!(Outcome::Panic("x".into()).exit_code(), Some(255));
        assert_eq!(Outcome::Timeout.exit_code(), Some(124));
        assert_eq!(Outcome::NoStatus.exit_code(), None);
    }

    #[test]
    fn arguments_of_process_1_are_quoted_for_the_kernel() {
        assert_eq!(kernel_word("a=b").unwrap(), "a=b");
        assert_eq!(kernel_word("two words").unwrap(), "\"two words\"");
        assert!(kernel_word("say \"x\"").is_err() && kernel_word("").is_err());
    }
}
