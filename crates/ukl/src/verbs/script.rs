//! `ukl script`: the build and the boot as one plain shell script.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::answer::Answer;
use super::options::{BuildOptions, Target};
use super::{images, project};
use crate::base::env::Env;
use crate::base::error::Result;
use crate::base::workdir;
use crate::program::toolchain;
use crate::tools::{pins, script};

/// `ukl script`.
#[derive(Debug, Clone, Args)]
pub struct ScriptArgs {
    /// A folder with ukl.toml, or C files [default: the current folder]
    #[arg(value_name = "DIR|FILE")]
    pub target: Vec<PathBuf>,
    /// Where to write it [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Let GNU objcopy rename the symbols
    #[arg(long)]
    pub objcopy: bool,
    /// How to build.
    #[command(flatten)]
    pub build: BuildOptions,
}

/// `ukl script`.
pub(super) fn script(env: &Env, args: &ScriptArgs) -> Result<Answer> {
    let target = Target { target: args.target.clone(), out: None };
    let manifest = images::manifest(&target, &args.build)?;
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
        workdir::write_script(output, &text)?;
    }
    Ok(Answer::new("", json!({ "file": output })))
}
