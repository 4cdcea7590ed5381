//! Commands on one object or archive: `inspect` and `prefix`.

use std::path::PathBuf;

use serde_json::json;

use super::{project, Answer};
use crate::base::error::{fail, Class, Result};
use crate::base::workdir;
use crate::tools::inspect;
use crate::verbs::cli::{InspectArgs, PrefixArgs, Target};

/// Reports on the program of a project or image, or on a file.
pub(super) fn inspect(args: &InspectArgs) -> Result<Answer> {
    let file = match &args.target {
        Some(path) if !path.join("ukl.toml").is_file() && path.extension().is_none_or(|e| e != "c" && e != "toml") => {
            inspect::program_of(path)
        }
        path => {
            let target = Target { target: path.iter().cloned().collect(), out: None };
            project::image_dir(&target, &project::manifest(&target)?)?.archive()
        }
    };
    let reports = inspect::inspect(&file, args.top)?;
    let texts: Vec<String> = reports.iter().map(inspect::Report::text).collect();
    Ok(Answer::new(texts.join("\n"), json!({ "objects": reports })))
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
