//! The words of the commands for guests in the background.

use std::path::PathBuf;

use clap::Args;

/// `ukl logs`.
#[derive(Debug, Clone, Args)]
pub struct LogsArgs {
    /// The guest
    pub name: String,
    /// Go on until the guest ends
    #[arg(short, long)]
    pub follow: bool,
}

/// `ukl stop`.
#[derive(Debug, Clone, Args)]
pub struct StopArgs {
    /// The guests
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    /// How long the program may take after SIGTERM before it is killed
    #[arg(short, long, value_name = "SECONDS", default_value_t = 30)]
    pub timeout: u64,
}

/// `ukl rm`.
#[derive(Debug, Clone, Args)]
pub struct RmArgs {
    /// The guests
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    /// Also those that run: they are killed
    #[arg(short, long)]
    pub force: bool,
}

/// `ukl attend`: the process beside a guest, which `ukl run -d` starts.
#[derive(Debug, Clone, Args)]
pub struct AttendArgs {
    /// The guest's folder
    pub dir: PathBuf,
}
