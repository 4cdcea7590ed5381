//! Kernel configuration text: parse, merge, compare.
