//! `ukl man`: the manual, one page or one for each command.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::answer::Answer;
use crate::base::error::Result;
use crate::base::workdir;

/// `ukl man`.
#[derive(Debug, Clone, Args)]
pub struct ManArgs {
    /// Folder to write the pages to
    pub dir: Option<PathBuf>,
}

/// Prints the page of `command`, or writes one for each command.
pub(super) fn man(mut command: clap::Command, args: &ManArgs) -> Result<Answer> {
    command.build();
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        let text = String::from_utf8_lossy(&page).into_owned();
        return Ok(Answer::new(text.clone(), json!({ "page": text })));
    };
    let mut pages = Vec::new();
    for command in std::iter::once(&command)
        .chain(command.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help"))
    {
        let man = clap_mangen::Man::new(command.clone());
        let path = dir.join(man.get_filename());
        let mut page = Vec::new();
        man.render(&mut page)?;
        workdir::write_atomic(&path, &page)?;
        pages.push(path);
    }
    let text = pages.iter().map(|path| format!("{}\n", path.display())).collect::<String>();
    Ok(Answer::new(text, json!({ "pages": pages })))
}
