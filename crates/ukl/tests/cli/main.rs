//! The command line as a user meets it: output, exit code, and nothing half-written.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests.

mod failures;
mod habits;
mod host;
mod images;
mod linuxu;
mod object;
mod project;
mod questions;
mod stages;
mod storage;
mod surface;
mod surroundings;
mod update;
#[path = "../world/mod.rs"]
mod world;
