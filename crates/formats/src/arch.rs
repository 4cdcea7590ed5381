//! What differs between architectures in objects and in code; x86-64 is the only one.

pub(crate) mod x86_64;
