//! Ctrl-C and termination: children are stopped, then everything unwinds as after any error.
//!
//! A signal sets a flag and stops the running children. Their callers see a failure and return,
//! so that temporary folders are dropped as usual; nothing new can be started.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::base::error::{Result, EXIT_INTERRUPTED};
use crate::base::term;

/// Set by the handler itself: whoever sees that a child was stopped by the same Ctrl-C knows why.
static INTERRUPTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);
/// What kill(2) takes: a process, or a group as a negative number.
static LIVE: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Time that children have between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_millis(1500);
/// Time that we have to unwind afterwards.
const UNWIND: Duration = Duration::from_millis(3000);

/// True once SIGINT, SIGTERM or SIGHUP has arrived.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Handles SIGINT, SIGTERM and SIGHUP from now on; a second signal ends the process at once.
pub fn catch_interrupts() -> Result<()> {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, INTERRUPTED.clone())?;
    }
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::spawn(move || {
        for (count, _) in signals.forever().enumerate() {
            if count > 0 {
                kill_all(libc::SIGKILL);
                term::put_back();
                std::process::exit(EXIT_INTERRUPTED.into());
            }
            std::thread::spawn(stop);
        }
    });
    Ok(())
}

fn stop() {
    kill_all(libc::SIGTERM);
    std::thread::sleep(GRACE);
    kill_all(libc::SIGKILL);
    std::thread::sleep(UNWIND);
    term::put_back();
    std::process::exit(EXIT_INTERRUPTED.into());
}

fn kill_all(signal: i32) {
    for target in live().iter() {
        kill(*target, signal);
    }
}

fn live() -> std::sync::MutexGuard<'static, BTreeSet<i32>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends `signal` to the group `-target`, or to the process `target` while it is our child.
pub(super) fn kill(target: i32, signal: i32) {
    if target > 0 && !is_child(target) {
        return;
    }
    // SAFETY: kill(2) takes plain integers.
    unsafe { libc::kill(target, signal) };
}

/// False once the process was waited for: its number may belong to somebody else by now.
fn is_child(pid: i32) -> bool {
    // SAFETY: an all-zero siginfo_t is a valid value; waitid writes it and, with WNOWAIT, reaps nothing.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_PID, pid as libc::id_t, &mut info, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT) == 0
    }
}

/// As long as this value lives, the keyboard's signals are somebody else's.
pub(super) struct Ignored([(i32, libc::sighandler_t); 2]);

impl Ignored {
    pub(super) fn start() -> Self {
        // SAFETY: signal takes plain integers, and ignoring a signal runs nothing.
        Ignored([libc::SIGINT, libc::SIGQUIT].map(|signal| (signal, unsafe { libc::signal(signal, libc::SIG_IGN) })))
    }
}

impl Drop for Ignored {
    fn drop(&mut self) {
        for (signal, handler) in self.0 {
            // SAFETY: the handler is the one that was there.
            unsafe { libc::signal(signal, handler) };
        }
    }
}

/// In a child of somebody who ignores them: the keyboard's signals do what they do by default.
pub(super) fn listen_again() -> std::io::Result<()> {
    for signal in [libc::SIGINT, libc::SIGQUIT] {
        // SAFETY: signal is async-signal-safe and takes plain integers.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    Ok(())
}

/// Remembers a child for as long as the value lives.
#[derive(Debug)]
pub(super) struct Live(i32);

impl Live {
    /// Registers `target`; one that was started while a signal arrived is stopped here.
    pub(super) fn new(target: i32) -> Self {
        live().insert(target);
        if interrupted() {
            kill(target, libc::SIGTERM);
        }
        Live(target)
    }

    /// Stays registered for good: the caller waits for the child in its own way.
    pub(super) fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        live().remove(&self.0);
    }
}
