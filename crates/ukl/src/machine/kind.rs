//! The kinds of machines and what runs their instructions.

use serde::{Deserialize, Serialize};

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Hardware virtualisation.
    Kvm,
    /// QEMU's own translator; the host's time stamp counter, which the guest sees, in kHz.
    Tcg {
        /// `None` when it is not known: the guest calibrates.
        tsc_khz: Option<u64>,
    },
    /// QEMU's own translator with a clock that counts instructions, and skips the time in which there are none.
    Counted {
        /// Makes the guest's random numbers instead of the host; then its date is fixed, too.
        seed: Option<u32>,
    },
}

/// The kind of machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MachineKind {
    /// Nothing but a serial port, timers and virtio slots: boots fastest.
    Microvm,
    /// A PC with PCI, and with tables that name several processors.
    Q35,
}

/// How many virtio devices a microvm takes.
pub(super) const MICROVM_SLOTS: usize = 8;
