//! `ukl` turns an unmodified C program into a Linux image that runs it inside the kernel.
//!
//! Modules are declared in pipeline order; a stage may import only what stands above it.

// Printing panics when the reader went away; `term` does not.
#![warn(clippy::print_stdout, clippy::print_stderr)]

// Below all stages.
pub mod error;
pub mod term;
pub mod run;
pub mod workdir;
pub mod stamp;
pub mod debian;
pub mod download;

// The stages, in the order in which data flows.
pub mod manifest;
pub mod toolchain;
pub mod sysroot;
pub mod wrapper;
pub mod upstream;
pub mod make;
pub mod compile;
pub mod link;
pub mod prefix;
pub mod archive;
pub mod source;
pub mod patch;
pub mod config;
pub mod kernel;
pub mod calls;
pub mod initrd;
pub mod image;
pub mod boot;
pub mod guests;

// Above the stages.
pub mod pipeline;
pub mod bench;
pub mod suite;
pub mod cache;
pub mod doctor;
pub mod inspect;
pub mod templates;
pub mod lock;
pub mod script;
pub mod settings;
pub mod cli;
pub mod commands;
