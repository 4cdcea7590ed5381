//! Options that several verbs take.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::base::error::{fail, Class};
use crate::base::units;
use crate::manifest::{self, Disk, Libc, Share};

/// What to build, and where the image is.
#[derive(Debug, Clone, Default, Args)]
pub struct Target {
    /// A folder with ukl.toml, C files, or a program that `ukl cc` linked [default: the current folder]
    #[arg(value_name = "DIR|FILE")]
    pub target: Vec<PathBuf>,
    /// Image folder [default: build/NAME in the project's folder]
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// What replaces values of the manifest when building.
#[derive(Debug, Clone, Default, Args)]
pub struct BuildOptions {
    /// `debian`, or a kernel tree or tarball (never modified)
    #[arg(long, value_name = "SOURCE", help_heading = "Build options")]
    pub kernel_source: Option<String>,
    /// gcc, clang or the path of one
    #[arg(long, value_name = "CC", help_heading = "Build options")]
    pub compiler: Option<String>,
    /// The C library: musl or glibc [default: the manifest's]
    #[arg(long, value_name = "LIBC", value_parser = libc, help_heading = "Build options")]
    pub libc: Option<Libc>,
    /// Build a kernel with debugging aids
    #[arg(long, help_heading = "Build options")]
    pub debug_kernel: bool,
}

/// `musl` or `glibc`.
pub(super) fn libc(name: &str) -> Result<Libc, String> {
    Libc::from_name(name).ok_or_else(|| format!("`{name}` is no C library: write `musl` or `glibc`"))
}

/// Which project's manifest is changed.
#[derive(Debug, Clone, Default, Args)]
pub struct ProjectOption {
    /// The project's folder, or its ukl.toml [default: the current folder]
    #[arg(short = 'C', long = "project", value_name = "DIR")]
    pub project: Option<PathBuf>,
}

impl ProjectOption {
    /// The project: `-C DIR`, or `dir`, or the current folder.
    pub fn or(&self, dir: Option<&Path>) -> PathBuf {
        self.project.as_deref().or(dir).unwrap_or(Path::new(".")).to_owned()
    }
}

/// Where the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Plat {
    /// Linked into a kernel, on a machine of QEMU's.
    Qemu,
    /// Its ring-3 twin, as an ordinary process of this machine.
    Linuxu,
}

/// `--plat`.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct PlatOption {
    /// Platform: qemu, or linuxu for an ordinary process of this machine [default: the manifest's]
    #[arg(long, value_name = "PLATFORM", hide_possible_values = true)]
    pub plat: Option<Plat>,
}

/// The machine to boot on.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct MachineOptions {
    /// Acceleration: auto, kvm or tcg
    #[arg(
        long,
        value_name = "HOW",
        default_value = "auto",
        help_heading = "Boot options",
        hide_possible_values = true
    )]
    pub accel: Accel,
    /// Machine: auto, microvm or q35
    #[arg(
        long,
        value_name = "TYPE",
        default_value = "auto",
        help_heading = "Boot options",
        hide_possible_values = true
    )]
    pub machine: MachineType,
    /// Memory of the guest, e.g. 128M
    #[arg(long, value_name = "SIZE", value_parser = manifest::memory_mib, help_heading = "Boot options")]
    pub memory: Option<u32>,
    /// Number of CPUs
    #[arg(long, alias = "smp", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64), help_heading = "Boot options")]
    pub cpus: Option<u32>,
    /// Stop the guest after so long: seconds, or as 5m
    #[arg(long, value_name = "TIME", value_parser = units::limit, help_heading = "Boot options")]
    pub timeout: Option<Duration>,
}

/// `--accel`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Accel {
    /// KVM when a probe says that it works, TCG otherwise.
    #[default]
    Auto,
    /// Hardware virtualisation.
    Kvm,
    /// QEMU's own translator.
    Tcg,
}

/// `--machine`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum MachineType {
    /// microvm for one CPU without devices, q35 otherwise.
    #[default]
    Auto,
    /// The fast, minimal machine.
    Microvm,
    /// A PC with PCI.
    Q35,
}

/// `NAME=VALUE`, or `NAME` for a variable of our own.
fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, value.to_owned()),
        None => match std::env::var(text) {
            Ok(value) => (text, value),
            Err(_) => return Err(format!("`{text}` has no value here: write `{text}=VALUE`")),
        },
    };
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.' || c == '-';
    match name.is_empty() || !name.chars().all(is_word) {
        true => Err(format!("`{name}` is not the name of a variable")),
        false => Ok((name.to_owned(), value)),
    }
}

impl BootOptions {
    /// The variables of `--env-file` and `--env`; of several with one name the last counts.
    pub fn variables(&self) -> crate::base::error::Result<BTreeMap<String, String>> {
        let mut variables = BTreeMap::new();
        for file in &self.env_file {
            let text = std::fs::read_to_string(file)
                .map_err(|error| fail(Class::Usage, format!("cannot read `{}`: {error}", file.display())))?;
            let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
            for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
                let (name, value) = variable(line)
                    .map_err(|text| fail(Class::Usage, format!("{}:{number}: {text}", file.display())))?;
                variables.insert(name, value);
            }
        }
        variables.extend(self.env.iter().cloned());
        Ok(variables)
    }

    /// The words of `--qemu-args`, split as a shell would.
    pub fn qemu_words(&self) -> crate::base::error::Result<Vec<String>> {
        let mut words = Vec::new();
        for text in &self.qemu_args {
            let split = shlex::split(text);
            words.extend(split.ok_or_else(|| fail(Class::Usage, format!("`{text}`: a quote is not closed")))?);
        }
        Ok(words)
    }
}

/// How to boot.
#[derive(Debug, Clone, Default, Args)]
pub struct BootOptions {
    /// The machine.
    #[command(flatten)]
    pub machine: MachineOptions,
    /// Forward a port of this machine to the guest: 8080:80, 8080, 8000-8003:9000-9003, 0.0.0.0:8080:80, 53:53/udp
    #[arg(short, long = "port", alias = "publish", value_name = "[ADDRESS:]HOST:GUEST[/udp]", value_parser = manifest::port, help_heading = "Boot options")]
    pub ports: Vec<manifest::Port>,
    /// What the network card is connected to: user, none, tap=NAME or bridge=NAME
    #[arg(long, value_name = "HOW", value_parser = manifest::net, help_heading = "Boot options")]
    pub net: Option<manifest::Net>,
    /// The guest's address: dhcp, or as 172.44.0.2/24,gw=172.44.0.1
    #[arg(long, value_name = "ADDRESS", value_parser = manifest::ip, help_heading = "Boot options")]
    pub ip: Option<manifest::Ip>,
    /// Queues of the network card, one for each CPU at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=manifest::QUEUES_MAX as i64), help_heading = "Boot options")]
    pub queues: Option<u32>,
    /// Give the guest a disk: image FILE, made with SIZE (64M) when it does not exist; OPTIONS: ro, raw
    #[arg(long = "disk", value_name = "FILE[:SIZE]:/PLACE[:OPTIONS]", value_parser = manifest::storage::disk_option, help_heading = "Boot options")]
    pub disks: Vec<Disk>,
    /// Share a folder of this machine with the guest; OPTIONS: ro, virtiofs
    #[arg(long = "share", visible_alias = "volume", value_name = "DIR:/PLACE[:OPTIONS]", value_parser = manifest::storage::share_option, help_heading = "Boot options")]
    pub shares: Vec<Share>,
    /// Run in the background; comes back when the program is ready
    #[arg(short, long, help_heading = "Boot options", conflicts_with = "shell")]
    pub detach: bool,
    /// Name of the guest in the background [default: the image's]
    #[arg(long, value_name = "NAME", value_parser = manifest::name, help_heading = "Boot options", requires = "detach")]
    pub name: Option<String>,
    /// Give the program a variable beside the manifest's; NAME alone takes our own value
    #[arg(short, long = "env", value_name = "NAME=VALUE", value_parser = variable, help_heading = "Boot options")]
    pub env: Vec<(String, String)>,
    /// Variables from a file, one NAME=VALUE a line
    #[arg(long, value_name = "FILE", help_heading = "Boot options")]
    pub env_file: Vec<PathBuf>,
    /// Forget the guest in the background when it ends; one in the foreground leaves nothing anyway
    #[arg(long, help_heading = "Boot options")]
    pub rm: bool,
    /// More words for QEMU, e.g. "-device virtio-rng-device"
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true, help_heading = "Boot options")]
    pub qemu_args: Vec<String>,
    /// More words for the kernel, e.g. loglevel=5: its warnings appear on the console
    #[arg(long, value_name = "WORDS", help_heading = "Boot options")]
    pub append: Vec<String>,
    /// A shell on the console; type the trigger (/UKL) to start the program
    #[arg(long, help_heading = "Boot options", conflicts_with_all = ["pid1", "twin"])]
    pub shell: bool,
    /// The program is process 1; no other program is in the image
    #[arg(long, help_heading = "Boot options", conflicts_with = "twin")]
    pub pid1: bool,
    /// Run the program's ring-3 twin instead
    #[arg(long, help_heading = "Boot options")]
    pub twin: bool,
    /// Arguments of the program, instead of the manifest's
    #[arg(last = true, value_name = "ARGS")]
    pub args: Vec<String>,
}
