//! Files, init and trigger → [`Initrd`]: a deterministic, compressed newc archive.

use std::path::PathBuf;

/// The initial RAM disk.
#[derive(Debug, Clone)]
pub struct Initrd {
    /// The compressed archive.
    pub path: PathBuf,
}
