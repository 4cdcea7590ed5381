//! What a boot is asked for: words of the command line or of a benchmark, with nothing decided yet.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::image::initrd::Command;
use crate::manifest::storage::Storage;
use crate::manifest::{Network, Port};

use super::kind::MachineKind;

/// How a guest may be run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Accel {
    /// KVM when a probe says that it works, TCG otherwise.
    #[default]
    Auto,
    /// Hardware virtualisation.
    Kvm,
    /// QEMU's own translator.
    Tcg,
}

/// What the guest does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// The program, with these arguments instead of the image's.
    Program(Option<Vec<String>>),
    /// The program's ring-3 twin.
    Twin(Option<Vec<String>>),
    /// The program and then its twin, in one boot.
    Both(Option<Vec<String>>),
    /// The program as process 1.
    Pid1(Option<Vec<String>>),
    /// A shell on the console.
    Shell,
    /// These commands; `/twin` is there.
    Commands(Vec<Command>),
}

impl What {
    /// How many programs run, one after the other.
    pub(super) fn programs(&self) -> usize {
        match self {
            What::Both(_) => 2,
            What::Commands(commands) => commands.len(),
            What::Program(_) | What::Twin(_) | What::Pid1(_) | What::Shell => 1,
        }
    }

    /// Process 1 is ours, and reports; otherwise it is the program.
    pub fn has_init(&self) -> bool {
        !matches!(self, What::Pid1(_))
    }
}

/// How to boot; `None` takes what the image says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// What the guest does.
    pub what: What,
    /// The engine.
    pub accel: Accel,
    /// The machine; by default microvm for one CPU, q35 for more.
    pub machine: Option<MachineKind>,
    /// Memory in MiB.
    pub memory_mib: Option<u32>,
    /// Number of virtual CPUs.
    pub cpus: Option<u32>,
    /// Forwarded ports.
    pub ports: Option<Vec<Port>>,
    /// The network, as far as it is to differ from the image's.
    pub network: Network,
    /// Disks and shares beside the image's; one at the same place in the guest stands instead of it.
    pub storage: Storage,
    /// The guest is stopped after this time.
    pub timeout: Option<Duration>,
    /// The console appears on our standard output, and our standard input reaches the program.
    pub attach: bool,
    /// More words for the kernel.
    pub words: Vec<String>,
    /// Variables of the program beside the image's; one of the same name stands instead of it.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// More words for QEMU.
    #[serde(default)]
    pub qemu: Vec<String>,
    /// Where instructions are emulated, the guest's clock counts them: how busy the host is makes no difference.
    pub icount: bool,
    /// With `icount`: the seed of the guest's random numbers. Its date is fixed then, so that a boot without input from
    /// outside is the same in every instruction whenever it is repeated, and its time stamp counter counts them.
    #[serde(default)]
    pub seed: Option<u32>,
    /// The guest does nothing before a debugger tells it to.
    #[serde(default)]
    pub waits: bool,
    /// The guest gets an interrupt that cannot be masked so often.
    pub nmi: Option<Duration>,
    /// Another kernel than the image's, as an ELF file: the image's programs for ring 3 run on it.
    #[serde(default)]
    pub kernel: Option<PathBuf>,
}

impl Request {
    /// Runs the program as the image says, attached to our standard streams.
    pub fn new(what: What) -> Self {
        Request {
            what,
            accel: Accel::Auto,
            machine: None,
            memory_mib: None,
            cpus: None,
            ports: None,
            network: Network::default(),
            storage: Storage::default(),
            timeout: None,
            attach: true,
            words: Vec::new(),
            env: BTreeMap::new(),
            qemu: Vec::new(),
            icount: false,
            seed: None,
            waits: false,
            nmi: None,
            kernel: None,
        }
    }
}

/// How our standard input reaches the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Not at all.
    None,
    /// Lines that a person types, as keystrokes on the console.
    Lines,
    /// The terminal itself, every key of it: for a shell.
    Terminal,
    /// A file or pipe, byte by byte, through a port that loses nothing.
    Port,
}

impl Input {
    /// What a run needs: a shell the terminal, a program what our standard input is.
    pub fn of(request: &Request) -> Self {
        match (request.attach, &request.what) {
            (false, _) => Input::None,
            (true, What::Shell) if std::io::stdin().is_terminal() => Input::Terminal,
            (true, What::Shell) => Input::Lines,
            // Without init nobody opens the port.
            (true, What::Pid1(_)) => Input::Lines,
            (true, _) if std::io::stdin().is_terminal() => Input::Lines,
            (true, _) if is_dev_null() => Input::None,
            (true, _) => Input::Port,
        }
    }
}

/// How the program's output leaves the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// On the console, byte by byte, between the kernel's messages.
    Console,
    /// Through a port; to the program it is a terminal, so that each line leaves at once.
    Terminal,
    /// Through a port; to the program it is a pipe, as our own standard output is.
    Pipe,
}

impl Output {
    /// What a run needs: what our standard output is, as far as somebody reads it.
    pub fn of(request: &Request) -> Self {
        match &request.what {
            // A person sits at the console, or no init opens the port.
            What::Shell | What::Pid1(_) => Output::Console,
            // Boots in which instructions are counted have no devices beyond need.
            _ if request.icount => Output::Console,
            _ if request.attach && !std::io::stdout().is_terminal() => Output::Pipe,
            _ => Output::Terminal,
        }
    }

    /// The word by which init knows it; a console is what it has anyway.
    pub(super) fn word(self) -> Option<&'static str> {
        match self {
            Output::Console => None,
            Output::Terminal => Some("ukl.output=terminal"),
            Output::Pipe => Some("ukl.output=pipe"),
        }
    }
}

fn is_dev_null() -> bool {
    use std::os::unix::fs::MetadataExt;
    let same = |a: std::fs::Metadata, b: std::fs::Metadata| a.rdev() == b.rdev() && a.file_type() == b.file_type();
    // A closed standard input is as good as none.
    let ours = std::fs::metadata("/dev/stdin");
    ours.map_or(true, |ours| std::fs::metadata("/dev/null").is_ok_and(|null| same(ours, null)))
}
