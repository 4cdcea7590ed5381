//! [`Configured`](crate::config::Configured) + [`AppArchive`](crate::archive::AppArchive) → [`Kernel`].

use std::path::PathBuf;

/// The linked kernel of one program, in the image folder.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// What a boot loader starts.
    pub bzimage: PathBuf,
    /// The ELF file with symbols.
    pub vmlinux: PathBuf,
    /// Its configuration.
    pub config: PathBuf,
}
