//! [`Image`](crate::image::Image) → [`BootRun`]: QEMU started, streamed, judged.

/// How a guest ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The program exited with this status (0–255).
    Exited(u8),
    /// The program was ended by this signal.
    Signaled(u8),
    /// The guest kernel panicked: the text of the panic.
    Panic(String),
    /// The time limit passed.
    Timeout,
    /// QEMU ended and no status had been reported.
    NoStatus,
}

/// One finished boot.
#[derive(Debug, Clone)]
pub struct BootRun {
    /// How it ended.
    pub outcome: Outcome,
    /// QEMU start to the program's first output, in seconds.
    pub first_output_s: Option<f64>,
    /// QEMU start to QEMU end, in seconds.
    pub total_s: f64,
}
