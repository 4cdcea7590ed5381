//! `ukl list`: what a project can begin with.

use serde_json::json;

use super::answer::Answer;
use crate::base::error::Result;
use crate::tools::templates;

/// Every template with a line about it.
pub(super) fn list() -> Result<Answer> {
    let all = templates::all();
    let width = all.iter().map(|template| template.name.len()).max().unwrap_or(0);
    let line = |t: &templates::Template| format!("{:<width$}  {:<8}  {}\n", t.name, t.kind, t.about);
    Ok(Answer::new(all.iter().map(line).collect::<String>(), json!({ "templates": all })))
}
