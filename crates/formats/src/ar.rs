//! Deterministic ar archives with a symbol index.
