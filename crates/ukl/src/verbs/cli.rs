//! The command line as typed words; what they mean is decided in `commands`.

mod bench;
mod guests;
mod project;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::base::term;
use crate::manifest::{self, Disk, Share};

pub use bench::{BenchArgs, BenchCommand, CountArgs, ServeArgs};
pub use guests::{AttendArgs, KillArgs, LogsArgs, RmArgs, StopArgs};
pub use project::{
    ConfigureArgs, DefconfigArgs, ExplainArgs, InitArgs, MenuconfigArgs, OptionsArgs, Plat, PlatOption, ProjectOption,
    UpdateArgs,
};

const EXIT_CODES: &str = "\
Exit codes:
  0–255  of `run` and `up`: the program's own, 128+N after signal N
  2      wrong usage or manifest          122  kernel source, patches or build
  120    this machine lacks something     123  QEMU or the guest did not come up
  121    the program cannot be built      124  time limit   130  interrupted
  255    the guest kernel panicked        125  a defect of ukl itself";

/// Turn a C program into a Linux image that runs it inside the kernel.
#[derive(Debug, Parser)]
#[command(name = "ukl", version, max_term_width = 100, after_help = EXIT_CODES, disable_help_subcommand = true)]
#[command(infer_subcommands = false, arg_required_else_help = true)]
pub struct Cli {
    /// Options that every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Print every command and run none of them
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Show commands as they run
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Print one JSON object on standard output (docs/json.md)
    #[arg(long, global = true)]
    pub json: bool,
    /// When to colour messages: auto, always or never
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    pub color: ColorChoice,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List what `ukl init` can begin with
    List,
    /// Begin a project with a template's files
    Init(InitArgs),
    /// Change platform, machine and kernel options of a project; asks on a terminal
    Configure(ConfigureArgs),
    /// Set kernel options of a project
    Set(OptionsArgs),
    /// Switch kernel options of a project off
    Unset(OptionsArgs),
    /// Take a project's kernel options from a configuration file
    Defconfig(DefconfigArgs),
    /// Choose a project's kernel options on the kernel's own screens
    Menuconfig(MenuconfigArgs),
    /// Take the distribution's sources as they are now, and renew ukl.lock
    Update(UpdateArgs),
    /// Tell what the next build would make again and why, or where a kernel option's value comes from
    Explain(ExplainArgs),
    /// Build the image
    Build(BuildArgs),
    /// Write a plain shell script with every command of the build and the boot
    Script(ScriptArgs),
    /// Boot the image that was built last; exits as the program does
    Run(RunArgs),
    /// Build, then run
    Up(UpArgs),
    /// List the guests that run in the background, and those that ended
    Ps,
    /// Print what a guest in the background prints
    Logs(LogsArgs),
    /// Stop guests: SIGTERM to the program, SIGKILL after a while
    Stop(StopArgs),
    /// Send the programs of guests a signal
    Kill(KillArgs),
    /// Remove what ended guests left
    Rm(RmArgs),
    /// The process beside a guest in the background
    #[command(hide = true)]
    Attend(AttendArgs),
    /// Show what is linked in: sections, symbols, imports, system call sites, red zones
    Inspect(InspectArgs),
    /// Measure: every sample kept, median and range reported
    Bench(BenchArgs),
    /// Print the variables that make a build system use `ukl cc`: eval "$(ukl env)"
    Env(EnvArgs),
    /// The C compiler, for build systems: CC="ukl cc"
    #[command(disable_help_flag = true)]
    Cc(ToolArgs),
    /// The archiver, for build systems: AR="ukl ar"
    #[command(disable_help_flag = true)]
    Ar(ToolArgs),
    /// The linker, which `ukl cc` calls
    #[command(disable_help_flag = true)]
    Ld(ToolArgs),
    /// Run the conformance suite in ring 3 and in app mode, and compare
    Test(TestArgs),
    /// Show what this machine lacks for building and booting
    Doctor(DoctorArgs),
    /// Remove the image folder
    Clean(CleanArgs),
    /// Show or prune what builds share
    Cache(CacheArgs),
    /// Prefix every symbol of an object or archive (as `objcopy --prefix-symbols`)
    Prefix(PrefixArgs),
    /// Print a completion script
    Completions {
        /// bash, zsh, fish, elvish or powershell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one page per command
    Man {
        /// Folder to write the pages to
        dir: Option<PathBuf>,
    },
}

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
    /// Build a kernel with debugging aids
    #[arg(long, help_heading = "Build options")]
    pub debug_kernel: bool,
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
    /// Stop the guest after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Boot options")]
    pub timeout: Option<u64>,
}

/// How to boot.
#[derive(Debug, Clone, Default, Args)]
pub struct BootOptions {
    /// The machine.
    #[command(flatten)]
    pub machine: MachineOptions,
    /// Forward a TCP port of this machine to the guest
    #[arg(short, long = "port", value_name = "HOST:GUEST", value_parser = manifest::port, help_heading = "Boot options")]
    pub ports: Vec<(u16, u16)>,
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

/// `ukl build`.
#[derive(Debug, Clone, Args)]
pub struct BuildArgs {
    /// What to build.
    #[command(flatten)]
    pub target: Target,
    /// Where it runs.
    #[command(flatten)]
    pub plat: PlatOption,
    /// How.
    #[command(flatten)]
    pub build: BuildOptions,
}

/// `ukl script`.
#[derive(Debug, Clone, Args)]
pub struct ScriptArgs {
    /// A folder with ukl.toml, or C files [default: the current folder]
    #[arg(value_name = "DIR|FILE")]
    pub target: Vec<PathBuf>,
    /// Where to write it [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Let GNU objcopy rename the symbols
    #[arg(long)]
    pub objcopy: bool,
    /// How to build.
    #[command(flatten)]
    pub build: BuildOptions,
}

/// `ukl run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// What to run.
    #[command(flatten)]
    pub target: Target,
    /// Where it runs.
    #[command(flatten)]
    pub plat: PlatOption,
    /// How.
    #[command(flatten)]
    pub boot: BootOptions,
}

/// `ukl up`.
#[derive(Debug, Clone, Args)]
pub struct UpArgs {
    /// Begin the project with a template first, in DIR or a folder of its name
    #[arg(short, long, value_name = "TEMPLATE")]
    pub template: Option<String>,
    /// What to build and run.
    #[command(flatten)]
    pub target: Target,
    /// Where it runs.
    #[command(flatten)]
    pub plat: PlatOption,
    /// How to build.
    #[command(flatten)]
    pub build: BuildOptions,
    /// How to run.
    #[command(flatten)]
    pub boot: BootOptions,
}

/// `ukl inspect`.
#[derive(Debug, Clone, Args)]
pub struct InspectArgs {
    /// A project, an image folder, or an object or archive such as UKL.a
    #[arg(value_name = "DIR|FILE")]
    pub target: Option<PathBuf>,
    /// How many of the biggest symbols to show
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub top: usize,
}

/// `ukl doctor`.
#[derive(Debug, Clone, Copy, Args)]
pub struct DoctorArgs {
    /// Install what is missing (as root, or with sudo that needs no password)
    #[arg(long)]
    pub install: bool,
}

/// `ukl env`.
#[derive(Debug, Clone, Args)]
pub struct EnvArgs {
    /// gcc, clang or the path of one
    #[arg(long, value_name = "CC", default_value = "gcc")]
    pub compiler: String,
    /// Folder with libraries that were installed with `ukl cc`, and for further ones
    #[arg(long, value_name = "DIR")]
    pub prefix: Option<PathBuf>,
}

/// A tool that stands for another: every argument is that one's.
#[derive(Debug, Clone, Args)]
pub struct ToolArgs {
    /// As gcc, ar or ld take them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<String>,
}

/// `ukl clean`.
#[derive(Debug, Clone, Args)]
pub struct CleanArgs {
    /// Whose image to remove.
    #[command(flatten)]
    pub target: Target,
}

/// `ukl test`.
#[derive(Debug, Clone, Args)]
pub struct TestArgs {
    /// Run only these cases
    #[arg(value_name = "CASE", conflicts_with = "endurance")]
    pub cases: Vec<String>,
    /// Image folder [default: build/guest, or build/NAME with --suite]
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// The long version of cases that have one (minutes more)
    #[arg(long)]
    pub full: bool,
    /// Instead: mixed load for so many seconds, many starts, the end of memory
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "60", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub endurance: Option<u32>,
    /// How often --endurance starts the program
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..), requires = "endurance")]
    pub starts: u32,
    /// Instead: a public test suite, unmodified: posix or uring (docs/conformance.md)
    #[arg(long, value_name = "NAME", value_parser = crate::measure::suite::NAMES, hide_possible_values = true, conflicts_with_all = ["endurance", "full"])]
    pub suite: Option<String>,
    /// Write the results of --suite to a file
    #[arg(long, value_name = "FILE", requires = "suite")]
    pub record: Option<PathBuf>,
    /// Send the guest a non-maskable interrupt every so many milliseconds while the cases run
    #[arg(long, value_name = "MS", num_args = 0..=1, default_missing_value = "2", value_parser = clap::value_parser!(u64).range(1..))]
    pub nmi: Option<u64>,
    /// How to build.
    #[command(flatten)]
    pub build: BuildOptions,
    /// Where to run.
    #[command(flatten)]
    pub machine: MachineOptions,
}

/// `ukl cache`.
#[derive(Debug, Args)]
pub struct CacheArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: CacheCommand,
}

/// What to do with the cache.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum CacheCommand {
    /// List entries with their sizes and last use
    Ls,
    /// Remove entries
    Prune {
        /// Keep entries that were used in the last so many days
        #[arg(long, value_name = "DAYS", default_value_t = 30)]
        unused_for: u64,
        /// Remove everything
        #[arg(long, conflicts_with = "unused_for")]
        all: bool,
    },
}

/// `ukl prefix`.
#[derive(Debug, Clone, Args)]
pub struct PrefixArgs {
    /// Object or archive
    pub input: PathBuf,
    /// Where to write it [default: in place]
    pub output: Option<PathBuf>,
    /// The prefix, under objcopy's name for it as well; an empty one changes no name
    #[arg(long, visible_alias = "prefix-symbols", default_value = "ukl_")]
    pub prefix: String,
    /// Leave the linker's own names alone, as image builds do
    #[arg(long)]
    pub exempt: bool,
    /// Turn the marked system calls of an object into jumps first, as image builds do
    #[arg(long, requires = "exempt")]
    pub sites: bool,
}

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl From<ColorChoice> for term::Color {
    fn from(choice: ColorChoice) -> Self {
        match choice {
            ColorChoice::Auto => term::Color::Auto,
            ColorChoice::Always => term::Color::Always,
            ColorChoice::Never => term::Color::Never,
        }
    }
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
