//! `ukl defconfig`: a project's kernel options from a configuration file, and back.

use std::path::PathBuf;

use clap::Args;
use formats::kconfig;
use serde_json::json;

use super::answer::Answer;
use super::options::ProjectOption;
use super::project;
use super::set::{finish, open};
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::{term, workdir};
use crate::kernel::config;
use crate::tools::settings;

/// `ukl defconfig`.
#[derive(Debug, Clone, Args)]
pub struct DefconfigArgs {
    /// A kernel configuration: a whole .config, or a fragment
    pub file: PathBuf,
    /// Of which project.
    #[command(flatten)]
    pub project: ProjectOption,
    /// The other way round: write the project's own options to FILE
    #[arg(long)]
    pub save: bool,
}

/// `ukl defconfig`.
pub(super) fn defconfig(env: &Env, args: &DefconfigArgs) -> Result<Answer> {
    let (manifest, mut edit) = open(&project::of_options(&args.project)?)?;
    if args.save {
        let lines: String = edit.config().iter().map(|line| format!("{line}\n")).collect();
        if !env.shell.dry_run {
            workdir::write_atomic(&args.file, lines.as_bytes())?;
        }
        return Ok(Answer::new("", json!({ "file": args.file, "lines": edit.config() })));
    }
    let bad = |what: String| fail(Class::Usage, format!("`{}`: {what}", args.file.display()));
    if !args.file.exists() {
        return Err(fail(Class::Usage, format!("no file `{}`", args.file.display())).into());
    }
    let text = String::from_utf8(workdir::read(&args.file)?).map_err(|_| bad("no UTF-8 text".into()))?;
    let given = kconfig::parse(&text).map_err(|error| bad(error.to_string()))?;
    let kernel = settings::open(env, &manifest)?;
    let name = |line: &str| line.split(['=', ' ']).find_map(|word| word.strip_prefix("CONFIG_").map(str::to_owned));
    let is_ours = |line: &str| name(line).is_some_and(|name| config::is_ours(&name));
    let lines: Vec<String> = given.to_text().lines().filter(|line| !is_ours(line)).map(str::to_owned).collect();
    let names: Vec<String> = given.iter().map(|(option, _)| option["CONFIG_".len()..].to_owned()).collect();
    kernel.against_ukl(&kernel.wanted(&lines)?, &names)?;
    let resolved = kernel.resolve(lines)?;
    let lost: Vec<String> =
        kconfig::missing(&given, &resolved.actual).iter().map(|m| format!("{}={}", m.option, m.wanted)).collect();
    if !lost.is_empty() {
        let more = if lost.len() > 5 { format!(" and {} more", lost.len() - 5) } else { String::new() };
        let first = lost.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
        term::say(&format!("without effect in this kernel: {first}{more}"));
    }
    let change = settings::absorb(&kernel, &mut edit, &resolved.actual)?;
    finish(env, &edit, change)
}
