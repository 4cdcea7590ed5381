//! `ukl run`: boots the image that was built last, and ends as its program did.

use clap::Args;
use serde_json::{json, Value};

use super::answer::Answer;
use super::options::{self, BootOptions, MachineOptions, MachineType, PlatOption, Target};
use super::{linuxu, project, ps};
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::term;
use crate::base::units;
use crate::base::workdir::{Guests, ImageDir};
use crate::boot::{self, BootRun, Outcome};
use crate::guests;
use crate::image::folder::{self, Image};
use crate::machine::{Accel, MachineKind, Request, What};
use crate::manifest::{Network, Storage};
use crate::pipeline::{self, Stage};
use crate::ship::unpack;
use crate::tools::crash;

/// `ukl run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// What to run.
    #[command(flatten)]
    pub target: Target,
    /// Where it runs.
    #[command(flatten)]
    pub plat: PlatOption,
    /// How.
    #[command(flatten)]
    pub boot: BootOptions,
    /// The program gets our input, as it always does without `--detach`
    #[arg(short, long, help_heading = "Boot options", conflicts_with = "detach")]
    pub interactive: bool,
    /// The program has our terminal, as it always does when we have one
    #[arg(short, long, help_heading = "Boot options", conflicts_with = "detach")]
    pub tty: bool,
}

/// Boots the image that was built last.
pub(super) fn run(env: &Env, args: &RunArgs, json: bool) -> Result<Answer> {
    if let [word] = args.target.target.as_slice() {
        if let Some(reference) = unpack::reference(word) {
            let image = folder::load(&unpack::unpack(env, &reference)?)?;
            return boot(env, &image, &args.boot, json, Vec::new());
        }
    }
    let dir = project::existing_image(&args.target)?;
    if linuxu::is_wanted(args.plat, || project::manifest(&args.target)) {
        return linuxu::run(env, &args.target, &dir, &args.boot, json);
    }
    let image = folder::load(&dir)?;
    if !env.shell.dry_run {
        tell_if_stale(env, args, &image);
    }
    boot(env, &image, &args.boot, json, Vec::new())
}

/// Says when the image is older than what it would be made from; an image folder alone has no project.
fn tell_if_stale(env: &Env, args: &RunArgs, image: &Image) {
    let is_folder = matches!(args.target.target.as_slice(), [one] if ImageDir::at(one).manifest().is_file());
    if is_folder || (args.target.target.is_empty() && args.target.out.is_some()) {
        return;
    }
    // Sources that cannot be read now do not keep an image from running.
    let changes = project::manifest(&args.target).and_then(|manifest| pipeline::changes(env, &manifest, image));
    if let Ok([first, rest @ ..]) = changes.as_deref() {
        let more = if rest.is_empty() { String::new() } else { format!(", and {} more", rest.len()) };
        term::say(&format!(
            "the image is older than its sources ({first}{more}): `ukl up` builds it anew, then runs it"
        ));
    }
}

/// Boots `image`; ends as its program does.
pub(super) fn boot(env: &Env, image: &Image, wanted: &BootOptions, json: bool, stages: Vec<Stage>) -> Result<Answer> {
    let options = Request { attach: !json && !wanted.detach, ..translate(wanted)? };
    if wanted.detach && !env.shell.dry_run {
        let (text, guest) = start_in_background(image, wanted, &options)?;
        let json = json!({ "folder": image.dir.root(), "image": image.info, "stages": stages, "guest": guest });
        return Ok(Answer { text, json, code: 0 });
    }
    let run = boot::run(env, image, &options)?;
    // Whoever interrupted us wants no verdict.
    anyhow::ensure!(!crate::base::run::interrupted(), "interrupted");
    let (code, run) = if env.shell.dry_run {
        (0, Value::Null)
    } else {
        let code = judge(image, &run, &options)?;
        let frames = where_it_crashed(env, image, &run);
        let mut described = describe(&run, &image.dir);
        described["frames"] = json!(frames);
        (code, described)
    };
    let json = json!({ "folder": image.dir.root(), "image": image.info, "stages": stages, "run": run });
    Ok(Answer { text: String::new(), json, code })
}

/// The boot that the command line asks for.
pub(super) fn translate(options: &BootOptions) -> Result<Request> {
    let args = (!options.args.is_empty()).then(|| options.args.clone());
    let what = match options {
        BootOptions { shell: true, .. } => What::Shell,
        BootOptions { pid1: true, .. } => What::Pid1(args),
        BootOptions { twin: true, .. } => What::Twin(args),
        _ => What::Program(args),
    };
    let ports = (!options.ports.is_empty()).then(|| options.ports.clone());
    let network = Network { net: options.net.clone(), ip: options.ip.clone(), queues: options.queues };
    let words = options.append.clone();
    let (env, qemu) = (options.variables()?, options.qemu_words()?);
    Ok(Request { ports, network, words, env, qemu, storage: storage(options), ..machine(&options.machine, what) })
}

/// Disks and shares of the command line.
pub(super) fn storage(options: &BootOptions) -> Storage {
    Storage { disks: options.disks.clone(), shares: options.shares.clone() }
}

/// `what` on the machine that the command line describes.
pub(super) fn machine(options: &MachineOptions, what: What) -> Request {
    Request {
        accel: match options.accel {
            options::Accel::Auto => Accel::Auto,
            options::Accel::Kvm => Accel::Kvm,
            options::Accel::Tcg => Accel::Tcg,
        },
        machine: match options.machine {
            MachineType::Auto => None,
            MachineType::Microvm => Some(MachineKind::Microvm),
            MachineType::Q35 => Some(MachineKind::Q35),
        },
        memory_mib: options.memory,
        cpus: options.cpus,
        timeout: options.timeout,
        ..Request::new(what)
    }
}

/// The exit code, and a line on standard error where the program did not simply exit.
fn judge(image: &Image, run: &BootRun, options: &Request) -> Result<u8> {
    match &run.outcome {
        Outcome::Exited(_) => {}
        Outcome::Signaled(signal) => term::say(&format!("`{}` was killed by signal {signal}", image.info.name)),
        Outcome::Panic(text) => term::say(&format!("{} {text}", term::paint("1;31", "the guest kernel panicked:"))),
        Outcome::Timeout => {
            let limit = units::words(options.timeout.unwrap_or_default());
            term::say(&format!("`{}` did not end within {limit}", image.info.name));
        }
        Outcome::NoStatus => {}
    }
    if let Some(words) = &run.shortage {
        let memory = options.memory_mib.unwrap_or(image.info.memory_mib);
        term::say(&format!("  the guest's memory was full ({memory} MiB: `--memory` gives more): {words}"));
    }
    if let Some(text) = &run.oops {
        term::say(&format!("{} {text}", term::paint("1;31", "a fault in the guest kernel:")));
    }
    match (run.exit_code(), &options.what) {
        (Some(code), _) => Ok(code),
        (None, what) => {
            let failure = fail(Class::Boot, "QEMU ended and the guest had reported no exit status");
            let hint = match what {
                What::Shell => "the guest was reset or switched off: `exit` ends a shell with a status",
                _ => "the console's last lines may say why",
            };
            Err(failure.log(image.dir.console()).hint(hint).into())
        }
    }
}

/// Says where the program crashed, if it did; the frames.
fn where_it_crashed(env: &Env, image: &Image, run: &BootRun) -> Vec<String> {
    let Some(core) = &run.core else { return Vec::new() };
    // A core file that gdb does not understand is there all the same.
    let frames = crash::frames(&env.shell, image, core).unwrap_or_default();
    for frame in &frames {
        term::say(&format!("  {frame}"));
    }
    let hint = if frames.is_empty() { "; with gdb installed, `ukl run` shows where" } else { "" };
    term::say(&format!("  core    {}{hint}", core.display()));
    frames
}

fn describe(run: &BootRun, dir: &ImageDir) -> Value {
    let (outcome, detail) = match &run.outcome {
        Outcome::Exited(status) => ("exited", json!(status)),
        Outcome::Signaled(signal) => ("signaled", json!(signal)),
        Outcome::Panic(text) => ("panic", json!(text)),
        Outcome::Timeout => ("timeout", Value::Null),
        Outcome::NoStatus => ("no-status", Value::Null),
    };
    json!({
        "outcome": outcome,
        "detail": detail,
        "first_output_s": run.first_output_s,
        "ready_s": run.ready_s,
        "total_s": run.total_s,
        "console": String::from_utf8_lossy(&run.console),
        "oops": run.oops,
        "core": run.core,
        "console_log": dir.console(),
        "qemu_line": dir.qemu_line(),
    })
}

/// Boots `image` in the background.
fn start_in_background(image: &Image, wanted: &BootOptions, options: &Request) -> Result<(String, Value)> {
    let name = wanted.name.as_deref().unwrap_or(&image.info.name);
    let started = guests::start(&Guests::from_env()?, name, image, options, wanted.rm)?;
    let mut value = ps::describe(&started.guest);
    if let Some((endpoint, seconds)) = &started.ready {
        value["ready_s"] = json!(seconds);
        if let Some(endpoint) = endpoint {
            term::say(&format!("ready: {endpoint} answers after {seconds:.1} s"));
        }
    }
    Ok((format!("{name}\n"), value))
}
