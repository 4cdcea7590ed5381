//! `ukl pull`: an image from a registry.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::answer::Answer;
use crate::base::env::Env;
use crate::base::error::Result;
use crate::ship::registry;

/// `ukl pull`.
#[derive(Debug, Clone, Args)]
pub struct PullArgs {
    /// The image's name there
    #[arg(value_name = "REGISTRY/NAME[:TAG]")]
    pub name: String,
    /// The layout's folder [default: NAME in the current folder]
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Fetches a layout, whole and checked or not at all.
pub(super) fn pull(env: &Env, args: &PullArgs) -> Result<Answer> {
    let out = args.out.clone().unwrap_or_else(|| registry::last_part(&args.name).into());
    registry::pull(env, &args.name, &out)?;
    Ok(Answer::new(format!("oci:{}\n", out.display()), json!({ "layout": out, "name": args.name })))
}
