//! A kernel, a program and a manifest come in, the image folder with its initial RAM disk goes out.

pub mod initrd;
pub mod folder;
pub mod trigger;
