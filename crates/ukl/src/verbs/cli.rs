//! The command line as typed words: every verb, and the groups in which `--help` lists them.

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use super::attend::AttendArgs;
use super::bench::BenchArgs;
use super::build::BuildArgs;
use super::cache::CacheArgs;
use super::clean::CleanArgs;
use super::completions::CompletionsArgs;
use super::configure::ConfigureArgs;
use super::cp::CpArgs;
use super::debug::DebugArgs;
use super::defconfig::DefconfigArgs;
use super::doctor::DoctorArgs;
use super::env::EnvArgs;
use super::exec::{ExecArgs, ShellArgs};
use super::explain::ExplainArgs;
use super::init::InitArgs;
use super::inspect::InspectArgs;
use super::kill::KillArgs;
use super::logs::LogsArgs;
use super::man::ManArgs;
use super::menuconfig::MenuconfigArgs;
use super::pkg::PkgArgs;
use super::prefix::PrefixArgs;
use super::ps::PsArgs;
use super::pull::PullArgs;
use super::push::PushArgs;
use super::rm::RmArgs;
use super::run::RunArgs;
use super::sbom::SbomArgs;
use super::script::ScriptArgs;
use super::set::OptionsArgs;
use super::sign::SignArgs;
use super::stats::StatsArgs;
use super::stop::StopArgs;
use super::test::TestArgs;
use super::tool::ToolArgs;
use super::trigger::TriggerArgs;
use super::up::UpArgs;
use super::update::UpdateArgs;
use super::verify::VerifyArgs;
use super::watch::WatchArgs;
use crate::base::term;

const EXIT_CODES: &str = "\
Exit codes:
  0–255  of `run` and `up`: the program's own, 128+N after signal N
  2      wrong usage or manifest          122  kernel source, patches or build
  120    this machine lacks something     123  QEMU or the guest did not come up
  121    the program cannot be built      124  time limit   130  interrupted
  255    the guest kernel panicked        125  a defect of ukl itself";

/// Turn a C program into a Linux image that runs it inside the kernel.
#[derive(Debug, Parser)]
#[command(name = "ukl", version, max_term_width = 100, after_help = EXIT_CODES)]
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
    /// Build the image
    Build(BuildArgs),
    /// Write a plain shell script with every command of the build and the boot
    Script(ScriptArgs),
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
    /// Prefix every symbol of an object or archive (as `objcopy --prefix-symbols`)
    Prefix(PrefixArgs),
    /// Make the file that starts the program in a linked kernel
    Trigger(TriggerArgs),
    /// Boot the image that was built last; exits as the program does
    Run(RunArgs),
    /// Build, then run
    Up(UpArgs),
    /// Build and start again on each save
    Watch(WatchArgs),
    /// List the guests that run in the background, and those that ended
    Ps(PsArgs),
    /// Print what a guest in the background prints
    Logs(LogsArgs),
    /// Show what guests use: processor and memory
    Stats(StatsArgs),
    /// Stop guests: SIGTERM to the program, SIGKILL after a while
    Stop(StopArgs),
    /// Send the programs of guests a signal
    Kill(KillArgs),
    /// Remove what ended guests left
    Rm(RmArgs),
    /// Run a further program in a guest in the background
    Exec(ExecArgs),
    /// A shell in a guest in the background
    Shell(ShellArgs),
    /// Copy files and folders into a guest in the background, or out of it
    Cp(CpArgs),
    /// The process beside a guest in the background
    #[command(hide = true)]
    Attend(AttendArgs),
    /// Pack images for registries, disks and other people's machines
    Pkg(PkgArgs),
    /// Send an image to a registry
    Push(PushArgs),
    /// Fetch an image from a registry
    Pull(PullArgs),
    /// Print what an image is made of, as SPDX: sources, versions, hashes, licences
    Sbom(SbomArgs),
    /// Sign an image with a key of minisign
    Sign(SignArgs),
    /// Check an image against image.json, ukl.lock and its signature
    Verify(VerifyArgs),
    /// Look at program and kernel with gdb, from the first instruction or in a guest that runs
    Debug(DebugArgs),
    /// Show what is linked in: sections, symbols, imports, system call sites, red zones
    Inspect(InspectArgs),
    /// Tell what the next build makes again and why, or where a kernel option comes from
    Explain(ExplainArgs),
    /// Show what this machine lacks for building and booting
    Doctor(DoctorArgs),
    /// Run the conformance suite in ring 3 and in app mode, and compare
    Test(TestArgs),
    /// Measure: every sample kept, median and range reported
    Bench(BenchArgs),
    /// Take the distribution's sources as they are now, and renew ukl.lock
    Update(UpdateArgs),
    /// Remove the image folder
    Clean(CleanArgs),
    /// Show or prune what builds share
    Cache(CacheArgs),
    /// Print the version
    Version,
    /// Print a completion script
    Completions(CompletionsArgs),
    /// Print the manual page, or write one page per command
    Man(ManArgs),
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

/// What people do, and the verbs for it in the order of use.
const GROUPS: [(&str, &[&str]); 7] = [
    ("Begin", &["list", "init", "configure", "set", "unset", "defconfig", "menuconfig"]),
    ("Build", &["build", "script", "env", "cc", "ar", "ld", "prefix", "trigger"]),
    ("Run", &["run", "up", "watch", "ps", "logs", "stats", "stop", "kill", "rm", "exec", "shell", "cp"]),
    ("Ship", &["pkg", "push", "pull", "sbom", "sign", "verify"]),
    ("Look", &["debug", "inspect", "explain", "doctor"]),
    ("Measure", &["test", "bench"]),
    ("Keep", &["update", "clean", "cache", "version", "completions", "man"]),
];

/// Verbs that neither build a kernel nor read the source of one.
const WITHOUT_KERNEL: [&str; 29] = [
    "stats",
    "cp",
    "exec",
    "shell",
    "list",
    "init",
    "env",
    "cc",
    "ar",
    "ld",
    "prefix",
    "trigger",
    "ps",
    "logs",
    "stop",
    "kill",
    "rm",
    "pkg",
    "push",
    "pull",
    "debug",
    "sign",
    "inspect",
    "doctor",
    "clean",
    "cache",
    "version",
    "completions",
    "man",
];

/// The whole command line; its help lists the verbs in groups.
pub fn command() -> clap::Command {
    let command = Cli::command();
    let mut groups = String::new();
    for (title, verbs) in GROUPS {
        groups.push_str(&format!("{title}:\n"));
        for verb in verbs {
            let about = command.find_subcommand(verb).and_then(clap::Command::get_about).unwrap_or_default();
            let mark = if WITHOUT_KERNEL.contains(verb) { '*' } else { ' ' };
            groups.push_str(&format!("  {verb:<11} {mark} {about}\n"));
        }
        groups.push('\n');
    }
    let note = "Verbs with * need no kernel; nor do `build`, `run` and `up` with --plat linuxu.";
    let options = "Global options:\n{options}{after-help}";
    command.help_template(format!("{{about}}\n\n{{usage-heading}} {{usage}}\n\n{groups}{note}\n\n{options}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_stands_in_one_group() {
        let command = Cli::command();
        let visible = command.get_subcommands().filter(|verb| !verb.is_hide_set()).map(|verb| verb.get_name());
        let grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, verbs)| verbs.iter().copied()).collect();
        assert_eq!(visible.collect::<Vec<_>>(), grouped);
        assert!(WITHOUT_KERNEL.iter().all(|verb| grouped.contains(verb)));
    }
}
