//! A process that is told apart from a later one with the same number: by its start, and by the machine's.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::base::error::Result;

/// One process of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    /// Its number.
    pub(super) pid: u32,
    /// When it started, in ticks since the machine did.
    pub(super) start: u64,
    /// The machine's start.
    pub(super) boot: String,
}

impl Process {
    /// Ourselves.
    pub(super) fn own() -> Result<Self> {
        let pid = std::process::id();
        let (_, start) = stat(pid).ok_or_else(|| anyhow::anyhow!("no `/proc/{pid}/stat`"))?;
        Ok(Process { pid, start, boot: boot() })
    }

    /// True while it runs; one that has ended and was not waited for does not.
    pub(super) fn is_alive(&self) -> bool {
        let runs = stat(self.pid).is_some_and(|(state, start)| start == self.start && !"ZX".contains(state));
        runs && self.boot == boot()
    }

    /// Sends it a signal, if it still runs.
    pub(super) fn signal(&self, signal: i32) {
        if self.is_alive() {
            // SAFETY: kill(2) takes plain integers.
            unsafe { libc::kill(self.pid as i32, signal) };
        }
    }
}

/// State and start of a process.
fn stat(pid: u32) -> Option<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything; its closing bracket is the last one.
    let (_, rest) = text.rsplit_once(')')?;
    let mut words = rest.split_whitespace();
    let state = words.next()?.chars().next()?;
    Some((state, words.nth(18)?.parse().ok()?))
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_lives_and_its_namesakes_do_not() {
        let own = Process::own().unwrap();
        assert!(own.is_alive() && own.start > 0 && own.boot.len() == 36, "{own:?}");
        assert!(!Process { start: own.start + 1, ..own.clone() }.is_alive());
        assert!(!Process { boot: String::new(), ..own.clone() }.is_alive());
        assert!(!Process { pid: u32::MAX, ..own }.is_alive());
    }
}
