//! The command line of the verbs on a project: list, init, configure, set, unset, defconfig, menuconfig, explain.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::manifest;

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

/// `ukl init`.
#[derive(Debug, Clone, Args)]
pub struct InitArgs {
    /// Which template: see `ukl list`
    #[arg(short, long, value_name = "TEMPLATE")]
    pub template: Option<String>,
    /// The new project's folder [default: the current one]
    pub dir: Option<PathBuf>,
}

/// Which project's manifest is changed.
#[derive(Debug, Clone, Default, Args)]
pub struct ProjectOption {
    /// The project's folder, or its ukl.toml [default: the current folder]
    #[arg(short = 'C', long = "project", value_name = "DIR")]
    pub project: Option<PathBuf>,
}

/// `ukl configure`.
#[derive(Debug, Clone, Args)]
pub struct ConfigureArgs {
    /// The project's folder, or its ukl.toml [default: the current folder]
    #[arg(value_name = "DIR")]
    pub project: Option<PathBuf>,
    /// The platform.
    #[command(flatten)]
    pub plat: PlatOption,
    /// Number of CPUs
    #[arg(long, alias = "smp", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub cpus: Option<u32>,
    /// Memory of the guest, e.g. 128M
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub memory: Option<String>,
    /// Set a kernel option
    #[arg(long, value_name = "OPTION[=VALUE]")]
    pub set: Vec<String>,
    /// Switch a kernel option off
    #[arg(long, value_name = "OPTION")]
    pub unset: Vec<String>,
}

/// A memory size that is kept as it was written.
fn memory(text: &str) -> Result<String, String> {
    manifest::memory_mib(text).map(|_| text.to_owned())
}

/// `ukl set` and `ukl unset`.
#[derive(Debug, Clone, Args)]
pub struct OptionsArgs {
    /// Kernel options, with or without CONFIG_ in front; `set` takes OPTION=VALUE too
    #[arg(value_name = "OPTION", required = true)]
    pub options: Vec<String>,
    /// Of which project.
    #[command(flatten)]
    pub project: ProjectOption,
}

/// `ukl defconfig`.
#[derive(Debug, Clone, Args)]
pub struct DefconfigArgs {
    /// A kernel configuration: a whole .config, or a fragment
    pub file: PathBuf,
    /// Of which project.
    #[command(flatten)]
    pub project: ProjectOption,
    /// The other way round: write the project's own options to FILE
    #[arg(long)]
    pub save: bool,
}

/// `ukl menuconfig`.
#[derive(Debug, Clone, Args)]
pub struct MenuconfigArgs {
    /// The project's folder, or its ukl.toml [default: the current folder]
    #[arg(value_name = "DIR")]
    pub project: Option<PathBuf>,
}

/// `ukl explain`.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// A kernel option, or a project as `ukl build` takes it [default: the current folder]
    #[arg(value_name = "OPTION|DIR|FILE")]
    pub what: Vec<PathBuf>,
    /// Of which project, for an option.
    #[command(flatten)]
    pub project: ProjectOption,
}

/// `ukl update`.
#[derive(Debug, Clone, Args)]
pub struct UpdateArgs {
    /// The project's folder, or its ukl.toml [default: the current folder]
    #[arg(value_name = "DIR")]
    pub project: Option<PathBuf>,
}
