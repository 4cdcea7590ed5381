//! A manifest and source trees come in, `UKL.a` and the twin go out.

pub mod toolchain;
pub mod musl;
pub mod userland;
pub mod malloc;
pub mod wrapper;
pub mod build;
pub mod compile;
pub mod link;
pub mod prefix;
pub mod archive;
