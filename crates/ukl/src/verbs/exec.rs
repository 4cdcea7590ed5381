//! `ukl exec` and `ukl shell`: a program beside the first one in a guest that runs.

use std::io::{IsTerminal, Read};
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::answer::Answer;
use crate::base::error::{fail, Class, Result};
use crate::base::run::interrupted;
use crate::base::term;
use crate::base::workdir::Guests;
use crate::guests::{self, Guest, Job, Said, Session};
use crate::image::folder;
use crate::image::initrd;

/// How often the terminal's size is looked at.
const TICK: Duration = Duration::from_millis(250);

/// `ukl exec`.
#[derive(Debug, Clone, Args)]
pub struct ExecArgs {
    /// The program gets our input
    #[arg(short, long)]
    pub interactive: bool,
    /// It gets a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// The guest
    pub name: String,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// `ukl shell`.
#[derive(Debug, Clone, Args)]
pub struct ShellArgs {
    /// The guest [default: the only one that runs]
    pub name: Option<String>,
}

/// Runs a program in a guest; ends as it does.
pub(super) fn exec(args: &ExecArgs, json: bool) -> Result<Answer> {
    let guest = guests::find(&Guests::from_env()?, &args.name)?;
    if args.tty && !std::io::stdin().is_terminal() {
        let failure = fail(Class::Usage, "`--tty` wants a terminal, and our input is none");
        return Err(failure.hint("leave `-t` out").into());
    }
    perform(&guest, &args.command, args.interactive || args.tty, args.tty, json)
}

/// A shell in a guest.
pub(super) fn shell(args: &ShellArgs, json: bool) -> Result<Answer> {
    let all = Guests::from_env()?;
    let name = guests::meant(&all, &args.name.iter().cloned().collect::<Vec<_>>())?.remove(0);
    let terminal = std::io::stdin().is_terminal();
    perform(&guests::find(&all, &name)?, &["sh".to_owned()], true, terminal, json)
}

fn perform(guest: &Guest, command: &[String], input: bool, terminal: bool, json: bool) -> Result<Answer> {
    let job = Job { argv: command.to_vec(), terminal: terminal.then(term::size) };
    let mut session = begin(guest, &job)?;
    let _terminal = terminal.then(term::raw);
    let way = session.input();
    if input {
        std::thread::spawn(move || {
            let mut bytes = [0; 1 << 14];
            let mut from = std::io::stdin().lock();
            // A program that has ended takes nothing more.
            while let Ok(n) = from.read(&mut bytes) {
                if way.send(&bytes[..n]).is_err() || n == 0 {
                    break;
                }
            }
        });
    } else {
        way.send(b"")?;
    }
    if terminal {
        let way = session.input();
        std::thread::spawn(move || {
            let mut size = term::size();
            loop {
                std::thread::sleep(TICK);
                let now = term::size();
                if now != size && way.resize(now).is_err() {
                    break;
                }
                size = now;
            }
        });
    }
    let (code, out, err) = listen(&mut session, json)?;
    anyhow::ensure!(!interrupted(), "interrupted");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let json = json!({ "name": guest.name, "command": command, "stdout": text(out), "stderr": text(err) });
    Ok(Answer { text: String::new(), json, code })
}

/// A session in which the program runs.
pub(super) fn begin(guest: &Guest, job: &Job) -> Result<Session> {
    let image = folder::load(&crate::base::workdir::ImageDir::at(&guest.image))?;
    let mut session = Session::open(guest)?;
    let mut variables = initrd::environment(&image.info.env);
    if let (Some(_), Ok(term)) = (job.terminal, std::env::var("TERM")) {
        variables.insert("TERM".into(), term);
    }
    let variables: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
    session.start(job, &variables)?;
    Ok(session)
}

/// Passes on what the program says, or keeps it; until its end.
fn listen(session: &mut Session, keep: bool) -> Result<(u8, Vec<u8>, Vec<u8>)> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    loop {
        match session.listen()? {
            Said::Ended(code) => return Ok((code, out, err)),
            Said::Out(bytes) if keep => out.extend(bytes),
            Said::Err(bytes) if keep => err.extend(bytes),
            Said::Out(bytes) => term::out_bytes(&bytes)?,
            Said::Err(bytes) => term::error_bytes(&bytes),
        }
    }
}
