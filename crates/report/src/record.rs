//! The files of `docs/data/` and the results of suites, as values.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::values::Values;
use crate::Files;

/// One file of `docs/data/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    /// What was measured.
    pub what: String,
    /// The command that measured it.
    pub command: String,
    /// The day, as 2026-11-25.
    pub measured: String,
    /// Where, and what was emulated.
    pub machine: String,
    /// What a reader must know besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What each row has a value for.
    pub columns: Vec<String>,
    /// The quantities.
    pub rows: Vec<Row>,
}

/// One quantity, measured in each column's circumstances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// What it is.
    pub name: String,
    /// Its unit, empty for a number of things.
    #[serde(default)]
    pub unit: String,
    /// Digits behind the point that mean something.
    #[serde(default)]
    pub digits: usize,
    /// One for each column.
    pub values: Vec<Values>,
    /// The quotient of the first two medians, where it was recorded from values with more digits than these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quotient: Option<f64>,
}

impl Row {
    /// The first column's median divided by the second's; none of one column.
    pub fn quotient(&self) -> Option<f64> {
        let [first, second, ..] = self.values.as_slice() else { return None };
        Some(self.quotient.unwrap_or(first.summary().median / second.summary().median))
    }
}

impl Recording {
    /// `docs/data/NAME.json`.
    pub fn read(files: &Files, name: &str) -> Result<Self> {
        let path = format!("docs/data/{name}.json");
        let text = files.get(&path).with_context(|| format!("there is no `{path}`"))?;
        let recording: Recording = serde_json::from_str(text).with_context(|| format!("failed to read `{path}`"))?;
        for row in &recording.rows {
            let (values, columns) = (row.values.len(), recording.columns.len());
            anyhow::ensure!(values == columns, "{path}: `{}` has {values} values for {columns} columns", row.name);
        }
        Ok(recording)
    }

    /// The row of that name.
    pub fn row(&self, name: &str) -> Result<&Row> {
        self.rows.iter().find(|row| row.name == name).with_context(|| format!("{}: no row `{name}`", self.what))
    }

    /// As it is written to a file.
    pub fn text(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

/// A file of `docs/data/` whose results are words.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// What was done.
    pub what: String,
    /// The day or days.
    pub measured: String,
    /// Where, and what was emulated.
    pub machine: String,
    /// The table's head.
    pub columns: Vec<String>,
    /// The table's rows.
    pub rows: Vec<Vec<String>>,
}

impl Results {
    /// `docs/data/NAME.json`.
    pub fn read(files: &Files, name: &str) -> Result<Self> {
        let path = format!("docs/data/{name}.json");
        let text = files.get(&path).with_context(|| format!("there is no `{path}`"))?;
        let results: Results = serde_json::from_str(text).with_context(|| format!("failed to read `{path}`"))?;
        let whole = results.rows.iter().all(|row| row.len() == results.columns.len());
        anyhow::ensure!(whole, "{path}: a row with more or fewer cells than there are columns");
        Ok(results)
    }
}

/// Verdicts of a suite's `results.txt` in the order of its lines: the first word of each.
pub fn verdicts<'a>(files: &'a Files, path: &str) -> Result<Vec<&'a str>> {
    let text = files.get(path).with_context(|| format!("there is no `{path}`"))?;
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_whitespace().next().context("an empty line")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"what": "w", "command": "c", "measured": "d", "machine": "m", "columns": ["app mode", "twin"],
        "rows": [{"name": "r", "values": [[3, 1, 2], {"median": 4, "count": 5}]}]}"#;

    #[test]
    fn a_recording_is_read_and_written() {
        let files: Files = [("docs/data/x.json".to_owned(), TEXT.to_owned())].into();
        let recording = Recording::read(&files, "x").unwrap();
        assert_eq!(recording.row("r").unwrap().quotient(), Some(0.5));
        assert_eq!(serde_json::from_str::<Recording>(&recording.text().unwrap()).unwrap(), recording);
        assert!(Recording::read(&files, "y").unwrap_err().to_string().contains("docs/data/y.json"));
    }

    #[test]
    fn a_row_has_a_value_for_each_column() {
        let text = TEXT.replace(r#", "twin""#, "");
        let files: Files = [("docs/data/x.json".to_owned(), text)].into();
        assert!(Recording::read(&files, "x").unwrap_err().to_string().contains("2 values for 1 columns"));
    }
}
