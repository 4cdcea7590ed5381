//! Compiler name → [`Toolchain`]: which compiler, which kind, and the programs beside it.

use std::path::PathBuf;

/// What kind of compiler it is; decides the flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// GNU C.
    Gcc,
    /// LLVM's clang.
    Clang,
}

/// The compiler and its binutils.
#[derive(Debug, Clone)]
pub struct Toolchain {
    /// The compiler driver.
    pub cc: PathBuf,
    /// Its kind.
    pub kind: Kind,
    /// First line of `cc --version`.
    pub version: String,
    /// The GNU linker.
    pub ld: PathBuf,
    /// The GNU assembler.
    pub assembler: PathBuf,
    /// Hash over compiler and binutils versions; part of every cache key.
    pub id: String,
}
