//! When the console of a guest in the background showed what: times and places in its log.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::base::error::Result;
use crate::base::workdir::RunDir;

/// What arrives within this time shares an entry.
const GRAIN: Duration = Duration::from_millis(50);

/// Writes the times beside the log.
pub(super) struct Times {
    file: File,
    /// How much the log has.
    bytes: u64,
    last: Option<Duration>,
}

impl Times {
    /// For a guest in the background; nobody asks for those of another.
    pub(super) fn of(files: &RunDir) -> Result<Option<Self>> {
        let file = files.pipe().map(|_| File::create(files.times())).transpose()?;
        Ok(file.map(|file| Times { file, bytes: 0, last: None }))
    }

    /// So many bytes are written to the log now.
    pub(super) fn note(&mut self, bytes: usize) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.last.is_none_or(|last| now.checked_sub(last).is_none_or(|passed| passed >= GRAIN)) {
            self.last = Some(now);
            writeln!(self.file, "{} {}", now.as_millis(), self.bytes)?;
        }
        self.bytes += bytes as u64;
        Ok(())
    }
}

/// Where in the log that begins which was written at `time` (since 1970) or later; nothing when nothing was.
pub fn place(times: &str, time: Duration) -> Option<u64> {
    let entry = |line: &str| -> Option<(u128, u64)> {
        let (time, place) = line.split_once(' ')?;
        Some((time.parse().ok()?, place.parse().ok()?))
    };
    // The clock may have been set back in between: the first entry that is late enough counts, rather a bit too much.
    let is_late = |then: u128| then + GRAIN.as_millis() > time.as_millis();
    times.lines().filter_map(entry).find(|(then, _)| is_late(*then)).map(|(_, place)| place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::workdir::GuestDir;

    #[test]
    fn what_was_written_later_begins_at_its_entry() {
        let times = "1000 0\n2000 50\n2050 70\n";
        let at = |ms| place(times, Duration::from_millis(ms));
        assert_eq!((at(0), at(1049), at(1050), at(2099), at(2100)), (Some(0), Some(0), Some(50), Some(70), None));
        assert_eq!(place("", Duration::ZERO), None);
    }

    #[test]
    fn what_comes_together_has_one_entry() {
        let dir = tempfile::tempdir().unwrap();
        let files = GuestDir::at(dir.path()).run();
        let mut times = Times::of(&files).unwrap().unwrap();
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - Duration::from_millis(1);
        times.note(5).unwrap();
        times.last = times.last.map(|last| last - GRAIN);
        times.note(7).unwrap();
        times.note(1).unwrap();
        let text = std::fs::read_to_string(files.times()).unwrap();
        assert_eq!(place(&text, before), Some(0));
        assert!(text.lines().count() >= 2 && text.lines().nth(1).unwrap().ends_with(" 5"), "{text}");
    }
}
