//! Guests in the background: each has a name, a folder, and a process of ours beside its QEMU.
//!
//! The process boots the image as `ukl run` does and writes down how that ended. With it ends QEMU,
//! whatever happens, so nothing is left over; without its last word the guest was killed.

mod process;
mod monitor;
mod start;
mod stop;
mod session;
mod copy;
mod watch;
mod stats;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use formats::console;
use serde::{Deserialize, Serialize};

use crate::base::error::{fail, Class, Failure, Result};
use crate::base::workdir::{self, GuestDir, Guests, ImageDir};
use crate::boot::Outcome;
use crate::image::folder::{self, Image};
use crate::machine::{Connection, Request};

use process::Process;

pub use copy::{copy_in, copy_out, Copied};
pub use session::{Input, Job, Said, Session};
pub use start::{attend, start, start_unless, Started};
pub use stats::Sample;
pub use stop::{remove, signal, stop, switch_off, How};
pub use watch::Qemu;

/// What `guest.json` says.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    /// Version of this structure.
    format: u32,
    /// The image's folder.
    image: std::path::PathBuf,
    /// How it was booted.
    #[serde(rename = "options")]
    request: Request,
    /// How it is connected.
    #[serde(default)]
    connection: Option<Connection>,
    /// When, in seconds since 1970.
    started_at: u64,
    /// Our process beside QEMU.
    process: Option<Process>,
    /// It is forgotten when it ends.
    #[serde(default)]
    remove: bool,
    /// How it ended.
    end: Option<Ended>,
}

const FORMAT: u32 = 1;

/// How a guest ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Ended {
    state: State,
    /// When, in seconds since 1970.
    at: u64,
    /// What failed, when it did not come up.
    failure: Option<Failed>,
    /// What the kernel said when it panicked.
    panic: Option<String>,
}

/// A failure, for the process that started the guest.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Failed {
    class: Option<Class>,
    message: String,
    hint: Option<String>,
    command: Option<String>,
}

/// What a guest does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It boots.
    Starting,
    /// The program runs.
    Running,
    /// The program listens at its port.
    Ready,
    /// The program ended with this status.
    Exited(u8),
    /// The program was ended by this signal.
    Signal(u8),
    /// The guest's kernel panicked.
    Panicked,
    /// The time limit passed.
    TimedOut,
    /// QEMU or our process was ended from outside, or the machine went down.
    Killed,
    /// It did not come up.
    Failed,
}

impl State {
    /// True while there is something to stop.
    pub fn is_alive(&self) -> bool {
        matches!(self, State::Starting | State::Running | State::Ready)
    }

    /// The word of `ukl ps`.
    pub fn word(&self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Running => "running",
            State::Ready => "ready",
            State::Exited(_) => "exited",
            State::Signal(_) => "signal",
            State::Panicked => "panicked",
            State::TimedOut => "timed-out",
            State::Killed => "killed",
            State::Failed => "failed",
        }
    }

    /// The exit status or the signal.
    pub fn number(&self) -> Option<u8> {
        match self {
            State::Exited(number) | State::Signal(number) => Some(*number),
            _ => None,
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.number() {
            Some(number) => write!(f, "{} {number}", self.word()),
            None => f.write_str(self.word()),
        }
    }
}

/// A guest as `ukl ps` shows it.
#[derive(Debug, Clone)]
pub struct Guest {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub dir: GuestDir,
    /// What it does.
    pub state: State,
    /// The image's folder.
    pub image: std::path::PathBuf,
    /// Forwarded TCP ports: (host, guest).
    pub ports: Vec<(u16, u16)>,
    /// Its own address in a tap's or bridge's network.
    pub address: Option<String>,
    /// When it was started, in seconds since 1970.
    pub started_at: u64,
    /// How long it runs or ran.
    pub uptime: Option<Duration>,
    /// What the kernel said when it panicked.
    pub panic: Option<String>,
    /// Our process beside QEMU, while it runs.
    pub pid: Option<u32>,
}

/// Every guest of this user, by name.
pub fn list(guests: &Guests) -> Result<Vec<Guest>> {
    let names = guests.names()?;
    Ok(names.iter().filter_map(|name| read(name, &guests.guest(name)).ok().flatten()).collect())
}

/// The guests that `names` names; without a name the only one that runs.
///
/// Error (class `Usage`): no name, and none or several run.
pub fn meant(guests: &Guests, names: &[String]) -> Result<Vec<String>> {
    if !names.is_empty() {
        return Ok(names.to_vec());
    }
    let running: Vec<String> = running(guests)?;
    match running.as_slice() {
        [one] => Ok(vec![one.clone()]),
        [] => Err(fail(Class::Usage, "no guest runs in the background").hint("`ukl ps` lists those that ended").into()),
        many => {
            let failure = fail(Class::Usage, format!("which guest? {} run: {}", many.len(), many.join(", ")));
            Err(failure.hint("name one").into())
        }
    }
}

/// The names of the guests that run.
pub fn running(guests: &Guests) -> Result<Vec<String>> {
    Ok(list(guests)?.into_iter().filter(|guest| guest.state.is_alive()).map(|guest| guest.name).collect())
}

/// The guest `name`. Error (class `Usage`): there is none.
pub fn find(guests: &Guests, name: &str) -> Result<Guest> {
    let known = || guests.names().unwrap_or_default();
    let is_name = !name.is_empty() && !name.contains('/') && !name.starts_with('.');
    let found = if is_name { read(name, &guests.guest(name))? } else { None };
    Ok(found.ok_or_else(|| nobody(name, &known()))?)
}

fn nobody(name: &str, known: &[String]) -> Failure {
    let failure = fail(Class::Usage, format!("no guest `{name}`"));
    match known {
        [] => failure.hint("there is none: `ukl run -d` starts one"),
        known => failure.hint(format!("there is {}", known.join(", "))),
    }
}

fn read(name: &str, dir: &GuestDir) -> Result<Option<Guest>> {
    let Some(record) = record(dir)? else { return Ok(None) };
    let control = std::fs::read_to_string(dir.run().control()).unwrap_or_default();
    let control = console::control(&control);
    let state = match &record.end {
        Some(end) => end.state.clone(),
        None if !record.process.as_ref().is_some_and(Process::is_alive) => State::Killed,
        None if control.ready => State::Ready,
        // Process 1 is the program: nobody announces it.
        None if control.started || !record.request.what.has_init() => State::Running,
        None => State::Starting,
    };
    let (ports, address) = record.connection.map(|connection| connection.reach()).unwrap_or_default();
    let until = record.end.as_ref().map(|end| end.at).or(state.is_alive().then(now));
    Ok(Some(Guest {
        name: name.to_owned(),
        dir: dir.clone(),
        image: record.image,
        ports,
        address: control.address.or(address),
        started_at: record.started_at,
        uptime: until.map(|until| Duration::from_secs(until.saturating_sub(record.started_at))),
        panic: record.end.and_then(|end| end.panic),
        pid: record.process.map(|process| process.pid).filter(|_| state.is_alive()),
        state,
    }))
}

fn record(dir: &GuestDir) -> Result<Option<Record>> {
    let text = match std::fs::read(dir.record()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    let failure = |what: String| {
        let text = format!("`{}` is not understood: {what}", dir.record().display());
        fail(Class::Usage, text).hint("another version of ukl wrote it: remove the folder once its guest has ended")
    };
    let record: Record = serde_json::from_slice(&text).map_err(|error| failure(error.to_string()))?;
    match record.format {
        FORMAT => Ok(Some(record)),
        other => Err(failure(format!("it has format {other}")).into()),
    }
}

fn write(dir: &GuestDir, record: &Record) -> Result<()> {
    workdir::write_atomic(&dir.record(), serde_json::to_string_pretty(record)?.as_bytes())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl From<&Outcome> for State {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Exited(status) => State::Exited(*status),
            Outcome::Signaled(signal) => State::Signal(*signal),
            Outcome::Panic(_) => State::Panicked,
            Outcome::Timeout => State::TimedOut,
            Outcome::NoStatus => State::Killed,
        }
    }
}

/// The image of a guest. Error (class `Usage`): it is gone.
fn load(record: &Record) -> Result<Image> {
    folder::load(&ImageDir::at(&record.image))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::What;
    use crate::manifest::Net;

    fn guest(dir: &GuestDir, process: Option<Process>, control: &str) -> Record {
        let request = Request::new(What::Program(None));
        let image = dir.root().join("image");
        let connection =
            Some(Connection { net: Net::User, ip: None, ports: vec![(8080, 80)], queues: 1, ready_port: None });
        let record = Record {
            format: FORMAT,
            image,
            request,
            connection,
            started_at: now() - 5,
            process,
            remove: false,
            end: None,
        };
        workdir::create_dir(dir.root()).unwrap();
        write(dir, &record).unwrap();
        std::fs::write(dir.run().control(), control).unwrap();
        record
    }

    fn state(dir: &GuestDir) -> State {
        read("x", dir).unwrap().unwrap().state
    }

    #[test]
    fn the_state_is_what_init_said_while_the_process_lives() {
        let temp = tempfile::tempdir().unwrap();
        let dir = GuestDir::at(temp.path().join("x"));
        assert!(read("x", &dir).unwrap().is_none());
        for (said, want) in
            [("", State::Starting), ("start\n", State::Running), ("start\nrun 0\nready\n", State::Ready)]
        {
            guest(&dir, Some(Process::own().unwrap()), said);
            assert_eq!(state(&dir), want);
        }
        let found = read("x", &dir).unwrap().unwrap();
        assert!(found.pid == Some(std::process::id()) && found.uptime.unwrap().as_secs() >= 5, "{found:?}");
        assert_eq!((found.ports, found.address), (vec![(8080, 80)], None));
    }

    #[test]
    fn without_a_last_word_a_guest_was_killed() {
        let temp = tempfile::tempdir().unwrap();
        let dir = GuestDir::at(temp.path().join("x"));
        let own = Process::own().unwrap();
        // The number belongs to another process by now, or the machine was started anew.
        let others = [Process { start: own.start + 1, ..own.clone() }, Process { boot: "other".into(), ..own }];
        for process in others.into_iter().map(Some).chain([None]) {
            guest(&dir, process, "start\nready\n");
            assert_eq!(state(&dir), State::Killed);
        }
    }

    #[test]
    fn the_last_word_stays() {
        let temp = tempfile::tempdir().unwrap();
        let dir = GuestDir::at(temp.path().join("x"));
        let mut record = guest(&dir, Some(Process::own().unwrap()), "start\n");
        record.end = Some(Ended { state: State::Exited(3), at: record.started_at + 2, failure: None, panic: None });
        write(&dir, &record).unwrap();
        let found = read("x", &dir).unwrap().unwrap();
        assert_eq!((found.state.to_string().as_str(), found.uptime), ("exited 3", Some(Duration::from_secs(2))));
        assert!(found.pid.is_none() && !found.state.is_alive());
    }

    #[test]
    fn a_file_of_another_version_is_a_usage_error() {
        let temp = tempfile::tempdir().unwrap();
        let dir = GuestDir::at(temp.path().join("x"));
        workdir::write_atomic(&dir.record(), b"{}").unwrap();
        assert_eq!(crate::base::error::render(&read("x", &dir).unwrap_err()).1, 2);
    }
}
