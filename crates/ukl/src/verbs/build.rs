//! `ukl build`: the manifest with the command line's changes, and the pipeline.

use clap::Args;
use serde_json::json;

use super::answer::Answer;
use super::options::{BuildOptions, PlatOption, Target};
use super::{images, linuxu, project};
use crate::base::env::Env;
use crate::base::error::Result;

/// `ukl build`.
#[derive(Debug, Clone, Args)]
pub struct BuildArgs {
    /// What to build.
    #[command(flatten)]
    pub target: Target,
    /// Where it runs.
    #[command(flatten)]
    pub plat: PlatOption,
    /// How.
    #[command(flatten)]
    pub build: BuildOptions,
}

/// Builds the image and says where it is.
pub(super) fn build(env: &Env, args: &BuildArgs) -> Result<Answer> {
    let manifest = images::manifest(&args.target, &args.build)?;
    if linuxu::is_wanted(args.plat, || Ok(manifest.clone())) {
        return linuxu::build(env, &args.target, &manifest);
    }
    let dir = project::image_dir(&args.target, &manifest)?;
    let (image, stages) =
        project::locked(env, &args.target, &manifest, true, || images::from_manifest(env, &manifest, &dir))?;
    let folder = image.dir.root();
    let text = if env.shell.dry_run { String::new() } else { format!("{}\n", folder.display()) };
    Ok(Answer::new(text, json!({ "folder": folder, "image": image.info, "stages": stages })))
}
