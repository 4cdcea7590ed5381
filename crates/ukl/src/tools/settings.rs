//! Kernel options of a project: looked up in the kernel's Kconfig, checked by its own tools, kept in `ukl.toml`.

mod change;
mod origin;

use std::fs;

use formats::kconfig::{self, Config};
use formats::options::{self, OptionKind, Options};

use crate::base::env::Env;
use crate::base::error::{fail, Class, Failure, Result};
use crate::base::run::Cmd;
use crate::base::target::TARGET;
use crate::kernel::config::{self, Resolved, Scratch};
use crate::kernel::patch;
use crate::manifest::{KernelSpec, Manifest};
use crate::program::toolchain;
use crate::supply::linux_source;

pub use change::{absorb, set, unset, Change};
pub use origin::{describe, Origin};

/// The kernel of a project, as far as its configuration goes.
#[derive(Debug)]
pub struct Kernel {
    /// Every option that it has.
    pub options: Options,
    /// What the manifest says of it.
    pub spec: KernelSpec,
    scratch: Scratch,
    shell: crate::base::run::Shell,
}

/// Finds the patched kernel of `manifest` and reads its options.
pub fn open(env: &Env, manifest: &Manifest) -> Result<Kernel> {
    let spec = manifest.kernel.clone();
    let toolchain = toolchain::find(&env.shell, &manifest.compiler)?;
    patch::series(&spec.version)?;
    let source = linux_source::fetch(env, &spec)?;
    let patched = patch::apply(env, &source, &spec.version)?;
    let scratch = config::scratch(env, &patched, &toolchain)?;
    let read = |name: &str| fs::read_to_string(patched.tree.join(name)).ok();
    let options = Options::read("Kconfig", TARGET.kernel_folder, &read);
    Ok(Kernel { options, spec, scratch, shell: env.shell.clone() })
}

impl Kernel {
    /// The configuration with these lines instead of the manifest's.
    pub fn resolve(&self, lines: Vec<String>) -> Result<Resolved> {
        self.scratch.resolve(&self.shell, &KernelSpec { config: lines, ..self.spec.clone() })
    }

    /// What is asked for with these lines instead of the manifest's.
    pub fn wanted(&self, lines: &[String]) -> Result<Config> {
        config::requested(&KernelSpec { config: lines.to_vec(), ..self.spec.clone() })
    }

    /// The configuration that a tool of the kernel has left behind.
    pub fn read(&self) -> Result<Config> {
        self.scratch.read()
    }

    /// The call of one of the kernel's own configuration programs.
    pub fn tool(&self, name: &str) -> Cmd {
        self.scratch.tool(name)
    }

    /// The option's name without `CONFIG_`, if the kernel has it.
    pub fn name<'a>(&self, text: &'a str) -> Result<&'a str> {
        let name = text.strip_prefix("CONFIG_").unwrap_or(text);
        if !self.options.get(name).is_empty() {
            return Ok(name);
        }
        let near = self.near(name);
        let failure = fail(Class::Usage, format!("Linux {} has no option `{name}`", self.spec.version));
        if near.is_empty() {
            return Err(failure.hint("`ukl menuconfig` shows what there is; `/` searches").into());
        }
        Err(failure.hint(format!("did you mean {}?", near.join(", "))).into())
    }

    /// Names that look like `name`, the nearest first.
    fn near(&self, name: &str) -> Vec<String> {
        let wanted = name.to_ascii_uppercase();
        let score = |other: &str| {
            // A part of the name is what people remember.
            let part = wanted.len() > 2 && other.split('_').any(|part| part == wanted);
            strsim::jaro_winkler(&wanted, other) + if part { 0.15 } else { 0.0 }
        };
        let with_prompt = self.options.names().filter(|other| self.options.has_prompt(other));
        let mut scored: Vec<(f64, &str)> = with_prompt.map(|other| (score(other), other)).collect();
        scored.retain(|(score, _)| *score > 0.88);
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        scored.iter().take(4).map(|(_, name)| format!("`{name}`")).collect()
    }

    /// `OPTION[=VALUE]` → the configuration line; the value is checked against the option's type.
    pub fn line(&self, text: &str) -> Result<(String, String)> {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let name = self.name(name)?;
        self.settable(name)?;
        let option = format!("CONFIG_{name}");
        let kind = self.options.kind(name);
        let bad = |what: &str| fail(Class::Usage, format!("`{option}` takes {what}"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let value = match (kind, value) {
            (OptionKind::Bool | OptionKind::Tristate, None | Some("y")) => "y".to_owned(),
            (OptionKind::Bool | OptionKind::Tristate, Some("n")) => {
                return Ok((format!("# {option} is not set"), option))
            }
            (OptionKind::Tristate, Some("m")) => {
                return Err(bad("`y` or `n`: there are no modules in an image").into());
            }
            (OptionKind::Bool | OptionKind::Tristate | OptionKind::Unknown, _) => return Err(bad("`y` or `n`").into()),
            (OptionKind::Int, Some(value)) if digits(value.strip_prefix('-').unwrap_or(value)) => value.to_owned(),
            (OptionKind::Int, _) => return Err(bad("a number: `ukl set OPTION=NUMBER`").into()),
            (OptionKind::Hex, Some(value)) => {
                let inner = value.strip_prefix("0x").unwrap_or(value);
                if inner.is_empty() || !inner.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(bad("a hexadecimal number such as 0x1000").into());
                }
                format!("0x{inner}")
            }
            (OptionKind::Hex, None) => return Err(bad("a hexadecimal number such as 0x1000").into()),
            (OptionKind::String, Some(value)) if value.starts_with('"') && value.ends_with('"') && value.len() > 1 => {
                value.to_owned()
            }
            (OptionKind::String, Some(value)) => kconfig::quote(value),
            (OptionKind::String, None) => return Err(bad("text: `ukl set OPTION=TEXT`").into()),
        };
        Ok((format!("{option}={value}"), option))
    }

    /// Fails for options that follow from others, and for those that are ours.
    fn settable(&self, name: &str) -> Result<()> {
        if config::is_ours(name) {
            let failure = fail(Class::Usage, format!("`CONFIG_{name}` belongs to ukl"));
            return Err(failure.hint("`trigger` in ukl.toml names the path that starts the program").into());
        }
        if self.options.has_prompt(name) {
            return Ok(());
        }
        let by: Vec<String> = self.options.selected_by(name).take(5).map(|(by, _)| format!("`{by}`")).collect();
        let failure = fail(Class::Usage, format!("`CONFIG_{name}` cannot be set: it follows from other options"));
        match by.is_empty() {
            true => Err(failure.hint(format!("`ukl explain {name}` shows from which")).into()),
            false => Err(failure.hint(format!("it is selected by {}", by.join(", "))).into()),
        }
    }

    /// Fails when UKL depends on the opposite of something in `config`; `changed` are the names to blame.
    pub fn against_ukl(&self, config: &Config, changed: &[String]) -> Result<()> {
        let value = |name: &str| config.get(&format!("CONFIG_{name}")).to_owned();
        for definition in self.options.get("UKL") {
            for condition in &definition.depends {
                let blamed = options::mentioned(condition).into_iter().find(|name| {
                    changed.contains(name) && {
                        // Only what this option alone decides counts against it.
                        let other = |asked: &str| match asked == name {
                            true if value(name) == "n" => "y".to_owned(),
                            true => "n".to_owned(),
                            false => value(asked),
                        };
                        !options::holds(condition, &value) && options::holds(condition, &other)
                    }
                });
                if let Some(name) = blamed {
                    let text = format!("`CONFIG_{name}={}` conflicts with UKL", value(&name));
                    let place = definition.place.split(':').next().unwrap_or_default();
                    let hint = format!("{place} of the patched kernel says: depends on {condition}");
                    return Err(fail(Class::Usage, text).hint(hint).into());
                }
            }
        }
        Ok(())
    }

    /// Fails with the first requested options that did not survive, and why.
    pub fn survived(&self, resolved: &Resolved) -> Result<()> {
        let missing = kconfig::missing(&resolved.wanted, &resolved.actual);
        // What the user wrote is told first; a line of ours that fell is its victim.
        let is_own = |m: &&kconfig::Missing| m.origin.starts_with(config::OWN);
        match missing.iter().find(is_own).or(missing.first()) {
            Some(lost) => Err(self.why_lost(lost, &resolved.actual).into()),
            None => Ok(()),
        }
    }

    fn why_lost(&self, lost: &kconfig::Missing, actual: &Config) -> Failure {
        let name = lost.option.strip_prefix("CONFIG_").unwrap_or(&lost.option);
        let value = |name: &str| actual.get(&format!("CONFIG_{name}")).to_owned();
        let text = match lost.origin.starts_with(config::OWN) {
            true => format!("`{}={}` has no effect: it stays {}", lost.option, lost.wanted, lost.got),
            false => format!("this conflicts with `{}={}` of {}", lost.option, lost.wanted, lost.origin),
        };
        let failure = fail(Class::Usage, text);
        if lost.wanted == "n" {
            let on: Vec<String> = self.selectors(name, actual).into_iter().map(|by| format!("`{by}`")).collect();
            return if on.is_empty() { failure } else { failure.hint(format!("it is selected by {}", on.join(", "))) };
        }
        let unmet = |d: &options::Definition| {
            let unmet: Vec<String> = d.depends.iter().filter(|c| !options::holds(c, &value)).cloned().collect();
            unmet
        };
        let unmet: Vec<String> = self.options.get(name).iter().map(unmet).min_by_key(Vec::len).unwrap_or_default();
        if unmet.is_empty() {
            return failure.hint(format!("`ukl explain {name}` shows what it depends on"));
        }
        failure.hint(format!("it depends on {}", unmet.join(", and on ")))
    }

    /// The options that are on and select `name` now.
    fn selectors(&self, name: &str, actual: &Config) -> Vec<String> {
        let value = |name: &str| actual.get(&format!("CONFIG_{name}")).to_owned();
        let by = self.options.selected_by(name);
        let on = by.filter(|(by, condition)| value(by) != "n" && condition.is_none_or(|c| options::holds(c, &value)));
        on.map(|(by, _)| by.to_owned()).collect()
    }
}
