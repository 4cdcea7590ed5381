//! Changes of a project's kernel options, each checked as a whole before a byte is written.

use formats::kconfig::{self, Config};
use serde::Serialize;

use super::Kernel;
use crate::base::error::Result;
use crate::manifest::edit::Edit;

/// What became of `[kernel] config`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Lines that were written.
    pub written: Vec<String>,
    /// Options whose lines were taken out.
    pub removed: Vec<String>,
    /// Words that were true already, and why.
    pub already: Vec<String>,
}

impl Change {
    /// Nothing was done.
    pub fn is_empty(&self) -> bool {
        self.written.is_empty() && self.removed.is_empty()
    }
}

/// Sets each of `words` (`OPTION[=VALUE]`) in `edit`, which the caller saves.
///
/// Errors (class `Usage`): no such option, a wrong value, a conflict, a dependency that is off.
pub fn set(kernel: &Kernel, edit: &mut Edit, words: &[String]) -> Result<Change> {
    let mut change = Change::default();
    let mut names = Vec::new();
    for word in words {
        let (line, option) = kernel.line(word)?;
        names.push(option["CONFIG_".len()..].to_owned());
        if edit.config().contains(&line) {
            change.already.push(format!("{line} (ukl.toml)"));
            continue;
        }
        let mut without = edit.clone();
        without.remove_config(&option)?;
        let wanted = kernel.wanted(&without.config())?;
        let value = line.split_once('=').map_or("n", |(_, value)| value);
        match wanted.origin(&option).filter(|_| wanted.get(&option) == value) {
            // A line of the project's own would only repeat it.
            Some(place) => {
                if edit.remove_config(&option)? {
                    change.removed.push(option.clone());
                }
                change.already.push(format!("{line} ({place})"));
            }
            None => {
                edit.set_config(&line)?;
                change.written.push(line);
            }
        }
    }
    if !change.is_empty() {
        check(kernel, edit, &names)?;
    }
    Ok(change)
}

/// Switches each of `words` off: takes the project's own line out, and says "not set" where that is not enough.
pub fn unset(kernel: &Kernel, edit: &mut Edit, words: &[String]) -> Result<Change> {
    let mut change = Change::default();
    let mut names = Vec::new();
    for word in words {
        let name = kernel.name(word)?;
        kernel.settable(name)?;
        let option = format!("CONFIG_{name}");
        if edit.remove_config(&option)? {
            change.removed.push(option);
        }
        names.push(name.to_owned());
    }
    let resolved = kernel.resolve(edit.config())?;
    let now = &resolved.actual;
    for name in &names {
        let option = format!("CONFIG_{name}");
        let off = format!("# {option} is not set");
        if now.is_on(&option) {
            edit.set_config(&off)?;
            change.removed.retain(|removed| *removed != option);
            change.written.push(off);
        } else if !change.removed.contains(&option) {
            let value = now.get(&option);
            change.already.push(if value == "n" { off } else { format!("{option}={value}") });
        }
    }
    if !change.written.is_empty() {
        check(kernel, edit, &names)?;
    } else if !change.removed.is_empty() {
        kernel.survived(&resolved)?;
    }
    Ok(change)
}

/// Makes `[kernel] config` what leads to `wanted`: only the differences against a project without lines.
///
/// Lines that stay keep their place and their comments. Errors: `wanted` conflicts with UKL, or cannot be had.
pub fn absorb(kernel: &Kernel, edit: &mut Edit, wanted: &Config) -> Result<Change> {
    let base = kernel.resolve(Vec::new())?.actual;
    let differences = kconfig::diff(&base, wanted);
    let name = |option: &str| option.strip_prefix("CONFIG_").unwrap_or(option).to_owned();
    let names: Vec<String> = differences.iter().map(|d| name(&d.option)).collect();
    kernel.against_ukl(wanted, &names)?;
    // What has no prompt follows from the rest.
    let settable = |d: &&kconfig::Difference| kernel.options.has_prompt(&name(&d.option));
    let line = |d: &kconfig::Difference| match d.new.as_str() {
        "n" => format!("# {} is not set", d.option),
        value => format!("{}={value}", d.option),
    };
    let lines: Vec<(String, String)> =
        differences.iter().filter(settable).map(|d| (d.option.clone(), line(d))).collect();
    let mut change = Change::default();
    let old = edit.config();
    for own in kconfig::parse(&old.join("\n"))?.iter().map(|(option, _)| option.to_owned()) {
        if !lines.iter().any(|(option, _)| *option == own) && edit.remove_config(&own)? {
            change.removed.push(own);
        }
    }
    for (_, line) in lines.into_iter().filter(|(_, line)| !old.contains(line)) {
        edit.set_config(&line)?;
        change.written.push(line);
    }
    if !change.is_empty() {
        kernel.survived(&kernel.resolve(edit.config())?)?;
    }
    Ok(change)
}

/// The kernel's own tools have the last word on what `edit` says now.
fn check(kernel: &Kernel, edit: &Edit, names: &[String]) -> Result<()> {
    kernel.against_ukl(&kernel.wanted(&edit.config())?, names)?;
    kernel.survived(&kernel.resolve(edit.config())?)
}
