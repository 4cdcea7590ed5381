//! `ukl build`: the manifest with the command line's changes, and the pipeline.

use std::path::Path;

use serde_json::json;

use super::{linuxu, project, Answer};
use crate::cli::{BuildArgs, BuildOptions, Target};
use crate::error::{fail, Class, Result};
use crate::image::Image;
use crate::kernel;
use crate::manifest::{self, Manifest};
use crate::pipeline::{self, Clock, Env, Stage};
use crate::term;
use crate::workdir::ImageDir;

/// Builds the image and says where it is.
pub(super) fn build(env: &Env, args: &BuildArgs) -> Result<Answer> {
    let manifest = manifest(&args.target, &args.build)?;
    if linuxu::is_wanted(args.plat, || Ok(manifest.clone())) {
        return linuxu::build(env, &args.target, &manifest);
    }
    let dir = project::image_dir(&args.target, &manifest)?;
    let (image, stages) = from_manifest(env, &manifest, &dir)?;
    let folder = image.dir.root();
    let text = if env.shell.dry_run { String::new() } else { format!("{}\n", folder.display()) };
    Ok(Answer::new(text, json!({ "folder": folder, "image": image.info, "stages": stages })))
}

/// Builds the image of `manifest` in `dir`.
pub(super) fn from_manifest(env: &Env, manifest: &Manifest, dir: &ImageDir) -> Result<(Image, Vec<Stage>)> {
    let mut clock = Clock::default();
    let _lock = dir.lock(env.shell.dry_run)?;
    // A bar appears with the first object only: most builds have none to make.
    let mut counter = None;
    let mut progress = |step: kernel::Progress| {
        let counter = counter.get_or_insert_with(|| term::Counter::start("objects"));
        counter.set(step.done, step.total, &step.item);
    };
    let image = pipeline::image(env, manifest, dir, &mut clock, &mut progress)?;
    Ok((image, clock.stages))
}

/// The manifest that `target` names, with what the command line replaces.
pub(super) fn manifest(target: &Target, options: &BuildOptions) -> Result<Manifest> {
    let mut manifest = project::manifest(target)?;
    replace(&mut manifest, options)?;
    Ok(manifest)
}

/// Replaces what the command line says otherwise.
pub(super) fn replace(manifest: &mut Manifest, options: &BuildOptions) -> Result<()> {
    if let Some(compiler) = &options.compiler {
        manifest.compiler = compiler.clone();
    }
    if let Some(source) = &options.kernel_source {
        let here = std::path::absolute(Path::new("."))?;
        let source = manifest::kernel_source(source, None, &here);
        manifest.kernel.source = source.map_err(|text| fail(Class::Usage, format!("--kernel-source: {text}")))?;
    }
    manifest.kernel.debug |= options.debug_kernel;
    Ok(())
}
