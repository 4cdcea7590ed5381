//! Names of sources come in, unmodified trees in the cache go out: the distribution's packages, archives, kernels.

pub mod debian;
pub mod binaries;
pub mod download;
pub mod linux_source;
pub mod program_source;
