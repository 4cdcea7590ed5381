//! Symbol prefixing in place.
