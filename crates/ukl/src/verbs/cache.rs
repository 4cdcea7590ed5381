//! `ukl cache`: what builds share.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::answer::Answer;
use crate::base::error::{fail, Class, Result};
use crate::base::workdir::Cache;
use crate::tools::cache::{self, Prune};
use crate::tools::share;

/// `ukl cache`.
#[derive(Debug, Args)]
pub struct CacheArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: CacheCommand,
}

/// What to do with the cache.
#[derive(Debug, Clone, Subcommand)]
pub enum CacheCommand {
    /// List entries with their sizes and last use
    Ls,
    /// Write entries to one file, for a team or for CI: sources, libraries and compiled kernels
    Export {
        /// The archive
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Only entries of this kind; can be given several times [default: every kind that can be shared]
        #[arg(long = "kind", value_name = "KIND")]
        kinds: Vec<String>,
    },
    /// Take entries from such a file; each is checked first
    Import {
        /// The archive
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Remove entries
    Prune {
        /// Keep entries that were used in the last so many days
        #[arg(long, value_name = "DAYS", default_value_t = 30)]
        unused_for: u64,
        /// Remove everything
        #[arg(long, conflicts_with = "unused_for")]
        all: bool,
    },
}

/// Lists or prunes.
pub(super) fn cache(command: CacheCommand, dry_run: bool) -> Result<Answer> {
    let cache = Cache::from_env()?;
    match command {
        CacheCommand::Ls => {
            let entries = cache::list(&cache)?;
            let json = json!({ "root": cache.root(), "entries": entries });
            Ok(Answer::new(cache::table(&cache, &entries), json))
        }
        CacheCommand::Export { .. } | CacheCommand::Import { .. } if dry_run => {
            Err(fail(Class::Usage, "sharing a cache cannot be a dry run").into())
        }
        CacheCommand::Export { file, kinds } => {
            let entries = share::export(&cache, &kinds, &file)?;
            let text = format!("{}: {} entries\n", file.display(), entries.len());
            Ok(Answer::new(text, json!({ "file": file, "entries": entries })))
        }
        CacheCommand::Import { file } => {
            let done = share::import(&cache, &file)?;
            let text = format!("{} new, {} there already\n", done.added.len(), done.present.len());
            Ok(Answer::new(text, json!({ "root": cache.root(), "entries": done })))
        }
        CacheCommand::Prune { unused_for, all } => {
            let days = Duration::from_secs(unused_for.saturating_mul(86_400));
            let prune = if all { Prune::All } else { Prune::UnusedFor(days) };
            let removed = cache::prune(&cache, prune, dry_run)?;
            let bytes = removed.iter().map(|e| e.bytes).sum();
            let verb = if dry_run { "would remove" } else { "removed" };
            let text = format!("{verb} {} entries, {}\n", removed.len(), cache::human_size(bytes));
            Ok(Answer::new(text, json!({ "root": cache.root(), "removed": removed })))
        }
    }
}
