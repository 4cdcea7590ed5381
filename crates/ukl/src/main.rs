//! The `ukl` command: parse, call the library, print, exit.

fn main() {}
