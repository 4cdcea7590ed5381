//! Real guests in the background and in networks of this machine, driven through the command line.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests.

#[path = "../common/mod.rs"]
mod common;

mod background;
mod bench;
mod exercises;
mod network;
mod world;
