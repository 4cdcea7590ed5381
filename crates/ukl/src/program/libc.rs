//! [`Toolchain`] → [`Sysroot`]: the C library that the program is compiled for and linked with.

mod sysroot;
pub mod musl;
pub mod glibc;

use crate::base::env::Env;
use crate::base::error::Result;
use crate::base::plan::Made;
use crate::manifest::Libc;
use crate::program::toolchain::Toolchain;

pub use sysroot::{hook, Sysroot};

/// The C library `libc`, ready to compile and link with.
///
/// Errors: class `Host` when it cannot be built or is not installed.
pub fn build(env: &Env, toolchain: &Toolchain, libc: Libc) -> Result<Made<Sysroot>> {
    match libc {
        Libc::Musl => musl::build(env, toolchain),
        Libc::Glibc => glibc::build(env, toolchain),
    }
}
