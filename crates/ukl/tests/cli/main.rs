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
mod storage;
mod surface;
mod update;
mod world;
