//! Messages of the guest's kernel that tell of no defect → nothing: the log has them, a person need not.

/// What a machine without PCI says of it at every start.
const NO_PCI: &[u8] = b"PCI: Fatal: No config space access function found";

/// What the kernel says when process 1 has ended with a status: the only way in which it can.
const FAREWELL: &str = "Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000";

/// Whole lines of the kernel without those that say nothing.
pub(super) fn without(lines: &[u8]) -> Vec<u8> {
    let says = |line: &&[u8]| !line.windows(NO_PCI.len()).any(|part| part == NO_PCI);
    lines.split_inclusive(|byte| *byte == b'\n').filter(says).flatten().copied().collect()
}

/// The console of a program that is process 1, without the panic with which its good end becomes the kernel's.
#[derive(Debug, Default)]
pub(super) struct Farewell {
    /// What may be the beginning of it.
    held: Vec<u8>,
    is_over: bool,
}

impl Farewell {
    /// What can be shown of these and of earlier bytes.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.is_over {
            return Vec::new();
        }
        self.held.extend_from_slice(bytes);
        let mut shown = Vec::new();
        while let Some(at) = self.held.iter().position(|byte| *byte == b'[') {
            shown.extend(self.held.drain(..at));
            match kind(&self.held) {
                MessageKind::Farewell => {
                    self.is_over = true;
                    self.held.clear();
                }
                MessageKind::Open => return shown,
                MessageKind::Other => shown.extend(self.held.drain(..1)),
            }
        }
        shown.append(&mut self.held);
        shown
    }

    /// What was held back: nothing followed, so it was something else.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

enum MessageKind {
    Farewell,
    Open,
    Other,
}

/// What begins with a bracket: `[    1.234567] Kernel panic …`, or may become it.
fn kind(bytes: &[u8]) -> MessageKind {
    let time = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b' ' | b'.' | b'T' | b'C' | b'[');
    let mut rest = &bytes[1..];
    // The time, and in some configurations the thread.
    for _ in 0..2 {
        let length = rest.iter().take_while(|byte| time(byte)).count();
        match rest.get(length) {
            None if length < 32 => return MessageKind::Open,
            Some(b']') if length > 0 && length < 32 => rest = &rest[length + 1..],
            _ => break,
        }
    }
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    let same = rest.iter().zip(FAREWELL.as_bytes()).take_while(|(a, b)| a == b).count();
    match (same == FAREWELL.len(), same == rest.len()) {
        // Two digits of the status, and two of a signal: none.
        (true, _) if rest.len() < same + 4 => MessageKind::Open,
        (true, _) if rest[same + 2..].starts_with(b"00") => MessageKind::Farewell,
        (false, true) => MessageKind::Open,
        _ => MessageKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PANIC: &[u8] =
        b"bye[    1.234567] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000700\n[ 1.3] CPU: 0\n";

    #[test]
    fn a_good_end_of_process_1_is_no_panic_to_a_person() {
        for step in [1, 7, 1000] {
            let mut farewell = Farewell::default();
            let shown: Vec<u8> = PANIC.chunks(step).flat_map(|bytes| farewell.pass(bytes)).collect();
            assert_eq!(shown, b"bye", "{step}");
            assert_eq!(farewell.rest(), b"");
        }
    }

    #[test]
    fn a_signal_and_all_else_are_shown() {
        let killed = b"[    1.2] Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b\n";
        for text in [&killed[..], b"a [x] [1] b\n", b"[    1.2] Kernel panic - not syncing: Fatal exception\n"] {
            let mut farewell = Farewell::default();
            let mut shown = farewell.pass(text);
            shown.extend(farewell.rest());
            assert_eq!(shown, text);
        }
    }

    #[test]
    fn a_machine_without_pci_does_not_complain_of_it() {
        let lines = b"[    0.1] one\n[    0.2] PCI: Fatal: No config space access function found\n[    0.3] two\n";
        assert_eq!(without(lines), b"[    0.1] one\n[    0.3] two\n");
    }
}
