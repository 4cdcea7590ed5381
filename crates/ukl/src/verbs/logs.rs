//! `ukl logs`: what a guest in the background prints.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::answer::Answer;
use crate::base::error::Result;
use crate::base::run::interrupted;
use crate::base::term;
use crate::base::units;
use crate::base::workdir::Guests;
use crate::boot;
use crate::guests;

/// How often `logs -f` looks.
const TICK: Duration = Duration::from_millis(50);

/// `ukl logs`.
#[derive(Debug, Clone, Args)]
pub struct LogsArgs {
    /// The guest [default: the only one that runs]
    pub name: Option<String>,
    /// Go on until the guest ends
    #[arg(short, long)]
    pub follow: bool,
    /// Begin with the last so many lines
    #[arg(short = 'n', long = "tail", value_name = "N", visible_alias = "lines")]
    pub tail: Option<usize>,
    /// Begin with what was written so long ago or later: `90`, `5m`, `1h30m`; `@SECONDS` is a time since 1970
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<Since>,
}

/// A time, as docker's `--since` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// So long ago.
    Ago(Duration),
    /// So long after the beginning of 1970.
    At(Duration),
}

impl Since {
    /// The time since 1970.
    fn time(self) -> Duration {
        match self {
            Since::Ago(ago) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(ago),
            Since::At(time) => time,
        }
    }
}

fn since(text: &str) -> std::result::Result<Since, String> {
    match text.strip_prefix('@') {
        Some(seconds) => units::time(seconds).map(Since::At),
        None => units::time(text).map(Since::Ago),
    }
}

/// Prints what a guest's console showed, and with `-f` what it shows, until it ends.
pub(super) fn logs(args: &LogsArgs, json: bool) -> Result<Answer> {
    let all = Guests::from_env()?;
    let name = guests::meant(&all, &args.name.iter().cloned().collect::<Vec<_>>())?.remove(0);
    let guest = guests::find(&all, &name)?;
    let path = guest.dir.run().console();
    let mut file = File::open(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
    if let Some(since) = args.since {
        let times = std::fs::read_to_string(guest.dir.run().times()).unwrap_or_default();
        let place = boot::place(&times, since.time()).map_or(SeekFrom::End(0), SeekFrom::Start);
        file.seek(place)?;
    }
    let mut kept = Vec::new();
    let mut tail = args.tail;
    loop {
        // Asked before it is read: what comes after the end is nothing.
        let is_over = !args.follow || !guests::find(&all, &name).is_ok_and(|guest| guest.state.is_alive());
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        if let Some(lines) = tail.take() {
            bytes.drain(..last_lines(&bytes, lines));
        }
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
    Ok(Answer::new("", json!({ "name": name, "console": text, "console_log": path })))
}

/// Where the last `lines` lines of `text` begin; a line without its end counts.
fn last_lines(text: &[u8], lines: usize) -> usize {
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    let ends = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    match lines {
        0 => text.len(),
        _ => ends.map(|(at, _)| at + 1).nth(lines - 1).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_of_a_console() {
        let tail = |text: &'static str, lines| &text[last_lines(text.as_bytes(), lines)..];
        assert_eq!((tail("a\nb\nc\n", 2), tail("a\nb\nc", 1), tail("a\nb\n", 5)), ("b\nc\n", "c", "a\nb\n"));
        assert_eq!((tail("a\n\n", 1), tail("a\n", 0), tail("", 3)), ("\n", "", ""));
    }
}
