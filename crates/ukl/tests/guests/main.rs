//! Real guests in the background and in networks of this machine, driven through the command line.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests.

mod background;
mod bench;
mod echo;
mod exercises;
mod inside;
mod network;
mod watched;
#[path = "../world/mod.rs"]
mod world;
