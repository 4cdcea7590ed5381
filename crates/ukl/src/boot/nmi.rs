//! Interrupts that cannot be masked, from QEMU's monitor: they arrive between any two instructions of the guest.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use formats::console;

/// How often we look whether the guest is up.
const TICK: Duration = Duration::from_millis(10);

/// Injects until it is dropped.
pub(super) struct Injector {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Injector {
    /// Sends one interrupt `every` so often to QEMU's monitor at `socket`, from the moment when the guest's init wrote
    /// to `control` until `programs` programs have ended: a request that meets QEMU's own end can keep it from ending.
    pub(super) fn start(every: Duration, socket: PathBuf, control: PathBuf, programs: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            // A monitor that went away is a guest that ended.
            let _ = inject(&socket, &control, every, programs, &stopped);
        });
        Injector { stop, thread: Some(thread) }
    }
}

impl Drop for Injector {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn inject(socket: &Path, control: &Path, every: Duration, programs: usize, stop: &AtomicBool) -> std::io::Result<()> {
    // Before the kernel is up there is nobody to take one.
    while fs::metadata(control).map_or(0, |facts| facts.len()) == 0 {
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        std::thread::sleep(TICK);
    }
    let mut to = UnixStream::connect(socket)?;
    to.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut from = BufReader::new(to.try_clone()?);
    let mut answer = String::new();
    from.read_line(&mut answer)?;
    to.write_all(b"{\"execute\":\"qmp_capabilities\"}\n")?;
    from.read_line(&mut answer)?;
    while !stop.load(Ordering::Relaxed) && ended(control)? < programs {
        to.write_all(b"{\"execute\":\"inject-nmi\"}\n")?;
        answer.clear();
        // The answer, or an event: either says that QEMU keeps up.
        if from.read_line(&mut answer)? == 0 {
            break;
        }
        std::thread::sleep(every);
    }
    Ok(())
}

/// How many programs have ended.
fn ended(control: &Path) -> std::io::Result<usize> {
    let text = fs::read(control)?;
    let control = console::control(&String::from_utf8_lossy(&text));
    Ok(control.runs.iter().filter(|run| run.end.is_some()).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn interrupts_begin_when_the_guest_is_up_and_end_with_the_injector() {
        let dir = tempfile::tempdir().unwrap();
        let control = dir.path().join("control");
        let socket = dir.path().join("monitor");
        let injector = Injector::start(Duration::from_millis(1), socket.clone(), control.clone(), 1);
        let listener = UnixListener::bind(socket).unwrap();
        fs::write(&control, "start\n").unwrap();
        let (mut qemu, _) = listener.accept().unwrap();
        qemu.write_all(b"{\"QMP\":{}}\n").unwrap();
        let mut said = BufReader::new(qemu.try_clone().unwrap());
        let mut lines = [String::new(), String::new(), String::new()];
        for line in &mut lines {
            said.read_line(line).unwrap();
            qemu.write_all(b"{\"return\":{}}\n").unwrap();
        }
        assert!(lines[0].contains("qmp_capabilities"), "{lines:?}");
        assert!(lines[1].contains("inject-nmi") && lines[2].contains("inject-nmi"), "{lines:?}");
        fs::write(&control, "start\nrun 0\nexit 0\n").unwrap();
        // No more requests after the program's end: the stream ends.
        while said.read_line(&mut lines[0]).unwrap() > 0 {
            let _ = qemu.write_all(b"{\"return\":{}}\n");
        }
        drop(injector);
    }

    #[test]
    fn a_guest_that_never_comes_up_holds_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let (socket, control) = (dir.path().join("monitor"), dir.path().join("control"));
        drop(Injector::start(Duration::from_millis(1), socket, control, 1));
    }
}
