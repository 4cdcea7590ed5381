//! `ukl init`: begins a project with a template's files.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::answer::Answer;
use crate::base::error::{fail, Class, Result};
use crate::tools::templates;

/// `ukl init`.
#[derive(Debug, Clone, Args)]
pub struct InitArgs {
    /// Which template: see `ukl list`
    #[arg(short, long, value_name = "TEMPLATE")]
    pub template: Option<String>,
    /// The new project's folder [default: the current one]
    pub dir: Option<PathBuf>,
}

/// Begins a project.
pub(super) fn init(args: &InitArgs, dry_run: bool) -> Result<Answer> {
    let Some(name) = &args.template else {
        let names: Vec<&str> = templates::all().iter().map(|template| template.name).collect();
        let failure = fail(Class::Usage, "which template? `ukl init -t TEMPLATE [DIR]`");
        let meant = args.dir.as_ref().and_then(|dir| names.iter().find(|name| dir == Path::new(name)));
        let hint =
            meant.map_or(format!("there is {}", names.join(", ")), |name| format!("`ukl init -t {name} {name}`"));
        return Err(failure.hint(hint).into());
    };
    let dir = args.dir.as_deref().unwrap_or(Path::new("."));
    let files = templates::begin(name, dir, dry_run)?;
    let mut text: String = files.iter().map(|file| format!("{}\n", file.display())).collect();
    if dry_run {
        text.clear();
    }
    Ok(Answer::new(text, json!({ "folder": std::path::absolute(dir)?, "files": files })))
}
