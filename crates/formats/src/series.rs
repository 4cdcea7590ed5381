//! quilt series files.
