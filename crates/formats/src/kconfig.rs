//! Kernel configuration text: parse, merge, compare.
//!
//! `n`, `# CONFIG_X is not set` and an absent option are the same thing.

use crate::{Error, Result};
use std::collections::HashMap;
use std::fmt::Write;

/// Options and their values, in the order of their first appearance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    options: Vec<Setting>,
    index: HashMap<String, usize>,
}

/// One option of a [`Config`].
#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    option: String,
    value: String,
    /// `file:line`, for messages.
    origin: String,
}

/// A piece of configuration to be merged.
#[derive(Clone, Copy, Debug)]
pub struct Fragment<'a> {
    /// Name for messages.
    pub name: &'a str,
    /// `.config` text.
    pub text: &'a str,
    /// It may contradict the fragments before it, and wins.
    pub overrides: bool,
}

/// An option whose value is not the one that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// `CONFIG_…`.
    pub option: String,
    /// Value asked for.
    pub wanted: String,
    /// Value found; `n` when absent.
    pub got: String,
    /// `file:line` of the request.
    pub origin: String,
}

/// An option that differs between two configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `CONFIG_…`.
    pub option: String,
    /// Value in the first; `n` when absent.
    pub old: String,
    /// Value in the second; `n` when absent.
    pub new: String,
}

impl Config {
    /// The option's value as it is written (strings with their quotes); `n` when absent.
    pub fn get(&self, option: &str) -> &str {
        self.find(option).map_or("n", |setting| &setting.value)
    }

    /// Where the option's value was asked for: `file:line`.
    pub fn origin(&self, option: &str) -> Option<&str> {
        self.find(option).map(|setting| setting.origin.as_str())
    }

    /// The option is `y` or `m`.
    pub fn is_on(&self, option: &str) -> bool {
        matches!(self.get(option), "y" | "m")
    }

    /// All options and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.options.iter().map(|s| (s.option.as_str(), s.value.as_str()))
    }

    /// Number of options that are mentioned.
    pub fn len(&self) -> usize {
        self.options.len()
    }

    /// No option is mentioned.
    pub fn is_empty(&self) -> bool {
        self.options.is_empty()
    }

    /// `.config` text that parses to the same configuration.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (option, value) in self.iter() {
            // Writing to a string cannot fail.
            let _ = match value {
                "n" => writeln!(text, "# {option} is not set"),
                value => writeln!(text, "{option}={value}"),
            };
        }
        text
    }

    fn find(&self, option: &str) -> Option<&Setting> {
        self.index.get(option).map(|at| &self.options[*at])
    }

    /// Adds a setting; one that contradicts an earlier one wins or is an error.
    fn set(&mut self, new: Setting, overrides: bool) -> Result<()> {
        let Some(&at) = self.index.get(&new.option) else {
            self.index.insert(new.option.clone(), self.options.len());
            self.options.push(new);
            return Ok(());
        };
        let old = &mut self.options[at];
        if old.value != new.value && !overrides {
            return Err(Error::new(format!(
                "{} is {} in {} and {} in {}",
                new.option, old.value, old.origin, new.value, new.origin
            )));
        }
        if old.value != new.value {
            *old = new;
        }
        Ok(())
    }
}

/// Parses `.config` text; an option that is set twice to different values is an error.
pub fn parse(text: &str) -> Result<Config> {
    merge(&[Fragment { name: "line", text, overrides: false }])
}

/// Merges fragments in order. Two that disagree are an error that shows both, unless the later one overrides.
pub fn merge(fragments: &[Fragment]) -> Result<Config> {
    let mut config = Config::default();
    for fragment in fragments {
        // Within one fragment nothing overrides.
        let mut own = Config::default();
        for (number, line) in fragment.text.lines().enumerate() {
            let origin = format!("{}:{}", fragment.name, number + 1);
            let Some((option, value)) = parse_line(line).map_err(|error| error.of(&origin))? else {
                continue;
            };
            own.set(Setting { option: option.to_string(), value: value.to_string(), origin }, false)?;
        }
        for setting in own.options {
            config.set(setting, fragment.overrides)?;
        }
    }
    Ok(config)
}

/// The option and value of a line; `None` for comments and blank lines.
fn parse_line(line: &str) -> Result<Option<(&str, &str)>> {
    let line = line.trim();
    if let Some(comment) = line.strip_prefix('#') {
        let option = comment.trim().strip_suffix(" is not set").filter(|option| is_option(option));
        return Ok(option.map(|option| (option, "n")));
    }
    if line.is_empty() {
        return Ok(None);
    }
    let (option, value) = line.split_once('=').ok_or_else(|| Error::new(format!("not a setting: {line}")))?;
    if !is_option(option) {
        return Err(Error::new(format!("not the name of an option: {option}")));
    }
    if !is_value(value) {
        return Err(Error::new(format!(
            "{option} has a value that is neither y, m, n nor a number or quoted string: {value}"
        )));
    }
    Ok(Some((option, value)))
}

fn is_option(name: &str) -> bool {
    let letters = name.strip_prefix("CONFIG_").unwrap_or_default();
    !letters.is_empty() && letters.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_value(value: &str) -> bool {
    let digits = |text: &str, test: fn(&u8) -> bool| !text.is_empty() && text.bytes().all(|b| test(&b));
    let number = value.strip_prefix('-').unwrap_or(value);
    let hex = value.strip_prefix("0x").or(value.strip_prefix("0X"));
    matches!(value, "y" | "m" | "n")
        || digits(number, u8::is_ascii_digit)
        || hex.is_some_and(|hex| digits(hex, u8::is_ascii_hexdigit))
        || is_quoted(value)
}

/// A quoted string whose inner quotes and backslashes are escaped.
fn is_quoted(value: &str) -> bool {
    let Some(inner) = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')) else {
        return false;
    };
    let mut escaped = false;
    for byte in inner.bytes() {
        if !escaped && byte == b'"' {
            return false;
        }
        escaped = !escaped && byte == b'\\';
    }
    !escaped
}

/// A string as a value: quoted, with quotes and backslashes escaped.
pub fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The requested options that did not survive, in the order of the request.
pub fn missing(requested: &Config, actual: &Config) -> Vec<Missing> {
    let lost = |s: &&Setting| actual.get(&s.option) != s.value;
    let report = |s: &Setting| Missing {
        option: s.option.clone(),
        wanted: s.value.clone(),
        got: actual.get(&s.option).to_string(),
        origin: s.origin.clone(),
    };
    requested.options.iter().filter(lost).map(report).collect()
}

/// The options that differ, those of the first in its order, then those that only the second has.
pub fn diff(old: &Config, new: &Config) -> Vec<Difference> {
    let added = new.options.iter().filter(|s| old.find(&s.option).is_none());
    let options = old.options.iter().chain(added).map(|s| s.option.as_str());
    let pairs = options.map(|option| (option, old.get(option), new.get(option)));
    let differing = pairs.filter(|(_, old, new)| old != new);
    differing.map(|(option, old, new)| Difference { option: option.into(), old: old.into(), new: new.into() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "#\n# Automatically generated file\n#\nCONFIG_SMP=y\n# CONFIG_MODULES is not set\n\
        CONFIG_INITRAMFS_SOURCE=\"\"\nCONFIG_NR_CPUS=8\nCONFIG_PHYSICAL_START=0x1000000\nCONFIG_EXT4_FS=m\n\
        CONFIG_CC_VERSION_TEXT=\"gcc (Debian 12.2.0-14) \\\"12\\\"\"\n";

    fn fragment<'a>(name: &'a str, text: &'a str) -> Fragment<'a> {
        Fragment { name, text, overrides: false }
    }

    #[test]
    fn values_of_every_type() {
        let config = parse(TEXT).unwrap();
        let get = |option| config.get(option);
        assert_eq!(get("CONFIG_SMP"), "y");
        assert_eq!(get("CONFIG_MODULES"), "n");
        assert_eq!(get("CONFIG_ABSENT"), "n");
        assert_eq!(get("CONFIG_NR_CPUS"), "8");
        assert_eq!(get("CONFIG_PHYSICAL_START"), "0x1000000");
        assert_eq!(get("CONFIG_CC_VERSION_TEXT"), "\"gcc (Debian 12.2.0-14) \\\"12\\\"\"");
        assert!(config.is_on("CONFIG_EXT4_FS") && !config.is_on("CONFIG_MODULES"));
        assert_eq!(config.len(), 7);
    }

    #[test]
    fn text_round_trips() {
        let config = parse(TEXT).unwrap();
        assert_eq!(parse(&config.to_text()).unwrap().to_text(), config.to_text());
        assert!(config.to_text().starts_with("CONFIG_SMP=y\n# CONFIG_MODULES is not set\n"));
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for (text, message) in [
            ("\nCONFIG_X", "line:2: not a setting: CONFIG_X"),
            ("SMP=y", "line:1: not the name of an option: SMP"),
            ("CONFIG_=y", "line:1: not the name of an option: CONFIG_"),
            ("CONFIG_X=yes", "line:1: CONFIG_X has a value that is neither y, m, n nor a number or quoted string: yes"),
            (
                "CONFIG_X=\"a\"b\"",
                "line:1: CONFIG_X has a value that is neither y, m, n nor a number or quoted string: \"a\"b\"",
            ),
            ("CONFIG_X=y\nCONFIG_X=n", "CONFIG_X is y in line:1 and n in line:2"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn fragments_that_disagree_are_shown() {
        let error = merge(&[fragment("base", "CONFIG_A=y\nCONFIG_B=1"), fragment("debug", "CONFIG_B=2")]).unwrap_err();
        assert_eq!(error.to_string(), "CONFIG_B is 1 in base:2 and 2 in debug:1");
        assert!(merge(&[fragment("base", "CONFIG_A=y"), fragment("debug", "CONFIG_A=y")]).is_ok());
        assert!(merge(&[fragment("base", "CONFIG_A=y"), fragment("debug", "# CONFIG_A is not set")]).is_err());
    }

    #[test]
    fn the_user_may_override() {
        let user = Fragment { overrides: true, ..fragment("user", "CONFIG_A=n\nCONFIG_C=y") };
        let config = merge(&[fragment("base", "CONFIG_A=y\nCONFIG_B=y"), user]).unwrap();
        assert_eq!(config.to_text(), "# CONFIG_A is not set\nCONFIG_B=y\nCONFIG_C=y\n");
        let torn = Fragment { overrides: true, ..fragment("user", "CONFIG_A=n\nCONFIG_A=y") };
        assert!(merge(&[torn]).is_err());
    }

    #[test]
    fn lost_options_are_named() {
        let asked =
            merge(&[fragment("base", "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=\"x\"\nCONFIG_D=n")]).unwrap();
        let actual = parse("CONFIG_A=m\nCONFIG_C=\"x\"\nCONFIG_D=y").unwrap();
        let lost = missing(&asked, &actual);
        let shown: Vec<_> =
            lost.iter().map(|m| (m.option.as_str(), m.wanted.as_str(), m.got.as_str(), m.origin.as_str())).collect();
        assert_eq!(shown, [("CONFIG_A", "y", "m", "base:1"), ("CONFIG_D", "n", "y", "base:4")]);
    }

    #[test]
    fn differences_treat_n_and_absent_alike() {
        let old = parse("CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=1").unwrap();
        let new = parse("CONFIG_A=y\nCONFIG_C=2\nCONFIG_D=y\nCONFIG_E=n").unwrap();
        let shown: Vec<_> = diff(&old, &new).into_iter().map(|d| (d.option, d.old, d.new)).collect();
        let expected = [("CONFIG_C", "1", "2"), ("CONFIG_D", "n", "y")].map(|(a, b, c)| (a.into(), b.into(), c.into()));
        assert_eq!(shown, expected);
    }

    #[test]
    fn quoted_strings_are_values() {
        let text = format!("CONFIG_CMDLINE={}", quote(r#"a "b" c\d"#));
        assert_eq!(parse(&text).unwrap().get("CONFIG_CMDLINE"), r#""a \"b\" c\\d""#);
    }
}
