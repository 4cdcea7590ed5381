//! [`PatchedSource`](crate::patch::PatchedSource) → [`Configured`]: fragments merged and verified.

use std::path::PathBuf;

/// A configured kernel build folder (`make O=`).
#[derive(Debug, Clone)]
pub struct Configured {
    /// The patched tree.
    pub tree: PathBuf,
    /// The build folder in the cache.
    pub out: PathBuf,
    /// Content key: source, patches, configuration, compiler.
    pub key: String,
}
