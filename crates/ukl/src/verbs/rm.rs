//! `ukl rm`: removes what ended guests left.

use clap::Args;
use serde_json::json;

use super::answer::Answer;
use crate::base::error::Result;
use crate::base::workdir::Guests;
use crate::guests;

/// `ukl rm`.
#[derive(Debug, Clone, Args)]
pub struct RmArgs {
    /// The guests
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    /// Also those that run: they are killed
    #[arg(short, long)]
    pub force: bool,
}

/// Removes what ended guests left.
pub(super) fn rm(args: &RmArgs, dry_run: bool) -> Result<Answer> {
    let all = Guests::from_env()?;
    let mut removed = Vec::new();
    let mut text = String::new();
    for name in &args.names {
        let guest = match dry_run {
            true => guests::find(&all, name)?,
            false => guests::remove(&all, name, args.force)?,
        };
        text.push_str(&format!(
            "{} `{}`\n",
            if dry_run { "would remove" } else { "removed" },
            guest.dir.root().display()
        ));
        removed.push(guest.dir.root().to_owned());
    }
    Ok(Answer::new(text, json!({ "removed": removed })))
}
