//! The command line as a user meets it: output, exit code, and nothing half-written.

#![allow(clippy::unwrap_used)] // Helpers of tests.

mod host;
mod object;
mod surface;
mod world;
