//! `ukl attend`: the process beside a guest in the background, which `ukl run -d` starts.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::answer::Answer;
use crate::base::env::Env;
use crate::base::error::Result;
use crate::base::workdir::GuestDir;
use crate::guests;
use crate::tools::crash;

/// `ukl attend`: the process beside a guest, which `ukl run -d` starts.
#[derive(Debug, Clone, Args)]
pub struct AttendArgs {
    /// The guest's folder
    pub dir: PathBuf,
}

/// Starts the guest of the folder and stays with it until it ends.
pub(super) fn attend(env: &Env, args: &AttendArgs) -> Result<Answer> {
    let dir = GuestDir::at(&args.dir);
    guests::attend(env, &dir, &|image, core| {
        let frames = crash::frames(&env.shell, image, core).unwrap_or_default();
        let lines: String = frames.iter().map(|frame| format!("  {frame}\n")).collect();
        format!("crashed:\n{lines}  core    {}\n", core.display())
    })?;
    Ok(Answer::new("", json!({ "folder": args.dir })))
}
