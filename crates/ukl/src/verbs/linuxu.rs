//! `--plat linuxu`: the ring-3 twin as an ordinary process of this machine; no kernel is built or booted.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{json, Value};

use super::answer::Answer;
use super::options::{BootOptions, Plat, PlatOption, Target};
use super::project;
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::run::Cmd;
use crate::base::term;
use crate::base::units;
use crate::base::workdir::ImageDir;
use crate::boot::Outcome;
use crate::image::folder;
use crate::image::initrd;
use crate::manifest::{Manifest, Platform};
use crate::pipeline::{self, Clock, Stage};

/// True when the command line says so, or the manifest where it says nothing.
pub(super) fn is_wanted(plat: PlatOption, manifest: impl FnOnce() -> Result<Manifest>) -> bool {
    match plat.plat {
        Some(plat) => plat == Plat::Linuxu,
        // An image folder without a project is one for QEMU.
        None => manifest().is_ok_and(|manifest| manifest.platform == Platform::Linuxu),
    }
}

/// Builds the twin and says where it is.
pub(super) fn build(env: &Env, target: &Target, manifest: &Manifest) -> Result<Answer> {
    let dir = project::image_dir(target, manifest)?;
    let (twin, stages) = project::locked(env, target, manifest, false, || twin(env, manifest, &dir))?;
    let text = if env.shell.dry_run { String::new() } else { format!("{}\n", twin.display()) };
    Ok(Answer::new(text, json!({ "folder": dir.root(), "twin": twin, "stages": stages })))
}

fn twin(env: &Env, manifest: &Manifest, dir: &ImageDir) -> Result<(PathBuf, Vec<Stage>)> {
    let mut clock = Clock::default();
    let _lock = dir.lock(env.shell.dry_run)?;
    let twin = pipeline::twin(env, manifest, dir, &mut clock)?;
    Ok((twin, clock.stages))
}

/// Builds the twin and runs it.
pub(super) fn up(env: &Env, target: &Target, manifest: &Manifest, options: &BootOptions, json: bool) -> Result<Answer> {
    check(options)?;
    let dir = project::image_dir(target, manifest)?;
    let (_, stages) = project::locked(env, target, manifest, false, || twin(env, manifest, &dir))?;
    if !manifest.files.is_empty() || !manifest.storage.is_empty() {
        term::say("on linuxu the manifest's files, disks and shares are not at their places in the guest");
    }
    start(env, &dir, Program::of(manifest), options, json, stages)
}

/// Runs the twin that was built last.
pub(super) fn run(env: &Env, target: &Target, dir: &ImageDir, options: &BootOptions, json: bool) -> Result<Answer> {
    check(options)?;
    if !dir.twin().is_file() {
        let failure = fail(Class::Usage, format!("no program in `{}`", dir.root().display()));
        return Err(failure
            .hint("`ukl build --plat linuxu` makes it, `ukl up --plat linuxu` makes and runs it")
            .into());
    }
    let program = match project::manifest(target) {
        Ok(manifest) => Program::of(&manifest),
        // Only the image folder was named.
        Err(error) => match folder::load(dir) {
            Ok(image) => Program { name: image.info.name, args: image.info.args, env: image.info.env },
            Err(_) => return Err(error),
        },
    };
    start(env, dir, program, options, json, Vec::new())
}

/// Refuses what only a guest has.
fn check(options: &BootOptions) -> Result<()> {
    let machine = [
        ("--shell", options.shell),
        ("--pid1", options.pid1),
        ("--port", !options.ports.is_empty()),
        ("--net", options.net.is_some()),
        ("--ip", options.ip.is_some()),
        ("--queues", options.queues.is_some()),
        ("--detach", options.detach),
        ("--disk", !options.disks.is_empty()),
        ("--share", !options.shares.is_empty()),
        ("--qemu-args", !options.qemu_args.is_empty()),
        ("--append", !options.append.is_empty()),
    ];
    match machine.iter().find(|(_, given)| *given) {
        Some((option, _)) => {
            let failure = fail(Class::Usage, format!("`{option}` needs a guest: linuxu is a process of this machine"));
            Err(failure.hint("its ports and files are this machine's own").into())
        }
        None => Ok(()),
    }
}

/// What is started.
struct Program {
    name: String,
    args: Vec<String>,
    env: BTreeMap<String, String>,
}

impl Program {
    fn of(manifest: &Manifest) -> Self {
        Program { name: manifest.name.clone(), args: manifest.args.clone(), env: manifest.env.clone() }
    }
}

fn start(
    env: &Env,
    dir: &ImageDir,
    program: Program,
    options: &BootOptions,
    json: bool,
    stages: Vec<Stage>,
) -> Result<Answer> {
    let args = if options.args.is_empty() { &program.args } else { &options.args };
    let mut cmd = Cmd::new(absolute(&dir.twin())?).arg0(&program.name).args(args).bare_env();
    let mut variables = program.env;
    variables.extend(options.variables()?);
    for (name, value) in initrd::environment(&variables) {
        cmd = cmd.env(name, value);
    }
    let limit = options.machine.timeout;
    let begin = Instant::now();
    let Some((status, output)) = env.shell.attend(&cmd, json, limit)? else {
        return Ok(Answer::new("", json!({ "folder": dir.root(), "stages": stages, "run": Value::Null })));
    };
    let outcome = match status {
        None => Outcome::Timeout,
        Some(status) => match status.signal() {
            Some(signal) => Outcome::Signaled(signal as u8),
            None => Outcome::Exited(status.code().unwrap_or_default() as u8),
        },
    };
    match outcome {
        Outcome::Signaled(signal) => term::say(&format!("`{}` was killed by signal {signal}", program.name)),
        Outcome::Timeout => {
            term::say(&format!("`{}` did not end within {}", program.name, units::words(limit.unwrap_or_default())));
        }
        _ => {}
    }
    let (word, detail) = match outcome {
        Outcome::Signaled(signal) => ("signaled", json!(signal)),
        Outcome::Exited(code) => ("exited", json!(code)),
        _ => ("timeout", Value::Null),
    };
    let run = json!({
        "outcome": word,
        "detail": detail,
        "total_s": begin.elapsed().as_secs_f64(),
        "console": String::from_utf8_lossy(&output),
    });
    let json = json!({ "folder": dir.root(), "twin": dir.twin(), "stages": stages, "run": run });
    Ok(Answer { text: String::new(), json, code: outcome.exit_code().unwrap_or_default() })
}

fn absolute(path: &Path) -> Result<PathBuf> {
    Ok(std::path::absolute(path)?)
}
