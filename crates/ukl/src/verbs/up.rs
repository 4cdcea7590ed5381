//! `ukl up`: builds, then boots.

use std::path::Path;

use clap::Args;

use super::answer::Answer;
use super::options::{BootOptions, BuildOptions, PlatOption, Target};
use super::{images, linuxu, project, run};
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::machine;
use crate::tools::templates;

/// `ukl up`.
#[derive(Debug, Clone, Args)]
pub struct UpArgs {
    /// Begin the project with a template first, in DIR or a folder of its name
    #[arg(short, long, value_name = "TEMPLATE")]
    pub template: Option<String>,
    /// What to build and run.
    #[command(flatten)]
    pub target: Target,
    /// Where it runs.
    #[command(flatten)]
    pub plat: PlatOption,
    /// How to build.
    #[command(flatten)]
    pub build: BuildOptions,
    /// How to run.
    #[command(flatten)]
    pub boot: BootOptions,
}

/// Builds, then boots.
pub(super) fn up(env: &Env, args: &UpArgs, json: bool) -> Result<Answer> {
    let target = match &args.template {
        Some(template) => from_template(env, template, &args.target)?,
        None => args.target.clone(),
    };
    let mut manifest = images::manifest(&target, &args.build)?;
    if linuxu::is_wanted(args.plat, || Ok(manifest.clone())) {
        return linuxu::up(env, &target, &manifest, &args.boot, json);
    }
    let own = run::storage(&args.boot);
    manifest.kernel.storage |= !own.is_empty();
    // Whoever forgot a folder learns it before the build.
    machine::storage::check(&manifest.storage.with(&own))?;
    let dir = project::image_dir(&target, &manifest)?;
    let work = || images::from_manifest(env, &manifest, &dir);
    let (image, stages) = project::locked(env, &target, &manifest, true, work)?;
    run::boot(env, &image, &args.boot, json, stages)
}

/// Begins the project first; the answer is where it is.
fn from_template(env: &Env, template: &str, target: &Target) -> Result<Target> {
    let dir = match target.target.as_slice() {
        [] => Path::new(template).to_owned(),
        [dir] => dir.clone(),
        _ => return Err(fail(Class::Usage, "`up -t TEMPLATE` takes one folder").into()),
    };
    if env.shell.dry_run {
        let failure = fail(Class::Usage, "a project that is not there yet cannot be a dry run");
        return Err(failure.hint(format!("first `ukl init -t {template} {}`", dir.display())).into());
    }
    templates::begin(template, &dir, false)?;
    Ok(Target { target: vec![dir], out: target.out.clone() })
}
