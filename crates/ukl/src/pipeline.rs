//! The stages in a row: what `ukl build` and `ukl run` do.
