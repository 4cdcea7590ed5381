//! `ukl cc`, `ukl ar` and `ukl ld` behind a global option; the words alone are taken before clap sees them.

use clap::Args;

use super::answer::Answer;
use crate::base::error::{fail, Class, Result};

/// A tool that stands for another: every argument is that one's.
#[derive(Debug, Clone, Args)]
pub struct ToolArgs {
    /// As gcc, ar or ld take them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<String>,
}

/// Refuses the option.
pub(super) fn refuse() -> Result<Answer> {
    let failure = fail(Class::Usage, "`cc`, `ar` and `ld` take no options of `ukl`");
    Err(failure.hint("write `ukl cc …`").into())
}
