//! `ukl build`: the manifest with the command line's changes, and the pipeline.

use std::path::Path;

use serde_json::json;

use super::{project, Answer};
use crate::cli::{BuildArgs, BuildOptions, Target};
use crate::error::{fail, Class, Result};
use crate::manifest::{self, Manifest};
use crate::pipeline::{self, Clock, Env};

/// Builds the image and says where it is.
pub(super) fn build(env: &Env, args: &BuildArgs) -> Result<Answer> {
    let manifest = manifest(&args.target, &args.build)?;
    let dir = project::image_dir(&args.target, &manifest)?;
    let mut clock = Clock::default();
    let _lock = dir.lock(env.shell.dry_run)?;
    let program = pipeline::program(env, &manifest, &dir, &mut clock)?;
    let json =
        json!({ "name": manifest.name, "image": dir.root(), "stages": clock.stages, "sites": program.prefixed.sites });
    let text = if env.shell.dry_run { String::new() } else { format!("{}\n", dir.root().display()) };
    Ok(Answer::new(text, json))
}

/// The manifest that `target` names, with what the command line replaces.
pub(super) fn manifest(target: &Target, options: &BuildOptions) -> Result<Manifest> {
    let mut manifest = project::manifest(target)?;
    if let Some(compiler) = &options.compiler {
        manifest.compiler = compiler.clone();
    }
    if let Some(source) = &options.kernel_source {
        let here = std::path::absolute(Path::new("."))?;
        let source = manifest::kernel_source(source, None, &here);
        manifest.kernel.source = source.map_err(|text| fail(Class::Usage, format!("--kernel-source: {text}")))?;
    }
    manifest.kernel.debug |= options.debug_kernel;
    Ok(manifest)
}
