//! Images come in, comparisons of app mode and ring 3 go out: the conformance suite and the benchmarks.

pub mod pair;
pub mod bench;
pub mod suite;
