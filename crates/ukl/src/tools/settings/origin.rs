//! Where one kernel setting comes from.

use formats::options;
use serde::Serialize;

use super::Kernel;
use crate::base::error::Result;

/// One option and its reasons.
#[derive(Debug, Clone, Serialize)]
pub struct Origin {
    /// `CONFIG_…`.
    pub option: String,
    /// Its value; `n` when it is off.
    pub value: String,
    /// What menus call it.
    pub prompt: Option<String>,
    /// Who asked for the value: `base.config:12`, `[kernel] config:1`; nothing when it follows from other options.
    pub asked_by: Option<String>,
    /// Why it has the value.
    pub because: String,
    /// `file:line` of each definition in the kernel's tree.
    pub defined: Vec<String>,
    /// What it depends on: condition, and whether that holds.
    pub depends: Vec<(String, bool)>,
    /// The options that are on and select it.
    pub selected_by: Vec<String>,
    /// Its defaults, as Kconfig says them.
    pub defaults: Vec<String>,
}

/// Tells where the value of `text` (with or without `CONFIG_`) comes from.
pub fn describe(kernel: &Kernel, text: &str) -> Result<Origin> {
    let name = kernel.name(text)?;
    let option = format!("CONFIG_{name}");
    let resolved = kernel.resolve(kernel.spec.config.clone())?;
    let actual = &resolved.actual;
    let lookup = |name: &str| actual.get(&format!("CONFIG_{name}")).to_owned();
    let definitions = kernel.options.get(name);
    let mut depends: Vec<(String, bool)> = Vec::new();
    for condition in definitions.iter().flat_map(|d| &d.depends) {
        if !depends.iter().any(|(known, _)| known == condition) {
            depends.push((condition.clone(), options::holds(condition, &lookup)));
        }
    }
    let selected_by = kernel.selectors(name, actual);
    let value = actual.get(&option).to_owned();
    let asked_by = resolved.wanted.origin(&option).map(str::to_owned);
    let unmet = depends.iter().any(|(_, holds)| !holds);
    let because = match () {
        () if asked_by.is_some() && resolved.wanted.get(&option) == value => "it was asked for",
        () if !selected_by.is_empty() && value != "n" => "it is selected by options that are on",
        () if value == "n" && unmet => "it depends on what is off",
        () if value == "n" && kernel.options.has_prompt(name) => "nothing asks for it: what no fragment names is off",
        () if value == "n" => "none of its conditions holds",
        () => "it is its default",
    };
    Ok(Origin {
        value,
        prompt: definitions.iter().find_map(|d| d.prompt.clone()),
        asked_by,
        because: because.into(),
        defined: definitions.iter().map(|d| d.place.clone()).collect(),
        depends,
        selected_by,
        defaults: definitions.iter().flat_map(|d| d.defaults.clone()).collect(),
        option,
    })
}

impl Origin {
    /// As `ukl explain` prints it.
    pub fn text(&self) -> String {
        let mut text = match self.value.as_str() {
            "n" => format!("# {} is not set\n", self.option),
            value => format!("{}={value}\n", self.option),
        };
        let mut row = |name: &str, value: &str| text.push_str(&format!("  {name:<11} {value}\n"));
        row("because", &self.because);
        if let Some(place) = &self.asked_by {
            row("asked by", place);
        }
        if let Some(prompt) = &self.prompt {
            row("prompt", prompt);
        }
        self.selected_by.iter().for_each(|by| row("selected by", by));
        for (condition, holds) in &self.depends {
            row("depends on", &format!("{condition}{}", if *holds { "" } else { "  (does not hold)" }));
        }
        self.defaults.iter().for_each(|default| row("default", default));
        self.defined.iter().for_each(|place| row("defined in", place));
        text
    }
}
