//! `ukl inspect`: what is linked in.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::answer::Answer;
use super::options::Target;
use super::project;
use crate::base::error::Result;
use crate::tools::inspect;

/// `ukl inspect`.
#[derive(Debug, Clone, Args)]
pub struct InspectArgs {
    /// A project, an image folder, or an object or archive such as UKL.a
    #[arg(value_name = "DIR|FILE")]
    pub target: Option<PathBuf>,
    /// How many of the biggest symbols to show
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub top: usize,
}

/// Reports on the program of a project or image, or on a file.
pub(super) fn inspect(args: &InspectArgs) -> Result<Answer> {
    let file = match &args.target {
        Some(path) if !path.join("ukl.toml").is_file() && path.extension().is_none_or(|e| e != "c" && e != "toml") => {
            inspect::program_of(path)
        }
        path => {
            let target = Target { target: path.iter().cloned().collect(), out: None };
            project::image_dir(&target, &project::manifest(&target)?)?.archive()
        }
    };
    let objects = inspect::inspect(&file, args.top)?;
    let texts: Vec<String> = objects.iter().map(inspect::Contents::text).collect();
    Ok(Answer::new(texts.join("\n"), json!({ "objects": objects })))
}
