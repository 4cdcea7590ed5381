//! `ukl completions`: what a shell completes.

use clap::Args;
use serde_json::json;

use super::answer::Answer;

/// `ukl completions`.
#[derive(Debug, Clone, Copy, Args)]
pub struct CompletionsArgs {
    /// bash, zsh, fish, elvish or powershell
    pub shell: clap_complete::Shell,
}

/// The script for `command`'s words.
pub(super) fn completions(mut command: clap::Command, args: CompletionsArgs) -> Answer {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "ukl", &mut script);
    let text = String::from_utf8_lossy(&script).into_owned();
    Answer::new(text.clone(), json!({ "script": text }))
}
