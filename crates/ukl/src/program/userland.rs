//! A compiler and a C library: what every program is compiled with and linked against.

use serde::{Deserialize, Serialize};

use crate::base::env::Env;
use crate::base::error::Result;
use crate::base::plan::Made;
use crate::manifest::Libc;
use crate::program::libc::{self, Sysroot};
use crate::program::toolchain::{self, Toolchain};

/// Compiler and C library.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Userland {
    /// The compiler.
    pub toolchain: Toolchain,
    /// The C library.
    pub sysroot: Sysroot,
}

/// Finds `compiler`, and builds the C library for it or finds that in the cache.
pub fn find(env: &Env, compiler: &str, libc: Libc) -> Result<Made<Userland>> {
    let toolchain = toolchain::find(&env.shell, compiler)?;
    Ok(libc::build(env, &toolchain, libc)?.map(|sysroot| Userland { toolchain, sysroot }))
}
