//! `ukl` turns an unmodified C program into a Linux image that runs it inside the kernel.
//!
//! Modules are declared in pipeline order; a stage may import only what stands above it.

// Below all stages.
pub mod error;
pub mod run;
pub mod workdir;

// The stages, in the order in which data flows.
pub mod archive;
pub mod boot;
pub mod compile;
pub mod config;
pub mod image;
pub mod initrd;
pub mod kernel;
pub mod link;
pub mod manifest;
pub mod patch;
pub mod prefix;
pub mod source;
pub mod sysroot;
pub mod toolchain;

// Above the stages.
pub mod pipeline;
