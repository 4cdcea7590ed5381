//! `ukl trigger`: the file that starts the program in a linked kernel.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::answer::Answer;
use crate::base::error::{fail, Class, Result};
use crate::image::trigger;

/// `ukl trigger`.
#[derive(Debug, Clone, Args)]
pub struct TriggerArgs {
    /// The kernel with its program, as an ELF file
    pub vmlinux: PathBuf,
    /// Where to write the file
    pub output: PathBuf,
}

/// Makes the file.
pub(super) fn trigger(args: &TriggerArgs, dry_run: bool) -> Result<Answer> {
    if !args.vmlinux.is_file() {
        return Err(fail(Class::Usage, format!("no file `{}`", args.vmlinux.display())).into());
    }
    let bytes = if dry_run { 0 } else { trigger::write(&args.vmlinux, &args.output)? };
    Ok(Answer::new("", json!({ "output": args.output, "bytes": bytes })))
}
