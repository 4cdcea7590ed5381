//! A program beside the first one in a guest that runs: QEMU gets a port for it, and init a word.
//!
//! What goes over the port is described in `initrd/exec.c`.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;

use crate::base::error::{fail, Class, Result};
use crate::base::run::interrupted;
use crate::image::initrd;

use super::monitor::Monitor;
use super::{record, stop, Guest, State};

/// Where init finds the programs that are sent along.
const BUSYBOX: &str = "/run/busybox";
/// The longest frame that we send.
pub(super) const PIECE: usize = 1 << 14;
/// The ports that are ours have these numbers.
const PORTS: std::ops::Range<u32> = 3..31;
/// How long init may take to begin.
const BEGIN: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_millis(20);
/// What our ports are called in QEMU, with our process behind it.
const LABEL: &str = "exec-";

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Job {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// It gets a terminal, of so many rows and columns.
    pub terminal: Option<(u16, u16)>,
}

/// What a program says.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// Bytes on its standard output.
    Out(Vec<u8>),
    /// Bytes on its standard error.
    Err(Vec<u8>),
    /// It ended, with what a shell would call its status.
    Ended(u8),
}

/// A port of a guest, which is unplugged at the end.
pub struct Session {
    monitor: PathBuf,
    label: String,
    stream: UnixStream,
    to: Input,
    /// Bytes of a frame that has not come as a whole.
    pending: Vec<u8>,
}

impl Session {
    /// Plugs a port in, and has init serve it. Errors: the guest does not run, or has nobody who could (class `Usage`).
    pub fn open(guest: &Guest) -> Result<Self> {
        if !matches!(guest.state, State::Running | State::Ready) {
            return Err(fail(Class::Usage, format!("the guest `{}` does not run ({})", guest.name, guest.state)).into());
        }
        if record(&guest.dir)?.is_some_and(|record| !record.request.what.has_init()) {
            let failure =
                fail(Class::Usage, format!("the program of `{}` is process 1: nobody starts another", guest.name));
            return Err(failure.hint("run it without `--pid1`").into());
        }
        let socket = std::fs::read_link(guest.dir.debugger()).ok();
        let monitor = socket.and_then(|socket| Some(socket.parent()?.join("monitor"))).filter(|path| path.exists());
        let monitor = monitor.ok_or_else(|| {
            let failure = fail(Class::Usage, format!("the guest `{}` was started by an older ukl", guest.name));
            failure.hint("stop it, and start it again")
        })?;
        let (label, number, stream) = plug(&monitor)?;
        let to = Input { stream: Arc::new(Mutex::new(stream.try_clone()?)) };
        let session = Session { monitor, label, stream, to, pending: Vec::new() };
        stop::say(&guest.dir, &format!("exec {number}")).context("failed to reach the guest")?;
        Ok(session)
    }

    /// Starts the program. Where the guest has none of its name, busybox may know it: it is sent along.
    pub fn start(&mut self, job: &Job, environment: &[String]) -> Result<()> {
        if self.run(&job.argv, job, environment)? {
            return Ok(());
        }
        let name = job.argv.first().map(String::as_str).unwrap_or_default();
        if name.contains('/') {
            return Err(missing(name).into());
        }
        self.busybox(job, environment)
    }

    /// Starts one of busybox's programs, whatever the guest has of that name.
    pub fn busybox(&mut self, job: &Job, environment: &[String]) -> Result<()> {
        let name = job.argv.first().map(String::as_str).unwrap_or_default();
        let hint = "`[[files]]` in ukl.toml puts one there; busybox-static of this machine brings the usual ones";
        let argv: Vec<String> = [BUSYBOX.to_owned()].into_iter().chain(job.argv.iter().cloned()).collect();
        if self.run(&argv, job, environment)? {
            return Ok(());
        }
        let busybox = initrd::busybox().map_err(|_| missing(name).hint(hint))?;
        self.put(BUSYBOX, 0o755, &busybox)?;
        match self.run(&argv, job, environment)? {
            true => Ok(()),
            false => Err(missing(name).hint(hint).into()),
        }
    }

    /// Whether there is such a program.
    fn run(&mut self, argv: &[String], job: &Job, environment: &[String]) -> Result<bool> {
        let kind = if job.terminal.is_some() { "tty" } else { "pipe" };
        let words = [kind.to_owned(), argv.len().to_string()];
        let words = words.iter().chain(argv).chain(environment);
        let words: Vec<u8> = words.flat_map(|word| [word.as_bytes(), &[0]].concat()).collect();
        if words.len() > 1 << 18 {
            return Err(fail(Class::Usage, "the arguments are too long: 256 KiB can be passed").into());
        }
        self.send(b'r', &words)?;
        if let Some((rows, columns)) = job.terminal {
            self.to.resize((rows, columns))?;
        }
        match self.frame()? {
            Some((b'k', _)) => Ok(true),
            Some((b'n', _)) => Ok(false),
            Some((_, bytes)) => Err(fail(Class::Usage, String::from_utf8_lossy(&bytes).into_owned()).into()),
            None => Err(gone().into()),
        }
    }

    /// Writes a file in the guest.
    fn put(&mut self, path: &str, mode: u32, bytes: &[u8]) -> Result<()> {
        self.send(b'f', format!("{path}\0{mode:o}").as_bytes())?;
        for piece in bytes.chunks(PIECE) {
            self.send(b'd', piece)?;
        }
        self.send(b'e', b"")?;
        match self.frame()? {
            Some((b'k', _)) => Ok(()),
            Some((_, bytes)) => Err(fail(Class::Host, String::from_utf8_lossy(&bytes).into_owned()).into()),
            None => Err(gone().into()),
        }
    }

    /// A second handle, for whoever sends input while another reads.
    pub fn input(&self) -> Input {
        self.to.clone()
    }

    /// What the program says next. Errors: the guest ended (class `Boot`), or we were interrupted.
    pub fn listen(&mut self) -> Result<Said> {
        loop {
            let Some((kind, bytes)) = self.frame()? else { return Err(gone().into()) };
            match kind {
                b'o' => return Ok(Said::Out(bytes)),
                b'p' => return Ok(Said::Err(bytes)),
                b's' => return status(&bytes).map(Said::Ended),
                b'x' => return Err(fail(Class::Host, String::from_utf8_lossy(&bytes).into_owned()).into()),
                _ => {}
            }
        }
    }

    fn send(&mut self, kind: u8, bytes: &[u8]) -> Result<()> {
        self.to.frame(kind, bytes).context("the guest takes nothing more")
    }

    /// The next frame; nothing when the guest has closed its end.
    fn frame(&mut self) -> Result<Option<(u8, Vec<u8>)>> {
        let mut bytes = [0; PIECE];
        loop {
            if let Some((head, rest)) = self.pending.split_at_checked(5) {
                let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
                if rest.len() >= length {
                    let frame = (head[0], rest[..length].to_vec());
                    self.pending.drain(..5 + length);
                    return Ok(Some(frame));
                }
            }
            anyhow::ensure!(!interrupted(), "interrupted");
            match self.stream.read(&mut bytes) {
                Ok(0) => return Ok(None),
                Ok(n) => self.pending.extend_from_slice(&bytes[..n]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                // QEMU ended.
                Err(_) => return Ok(None),
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A guest that has ended has no ports.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        let _ = Monitor::connect(&self.monitor).and_then(|mut monitor| unplug(&mut monitor, &self.label));
    }
}

/// The way into a program; several may have it, and frames do not mix.
#[derive(Clone)]
pub struct Input {
    stream: Arc<Mutex<UnixStream>>,
}

impl Input {
    /// Sends bytes; none say that there are no more.
    pub fn send(&self, bytes: &[u8]) -> Result<()> {
        self.frame(if bytes.is_empty() { b'e' } else { b'd' }, bytes).context("the program takes nothing more")
    }

    /// The terminal has this size now: rows and columns.
    pub fn resize(&self, (rows, columns): (u16, u16)) -> Result<()> {
        self.frame(b'w', format!("{rows} {columns}").as_bytes()).context("the program takes nothing more")
    }

    fn frame(&self, kind: u8, bytes: &[u8]) -> std::io::Result<()> {
        let mut frame = vec![kind];
        frame.extend((bytes.len() as u32).to_le_bytes());
        frame.extend(bytes);
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest = frame.as_slice();
        while !rest.is_empty() {
            match stream.write(rest) {
                Ok(n) => rest = &rest[n..],
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) && !interrupted() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn missing(name: &str) -> crate::base::error::Failure {
    fail(Class::Usage, format!("the guest has no program `{name}`"))
}

fn gone() -> crate::base::error::Failure {
    fail(Class::Boot, "the guest ended, or its init serves no further programs").hint("`ukl ps` says how it ended")
}

/// `exit N` or `signal N`.
fn status(text: &[u8]) -> Result<u8> {
    let text = String::from_utf8_lossy(text);
    let number = |word: &str| text.strip_prefix(word).and_then(|number| number.trim().parse::<u8>().ok());
    let status = number("exit").or_else(|| number("signal").map(|signal| 128u8.saturating_add(signal)));
    status.ok_or_else(|| fail(Class::Boot, format!("the guest's init says `{text}`")).into())
}

/// Gives the guest a port whose other end is ours: its name, its number, and the stream.
fn plug(socket: &Path) -> Result<(String, u32, UnixStream)> {
    let mut monitor = Monitor::connect(socket)?;
    sweep(&mut monitor)?;
    let (label, dir) = (format!("{LABEL}{}", std::process::id()), tempfile::tempdir()?);
    let path = dir.path().join("port");
    let listener = UnixListener::bind(&path)?;
    let address = json!({ "type": "unix", "data": { "path": path } });
    let backend = json!({ "type": "socket", "data": { "addr": address, "server": false } });
    monitor.ask("chardev-add", json!({ "id": label, "backend": backend }))?;
    listener.set_nonblocking(true)?;
    let begun = Instant::now();
    let stream = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(_) if begun.elapsed() < BEGIN && !interrupted() => std::thread::sleep(TICK),
            Err(error) => return Err(error.into()),
        }
    };
    stream.set_nonblocking(false)?;
    // Ctrl-C is looked for now and then.
    stream.set_read_timeout(Some(TICK))?;
    stream.set_write_timeout(Some(TICK))?;
    let mut refused = None;
    for number in PORTS {
        let device = json!({ "driver": "virtserialport", "id": label, "chardev": label, "nr": number });
        match monitor.ask("device_add", device) {
            Ok(_) => return Ok((label, number, stream)),
            // Another program has this one.
            Err(error) => refused = Some(error),
        }
    }
    let _ = monitor.ask("chardev-remove", json!({ "id": label }));
    Err(refused.unwrap_or_else(|| anyhow::anyhow!("no port is left")))
}

/// Takes away the ports of those who did not live to do it themselves.
fn sweep(monitor: &mut Monitor) -> Result<()> {
    let all = monitor.ask("query-chardev", json!({}))?;
    let labels = all.as_array().into_iter().flatten().filter_map(|one| one["label"].as_str());
    for label in labels.filter(|label| label.starts_with(LABEL)).map(str::to_owned).collect::<Vec<_>>() {
        let pid = &label[LABEL.len()..];
        if !Path::new("/proc").join(pid).exists() {
            // What is half there is taken away as far as it is.
            let _ = unplug(monitor, &label);
        }
    }
    Ok(())
}

fn unplug(monitor: &mut Monitor, label: &str) -> Result<()> {
    let unplugged = monitor.ask("device_del", json!({ "id": label }));
    monitor.ask("chardev-remove", json!({ "id": label }))?;
    unplugged.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_what_a_shell_would_say() {
        assert_eq!((status(b"exit 3").unwrap(), status(b"signal 9").unwrap()), (3, 137));
        assert!(status(b"").is_err());
    }
}
