//! `ukl sbom`: what an image is made of, as SPDX.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::answer::Answer;
use super::options::Target;
use super::project;
use crate::base::env::Env;
use crate::base::error::Result;
use crate::base::workdir;
use crate::image::folder;
use crate::ship::{sbom, sources};

/// `ukl sbom`.
#[derive(Debug, Clone, Args)]
pub struct SbomArgs {
    /// Whose image.
    #[command(flatten)]
    pub target: Target,
    /// Where to write it [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Writes or prints the document.
pub(super) fn sbom(env: &Env, args: &SbomArgs) -> Result<Answer> {
    let manifest = project::manifest(&args.target)?;
    let image = folder::load(&project::existing_image(&args.target)?)?;
    let text = sbom::document(&image, &sources::all(env, &manifest)?)?;
    let document: serde_json::Value = serde_json::from_str(&text)?;
    let Some(output) = &args.output else { return Ok(Answer::new(text, json!({ "sbom": document }))) };
    if !env.shell.dry_run {
        workdir::write_atomic(output, text.as_bytes())?;
    }
    Ok(Answer::new("", json!({ "sbom": document, "file": output })))
}
