//! `ukl build`: the manifest with the command line's changes, and the pipeline.

use std::path::Path;

use serde_json::json;

use super::{linuxu, project, Answer};
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::term;
use crate::base::workdir;
use crate::base::workdir::ImageDir;
use crate::image::folder::Image;
use crate::kernel::vmlinux;
use crate::manifest::{self, Manifest};
use crate::pipeline::{self, Clock, Stage};
use crate::program::toolchain;
use crate::tools::pins;
use crate::tools::script;
use crate::verbs::cli::{BuildArgs, BuildOptions, ScriptArgs, Target};

/// Builds the image and says where it is.
pub(super) fn build(env: &Env, args: &BuildArgs) -> Result<Answer> {
    let manifest = manifest(&args.target, &args.build)?;
    if linuxu::is_wanted(args.plat, || Ok(manifest.clone())) {
        return linuxu::build(env, &args.target, &manifest);
    }
    let dir = project::image_dir(&args.target, &manifest)?;
    let (image, stages) = project::locked(env, &args.target, &manifest, true, || from_manifest(env, &manifest, &dir))?;
    let folder = image.dir.root();
    let text = if env.shell.dry_run { String::new() } else { format!("{}\n", folder.display()) };
    Ok(Answer::new(text, json!({ "folder": folder, "image": image.info, "stages": stages })))
}

/// `ukl script`.
pub(super) fn script(env: &Env, args: &ScriptArgs) -> Result<Answer> {
    let target = Target { target: args.target.clone(), out: None };
    let manifest = manifest(&target, &args.build)?;
    let pins = match project::has_manifest(&target) {
        true => pins::read(&manifest.dir)?.unwrap_or_default(),
        false => Vec::new(),
    };
    // As the user calls it, where that is possible.
    let ukl = match toolchain::which("ukl") {
        Some(_) => "ukl".to_owned(),
        None => std::env::current_exe()?.display().to_string(),
    };
    let text = script::script(env, &manifest, &pins, &ukl, args.objcopy)?;
    let Some(output) = &args.output else { return Ok(Answer::new(text.clone(), json!({ "script": text }))) };
    if !env.shell.dry_run {
        workdir::write_atomic(output, text.as_bytes())?;
        workdir::set_mode(output, 0o755)?;
    }
    Ok(Answer::new("", json!({ "file": output })))
}

/// `ukl update`.
pub(super) fn update(env: &Env, project: &Path) -> Result<Answer> {
    let manifest = manifest::load(project)?;
    if env.shell.dry_run {
        return Err(fail(Class::Usage, "an update cannot be a dry run").into());
    }
    let old = pins::read(&manifest.dir).ok().flatten().unwrap_or_default();
    let pins = pins::update(env, &manifest)?;
    let line = |pin: &pins::Pin| {
        let note = match old.iter().find(|old| old.package == pin.package) {
            Some(before) if before.version != pin.version => format!("  (was {})", before.version),
            Some(before) if before.sha256 != pin.sha256 => "  (other contents than before)".to_owned(),
            _ => String::new(),
        };
        format!("{} {}{note}\n", pin.package, pin.version)
    };
    Ok(Answer::new(pins.iter().map(line).collect::<String>(), json!({ "sources": pins })))
}

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
    Ok(())
}
