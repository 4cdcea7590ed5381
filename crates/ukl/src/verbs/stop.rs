//! `ukl stop`: SIGTERM to the programs of guests, SIGKILL after a while.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::answer::Answer;
use super::ps::describe;
use crate::base::error::Result;
use crate::base::term;
use crate::base::units;
use crate::base::workdir::Guests;
use crate::guests::{self, How};

/// `ukl stop`.
#[derive(Debug, Clone, Args)]
pub struct StopArgs {
    /// The guests [default: the only one that runs]
    #[arg(value_name = "NAME", conflicts_with = "all")]
    pub names: Vec<String>,
    /// Every guest that runs
    #[arg(short, long)]
    pub all: bool,
    /// How long the program may take after SIGTERM before it is killed
    #[arg(short, long, value_name = "TIME", default_value = "30s", value_parser = units::time)]
    pub timeout: Duration,
}

/// Stops guests, one after the other.
pub(super) fn stop(args: &StopArgs, dry_run: bool) -> Result<Answer> {
    let all = Guests::from_env()?;
    let mut stopped = Vec::new();
    let names = if args.all { guests::running(&all)? } else { guests::meant(&all, &args.names)? };
    for name in &names {
        if dry_run {
            let guest = guests::find(&all, name)?;
            term::say(&format!("would stop `{name}` ({})", guest.state));
            continue;
        }
        let (guest, how) = guests::stop(&all, name, args.timeout)?;
        term::say(&format!("`{name}` {}: {}", explain(how), guest.state));
        let mut value = describe(&guest);
        value["how"] = json!(word(how));
        stopped.push(value);
    }
    Ok(Answer::new("", json!({ "guests": stopped })))
}

fn explain(how: How) -> &'static str {
    match how {
        How::Already => "had ended before",
        How::Asked => "has ended",
        How::Forced => "took too long and was killed",
        How::SwitchedOff => "was switched off, no signal reached its program",
    }
}

fn word(how: How) -> &'static str {
    match how {
        How::Already => "already",
        How::Asked => "asked",
        How::Forced => "killed",
        How::SwitchedOff => "switched-off",
    }
}
