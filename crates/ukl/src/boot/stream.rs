//! One run of QEMU: the console to our standard output and to its log, the time limit, Ctrl-C.

use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::process::{Child, ChildStdout, ExitStatus, Stdio};
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use formats::console;

use crate::base::error::Result;
use crate::base::run::{drain, Cmd, Shell};
use crate::base::term;
use crate::machine::{Endpoint, Input, Machine};

use super::{backlog, stdin};

/// What a run of QEMU left.
pub(super) struct Streamed {
    pub(super) console: Vec<u8>,
    pub(super) control: String,
    pub(super) errors: Vec<u8>,
    pub(super) status: ExitStatus,
    pub(super) end: End,
    pub(super) first_output: Option<Duration>,
    pub(super) ready: Option<Duration>,
    pub(super) total: Duration,
}

/// Why the wait for the guest ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// QEMU ended by itself, or Ctrl-C ended it.
    Itself,
    /// The time limit passed.
    Timeout,
    /// The guest's init did not begin.
    Stuck,
}

/// A guest that comes up at all needs seconds at most, on the slowest machine.
const BOOT_LIMIT: Duration = Duration::from_secs(60);

/// QEMU has opened its ports long before.
const LONG_UP: Duration = Duration::from_secs(2);

/// What is kept in memory of the console of a guest in the background: more than any report of a panic.
const CONSOLE_END: usize = 1 << 18;

/// How often the clock, the control port and Ctrl-C are looked at while the guest is silent.
const TICK: Duration = Duration::from_millis(10);

/// How often when it has run for a while: servers run for days.
const SLOW_TICK: Duration = Duration::from_millis(200);
const WHILE: Duration = Duration::from_secs(30);

/// Runs QEMU to its end, or to ours; says when the program answers.
pub(super) fn run(shell: &Shell, cmd: &Cmd, machine: &Machine) -> Result<Streamed> {
    let route = machine.input;
    let _terminal = Terminal::save(route == Input::Terminal);
    let input = match route {
        Input::None => Stdio::null(),
        Input::Terminal => Stdio::inherit(),
        Input::Lines | Input::Port => Stdio::piped(),
    };
    let start = Instant::now();
    let child = shell.spawn(cmd, input, Stdio::piped(), Stdio::piped())?;
    let mut guest = Guest(child.ok_or_else(|| anyhow::anyhow!("nothing is started in a dry run"))?);
    let errors = drain(guest.0.stderr.take());
    let (begin, begun) = channel();
    match guest.0.stdin.take() {
        Some(pipe) if route == Input::Port => stdin::copy(pipe),
        Some(pipe) => stdin::type_lines(pipe, begun),
        None => {}
    }
    let console = reader(guest.0.stdout.take(), start);
    let mut watch = Watch::new(machine, start, begin, guest.0.id())?;
    let end = watch.until_the_end(&console)?;
    if end != End::Itself || crate::base::run::interrupted() {
        guest.kill();
    }
    let status = guest.0.wait()?;
    let total = start.elapsed();
    anyhow::ensure!(!crate::base::run::interrupted(), "interrupted");
    watch.look_at_control()?;
    Ok(Streamed {
        console: watch.console,
        control: watch.control_text,
        errors: errors.join().unwrap_or_default(),
        status,
        end,
        first_output: watch.first_output,
        ready: watch.ready,
        total,
    })
}

/// QEMU does not outlive us, whatever happens.
struct Guest(Child);

impl Guest {
    fn kill(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.kill();
        let _ = self.0.wait();
    }
}

/// What is known about the guest so far.
struct Watch {
    attach: bool,
    /// In the background a guest may say more than memory holds: the end is enough.
    is_bounded: bool,
    start: Instant,
    deadline: Option<Instant>,
    boot_deadline: Instant,
    log: File,
    control: File,
    control_text: String,
    console: Vec<u8>,
    first_output: Option<Duration>,
    /// Where the program can be reached, and when it could.
    endpoint: Option<Endpoint>,
    ready: Option<Duration>,
    /// The QEMU whose forwarded ports have little room for new connections still.
    narrow: Option<u32>,
    /// Tells the forwarding of our input to begin.
    begin: Option<Sender<()>>,
    waits_for_run: bool,
}

impl Watch {
    fn new(machine: &Machine, start: Instant, begin: Sender<()>, qemu: u32) -> Result<Self> {
        let files = &machine.files;
        Ok(Watch {
            attach: machine.attach,
            is_bounded: files.pipe().is_some(),
            start,
            deadline: machine.timeout.map(|limit| start + limit),
            boot_deadline: start + BOOT_LIMIT,
            log: File::create(files.console())?,
            control: File::open(files.control())?,
            control_text: String::new(),
            console: Vec::new(),
            first_output: None,
            endpoint: machine.endpoint.clone(),
            ready: None,
            narrow: Some(qemu),
            begin: Some(begin),
            // Process 1 is the program: nobody announces it.
            waits_for_run: machine.has_init,
        })
    }

    /// Passes the console on until it ends, or until a limit has passed.
    fn until_the_end(&mut self, console: &Receiver<(Duration, Vec<u8>)>) -> Result<End> {
        loop {
            let tick = if self.start.elapsed() < WHILE { TICK } else { SLOW_TICK };
            match console.recv_timeout(tick) {
                Ok((time, bytes)) => self.take(time, &bytes)?,
                Err(RecvTimeoutError::Timeout) => self.look_at_control()?,
                Err(RecvTimeoutError::Disconnected) => return Ok(End::Itself),
            }
            let now = Instant::now();
            if crate::base::run::interrupted() {
                return Ok(End::Itself);
            }
            if self.deadline.is_some_and(|deadline| now >= deadline) {
                return Ok(End::Timeout);
            }
            // Once init runs, only the program knows how long it takes; process 1 may be silent for ever.
            if self.waits_for_run && self.control_text.is_empty() && now >= self.boot_deadline {
                return Ok(End::Stuck);
            }
        }
    }

    fn take(&mut self, time: Duration, bytes: &[u8]) -> Result<()> {
        // The guest reports that a program begins before the program can write: look there first.
        self.look_at_control()?;
        if self.first_output.is_none() && (self.begin.is_none() || !self.waits_for_run) {
            self.first_output = Some(time);
        }
        self.log.write_all(bytes)?;
        self.console.extend_from_slice(bytes);
        if self.is_bounded && self.console.len() > 2 * CONSOLE_END {
            self.console.drain(..self.console.len() - CONSOLE_END);
        }
        if self.attach {
            term::out_bytes(bytes)?;
        }
        Ok(())
    }

    fn look_at_control(&mut self) -> Result<()> {
        let mut bytes = Vec::new();
        // QEMU empties the file when it starts; before that there is nothing in it.
        if self.control.read_to_end(&mut bytes)? > 0 {
            self.control_text.push_str(&String::from_utf8_lossy(&bytes));
            self.look_for_ready();
        }
        // What the guest says shows that QEMU is up, with all its ports; a program that is process 1 may say nothing.
        let is_silent = self.control_text.is_empty() && self.console.is_empty();
        if !is_silent || (!self.waits_for_run && self.start.elapsed() > LONG_UP) {
            self.narrow.take().map(backlog::widen);
        }
        let runs = !self.waits_for_run || self.control_text.contains("run 0\n");
        if runs {
            if let Some(begin) = self.begin.take() {
                // Nobody listens when nothing is forwarded.
                let _ = begin.send(());
            }
        }
        Ok(())
    }

    fn look_for_ready(&mut self) {
        let control = console::control(&self.control_text);
        if self.ready.is_some() || !control.ready {
            return;
        }
        let time = self.start.elapsed();
        self.ready = Some(time);
        if let Some(endpoint) = self.endpoint.as_ref().and_then(|endpoint| endpoint.text(&control)) {
            term::say(&format!("ready: {endpoint} answers after {:.1} s", time.as_secs_f64()));
        }
    }
}

/// Sends what arrives, with its time since `start`.
fn reader(pipe: Option<ChildStdout>, start: Instant) -> Receiver<(Duration, Vec<u8>)> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let Some(mut pipe) = pipe else { return };
        let mut bytes = vec![0; 65536];
        while let Ok(n) = pipe.read(&mut bytes) {
            if n == 0 || sender.send((start.elapsed(), bytes[..n].to_vec())).is_err() {
                break;
            }
        }
    });
    receiver
}

/// The terminal's settings, put back at the end: a QEMU that is killed does not do it.
struct Terminal(Option<libc::termios>);

impl Terminal {
    fn save(used: bool) -> Self {
        if !used || !std::io::stdin().is_terminal() {
            return Terminal(None);
        }
        // SAFETY: an all-zero termios is a valid value; tcgetattr fills it.
        let saved = unsafe {
            let mut settings: libc::termios = std::mem::zeroed();
            (libc::tcgetattr(0, &mut settings) == 0).then_some(settings)
        };
        Terminal(saved)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(settings) = &self.0 {
            // SAFETY: the settings came from tcgetattr.
            unsafe { libc::tcsetattr(0, libc::TCSANOW, settings) };
        }
    }
}
