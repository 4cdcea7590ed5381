//! One error type for everything a user may see: whose fault, what, hint, command, log.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The result of every fallible function of this crate.
pub type Result<T> = anyhow::Result<T>;

/// Whose fault a failure is; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Class {
    /// The command line or the manifest: exit code 2 (as clap's own errors).
    Usage,
    /// This machine: a missing tool, a full disk, no network: exit code 120.
    Host,
    /// The program to be linked: does not compile, undefined symbol: exit code 121.
    App,
    /// Kernel source, patches, configuration or kernel build: exit code 122.
    Kernel,
    /// QEMU or the guest did not come up: exit code 123.
    Boot,
}

impl Class {
    /// The documented exit code of this class.
    pub const fn exit_code(self) -> u8 {
        match self {
            Class::Usage => 2,
            Class::Host => 120,
            Class::App => 121,
            Class::Kernel => 122,
            Class::Boot => 123,
        }
    }

    /// The word that error messages use.
    pub const fn word(self) -> &'static str {
        match self {
            Class::Usage => "usage",
            Class::Host => "host",
            Class::App => "app",
            Class::Kernel => "kernel",
            Class::Boot => "boot",
        }
    }
}

/// Exit code of `ukl run` when the time limit ended the guest (as `timeout(1)`).
pub const EXIT_TIMEOUT: u8 = 124;
/// Exit code after Ctrl-C (128 + SIGINT, as shells report it).
pub const EXIT_INTERRUPTED: u8 = 130;
/// Exit code of `ukl run` when the guest kernel panicked.
pub const EXIT_PANIC: u8 = 255;
/// Exit code of an error that carries no class: a defect of ukl itself.
pub const EXIT_INTERNAL: u8 = 125;

/// A failure with everything its message needs. Built with [`fail`].
#[derive(Debug)]
pub struct Failure {
    /// Whose fault it is.
    pub class: Class,
    /// What failed: a lower-case fragment without a full stop.
    pub message: String,
    /// What the user can do about it.
    pub hint: Option<String>,
    /// The command that failed, as a person would type it.
    pub command: Option<String>,
    /// The file with the whole story.
    pub log: Option<PathBuf>,
}

/// Starts a [`Failure`] of `class`: `return Err(fail(Class::App, "…").hint("…").into())`.
pub fn fail(class: Class, message: impl Into<String>) -> Failure {
    Failure { class, message: message.into(), hint: None, command: None, log: None }
}

impl Failure {
    /// Adds the way out.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the command that failed.
    pub fn command(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into());
        self
    }

    /// Adds the log file's path.
    pub fn log(mut self, log: impl Into<PathBuf>) -> Self {
        self.log = Some(log.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Everything that is said about an error, whatever its type.
#[derive(Debug, Serialize)]
pub struct Description {
    /// What failed: contexts added with `anyhow::Context`, then the failure's own message.
    pub message: String,
    /// The class in a word; `ukl` for a defect of ours.
    pub blame: &'static str,
    /// The command that failed.
    pub command: Option<String>,
    /// The file with the whole story.
    pub log: Option<PathBuf>,
    /// The way out.
    pub hint: Option<String>,
    /// The process's exit code.
    #[serde(skip)]
    pub code: u8,
}

/// Begins the message when our own output cannot be written.
pub const STDOUT_FAILED: &str = "failed to write to standard output";

const DISK_FULL: &str = "the disk is full; `ukl cache prune` removes what no build used lately";

/// Whose fault `error` is, and what there is to say about it.
///
/// What the system refused is this machine's matter; anything else without a class is a defect of ours.
pub fn describe(error: &anyhow::Error) -> Description {
    let message = error.chain().map(|e| e.to_string()).collect::<Vec<_>>().join(": ");
    let failure = error.chain().find_map(|e| e.downcast_ref::<Failure>());
    let refused = || error.chain().any(|e| e.is::<std::io::Error>()).then_some(Class::Host);
    let mut class = failure.map(|f| f.class).or_else(refused);
    let mut hint = failure.and_then(|f| f.hint.clone());
    // Compilers and linkers report it in these words too, and the program is not to blame for that.
    if message.contains("No space left on device") && !message.contains(STDOUT_FAILED) {
        (class, hint) = (Some(Class::Host), Some(DISK_FULL.into()));
    }
    let (forbidden, read_only) = (std::io::ErrorKind::PermissionDenied, std::io::ErrorKind::ReadOnlyFilesystem);
    let io = error.chain().find_map(|e| e.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
    if hint.is_none() && (io == Some(forbidden) || io == Some(read_only)) {
        hint = Some(NOT_OURS.into());
    }
    Description {
        message,
        blame: class.map_or("ukl", Class::word),
        command: failure.and_then(|f| f.command.clone()),
        log: failure.and_then(|f| f.log.clone()),
        hint,
        code: class.map_or(EXIT_INTERNAL, Class::exit_code),
    }
}

/// What somebody can do who may not write where we do.
const NOT_OURS: &str =
    "it belongs to somebody else, or is read-only: `XDG_CACHE_HOME=DIR` keeps what builds share elsewhere, \
                        `-o DIR` the image";

/// The whole message for the user and the exit code.
pub fn render(error: &anyhow::Error) -> (String, u8) {
    render_with(error, true)
}

/// As [`render`]; unless `whole`, a long command without its middle, so that what follows stays on the screen.
pub fn render_with(error: &anyhow::Error, whole: bool) -> (String, u8) {
    let described = describe(error);
    let mut text = format!("error: {}\n  blame   {}", described.message, described.blame);
    if let Some(command) = &described.command {
        let command = if whole { command.clone() } else { shorten(command) };
        text.push_str(&format!("\n  command {command}"));
    }
    if let Some(log) = &described.log {
        text.push_str(&format!("\n  log     {}", log.display()));
    }
    if let Some(hint) = &described.hint {
        // Several lines are commands, one under the other.
        text.push_str(&format!("\n  hint    {}", hint.replace('\n', "\n          ")));
    }
    (text, described.code)
}

/// So long a command may be before what follows is pushed off the screen.
const COMMAND_MAX: usize = 200;

/// A long command without its middle; `-v`, the log and `--json` have all of it.
fn shorten(command: &str) -> String {
    let length = command.chars().count();
    if length <= COMMAND_MAX {
        return command.to_owned();
    }
    let head: String = command.chars().take(COMMAND_MAX - 60).collect();
    let tail: String = command.chars().skip(length - 40).collect();
    format!("{head} … {tail} ({length} characters: `-v` shows all)")
}

/// "Did you mean": the word of `known` that looks most like `got`, if any does.
pub fn nearest<'a>(got: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let score = |name: &str| strsim::jaro_winkler(&got.to_lowercase(), &name.to_lowercase());
    let scored = known.into_iter().map(|name| (score(name), name)).filter(|(score, _)| *score > 0.8);
    scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_prints_blame_command_log_and_hint_in_that_order() {
        let error: anyhow::Error = fail(Class::App, "no such file").hint("check").command("$ cc").log("/l").into();
        let (text, code) = render(&error.context("compiling"));
        assert_eq!(
            text,
            "error: compiling: no such file\n  blame   app\n  command $ cc\n  log     /l\n  hint    check"
        );
        assert_eq!(code, 121);
    }

    #[test]
    fn a_long_command_leaves_log_and_hint_on_the_screen() {
        let command = format!("cc {}end", "-I/some/where ".repeat(100));
        let (text, _) = render_with(&fail(Class::App, "no").command(command).log("/l").hint("h").into(), false);
        assert!(text.len() < 400 && text.contains("\n  log     /l\n  hint    h"), "{text}");
        assert!(
            text.contains("  command cc -I/some/where") && text.contains("end (1406 characters: `-v` shows all)"),
            "{text}"
        );
    }

    #[test]
    fn who_may_not_write_learns_where_else_to() {
        for code in [libc::EACCES, libc::EROFS] {
            let error =
                anyhow::Error::from(std::io::Error::from_raw_os_error(code)).context("failed to open `x/locks/y`");
            let (text, exit) = render(&error);
            assert!(text.contains("blame   host") && text.contains("`XDG_CACHE_HOME=DIR` keeps"), "{text}");
            assert_eq!(exit, Class::Host.exit_code());
        }
    }

    #[test]
    fn what_the_system_refuses_is_the_hosts_fault() {
        let full = anyhow::Error::from(std::io::Error::from_raw_os_error(libc::ENOSPC)).context("failed to write `x`");
        let (text, code) = render(&full);
        assert!(text.starts_with("error: failed to write `x`: No space left on device"), "{text}");
        assert!(text.contains("\n  blame   host\n  hint    the disk is full"), "{text}");
        assert_eq!(code, 120);
        let linker: anyhow::Error = fail(Class::App, "ld: final link failed: No space left on device").into();
        assert_eq!(render(&linker).1, 120);
        assert_eq!(render(&anyhow::anyhow!("odd")), ("error: odd\n  blame   ukl".into(), 125));
    }
}
