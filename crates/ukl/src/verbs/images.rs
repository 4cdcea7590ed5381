//! From the command line's target and options to an image.

use std::path::Path;

use super::options::{BuildOptions, Target};
use super::project;
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::term;
use crate::base::workdir::ImageDir;
use crate::image::folder::Image;
use crate::kernel::vmlinux;
use crate::manifest::{self, Manifest};
use crate::pipeline::{self, Clock, Stage};

/// Builds the image of `manifest` in `dir`.
pub(super) fn from_manifest(env: &Env, manifest: &Manifest, dir: &ImageDir) -> Result<(Image, Vec<Stage>)> {
    let mut clock = Clock::default();
    let _lock = dir.lock(env.shell.dry_run)?;
    // A bar appears with the first object only: most builds have none to make.
    let mut counter = None;
    let mut progress = |step: vmlinux::Progress| {
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
    match options.libc {
        Some(libc) => manifest::set_libc(manifest, libc).map_err(|text| fail(Class::Usage, text).into()),
        None => Ok(()),
    }
}
