//! `ukl run -d`, `ps`, `logs`, `stop`, `rm`: guests in the background.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use anyhow::Context;
use serde_json::{json, Value};

use super::Answer;
use crate::base::error::Result;
use crate::base::term;
use crate::base::workdir::Guests;
use crate::boot::Options;
use crate::guests::{self, Guest, How};
use crate::image::folder::Image;
use crate::verbs::cli::{KillArgs, LogsArgs, RmArgs, StopArgs};

/// How often `logs -f` looks.
const TICK: Duration = Duration::from_millis(50);

/// Boots `image` in the background.
pub(super) fn start(image: &Image, name: Option<&str>, options: &Options) -> Result<(String, Value)> {
    let name = name.unwrap_or(&image.info.name);
    let started = guests::start(&Guests::from_env()?, name, image, options)?;
    let mut value = describe(&started.guest);
    if let Some((endpoint, seconds)) = &started.ready {
        value["ready_s"] = json!(seconds);
        if let Some(endpoint) = endpoint {
            term::say(&format!("ready: {endpoint} answers after {seconds:.1} s"));
        }
    }
    Ok((format!("{name}\n"), value))
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
    let mut places: Vec<String> =
        guest.ports.iter().map(|(host, inside)| format!("127.0.0.1:{host}->{inside}")).collect();
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
fn describe(guest: &Guest) -> Value {
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
        if is_over || crate::base::run::interrupted() {
            break;
        }
        std::thread::sleep(TICK);
    }
    let text = String::from_utf8_lossy(&kept).into_owned();
    Ok(Answer::new("", json!({ "name": args.name, "console": text, "console_log": path })))
}

/// Stops guests, one after the other.
pub(super) fn stop(args: &StopArgs, dry_run: bool) -> Result<Answer> {
    let all = Guests::from_env()?;
    let mut stopped = Vec::new();
    for name in &args.names {
        if dry_run {
            let guest = guests::find(&all, name)?;
            term::say(&format!("would stop `{name}` ({})", guest.state));
            continue;
        }
        let (guest, how) = guests::stop(&all, name, Duration::from_secs(args.timeout))?;
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

/// Removes what ended guests left.
pub(super) fn remove(args: &RmArgs, dry_run: bool) -> Result<Answer> {
    let all = Guests::from_env()?;
    let mut removed = Vec::new();
    let mut text = String::new();
    for name in &args.names {
        let guest = match dry_run {
            true => guests::find(&all, name)?,
            false => guests::remove(&all, name, args.force)?,
        };
        text.push_str(&format!(
            "{} `{}`\n",
            if dry_run { "would remove" } else { "removed" },
            guest.dir.root().display()
        ));
        removed.push(guest.dir.root().to_owned());
    }
    Ok(Answer::new(text, json!({ "removed": removed })))
}
