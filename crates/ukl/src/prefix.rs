//! [`Linked`](crate::link::Linked) → [`Prefixed`]: every symbol gets `ukl_`, every call site a jump.

use std::path::PathBuf;

/// The relocatable object with prefixed symbols and rewritten call sites.
#[derive(Debug, Clone)]
pub struct Prefixed {
    /// The object.
    pub object: PathBuf,
    /// Kernel symbols that it imports (unprefixed, undefined).
    pub imports: Vec<String>,
    /// Number of system call sites turned into jumps.
    pub sites: usize,
}
