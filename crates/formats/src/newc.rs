//! newc cpio archives.
