//! `ukl debug`: gdb on the program and the kernel of a guest that it starts, or of one that runs.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::mpsc::{channel, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::answer::Answer;
use super::options::{BootOptions, Target};
use super::{project, ps, run};
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::run::interrupted;
use crate::base::term;
use crate::base::workdir::{Guests, ImageDir};
use crate::guests::{self, Guest};
use crate::image::folder::{self, Image};
use crate::machine::Request;
use crate::tools::debug::{self, Session, Symbols};

/// How often what the guest writes is looked for.
const TICK: Duration = Duration::from_millis(50);

/// QEMU ends a moment before its guest is known to have ended.
const MOMENT: Duration = Duration::from_secs(5);

/// `ukl debug`.
#[derive(Debug, Clone, Args)]
pub struct DebugArgs {
    /// What to run, or a guest that runs.
    #[command(flatten)]
    pub target: Target,
    /// What gdb does first; again for more
    #[arg(long = "ex", value_name = "COMMAND", allow_hyphen_values = true)]
    pub commands: Vec<String>,
    /// End after that, and ask nothing
    #[arg(long)]
    pub batch: bool,
    /// Start no gdb: the guest waits for one, or for an editor
    #[arg(long, conflicts_with_all = ["commands", "batch"])]
    pub wait: bool,
    /// Print an editor's configuration (launch.json)
    #[arg(long)]
    pub print_launch: bool,
    /// How to run it.
    #[command(flatten)]
    pub boot: BootOptions,
}

/// Starts gdb, on a guest that runs or on a new one, which ends with it.
pub(super) fn debug(env: &Env, args: &DebugArgs) -> Result<Answer> {
    refuse(&args.boot)?;
    let all = Guests::from_env()?;
    if let Some(guest) = running(&all, &args.target) {
        let image = folder::load(&ImageDir::at(&guest.image))?;
        let session = Session { from_start: false, commands: args.commands.clone(), batch: args.batch };
        attach(env, &all, &guest, &debug::symbols(&image)?, &session)?;
        return Ok(Answer::new("", json!({ "guest": ps::describe(&guests::find(&all, &guest.name)?) })));
    }
    let image = folder::load(&project::existing_image(&args.target)?)?;
    let name = args.boot.name.clone().unwrap_or_else(|| format!("{}-debug", image.info.name));
    if args.print_launch {
        return print_launch(&all, args, &image, &name);
    }
    let request = Request { attach: false, waits: true, ..run::translate(&args.boot)? };
    let symbols = debug::symbols(&image)?;
    if env.shell.dry_run {
        let session = Session { from_start: true, commands: args.commands.clone(), batch: args.batch };
        env.shell.lend(&debug::gdb(&symbols, &all.guest(&name).debugger(), &session))?;
        return Ok(Answer::new("", json!({})));
    }
    let guest = guests::start(&all, &name, &image, &request, false)?.guest;
    let done = with_guest(env, args, &guest, &symbols, &all);
    // It was ours alone, and what it wrote has been shown.
    let end = guests::find(&all, &name).map(|guest| guest.state);
    guests::switch_off(&guest);
    guests::remove(&all, &name, true)?;
    done?;
    let state = end?;
    if !state.is_alive() {
        term::say(&format!("`{}`: {state}", image.info.name));
    }
    Ok(Answer::new("", json!({ "folder": image.dir.root(), "state": state.word(), "number": state.number() })))
}

/// What a guest under a debugger cannot have.
fn refuse(boot: &BootOptions) -> Result<()> {
    let word = match boot {
        BootOptions { shell: true, .. } => "--shell",
        BootOptions { twin: true, .. } => "--twin",
        BootOptions { detach: true, .. } => "--detach",
        _ => return Ok(()),
    };
    let hint = match word {
        "--twin" => "gdb and its twin need no guest: `gdb build/NAME/twin`",
        "--detach" => "`ukl run -d` starts a guest in the background, and `ukl debug NAME` attaches to it",
        _ => "gdb has the terminal",
    };
    Err(fail(Class::Usage, format!("`{word}` does not go with `ukl debug`")).hint(hint).into())
}

/// The running guest of that name; what is a file or a folder here is none.
fn running(all: &Guests, target: &Target) -> Option<Guest> {
    let ([name], None) = (target.target.as_slice(), &target.out) else { return None };
    let guest = guests::find(all, name.to_str().filter(|_| !name.exists())?).ok()?;
    guest.state.is_alive().then_some(guest)
}

fn with_guest(env: &Env, args: &DebugArgs, guest: &Guest, symbols: &Symbols, all: &Guests) -> Result<()> {
    if args.wait {
        let socket = guest.dir.debugger();
        term::say(&format!("`{}` {}: target remote {}", guest.name, debug::WAITS, socket.display()));
        let shown = Shown::start(guest)?;
        while !interrupted() && guests::find(all, &guest.name).is_ok_and(|guest| guest.state.is_alive()) {
            std::thread::sleep(TICK);
        }
        return shown.end();
    }
    let shown = Shown::start(guest)?;
    let session = Session { from_start: true, commands: args.commands.clone(), batch: args.batch };
    let attached = attach(env, all, guest, symbols, &session);
    shown.end()?;
    attached
}

/// gdb on our terminal until the user leaves it.
fn attach(env: &Env, all: &Guests, guest: &Guest, symbols: &Symbols, session: &Session) -> Result<()> {
    let link = guest.dir.debugger();
    let socket = std::fs::read_link(&link).map_err(|_| {
        let failure = fail(Class::Usage, format!("the guest `{}` has no place for a debugger", guest.name));
        failure.hint("it was started by an older ukl: stop it, and start it again")
    })?;
    let cmd = debug::gdb(symbols, &socket, session);
    match env.shell.lend(&cmd)? {
        // The guest's end is an error to gdb, when its last command was to go on.
        Some(status) if !status.success() && !has_ended(all, &guest.name) => {
            Err(fail(Class::Host, format!("gdb ended otherwise than well ({status})")).into())
        }
        _ => Ok(()),
    }
}

/// Whether the guest has ended, or does so in a moment.
fn has_ended(all: &Guests, name: &str) -> bool {
    let begun = Instant::now();
    while guests::find(all, name).is_ok_and(|guest| guest.state.is_alive()) {
        if begun.elapsed() > MOMENT || interrupted() {
            return false;
        }
        std::thread::sleep(TICK);
    }
    true
}

fn print_launch(all: &Guests, args: &DebugArgs, image: &Image, name: &str) -> Result<Answer> {
    let symbols = debug::symbols(image)?;
    let mut words = vec!["debug".to_owned(), "--wait".to_owned(), "--out".to_owned()];
    words.push(image.dir.root().display().to_string());
    if !args.boot.args.is_empty() {
        words.push("--".to_owned());
        words.extend(args.boot.args.iter().cloned());
    }
    let json = debug::launch(image, &symbols, &all.guest(name).debugger(), &words);
    Ok(Answer::new(format!("{}\n", serde_json::to_string_pretty(&json)?), json))
}

/// What a guest writes, on our standard output while gdb has the terminal.
struct Shown {
    stop: Sender<()>,
    thread: JoinHandle<Result<()>>,
}

impl Shown {
    fn start(guest: &Guest) -> Result<Self> {
        let path: PathBuf = guest.dir.run().console();
        let mut file = File::open(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || loop {
            let is_over = stopped.recv_timeout(TICK) != Err(RecvTimeoutError::Timeout);
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            term::out_bytes(&bytes)?;
            if is_over {
                return Ok(());
            }
        });
        Ok(Shown { stop, thread })
    }

    fn end(self) -> Result<()> {
        drop(self.stop);
        self.thread.join().unwrap_or(Ok(()))
    }
}
