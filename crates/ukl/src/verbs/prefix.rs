//! `ukl prefix`: every symbol of an object or archive gets a prefix.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::answer::Answer;
use crate::base::error::{fail, Class, Result};
use crate::base::workdir;

/// `ukl prefix`.
#[derive(Debug, Clone, Args)]
pub struct PrefixArgs {
    /// Object or archive
    pub input: PathBuf,
    /// Where to write it [default: in place]
    pub output: Option<PathBuf>,
    /// The prefix, under objcopy's name for it as well; an empty one changes no name
    #[arg(long, visible_alias = "prefix-symbols", default_value = "ukl_")]
    pub prefix: String,
    /// Leave the linker's own names alone, as image builds do
    #[arg(long)]
    pub exempt: bool,
    /// Turn the marked system calls of an object into jumps first, as image builds do
    #[arg(long, requires = "exempt")]
    pub sites: bool,
}

/// Prefixes symbols, as `objcopy --prefix-symbols` would.
pub(super) fn prefix(args: &PrefixArgs, dry_run: bool) -> Result<Answer> {
    if !args.input.is_file() {
        return Err(fail(Class::Usage, format!("no file `{}`", args.input.display())).into());
    }
    let mut bytes = workdir::read(&args.input)?;
    let bad = |error: formats::Error| fail(Class::Usage, format!("`{}`: {error}", args.input.display()));
    let is_archive = bytes.starts_with(b"!<arch>\n");
    if args.sites && is_archive {
        let failure =
            fail(Class::Usage, format!("`{}` is an archive: `--sites` takes one object", args.input.display()));
        return Err(failure.hint("`ld -r` makes one object of many").into());
    }
    let sites = if args.sites { formats::sites::rewrite(&mut bytes, formats::sites::ENTRY).map_err(bad)? } else { 0 };
    let names = formats::prefix::default_exempt();
    let exempt = |name: &str| args.exempt && names.contains(name);
    let renamed = if args.prefix.is_empty() {
        // Nothing to rename.
        Ok(bytes)
    } else if is_archive {
        formats::prefix::prefix_archive(&bytes, &args.prefix, &exempt)
    } else {
        formats::prefix::prefix(&bytes, &args.prefix, &exempt)
    };
    let renamed = renamed.map_err(bad)?;
    let output: &PathBuf = args.output.as_ref().unwrap_or(&args.input);
    if !dry_run {
        workdir::write_atomic(output, &renamed)?;
    }
    Ok(Answer::new("", json!({ "output": output, "bytes": renamed.len(), "sites": sites })))
}
