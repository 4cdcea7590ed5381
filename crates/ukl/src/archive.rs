//! [`Prefixed`](crate::prefix::Prefixed) → [`AppArchive`]: `UKL.a` with a symbol index.

use std::path::PathBuf;

/// The archive that joins the kernel's final link.
#[derive(Debug, Clone)]
pub struct AppArchive {
    /// `UKL.a`.
    pub path: PathBuf,
    /// SHA-256 of its bytes.
    pub sha256: String,
}
