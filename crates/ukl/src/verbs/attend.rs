//! `ukl attend`: the process beside a guest in the background, which `ukl run -d` starts.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::answer::Answer;
use crate::base::env::Env;
use crate::base::error::Result;
use crate::base::workdir::GuestDir;
use crate::guests;

/// `ukl attend`: the process beside a guest, which `ukl run -d` starts.
#[derive(Debug, Clone, Args)]
pub struct AttendArgs {
    /// The guest's folder
    pub dir: PathBuf,
}

/// Starts the guest of the folder and stays with it until it ends.
pub(super) fn attend(env: &Env, args: &AttendArgs) -> Result<Answer> {
    guests::attend(env, &GuestDir::at(&args.dir))?;
    Ok(Answer::new("", json!({ "folder": args.dir })))
}
