//! `ukl clean`: removes an image folder.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::answer::Answer;
use super::options::Target;
use super::project;
use crate::base::error::{fail, Class, Result};
use crate::base::workdir::{self, ImageDir};

/// `ukl clean`.
#[derive(Debug, Clone, Args)]
pub struct CleanArgs {
    /// Whose image to remove.
    #[command(flatten)]
    pub target: Target,
}

/// Removes an image folder, if it is one of ours.
pub(super) fn clean(args: &CleanArgs, dry_run: bool) -> Result<Answer> {
    let image = project::existing_image(&args.target)?;
    let root = image.root();
    if !root.exists() {
        return Ok(Answer::new(format!("nothing at `{}`\n", root.display()), json!({ "removed": [] })));
    }
    if !is_ours(&image) {
        let failure = fail(Class::Usage, format!("`{}` is not an image folder: nothing was removed", root.display()));
        return Err(failure.hint("an image folder has `image.json` or `stages`").into());
    }
    if !dry_run {
        workdir::remove_dir(root)?;
        remove_if_empty(root.parent());
    }
    let verb = if dry_run { "would remove" } else { "removed" };
    let removed: [PathBuf; 1] = [root.to_owned()];
    Ok(Answer::new(format!("{verb} `{}`\n", root.display()), json!({ "removed": removed })))
}

fn is_ours(image: &ImageDir) -> bool {
    !image.root().is_symlink() && (image.manifest().is_file() || image.stage("").is_dir())
}

/// `build/` goes with the last image in it; any other folder stays.
fn remove_if_empty(dir: Option<&Path>) {
    if let Some(dir) = dir.filter(|dir| dir.file_name().is_some_and(|name| name == "build")) {
        // Fails when something is left in it, and then it must stay.
        let _ = fs::remove_dir(dir);
    }
}
