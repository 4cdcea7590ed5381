//! Pure formats: bytes or text in, value out.
//!
//! The crate's one law: no file, no process, no clock, no environment.

pub mod ar;
pub mod console;
pub mod elf;
pub mod kconfig;
pub mod makelog;
pub mod newc;
pub mod prefix;
pub mod scan;
pub mod series;
pub mod sites;
