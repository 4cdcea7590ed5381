//! Serial console text → how the guest ended; control text → what its init reported.

/// What the console tells about the end of a guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The kernel's panic.
    pub panic: Option<Panic>,
    /// The first fault of the kernel that it reported, whether or not it panicked.
    pub oops: Option<Oops>,
    /// Faults that killed programs, in order; the kernel reports them to a limited rate.
    pub faults: Vec<Fault>,
    /// How the program ended that ran as PID 1.
    pub init_end: Option<End>,
    /// The last lines, at most [`LAST`], without escape sequences.
    pub last: Vec<String>,
}

/// How many lines [`Facts::last`] keeps.
pub const LAST: usize = 20;

/// `Kernel panic - not syncing: …`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Panic {
    /// The text behind `not syncing: `.
    pub message: String,
    /// Where the processor was, from the last report before the panic or from the panic's own.
    pub rip: Option<Rip>,
    /// The call trace, innermost first, without marks and times.
    pub backtrace: Vec<String>,
}

/// `Oops: …`, `BUG: …`, `general protection fault …`: what the kernel says of a fault in itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Oops {
    /// The first line of the report.
    pub message: String,
    /// Where the processor was.
    pub rip: Option<Rip>,
    /// The command of the process that ran, from `Comm:`.
    pub command: Option<String>,
    /// The call trace, innermost first, without marks and times.
    pub backtrace: Vec<String>,
}

/// A line like `sh[30]: segfault at 8 ip 401000 sp 7ffe0000 error 6` or `traps: sh[30] trap invalid opcode ip:401000 …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The process' command.
    pub command: String,
    /// The process' number.
    pub pid: u32,
    /// `segfault`, `general protection fault`, `trap invalid opcode`, …
    pub what: String,
    /// The address that was accessed, of a segfault.
    pub address: Option<u64>,
    /// Where the program was.
    pub ip: u64,
}

/// An instruction pointer as the kernel prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rip {
    /// Code segment; 0x10 is the kernel's.
    pub segment: u16,
    /// The address, when the kernel has no symbols or the code is a process's.
    pub address: Option<u64>,
    /// `name+0x1/0x2`.
    pub symbol: Option<Place>,
}

/// `name+offset/size`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The function.
    pub name: String,
    /// Offset in it.
    pub offset: u64,
    /// Its size.
    pub size: u64,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With this exit status.
    Exited(u8),
    /// By this signal.
    Killed(u8),
}

impl End {
    /// From the word that `wait` returns and that the kernel prints for init.
    pub fn from_wait(word: u32) -> End {
        match word & 0x7f {
            0 => End::Exited((word >> 8) as u8),
            signal => End::Killed(signal as u8),
        }
    }

    /// The status that a shell gives: 128 and the signal's number for a killed program.
    pub fn code(self) -> u8 {
        match self {
            End::Exited(status) => status,
            End::Killed(signal) => 128 + signal,
        }
    }
}

const PANIC: &str = "Kernel panic - not syncing: ";
const INIT: &str = "Attempted to kill init! exitcode=0x";

/// Reads what the first serial port showed, from the start of the boot.
pub fn read(text: &str) -> Facts {
    let lines: Vec<String> = text.lines().map(|line| plain(line.trim_end_matches('\r'))).collect();
    let mut facts = Facts::default();
    let at = lines.iter().position(|line| panic_message(line).is_some());
    facts.panic = at.map(|at| panic(&lines, at));
    // What follows a panic is its own report.
    facts.oops = oops(&lines[..at.unwrap_or(lines.len())]);
    facts.faults = lines.iter().filter_map(|line| fault(line)).collect();
    facts.init_end = facts.panic.as_ref().and_then(|panic| {
        let digits = panic.message.strip_prefix(INIT)?;
        let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
        Some(End::from_wait(u32::from_str_radix(&digits[..end], 16).ok()?))
    });
    let filled = lines.iter().rposition(|line| !line.trim().is_empty()).map_or(0, |last| last + 1);
    facts.last = lines[filled.saturating_sub(LAST)..filled].to_vec();
    facts
}

fn panic(lines: &[String], at: usize) -> Panic {
    let message = panic_message(&lines[at]).unwrap_or_default().to_string();
    // The panic's own report, else that of the fault which led to it, which stands shortly before.
    let own = &lines[at..];
    let before = &lines[at.saturating_sub(120)..at];
    let own_trace = backtrace(own);
    Panic {
        message,
        rip: last_rip(before).or_else(|| last_rip(own)),
        backtrace: if own_trace.is_empty() { backtrace(before) } else { own_trace },
    }
}

fn panic_message(line: &str) -> Option<&str> {
    let (before, message) = line.split_once(PANIC)?;
    // `---[ end Kernel panic - not syncing: … ]---` repeats it.
    (!before.ends_with("end ")).then(|| message.trim_end())
}

fn oops(lines: &[String]) -> Option<Oops> {
    const REPORTS: &[&str] = &[
        "BUG: ",
        "Oops: ",
        "general protection fault",
        "invalid opcode: ",
        "stack segment: ",
        "double fault: ",
        "kernel BUG at ",
        "traps: PANIC: double fault",
        // Of the patches: a function that the program called by name ended it.
        "UKL call: ",
    ];
    let at = lines.iter().position(|line| {
        let message = message(line);
        REPORTS.iter().any(|report| message.starts_with(report))
    })?;
    let report = &lines[at..lines.len().min(at + 120)];
    let command = report.iter().find_map(|line| line.split_once(" Comm: ")?.1.split(' ').next().map(str::to_string));
    Some(Oops {
        message: message(&lines[at]).to_string(),
        rip: report.iter().find_map(|l| rip(l)),
        command,
        backtrace: backtrace(report),
    })
}

fn fault(line: &str) -> Option<Fault> {
    let message = message(line);
    let message = message.strip_prefix("traps: ").unwrap_or(message);
    // The command may hold spaces and brackets: its end is the last `[pid]` before the instruction pointer.
    let (before, ip) = message.split_once(" ip ").or_else(|| message.split_once(" ip:"))?;
    let (command, rest) = before.rsplit_once('[')?;
    let (pid, what) = rest.split_once(']')?;
    let what = what.trim_start_matches(':').trim();
    let (what, address) = what.split_once(" at ").map_or((what, None), |(what, at)| (what, Some(at)));
    let hex = |text: &str| u64::from_str_radix(text.split(' ').next()?, 16).ok();
    let address = address.and_then(hex);
    Some(Fault { command: command.into(), pid: pid.parse().ok()?, what: what.into(), address, ip: hex(ip)? })
}

/// The last report's place; reports that repeat it after the trace say the same.
fn last_rip(lines: &[String]) -> Option<Rip> {
    lines.iter().rev().find_map(|line| rip(line))
}

/// `RIP: 0010:main+0x3/0x10`, `RIP: 0010:0xffffffff81000000`, `RIP: 0033:0x401000`.
fn rip(line: &str) -> Option<Rip> {
    let (_, rest) = line.split_once("RIP: ")?;
    let (segment, place) = rest.split_once(':')?;
    let segment = u16::from_str_radix(segment, 16).ok()?;
    let place = place.split(' ').next()?;
    let address = place.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let symbol = parse_place(place);
    (address.is_some() || symbol.is_some()).then_some(Rip { segment, address, symbol })
}

/// `name+0x1/0x2`.
fn parse_place(text: &str) -> Option<Place> {
    let (name, numbers) = text.split_once("+0x")?;
    let (offset, size) = numbers.split_once("/0x")?;
    let number = |digits| u64::from_str_radix(digits, 16).ok();
    Some(Place { name: name.to_string(), offset: number(offset)?, size: number(size)? })
}

/// The lines of the first call trace; `?` marks addresses that only lay on the stack.
fn backtrace(lines: &[String]) -> Vec<String> {
    let Some(start) = lines.iter().position(|line| message(line).starts_with("Call Trace:")) else { return Vec::new() };
    let mut trace = Vec::new();
    for line in &lines[start + 1..] {
        let line = message(line).trim();
        let is_mark = line.starts_with('<') && line.ends_with('>');
        if !is_mark && line.starts_with(|c: char| c.is_ascii_uppercase()) && line.contains(':')
            || line.starts_with("---[")
        {
            break;
        }
        if !is_mark && !line.is_empty() && !line.starts_with("? ") && (line.contains("+0x") || line.starts_with("0x")) {
            trace.push(line.to_string());
        }
    }
    trace
}

/// The line without the time (and thread) that the kernel may print in front: `[    1.234567][    T1] `.
fn message(line: &str) -> &str {
    stamped(line).unwrap_or(line)
}

/// What stands behind the kernel's time in a line, if it has one.
///
/// A program that does not end its last line leaves it before the time.
fn stamped(line: &str) -> Option<&str> {
    let is_time = |stamp: &str| {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        stamp.trim_start().split_once('.').is_some_and(|(s, us)| digits(s) && us.len() == 6 && digits(us))
    };
    let is_thread = |stamp: &str| {
        let number = stamp.trim_start().strip_prefix(['T', 'C']);
        number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let behind = line.match_indices('[').find_map(|(at, _)| {
        let (stamp, behind) = line[at + 1..].split_once(']')?;
        is_time(stamp).then_some(behind)
    })?;
    let thread = behind.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let behind = thread.filter(|(stamp, _)| is_thread(stamp)).map_or(behind, |(_, rest)| rest);
    Some(behind.strip_prefix(' ').unwrap_or(behind))
}

/// A line without terminal escape sequences and control characters.
pub fn plain(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.next() {
                // CSI: parameters up to a final letter. OSC: up to BEL.
                Some('[') => while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
                Some(']') => while chars.next().is_some_and(|c| c != '\u{7}') {},
                _ => {}
            },
            '\t' => out.push(c),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// What a line of the kernel has that tells of a defect.
const COMPLAINTS: [&str; 12] = [
    "WARNING:",
    "BUG:",
    "Oops:",
    "general protection",
    "double fault",
    "stack guard page",
    "Kernel panic",
    "INFO: task",
    "rcu: INFO",
    "possible recursive locking",
    "possible circular locking",
    "inconsistent lock state",
];

/// The first line of a console in which the kernel tells of a defect. Programs have warnings of their own: its time tells
/// the kernel's.
pub fn complaint(console: &str) -> Option<&str> {
    console.lines().find(|line| stamped(line).is_some_and(is_complaint))
}

/// Does this message of the kernel tell of a defect?
pub fn is_complaint(line: &str) -> bool {
    COMPLAINTS.iter().any(|word| line.contains(word))
}

/// What init reported on the second serial port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// Init runs.
    pub started: bool,
    /// The program listens on the port that its manifest calls ready.
    pub ready: bool,
    /// The address that a server gave the guest.
    pub address: Option<String>,
    /// What the guest had left of its memory each time it was asked, in KiB.
    pub available_kib: Vec<u64>,
    /// Programs write to a port of their own, and no longer on the console.
    pub has_output: bool,
    /// How many bytes they wrote there in all, once that is known.
    pub output: Option<u64>,
    /// How many bytes of a core file follow that output.
    pub core: Option<u64>,
    /// A program was ended for want of memory: the kernel's words.
    pub shortage: Option<String>,
    /// Init has nothing more to do: the machine ends now.
    pub ended: bool,
    /// The commands that init began, in order.
    pub runs: Vec<Run>,
    /// What init could not do, in its own words.
    pub failed: Vec<String>,
    /// Lines that are no report.
    pub unknown: Vec<String>,
}

/// One command of a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its number, from `run N`; counted when init does not announce its commands.
    pub index: u32,
    /// How it ended; `None` while it runs or when the guest died under it.
    pub end: Option<End>,
}

/// Reads the control text: lines `start`, `run N`, `ready`, `address A`, `memory KIB`, `exit N`, `signal N`, `failed WHY`,
/// `output`, `output BYTES`, `core BYTES`, `shortage WORDS`, `end`. A last line without its end is left out.
pub fn control(text: &str) -> Control {
    let mut control = Control::default();
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    for line in complete.lines().map(|line| line.trim_matches(['\r', '\0', ' '])).filter(|line| !line.is_empty()) {
        let number = |word: &str| line.strip_prefix(word).and_then(|n| n.strip_prefix(' ')?.parse::<u32>().ok());
        let end = number("exit")
            .and_then(|n| u8::try_from(n).ok())
            .map(End::Exited)
            .or_else(|| number("signal").filter(|n| (1..=64).contains(n)).map(|n| End::Killed(n as u8)));
        if line == "start" {
            control.started = true;
        } else if line == "ready" {
            control.ready = true;
        } else if line == "output" {
            control.has_output = true;
        } else if line == "end" {
            control.ended = true;
        } else if let Some(bytes) = line.strip_prefix("output ").and_then(|bytes| bytes.parse().ok()) {
            control.output = Some(bytes);
        } else if let Some(bytes) = line.strip_prefix("core ").and_then(|bytes| bytes.parse().ok()) {
            control.core = Some(bytes);
        } else if let Some(words) = line.strip_prefix("shortage ") {
            control.shortage = Some(words.to_string());
        } else if let Some(address) = line.strip_prefix("address ") {
            control.address = Some(address.to_string());
        } else if let Some(kib) = line.strip_prefix("memory ").and_then(|kib| kib.parse().ok()) {
            control.available_kib.push(kib);
        } else if let Some(why) = line.strip_prefix("failed ") {
            control.failed.push(why.to_string());
        } else if let Some(index) = number("run") {
            control.runs.push(Run { index, end: None });
        } else if let Some(end) = end {
            match control.runs.last_mut() {
                Some(run) if run.end.is_none() => run.end = Some(end),
                last => {
                    let index = last.map_or(0, |run| run.index + 1);
                    control.runs.push(Run { index, end: Some(end) });
                }
            }
        } else {
            control.unknown.push(line.to_string());
        }
    }
    control
}
