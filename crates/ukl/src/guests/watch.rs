//! What a running guest costs: the time of its QEMU, and what is left of its memory.

use std::fs;
use std::time::{Duration, Instant};

use formats::console;

use crate::base::error::{fail, Class, Result};

use super::{stop, Guest};

/// The QEMU of a guest.
#[derive(Debug, Clone, Copy)]
pub struct Qemu {
    pid: i32,
    /// Its start, since the machine's.
    start: Duration,
}

/// The kernel looks after its lists of free pages every second.
const REST: Duration = Duration::from_secs(2);
/// How long init may take to answer: it does so from a signal handler.
const ANSWER: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(2);

impl Guest {
    /// The guest's QEMU. Error: it does not run.
    pub fn qemu(&self) -> Result<Qemu> {
        let parent = self.pid.unwrap_or_default();
        let numbers = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let found = numbers.filter(|_| parent != 0).find_map(|pid: i32| {
            let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some(Qemu { pid, start: child(&text, parent, "qemu-system")? })
        });
        Ok(found.ok_or_else(|| fail(Class::Boot, format!("the guest `{}` has no QEMU any more", self.name)))?)
    }

    /// What the guest's kernel would give to programs without paging, in KiB.
    ///
    /// Errors: it does not run, or its init does not answer (class `Boot`).
    pub fn available_kib(&self) -> Result<u64> {
        let answers = || console::control(&fs::read_to_string(self.dir.run().control()).unwrap_or_default());
        let before = answers().available_kib.len();
        let asked = Instant::now();
        stop::say(&self.dir, "memory")?;
        while asked.elapsed() < ANSWER && !crate::base::run::interrupted() {
            if let Some(kib) = answers().available_kib.get(before) {
                return Ok(*kib);
            }
            std::thread::sleep(TICK);
        }
        let failure = fail(Class::Boot, format!("the guest `{}` does not say what is left of its memory", self.name));
        Err(failure.hint("an image of an older version of ukl cannot: build it again").into())
    }

    /// The same after a rest, once connections are taken down and processors gave back what they hoard.
    pub fn rested_kib(&self) -> Result<u64> {
        std::thread::sleep(REST);
        self.available_kib()
    }
}

impl Qemu {
    /// The processor time that it has used.
    pub fn cpu(&self) -> Result<Duration> {
        let mut clock = 0;
        // SAFETY: the function only writes to the integer that it is given.
        let error = unsafe { libc::clock_getcpuclockid(self.pid, &mut clock) };
        match error {
            0 => read(clock),
            error => Err(std::io::Error::from_raw_os_error(error).into()),
        }
    }

    /// What it takes of this machine's memory, in KiB.
    pub fn resident_kib(&self) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        kib.ok_or_else(|| anyhow::anyhow!("process {} has ended", self.pid))
    }

    /// The time since its start, to a hundredth of a second.
    pub fn age(&self) -> Result<Duration> {
        Ok(read(libc::CLOCK_BOOTTIME)?.saturating_sub(self.start))
    }
}

fn read(clock: libc::clockid_t) -> Result<Duration> {
    // SAFETY: zeros are a valid timespec, and the function only writes to it.
    let (status, time) = unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        (libc::clock_gettime(clock, &mut time), time)
    };
    anyhow::ensure!(status == 0, "failed to read a clock: {}", std::io::Error::last_os_error());
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// The start of a process since the machine's, if it is a child of `parent` with such a name.
fn child(stat: &str, parent: u32, name: &str) -> Option<Duration> {
    // The name may hold anything; its closing bracket is the last one.
    let (head, rest) = stat.rsplit_once(')')?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let is_ours = head.split_once('(')?.1.starts_with(name) && words.get(1)?.parse() == Ok(parent);
    let ticks: u64 = words.get(19)?.parse().ok()?;
    // SAFETY: sysconf takes a plain integer.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as u64;
    is_ours.then(|| Duration::from_millis(ticks * 1000 / per_second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qemu_is_known_by_its_parent_and_its_name() {
        let line = "12 (qemu-system-x86) S 7 1 1 0 -1 0 0 0 0 0 150 20 0 0 20 0 4 0 12345 0 0";
        assert_eq!(child(line, 7, "qemu-system"), Some(Duration::from_millis(123_450)));
        assert_eq!(child(line, 8, "qemu-system"), None);
        assert_eq!(child(&line.replace("qemu", "virtiofsd) ("), 7, "qemu-system"), None);
        assert_eq!(child("", 7, "qemu-system"), None);
    }

    #[test]
    fn the_clocks_of_a_process_go_forward() {
        let pid = std::process::id();
        let text = fs::read_to_string("/proc/self/stat").unwrap();
        let parent = text.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap().parse().unwrap();
        let own = Qemu { pid: pid as i32, start: child(&text, parent, "").unwrap() };
        let (cpu, age) = (own.cpu().unwrap(), own.age().unwrap());
        assert!(age < Duration::from_secs(3600), "{age:?}");
        assert!((1000..1 << 24).contains(&own.resident_kib().unwrap()));
        while own.cpu().unwrap() == cpu {}
        assert!(own.age().unwrap() >= age);
    }
}
