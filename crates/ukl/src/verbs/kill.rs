//! `ukl kill`: a signal for the programs of guests.

use clap::Args;
use serde_json::json;

use super::answer::Answer;
use super::ps::describe;
use crate::base::error::Result;
use crate::base::workdir::Guests;
use crate::guests;

/// `ukl kill`.
#[derive(Debug, Clone, Args)]
pub struct KillArgs {
    /// The guests
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    /// The signal, by name or number
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL", value_parser = signal)]
    pub signal: i32,
}

/// `HUP`, `SIGHUP` or `1` → 1.
fn signal(text: &str) -> std::result::Result<i32, String> {
    const NAMES: [(&str, i32); 11] = [
        ("HUP", libc::SIGHUP),
        ("INT", libc::SIGINT),
        ("QUIT", libc::SIGQUIT),
        ("ABRT", libc::SIGABRT),
        ("KILL", libc::SIGKILL),
        ("USR1", libc::SIGUSR1),
        ("USR2", libc::SIGUSR2),
        ("TERM", libc::SIGTERM),
        ("CONT", libc::SIGCONT),
        ("STOP", libc::SIGSTOP),
        ("WINCH", libc::SIGWINCH),
    ];
    let name = text.strip_prefix("SIG").unwrap_or(text);
    let named = NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
    let number = named.or_else(|| text.parse().ok().filter(|number| (1..=64).contains(number)));
    number.ok_or_else(|| {
        format!("`{text}` is not a signal: write a number, or one of {}", NAMES.map(|(name, _)| name).join(", "))
    })
}

/// Sends the programs of guests a signal.
pub(super) fn kill(args: &KillArgs, dry_run: bool) -> Result<Answer> {
    let all = Guests::from_env()?;
    let send = |name: &String| match dry_run {
        true => guests::find(&all, name),
        false => guests::signal(&all, name, args.signal),
    };
    let told = args.names.iter().map(send).collect::<Result<Vec<_>>>()?;
    Ok(Answer::new("", json!({ "guests": told.iter().map(describe).collect::<Vec<_>>() })))
}
