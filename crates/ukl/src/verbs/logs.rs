//! `ukl logs`: what a guest in the background prints.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::answer::Answer;
use crate::base::error::Result;
use crate::base::run::interrupted;
use crate::base::term;
use crate::base::workdir::Guests;
use crate::guests;

/// How often `logs -f` looks.
const TICK: Duration = Duration::from_millis(50);

/// `ukl logs`.
#[derive(Debug, Clone, Args)]
pub struct LogsArgs {
    /// The guest
    pub name: String,
    /// Go on until the guest ends
    #[arg(short, long)]
    pub follow: bool,
}

/// Prints what a guest's console showed, and with `-f` what it shows, until it ends.
pub(super) fn logs(args: &LogsArgs, json: bool) -> Result<Answer> {
    let all = Guests::from_env()?;
    let guest = guests::find(&all, &args.name)?;
    let path = guest.dir.run().console();
    let mut file = File::open(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
    let mut kept = Vec::new();
    loop {
        // Asked before it is read: what comes after the end is nothing.
        let is_over = !args.follow || !guests::find(&all, &args.name).is_ok_and(|guest| guest.state.is_alive());
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        if json {
            kept.append(&mut bytes);
        } else {
            term::out_bytes(&bytes)?;
        }
        if is_over || interrupted() {
            break;
        }
        std::thread::sleep(TICK);
    }
    let text = String::from_utf8_lossy(&kept).into_owned();
    Ok(Answer::new("", json!({ "name": args.name, "console": text, "console_log": path })))
}
