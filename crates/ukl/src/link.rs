//! [`Objects`](crate::compile::Objects) → [`Linked`]: one relocatable object and the ring-3 twin.

use std::path::PathBuf;

/// The program as one relocatable object, and its twin.
#[derive(Debug, Clone)]
pub struct Linked {
    /// `ld -r` output with the private `.ukl.*` sections.
    pub relocatable: PathBuf,
    /// The same objects as a static executable for ring 3.
    pub twin: PathBuf,
}
