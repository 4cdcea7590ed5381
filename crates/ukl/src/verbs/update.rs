//! `ukl update`: the distribution's sources as they are now.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::answer::Answer;
use super::options::ProjectOption;
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::manifest::{self, Manifest};
use crate::tools::pins;

/// `ukl update`.
#[derive(Debug, Clone, Args)]
pub struct UpdateArgs {
    /// The project's folder, or its ukl.toml [default: the current folder]
    #[arg(value_name = "DIR", conflicts_with = "project")]
    pub dir: Option<PathBuf>,
    /// Only tell which source has a newer version, security updates first, and what a build would make again
    #[arg(long)]
    pub check: bool,
    /// The same, as the other verbs on a project take it.
    #[command(flatten)]
    pub project: ProjectOption,
}

/// `ukl update --check`.
fn check(env: &Env, manifest: &Manifest) -> Result<Answer> {
    let news = pins::news(env, manifest)?;
    let line = |one: &pins::News| match &one.newer {
        None => format!("{} {}\n", one.package, one.version),
        Some(newer) => {
            let what = if one.security { "security update" } else { "newer" };
            format!("{} {}  {what}: {newer}, rebuilds {}\n", one.package, one.version, one.rebuilds)
        }
    };
    Ok(Answer::new(news.iter().map(line).collect::<String>(), json!({ "sources": news })))
}

/// `ukl update`.
pub(super) fn update(env: &Env, args: &UpdateArgs) -> Result<Answer> {
    let manifest = manifest::load(&args.project.or(args.dir.as_deref()))?;
    if args.check {
        return check(env, &manifest);
    }
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
