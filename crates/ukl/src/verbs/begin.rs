//! `ukl list` and `ukl init`: what a project can begin with.

use std::path::Path;

use serde_json::json;

use super::Answer;
use crate::base::error::{fail, Class, Result};
use crate::tools::templates;
use crate::verbs::cli::InitArgs;

/// Every template with a line about it.
pub(super) fn list() -> Result<Answer> {
    let all = templates::all();
    let width = all.iter().map(|template| template.name.len()).max().unwrap_or(0);
    let line = |t: &templates::Template| format!("{:<width$}  {:<8}  {}\n", t.name, t.kind, t.about);
    Ok(Answer::new(all.iter().map(line).collect::<String>(), json!({ "templates": all })))
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
