//! Pure formats: bytes or text in, value out.
//!
//! The crate's one law: no file, no process, no clock, no environment.

mod error;
mod raw;

// Objects and archives.
pub mod ar;
pub mod elf;
pub mod prefix;
pub mod trigger;
pub mod unprefix;
mod arch;
pub mod sites;
pub mod halts;
// What the guest is made of.
pub mod bzimage;
pub mod ext4;
pub mod kconfig;
pub mod licence;
pub mod newc;
pub mod options;
pub mod series;
// What others say.
pub mod console;
pub mod makelog;

pub use arch::x86_64::scan;
pub use error::{Error, Result};
