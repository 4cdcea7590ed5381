//! Waiting for what must come, and never for time to pass; processes and signals.

use std::fs;
use std::io::Read;
use std::process::Command;
use std::time::{Duration, Instant};

/// Long enough for a busy machine, shorter than anything slow that a test starts; no test waits for it to pass.
pub const PATIENCE: Duration = Duration::from_secs(300);
const TICK: Duration = Duration::from_millis(20);

/// Asks until the answer is yes; false when it was not in a long time.
pub fn wait(mut ask: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if ask() {
            return true;
        }
        if start.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(TICK);
    }
}

/// Reads until the text has `words`, and panics when it ends before; the rest is left to be read.
#[track_caller]
pub fn says(stream: &mut impl Read, words: &str) -> String {
    let (mut said, mut byte) = (Vec::new(), [0]);
    while !said.ends_with(words.as_bytes()) {
        let read = stream.read(&mut byte).unwrap();
        assert_eq!(read, 1, "no `{words}` in {}", String::from_utf8_lossy(&said));
        said.push(byte[0]);
    }
    String::from_utf8_lossy(&said).into_owned()
}

/// Sends `signal` (`-0` only asks) to a process or, with a minus before the number, to its group; false when there is none.
/// Bash's own kill: a small system has no other that knows groups.
pub fn kill(signal: &str, target: &str) -> bool {
    let script = "kill \"$@\" 2>/dev/null";
    Command::new("bash").args(["-c", script, "bash", signal, "--", target]).status().unwrap().success()
}

/// The processes that have `text` on their command line.
pub fn processes_with(text: &str) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(text) {
            found.push((pid, line));
        }
    }
    found
}
