//! `ukl sign`: says who made an image.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::answer::Answer;
use super::options::Target;
use super::project;
use crate::base::env::Env;
use crate::base::error::Result;
use crate::image::folder;
use crate::ship::sign;

/// `ukl sign`.
#[derive(Debug, Clone, Args)]
pub struct SignArgs {
    /// Whose image.
    #[command(flatten)]
    pub target: Target,
    /// The secret key, from `minisign -G`
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
}

/// Signs.
pub(super) fn sign(env: &Env, args: &SignArgs) -> Result<Answer> {
    let image = folder::load(&project::existing_image(&args.target)?)?;
    let signature = sign::sign(env, &image, &args.key)?;
    Ok(Answer::new(format!("{}\n", signature.display()), json!({ "signature": signature })))
}
