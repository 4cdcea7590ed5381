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

/// `ukl kill`.
#[derive(Debug, Clone, Args)]
pub struct KillArgs {
    /// The guests
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    /// The signal, by name or number
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL", value_parser = signal)]
    pub signal: i32,
}

/// `HUP`, `SIGHUP` or `1` → 1.
fn signal(text: &str) -> Result<i32, String> {
    const NAMES: [(&str, i32); 11] = [
        ("HUP", libc::SIGHUP),
        ("INT", libc::SIGINT),
        ("QUIT", libc::SIGQUIT),
        ("ABRT", libc::SIGABRT),
        ("KILL", libc::SIGKILL),
        ("USR1", libc::SIGUSR1),
        ("USR2", libc::SIGUSR2),
        ("TERM", libc::SIGTERM),
        ("CONT", libc::SIGCONT),
        ("STOP", libc::SIGSTOP),
        ("WINCH", libc::SIGWINCH),
    ];
    let name = text.strip_prefix("SIG").unwrap_or(text);
    let named = NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
    let number = named.or_else(|| text.parse().ok().filter(|number| (1..=64).contains(number)));
    number.ok_or_else(|| {
        format!("`{text}` is no signal: write a number, or one of {}", NAMES.map(|(name, _)| name).join(", "))
    })
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
