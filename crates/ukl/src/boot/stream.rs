//! One run of QEMU: what the guest writes to our standard streams and to a log, the time limit, Ctrl-C.

use std::fs::File;
use std::io::{PipeReader, Read, Write};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{channel, sync_channel, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::time::{Duration, Instant};

use formats::console::{self, Control};

use crate::base::error::Result;
use crate::base::run::{drain, interrupted, Cmd, Shell};
use crate::base::term;
use crate::machine::{Endpoint, Input, Machine, Output};

use super::noise::{self, Farewell};
use super::printer::Printer;
use super::times::Times;
use super::{backlog, stdin};

/// What a run of QEMU left.
pub(super) struct Streamed {
    /// Everything that the guest wrote, in the order of its arrival.
    pub(super) console: Vec<u8>,
    /// The serial port alone: where programs have a port of their own, the kernel's messages.
    pub(super) serial: Vec<u8>,
    /// How many bytes came through the programs' own port.
    pub(super) output: u64,
    /// The core file that came behind them.
    pub(super) core: Vec<u8>,
    pub(super) control: String,
    pub(super) errors: Vec<u8>,
    pub(super) status: ExitStatus,
    pub(super) end: End,
    /// When the program's first bytes arrived, and its last.
    pub(super) output_times: Option<(Duration, Duration)>,
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
    /// Everything had been reported, and QEMU did not end.
    Over,
}

/// A guest that comes up at all needs seconds at most, on the slowest machine.
const BOOT_LIMIT: Duration = Duration::from_secs(60);

/// How long QEMU may take to end after init's last word.
const LINGER: Duration = Duration::from_secs(5);
/// The same after the last program's end, when that is all that was reported: init waits up to 3 s for connections.
const LINGER_LONG: Duration = Duration::from_secs(15);
/// The same when disks or shares have to be written.
const LINGER_WRITING: Duration = Duration::from_secs(120);

/// How long the reader of our standard output has after the time limit.
const LATE_READER: Duration = Duration::from_secs(5);

/// A message of the kernel takes less to arrive.
const PATIENCE: Duration = Duration::from_millis(300);

/// QEMU has opened its ports long before.
const LONG_UP: Duration = Duration::from_secs(2);

/// What is kept in memory of the console of a guest in the background: more than any report of a panic.
const CONSOLE_END: usize = 1 << 18;

/// Init keeps less.
const CORE_MAX: u64 = 64 << 20;

/// How often the clock, the control port and Ctrl-C are looked at while the guest is silent.
const TICK: Duration = Duration::from_millis(10);

/// How often when it has run for a while: servers run for days.
const SLOW_TICK: Duration = Duration::from_millis(200);
const WHILE: Duration = Duration::from_secs(30);

/// Runs QEMU to its end, or to ours; says when the program answers.
pub(super) fn run(shell: &Shell, cmd: &Cmd, machine: &Machine) -> Result<Streamed> {
    let route = machine.input;
    let _terminal = (route == Input::Terminal).then(term::lend);
    let input = match route {
        Input::None => Stdio::null(),
        Input::Terminal => Stdio::inherit(),
        Input::Lines | Input::Port => Stdio::piped(),
    };
    let start = Instant::now();
    let (output, to) = match machine.output {
        Output::Console => (None, None),
        Output::Terminal | Output::Pipe => std::io::pipe().map(|(from, to)| (Some(from), Some(to.into())))?,
    };
    let child = shell.spawn_with(cmd, (input, Stdio::piped(), Stdio::piped()), to)?;
    let mut guest = Guest(child.ok_or_else(|| anyhow::anyhow!("nothing is started in a dry run"))?);
    let errors = drain(guest.0.stderr.take());
    let (begin, begun) = channel();
    match guest.0.stdin.take() {
        Some(pipe) if route == Input::Port => stdin::copy(pipe),
        Some(pipe) => stdin::type_lines(pipe, begun),
        None => {}
    }
    let chunks = read_all(guest.0.stdout.take(), output, start);
    let mut watch = Watch::new(machine, start, begin, guest.0.id())?;
    let end = watch.until_the_end(&chunks)?;
    if end != End::Itself || interrupted() {
        guest.kill();
    }
    let status = guest.0.wait()?;
    let total = start.elapsed();
    anyhow::ensure!(!interrupted(), "interrupted");
    watch.finish(&chunks, end)?;
    Ok(Streamed {
        console: watch.console,
        serial: watch.serial,
        output: watch.received,
        core: watch.core,
        control: watch.control_text,
        errors: errors.join().unwrap_or_default(),
        status,
        end,
        output_times: watch.output_times,
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

/// Where bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The first serial port.
    Serial,
    /// The programs' own port.
    Output,
}

/// Bytes that arrived, and when.
struct Chunk {
    source: Source,
    time: Duration,
    bytes: Vec<u8>,
}

/// What is known about the guest so far.
struct Watch {
    /// What the guest writes appears on our standard streams.
    printer: Option<Printer>,
    /// Programs have a port of their own; the serial port is the kernel's.
    has_output: bool,
    /// Process 1 is the program: its end is a panic.
    farewell: Option<Farewell>,
    /// How long QEMU may linger after the last program's end.
    linger: Duration,
    programs: usize,
    /// Of what nobody asks for again, the end is enough.
    is_bounded: bool,
    start: Instant,
    deadline: Option<Instant>,
    boot_deadline: Instant,
    log: File,
    times: Option<Times>,
    control: File,
    control_text: String,
    said: Control,
    console: Vec<u8>,
    serial: Vec<u8>,
    /// The kernel's line that has no end yet.
    line: Vec<u8>,
    received: u64,
    core: Vec<u8>,
    /// Since when there is nothing more to come.
    over: Option<Instant>,
    /// When something arrived last.
    arrived: Instant,
    output_times: Option<(Duration, Duration)>,
    /// Where the program can be reached, and when it could.
    endpoint: Option<Endpoint>,
    ready: Option<Duration>,
    /// The QEMU whose forwarded ports have little room for new connections still.
    narrow: Option<u32>,
    /// Tells the forwarding of our input to begin.
    begin: Option<Sender<()>>,
    waits_for_run: bool,
    /// Only a debugger knows when it begins.
    is_held: bool,
}

impl Watch {
    fn new(machine: &Machine, start: Instant, begin: Sender<()>, qemu: u32) -> Result<Self> {
        let files = &machine.files;
        Ok(Watch {
            printer: machine.attach.then(Printer::start),
            has_output: machine.output != Output::Console,
            farewell: (!machine.has_init).then(Farewell::default),
            linger: if machine.storage.is_empty() { LINGER_LONG } else { LINGER_WRITING },
            programs: machine.programs,
            is_bounded: files.pipe().is_some() || machine.attach,
            start,
            deadline: machine.timeout.map(|limit| start + limit),
            boot_deadline: start + BOOT_LIMIT,
            log: File::create(files.console())?,
            times: Times::of(files)?,
            control: File::open(files.control())?,
            control_text: String::new(),
            said: Control::default(),
            console: Vec::new(),
            serial: Vec::new(),
            line: Vec::new(),
            received: 0,
            core: Vec::new(),
            over: None,
            arrived: start,
            output_times: None,
            endpoint: machine.endpoint.clone(),
            ready: None,
            narrow: Some(qemu),
            begin: Some(begin),
            // Process 1 is the program: nobody announces it.
            waits_for_run: machine.has_init,
            is_held: machine.waits,
        })
    }

    /// Passes on what the guest writes until it ends, or until a limit has passed.
    fn until_the_end(&mut self, chunks: &Receiver<Chunk>) -> Result<End> {
        loop {
            let tick = if self.start.elapsed() < WHILE { TICK } else { SLOW_TICK };
            if self.printer.as_ref().is_some_and(Printer::is_full) {
                // The guest waits with us for our reader.
                self.over = None;
                std::thread::sleep(TICK);
                self.look_at_control()?;
            } else {
                match chunks.recv_timeout(tick) {
                    Ok(chunk) => self.take(&chunk)?,
                    Err(RecvTimeoutError::Timeout) => {
                        self.show_held(PATIENCE)?;
                        self.look_at_control()?;
                    }
                    Err(RecvTimeoutError::Disconnected) => return Ok(End::Itself),
                }
            }
            self.printer.as_mut().map_or(Ok(()), Printer::check)?;
            let now = Instant::now();
            if interrupted() {
                return Ok(End::Itself);
            }
            if self.is_over(now) {
                return Ok(End::Over);
            }
            if self.deadline.is_some_and(|deadline| now >= deadline) {
                return Ok(End::Timeout);
            }
            // Once init runs, only the program knows how long it takes; process 1 may be silent for ever.
            if self.waits_for_run && !self.is_held && self.control_text.is_empty() && now >= self.boot_deadline {
                return Ok(End::Stuck);
            }
        }
    }

    /// Everything was reported long ago, and QEMU runs still: a reset can get lost.
    fn is_over(&mut self, now: Instant) -> bool {
        let ended = self.said.runs.iter().filter(|run| run.end.is_some()).count();
        let has_all = self.said.output.is_none_or(|bytes| self.received >= bytes);
        let limit = match self.said.ended {
            true if has_all => LINGER,
            _ if self.waits_for_run && ended >= self.programs => self.linger,
            _ => return false,
        };
        now.duration_since(*self.over.get_or_insert(now)) >= limit
    }

    /// Takes what arrived before QEMU ended, and waits for the reader of our standard output.
    fn finish(&mut self, chunks: &Receiver<Chunk>, end: End) -> Result<()> {
        while let Ok(chunk) = chunks.recv() {
            self.take(&chunk)?;
        }
        let rest = std::mem::take(&mut self.line);
        self.keep(&rest, Source::Serial)?;
        self.show_held(Duration::ZERO)?;
        self.look_at_control()?;
        let limit = (end == End::Timeout).then_some(LATE_READER);
        self.printer.take().map_or(Ok(()), |printer| printer.finish(limit))
    }

    /// Shows what was held back in case that more follows, once nothing has for a while.
    fn show_held(&mut self, patience: Duration) -> Result<()> {
        if self.arrived.elapsed() < patience {
            return Ok(());
        }
        match (&mut self.printer, &mut self.farewell) {
            (Some(printer), Some(farewell)) => printer.print(&farewell.rest()),
            _ => Ok(()),
        }
    }

    fn take(&mut self, chunk: &Chunk) -> Result<()> {
        // The guest reports that a program begins before the program can write: look there first.
        self.look_at_control()?;
        self.over = None;
        self.arrived = Instant::now();
        let is_programs = chunk.source == Source::Output || !self.has_output;
        if is_programs && (self.begin.is_none() || !self.waits_for_run) {
            let first = self.output_times.map_or(chunk.time, |(first, _)| first);
            self.output_times = Some((first, chunk.time));
        }
        if chunk.source == Source::Output {
            // What follows the last byte is there to push the others out of the guest.
            let left = self.said.output.map_or(u64::MAX, |bytes| bytes.saturating_sub(self.received));
            let (bytes, behind) =
                chunk.bytes.split_at(chunk.bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
            self.received += bytes.len() as u64;
            let left = (self.said.core.unwrap_or_default().min(CORE_MAX) as usize).saturating_sub(self.core.len());
            self.core.extend_from_slice(&behind[..behind.len().min(left)]);
            return self.keep(bytes, Source::Output);
        }
        if !self.has_output {
            return self.keep(&chunk.bytes, Source::Serial);
        }
        // Whole lines of the kernel: the program's output may not come between their halves.
        self.line.extend_from_slice(&chunk.bytes);
        let end = self.line.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<u8> = self.line.drain(..end).collect();
        self.keep(&lines, Source::Serial)
    }

    /// Writes to the log and our own streams, and remembers for the verdict.
    fn keep(&mut self, bytes: &[u8], source: Source) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.times.as_mut().map_or(Ok(()), |times| times.note(bytes.len()))?;
        self.log.write_all(bytes)?;
        let serial = (source == Source::Serial).then_some(&mut self.serial);
        for kept in [Some(&mut self.console), serial].into_iter().flatten() {
            kept.extend_from_slice(bytes);
            if self.is_bounded && kept.len() > 2 * CONSOLE_END {
                kept.drain(..kept.len() - CONSOLE_END);
            }
        }
        match (&mut self.printer, &mut self.farewell) {
            (Some(printer), Some(farewell)) => printer.print(&farewell.pass(bytes)),
            (Some(printer), None) if source == Source::Output || !self.has_output => printer.print(bytes),
            (Some(_), None) => {
                term::error_bytes(&noise::without(bytes));
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }

    fn look_at_control(&mut self) -> Result<()> {
        let mut bytes = Vec::new();
        // QEMU empties the file when it starts; before that there is nothing in it.
        if self.control.read_to_end(&mut bytes)? > 0 {
            self.control_text.push_str(&String::from_utf8_lossy(&bytes));
            self.said = console::control(&self.control_text);
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
        if self.ready.is_some() || !self.said.ready {
            return;
        }
        let time = self.start.elapsed();
        self.ready = Some(time);
        if let Some(endpoint) = self.endpoint.as_ref().and_then(|endpoint| endpoint.text(&self.said)) {
            term::say(&format!("ready: {endpoint} answers after {:.1} s", time.as_secs_f64()));
        }
    }
}

/// So many chunks may wait for us; then QEMU waits, and with it the guest.
const CHUNKS: usize = 64;

/// Sends what arrives from both, with its time since `start`, until both have ended.
fn read_all(serial: Option<impl Read + Send + 'static>, output: Option<PipeReader>, start: Instant) -> Receiver<Chunk> {
    let (sender, receiver) = sync_channel(CHUNKS);
    reader(serial, Source::Serial, start, sender.clone());
    reader(output, Source::Output, start, sender);
    receiver
}

fn reader(pipe: Option<impl Read + Send + 'static>, source: Source, start: Instant, to: SyncSender<Chunk>) {
    let Some(mut pipe) = pipe else { return };
    std::thread::spawn(move || {
        let mut bytes = vec![0; 65536];
        loop {
            match pipe.read(&mut bytes) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Ok(n) if n > 0 => {
                    let chunk = Chunk { source, time: start.elapsed(), bytes: bytes[..n].to_vec() };
                    if to.send(chunk).is_err() {
                        break;
                    }
                }
                _ => break,
            }
        }
    });
}
