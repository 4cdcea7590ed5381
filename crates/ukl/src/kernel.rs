//! A kernel's source tree and `UKL.a` come in, `vmlinux` and `bzImage` go out.

pub mod patch;
pub mod config;
pub mod vmlinux;
pub mod exports;
