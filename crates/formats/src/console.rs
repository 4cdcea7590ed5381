//! Serial console text → how the guest ended.
