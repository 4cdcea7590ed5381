//! [`KernelSpec`](crate::manifest::KernelSpec) → [`Source`]: a pristine tree in the cache.

use std::path::PathBuf;

/// An unpacked, unpatched kernel tree that ukl owns.
#[derive(Debug, Clone)]
pub struct Source {
    /// The tree (in the cache; never a user's own).
    pub tree: PathBuf,
    /// Full version from the tree's Makefile, e.g. `6.12.117`.
    pub version: String,
    /// Hash of the tarball or of the tree's content.
    pub hash: String,
}
