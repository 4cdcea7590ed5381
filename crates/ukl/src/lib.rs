//! `ukl` turns an unmodified C program into a Linux image that runs it inside the kernel.
//!
//! The modules here are the wings of the house, in pipeline order: a wing uses only wings above it.

// Printing panics when the reader went away; `term` does not.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod base;
pub mod manifest;
pub mod supply;
pub mod program;
pub mod kernel;
pub mod image;
pub mod machine;
pub mod boot;
pub mod guests;
pub mod pipeline;
pub mod measure;
pub mod tools;
pub mod ship;
pub mod verbs;
