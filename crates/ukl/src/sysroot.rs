//! [`Toolchain`] → [`Sysroot`]: the unmodified C library, built once from its source package.

use std::path::PathBuf;

/// Headers, start files and archives to compile and link against.
#[derive(Debug, Clone)]
pub struct Sysroot {
    /// The folder: `include/`, `lib/`, `hook/` (the `as` wrapper for `-B`).
    pub dir: PathBuf,
    /// Content key of the cache entry.
    pub key: String,
}
