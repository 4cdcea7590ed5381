//! Our standard input → the program's: through a port, or typed on the guest's console.
//!
//! The guest's console hands out whole lines and knows two special bytes: ^D ends the input or,
//! within a line, hands out what is there; ^V takes the next byte as it is.

use std::io::{Read, Write};
use std::process::ChildStdin;
use std::sync::mpsc::Receiver;

const END: u8 = 4;
const VERBATIM: u8 = 22;

/// A terminal keeps at most 4095 bytes of a line: longer ones are handed out in parts.
const PART: usize = 1024;

/// A program that asks again after the end gets the same answer, so many times.
const ENDS: usize = 16;

/// Copies our standard input to QEMU's, and ends it with ours.
pub(super) fn copy(mut guest: ChildStdin) {
    // The thread ends with the input or with the process. A guest that is gone reads nothing more.
    std::thread::spawn(move || std::io::copy(&mut std::io::stdin(), &mut guest));
}

/// Types our standard input on the guest's console once `started` gives the word.
pub(super) fn type_lines(mut guest: ChildStdin, started: Receiver<()>) {
    std::thread::spawn(move || {
        // An error means that the boot was over before it began. What was typed is not lost.
        if started.recv().is_err() || !in_foreground() {
            return;
        }
        let mut encoder = Encoder::default();
        let mut bytes = [0; 4096];
        let mut input = std::io::stdin();
        loop {
            let out = match input.read(&mut bytes) {
                Ok(0) | Err(_) => encoder.end(),
                Ok(n) => encoder.encode(&bytes[..n]),
            };
            let is_end = out.ends_with(&[END; ENDS]);
            // The guest may be gone.
            if guest.write_all(&out).and_then(|()| guest.flush()).is_err() || is_end {
                break;
            }
        }
        // The guest's port stays connected until QEMU ends.
        std::mem::forget(guest);
    });
}

/// A background job that reads from its terminal is stopped: it must not try.
fn in_foreground() -> bool {
    // SAFETY: these calls take and return plain integers.
    unsafe { libc::isatty(0) == 0 || libc::tcgetpgrp(0) == libc::getpgrp() }
}

/// Turns bytes into keystrokes.
#[derive(Debug, Default)]
struct Encoder {
    /// Bytes of the line that the terminal has not handed out.
    pending: usize,
}

impl Encoder {
    fn encode(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            if self.pending == PART {
                out.push(END);
                self.pending = 0;
            }
            if byte == END || byte == VERBATIM {
                out.push(VERBATIM);
            }
            out.push(byte);
            self.pending = if byte == b'\n' { 0 } else { self.pending + 1 };
        }
        out
    }

    fn end(&mut self) -> Vec<u8> {
        let hand_out = usize::from(self.pending > 0);
        vec![END; hand_out + ENDS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_pass_and_the_end_is_told() {
        let mut encoder = Encoder::default();
        assert_eq!(encoder.encode(b"a\nb\n"), b"a\nb\n");
        assert_eq!(encoder.end(), vec![END; ENDS]);
    }

    #[test]
    fn a_line_without_its_end_is_handed_out_first() {
        let mut encoder = Encoder::default();
        encoder.encode(b"a\nb");
        assert_eq!(encoder.end().len(), ENDS + 1);
    }

    #[test]
    fn special_bytes_are_taken_as_they_are() {
        assert_eq!(Encoder::default().encode(&[b'x', END, VERBATIM]), [b'x', VERBATIM, END, VERBATIM, VERBATIM]);
    }

    #[test]
    fn long_lines_are_handed_out_in_parts_and_never_end_the_input() {
        let mut encoder = Encoder::default();
        let out = encoder.encode(&vec![b'x'; 3 * PART]);
        assert_eq!(out.iter().filter(|byte| **byte == END).count(), 2);
        assert!(!out.windows(2).any(|pair| pair == [END, END]));
    }
}
