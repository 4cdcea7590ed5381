//! A make log → its root cause.
