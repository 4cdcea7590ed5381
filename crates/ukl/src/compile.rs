//! [`Manifest`](crate::manifest::Manifest) → [`Objects`]: compiled once, for both modes.

use std::path::PathBuf;

/// Objects and archives in link order; system call sites are still `syscall` instructions.
#[derive(Debug, Clone)]
pub struct Objects {
    /// Objects and archives of the program itself.
    pub files: Vec<PathBuf>,
}
