//! `ukl ps`: the guests in the background.

use clap::Args;
use serde_json::{json, Value};

use super::answer::Answer;
use crate::base::error::Result;
use crate::base::workdir::Guests;
use crate::guests::{self, Guest};
use crate::manifest::Port;

/// `ukl ps`.
#[derive(Debug, Clone, Copy, Args)]
pub struct PsArgs {
    /// Also those that ended, which are always listed
    #[arg(short, long, hide = true)]
    pub all: bool,
}

/// Lists guests.
pub(super) fn ps() -> Result<Answer> {
    let guests = guests::list(&Guests::from_env()?)?;
    let rows: Vec<[String; 5]> = guests.iter().map(row).collect();
    let title = ["NAME", "STATE", "TIME", "REACHED AT", "IMAGE"].map(String::from);
    let mut text = String::new();
    for row in std::iter::once(&title).chain(&rows) {
        let width = |i: usize| rows.iter().chain([&title]).map(|row| row[i].chars().count()).max().unwrap_or(0);
        let cells: Vec<String> = row.iter().enumerate().map(|(i, cell)| format!("{cell:<0$}", width(i))).collect();
        text.push_str(&format!("{}\n", cells.join("  ").trim_end()));
    }
    let json = json!({ "guests": guests.iter().map(describe).collect::<Vec<_>>() });
    Ok(Answer::new(text, json))
}

fn row(guest: &Guest) -> [String; 5] {
    let mut places: Vec<String> = guest.ports.iter().map(Port::arrow).collect();
    places.extend(guest.address.clone());
    let time = guest.uptime.map_or("-".into(), |time| human_time(time.as_secs()));
    [guest.name.clone(), guest.state.to_string(), time, places.join(" "), guest.image.display().to_string()]
}

fn human_time(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A guest in JSON.
pub(super) fn describe(guest: &Guest) -> Value {
    json!({
        "name": guest.name,
        "state": guest.state.word(),
        "detail": guest.state.number(),
        "panic": guest.panic,
        "pid": guest.pid,
        "started_at": guest.started_at,
        "time_s": guest.uptime.map(|time| time.as_secs()),
        "ports": guest.ports,
        "address": guest.address,
        "image": guest.image,
        "console_log": guest.dir.run().console(),
        "qemu_line": guest.dir.run().qemu_line(),
    })
}
