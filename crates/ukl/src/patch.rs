//! [`Source`](crate::source::Source) → [`PatchedSource`]: the series applied with zero fuzz.

use std::path::PathBuf;

/// A patched tree in the cache.
#[derive(Debug, Clone)]
pub struct PatchedSource {
    /// The tree.
    pub tree: PathBuf,
    /// Names of the patches, in order.
    pub patches: Vec<String>,
    /// Hash of source and patches.
    pub hash: String,
}
