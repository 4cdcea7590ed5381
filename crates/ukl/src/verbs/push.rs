//! `ukl push`: an image to a registry.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::answer::Answer;
use super::pkg;
use crate::base::cached;
use crate::base::env::Env;
use crate::base::error::Result;
use crate::ship::unpack::{self, Reference};
use crate::ship::{layout, registry};

/// `ukl push`.
#[derive(Debug, Clone, Args)]
pub struct PushArgs {
    /// The image's name there, e.g. registry.example/team/hello:1; credentials are those of skopeo, podman and docker
    #[arg(value_name = "REGISTRY/NAME[:TAG]")]
    pub name: String,
    /// A folder with ukl.toml, an image folder, or a layout as oci:DIR[:NAME] [default: the current folder]
    #[arg(value_name = "DIR|oci:DIR")]
    pub target: Option<PathBuf>,
}

/// Packs unless it is packed, and sends.
pub(super) fn push(env: &Env, args: &PushArgs) -> Result<Answer> {
    let answer = || Ok(Answer::new(format!("{}\n", args.name), json!({ "name": args.name })));
    if let Some(reference) = args.target.as_deref().and_then(unpack::reference) {
        registry::push(env, &reference, &args.name)?;
        return answer();
    }
    let image = pkg::image(args.target.as_deref())?;
    let name = Some(image.info.name.clone());
    if env.shell.dry_run {
        registry::push(env, &Reference { dir: Path::new("LAYOUT").into(), name }, &args.name)?;
        return answer();
    }
    let scratch = cached::scratch(&env.cache, "push", &image.info.name)?;
    let dir = scratch.path().join("oci");
    layout::pack(&[image], &dir)?;
    registry::push(env, &Reference { dir, name }, &args.name)?;
    answer()
}
