//! A manifest and source trees come in, `UKL.a` and the twin go out.

pub mod toolchain;
pub mod libc;
pub mod userland;
pub mod malloc;
pub mod symbols;
pub mod unfit;
pub mod wrapper;
pub mod build;
pub mod compile;
pub mod link;
pub mod prefix;
pub mod archive;
