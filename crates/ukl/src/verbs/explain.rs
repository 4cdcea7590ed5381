//! `ukl explain`: what the next build would make again and why; where a kernel option's value comes from.

use std::path::{Path, PathBuf};

use serde_json::json;

use clap::Args;

use super::answer::Answer;
use super::options::{BuildOptions, ProjectOption, Target};
use super::{images, project};
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::manifest;
use crate::pipeline::{self, Clock, Stage};
use crate::tools::settings;

/// `ukl explain`.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// A kernel option, or a project as `ukl build` takes it [default: the current folder]
    #[arg(value_name = "OPTION|DIR|FILE")]
    pub what: Vec<PathBuf>,
    /// Of which project, for an option.
    #[command(flatten)]
    pub project: ProjectOption,
}

/// Explains an option, or the next build.
pub(super) fn explain(env: Env, args: &ExplainArgs) -> Result<Answer> {
    match args.what.as_slice() {
        [one] if is_option(one) => option(&env, args, &one.to_string_lossy()),
        [one] if !one.exists() && is_option(&upper(one)) => {
            let failure = fail(Class::Usage, format!("no file or folder `{}`", one.display()));
            Err(failure.hint(format!("a kernel option has capitals: `ukl explain {}`", upper(one).display())).into())
        }
        what => stages(env, &Target { target: what.to_vec(), out: None }),
    }
}

fn upper(word: &Path) -> PathBuf {
    word.to_string_lossy().to_ascii_uppercase().into()
}

/// No file has such a name, and every option does.
fn is_option(word: &Path) -> bool {
    let text = word.to_string_lossy();
    let good = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    !word.exists() && (text.starts_with("CONFIG_") || text.chars().all(good))
}

fn option(env: &Env, args: &ExplainArgs, text: &str) -> Result<Answer> {
    let manifest = manifest::load(&project::of_options(&args.project)?)?;
    let kernel = settings::open(env, &manifest)?;
    let origin = settings::describe(&kernel, text)?;
    Ok(Answer::new(origin.text(), json!({ "option": origin })))
}

/// The pipeline as a dry run that shows no command: which stages would make something, and why.
fn stages(env: Env, target: &Target) -> Result<Answer> {
    let manifest = images::manifest(target, &BuildOptions::default())?;
    let dir = project::image_dir(target, &manifest)?;
    let env = Env { shell: env.shell.looking(), ..env };
    let mut clock = Clock::silent();
    pipeline::image(&env, &manifest, &dir, &mut clock, &mut |_| ())?;
    let mut text = String::new();
    let mut list = Vec::new();
    for Stage { name, why, .. } in &clock.stages {
        let again = !why.is_empty();
        let state = if again { "again" } else { "up to date" };
        text.push_str(format!("{name:<10} {state:<11} {}", why.first().cloned().unwrap_or_default()).trim_end());
        text.push('\n');
        why.iter().skip(1).for_each(|line| text.push_str(&format!("{:<22} {line}\n", "")));
        list.push(json!({ "name": name, "again": again, "why": why }));
    }
    Ok(Answer::new(text, json!({ "folder": dir.root(), "stages": list })))
}
