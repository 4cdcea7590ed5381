//! Our terminal, as it was before a guest had it.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};

/// What is to be put back, whichever way we end.
static SAVED: Mutex<Option<Saved>> = Mutex::new(None);

struct Saved {
    settings: Option<libc::termios>,
    /// The flags of our standard streams, which QEMU shares with us and with the shell that started us.
    flags: Vec<(i32, i32)>,
}

/// Puts the terminal back when it is dropped: a QEMU that is killed does not do it.
#[derive(Debug)]
#[must_use]
pub struct Lent;

/// Remembers how the terminal is, before a program gets it.
pub fn lend() -> Lent {
    // SAFETY: fcntl takes and returns plain integers.
    let flags = (0..3).map(|fd| (fd, unsafe { libc::fcntl(fd, libc::F_GETFL) }));
    let flags = flags.filter(|(_, flags)| *flags >= 0).collect();
    // SAFETY: an all-zero termios is a valid value; tcgetattr fills it.
    let settings = unsafe {
        let mut settings: libc::termios = std::mem::zeroed();
        (std::io::stdin().is_terminal() && libc::tcgetattr(0, &mut settings) == 0).then_some(settings)
    };
    *SAVED.lock().unwrap_or_else(PoisonError::into_inner) = Some(Saved { settings, flags });
    Lent
}

/// Puts the terminal back, if a program has it.
pub fn put_back() {
    let Some(Saved { settings, flags }) = SAVED.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
    for (fd, flags) in flags {
        // SAFETY: the flags came from F_GETFL.
        unsafe { libc::fcntl(fd, libc::F_SETFL, flags) };
    }
    if let Some(settings) = settings {
        // SAFETY: the settings came from tcgetattr.
        unsafe { libc::tcsetattr(0, libc::TCSANOW, &settings) };
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        put_back();
    }
}

/// Gives every key to a program elsewhere, until what is returned is dropped.
pub fn raw() -> Lent {
    let lent = lend();
    // SAFETY: an all-zero termios is a valid value; tcgetattr fills it, and only then it is used.
    unsafe {
        let mut settings: libc::termios = std::mem::zeroed();
        if libc::tcgetattr(0, &mut settings) == 0 {
            libc::cfmakeraw(&mut settings);
            libc::tcsetattr(0, libc::TCSANOW, &settings);
        }
    }
    lent
}

/// The rows and columns of our terminal; a usual one's where we have none.
pub fn size() -> (u16, u16) {
    // SAFETY: an all-zero winsize is a valid value; the call fills it.
    let (status, size) = unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        (libc::ioctl(0, libc::TIOCGWINSZ, &mut size), size)
    };
    if status == 0 && size.ws_row > 0 {
        (size.ws_row, size.ws_col)
    } else {
        (24, 80)
    }
}
