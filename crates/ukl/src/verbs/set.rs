//! `ukl set` and `ukl unset`: kernel options of a project; only `ukl.toml` changes.

use std::path::Path;

use clap::Args;
use serde_json::json;

use super::answer::Answer;
use super::options::ProjectOption;
use super::project;
use crate::base::env::Env;
use crate::base::error::Result;
use crate::base::term;
use crate::manifest::edit::Edit;
use crate::manifest::{self, Manifest};
use crate::tools::settings::{self, Change};

/// `ukl set` and `ukl unset`.
#[derive(Debug, Clone, Args)]
pub struct OptionsArgs {
    /// Kernel options, with or without CONFIG_ in front; `set` takes OPTION=VALUE too
    #[arg(value_name = "OPTION", required = true)]
    pub options: Vec<String>,
    /// Of which project.
    #[command(flatten)]
    pub project: ProjectOption,
}

/// The project that a command works on.
pub(super) fn open(project: &Path) -> Result<(Manifest, Edit)> {
    Ok((manifest::load(project)?, Edit::open(project)?))
}

/// `ukl set`.
pub(super) fn set(env: &Env, args: &OptionsArgs) -> Result<Answer> {
    let (manifest, mut edit) = open(&project::of_options(&args.project)?)?;
    let kernel = settings::open(env, &manifest)?;
    let change = settings::set(&kernel, &mut edit, &args.options)?;
    finish(env, &edit, change)
}

/// `ukl unset`.
pub(super) fn unset(env: &Env, args: &OptionsArgs) -> Result<Answer> {
    let (manifest, mut edit) = open(&project::of_options(&args.project)?)?;
    let kernel = settings::open(env, &manifest)?;
    let change = settings::unset(&kernel, &mut edit, &args.options)?;
    finish(env, &edit, change)
}

/// Writes the manifest and tells what is different now.
pub(super) fn finish(env: &Env, edit: &Edit, change: Change) -> Result<Answer> {
    let written = edit.save(env.shell.dry_run)?;
    let mut text = String::new();
    change.already.iter().for_each(|line| text.push_str(&format!("already  {line}\n")));
    change.removed.iter().for_each(|option| text.push_str(&format!("removed  {option}\n")));
    change.written.iter().for_each(|line| text.push_str(&format!("written  {line}\n")));
    let asked = !change.written.is_empty() || !change.removed.is_empty();
    if written && asked && !env.shell.dry_run {
        term::say("the next build compiles a kernel for these options, unless the cache has one (minutes)");
    }
    Ok(Answer::new(text, json!({ "manifest": edit.file(), "change": change })))
}
