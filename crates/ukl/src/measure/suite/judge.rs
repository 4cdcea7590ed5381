//! Runs → rows: same, known, or what differs; and the table.

use std::collections::BTreeMap;

use serde::Serialize;

use super::known::Known;
use super::read::{Block, Run};
use super::Comparison;

/// What became of one case.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Its name.
    pub case: String,
    /// How it ended in each mode: `exit=0`, `signal=11`, `timeout`, `broken off` or `missing`.
    pub ends: Vec<String>,
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Why it could not do its work in this kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip: Option<String>,
    /// What it printed in each mode, when that differs or is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<Vec<String>>,
}

/// The verdict over one case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// All modes said the same, and what Linux must say.
    Same,
    /// They differ, for a reason that is written down.
    Known {
        /// Why.
        reason: String,
    },
    /// They differ.
    Differs,
    /// They agree although a reason to differ is written down.
    Agrees,
    /// Ring 3 itself does not give the answer that the case expects.
    Wrong,
}

/// One row per case of the first mode. A known difference whose case did not run is a row as well, when `whole`.
pub(super) fn rows(runs: &[Run], modes: &[&str], known: &BTreeMap<String, Known>, whole: bool) -> Vec<Row> {
    let run = |mode: &str| runs.iter().find(|run| run.mode == mode);
    let mut names: Vec<&str> = Vec::new();
    for block in modes.iter().filter_map(|mode| run(mode)).flat_map(|run| &run.blocks) {
        if !names.contains(&block.name.as_str()) {
            names.push(&block.name);
        }
    }
    if whole {
        names.extend(known.keys().map(String::as_str).filter(|name| !names.contains(name)).collect::<Vec<_>>());
    }
    let block = |mode: &str, name: &str| run(mode).and_then(|run| run.blocks.iter().find(|block| block.name == name));
    names
        .iter()
        .map(|name| {
            let blocks: Vec<Option<&Block>> = modes.iter().map(|mode| block(mode, name)).collect();
            row(name, &blocks, known.get(*name))
        })
        .collect()
}

fn row(name: &str, blocks: &[Option<&Block>], known: Option<&Known>) -> Row {
    let end = |block: &Option<&Block>| match block {
        Some(Block { end: Some(end), .. }) => end.clone(),
        Some(_) => "broken off".into(),
        None => "missing".into(),
    };
    let ends: Vec<String> = blocks.iter().map(end).collect();
    let lines = |block: &Option<&Block>| block.map(|block| block.lines.clone()).unwrap_or_default();
    let first = blocks.first().map(lines).unwrap_or_default();
    let same = ends.iter().all(|end| *end == ends[0]) && blocks.iter().all(|block| lines(block) == first);
    let complete = ends.iter().all(|end| end != "missing" && end != "broken off");
    let verdict = match known {
        _ if ends.first().is_none_or(|end| end != "exit=0") => Verdict::Wrong,
        _ if !complete => Verdict::Differs,
        None if same => Verdict::Same,
        None => Verdict::Differs,
        Some(known) if same && !known.perhaps => Verdict::Agrees,
        Some(_) if same => Verdict::Same,
        // What the case expects of app mode itself is no difference that a reason excuses.
        Some(_) if blocks.iter().any(|block| lines(block).iter().any(|line| line.contains("failed: "))) => {
            Verdict::Differs
        }
        Some(known) => Verdict::Known { reason: known.reason.clone() },
    };
    let skip = first.iter().find_map(|line| line.trim_start().strip_prefix("skip: ")).map(str::to_owned);
    let lines = if verdict == Verdict::Same { Vec::new() } else { blocks.iter().map(lines).collect() };
    Row { case: name.to_owned(), ends, verdict, skip, lines }
}

/// The table, then the lines behind each row that is not as it should be, then the counts.
pub(super) fn table(report: &Comparison) -> String {
    let width = report.cases.iter().map(|row| row.case.len()).max().unwrap_or(4).max(4);
    let mut text = line(width, "case", &report.modes, "verdict");
    for row in &report.cases {
        text += &line(width, &row.case, &row.ends, &word(&row.verdict));
    }
    for row in report.cases.iter().filter(|row| !matches!(row.verdict, Verdict::Same | Verdict::Known { .. })) {
        text += &format!("\n{}: {}\n", row.case, word(&row.verdict));
        text += &difference(row, &report.modes);
    }
    for complaint in &report.complaints {
        text += &format!("\nthe kernel complained in {complaint}\n");
    }
    if let Some(why) = &report.broken_off {
        text += &format!("\n{why}\n");
    }
    for (row, why) in report.cases.iter().filter_map(|row| Some((row, row.skip.as_ref()?))) {
        text += &format!("\nskip: {}: {why}\n", row.case);
    }
    text + &counts(report)
}

fn line(width: usize, case: &str, columns: &[String], verdict: &str) -> String {
    let columns: String = columns.iter().map(|column| format!("  {column:<10}")).collect();
    format!("{case:<width$}{columns}  {verdict}\n")
}

fn word(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Same => "same".into(),
        Verdict::Known { reason } => format!("known: {reason}"),
        Verdict::Differs => "DIFFERS".into(),
        Verdict::Agrees => "AGREES, although known.txt says that it differs".into(),
        Verdict::Wrong => "WRONG in ring 3".into(),
    }
}

/// The lines that not every mode has; all of them when only their order differs.
fn difference(row: &Row, modes: &[String]) -> String {
    let text = lines(row, modes, row.verdict == Verdict::Differs);
    if text.is_empty() {
        lines(row, modes, false)
    } else {
        text
    }
}

fn lines(row: &Row, modes: &[String], without_common: bool) -> String {
    let mut text = String::new();
    for (mode, lines) in modes.iter().zip(&row.lines) {
        let common = |line: &String| without_common && row.lines.iter().all(|other| other.contains(line));
        for line in lines.iter().filter(|line| !common(line)) {
            text += &format!("  {mode:<6}{line}\n");
        }
    }
    text
}

fn counts(report: &Comparison) -> String {
    let count = |wanted: fn(&Verdict) -> bool| report.cases.iter().filter(|row| wanted(&row.verdict)).count();
    let same = count(|verdict| *verdict == Verdict::Same);
    let known = count(|verdict| matches!(verdict, Verdict::Known { .. }));
    let rest = report.cases.len() - same - known;
    format!("\n{} cases: {same} same, {known} differ for a known reason, {rest} unexpected\n", report.cases.len())
}

#[cfg(test)]
mod tests {
    use super::super::read::console;
    use super::*;

    use crate::measure::pair::SAID;

    fn verdicts(text: &str, known: &str) -> Vec<(String, Verdict)> {
        let known = super::super::known::parse(known).unwrap();
        rows(&console(text).runs, &SAID, &known, true).into_iter().map(|row| (row.case, row.verdict)).collect()
    }

    fn both(ring3: &str, app: &str) -> String {
        format!("mode ring3\ncase c\n{ring3}\nmode app\ncase c\n{app}\n")
    }

    #[test]
    fn equal_blocks_are_the_same_unless_a_difference_is_known() {
        let text = both("  x\nend c exit=0", "  x\nend c exit=0");
        assert_eq!(verdicts(&text, ""), [("c".to_owned(), Verdict::Same)]);
        assert_eq!(verdicts(&text, "c because")[0].1, Verdict::Agrees);
        assert_eq!(verdicts(&text, "c? because")[0].1, Verdict::Same);
    }

    #[test]
    fn a_different_line_or_end_differs_or_is_known() {
        for app in ["  y\nend c exit=0", "  x\nend c signal=11", "  x\n  y\nend c exit=0"] {
            let text = both("  x\nend c exit=0", app);
            assert_eq!(verdicts(&text, "")[0].1, Verdict::Differs, "{app}");
            assert_eq!(verdicts(&text, "c because")[0].1, Verdict::Known { reason: "because".into() });
        }
    }

    #[test]
    fn no_reason_excuses_what_app_mode_itself_must_say() {
        let text = both("  x\nend c exit=0", "  y\n  failed: z (c.c:1, last error EPERM)\nend c exit=1");
        assert_eq!(verdicts(&text, "c because")[0].1, Verdict::Differs);
    }

    #[test]
    fn no_reason_excuses_a_case_that_did_not_end_or_did_not_run() {
        let open = both("  x\nend c exit=0", "  x");
        assert_eq!(verdicts(&open, "c because")[0].1, Verdict::Differs);
        assert_eq!(verdicts("mode ring3\ncase c\nend c exit=0\n", "c because")[0].1, Verdict::Differs);
        assert_eq!(verdicts("mode ring3\nmode app\n", "gone because"), [("gone".to_owned(), Verdict::Wrong)]);
    }

    #[test]
    fn a_case_that_cannot_run_says_so() {
        let text = both("  skip: no such thing\nend c exit=0", "  skip: no such thing\nend c exit=0");
        let rows = rows(&console(&text).runs, &SAID, &BTreeMap::new(), true);
        assert_eq!((&rows[0].verdict, rows[0].skip.as_deref()), (&Verdict::Same, Some("no such thing")));
    }

    #[test]
    fn two_equal_wrong_answers_do_not_pass() {
        let text = both("  failed: x\nend c exit=1", "  failed: x\nend c exit=1");
        assert_eq!(verdicts(&text, "")[0].1, Verdict::Wrong);
    }

    #[test]
    fn the_table_shows_what_differs_and_counts() {
        let text = both("  same line\n  x\nend c exit=0", "  same line\n  y\nend c exit=0");
        let report = Comparison {
            modes: SAID.map(String::from).to_vec(),
            cases: rows(&console(&text).runs, &SAID, &BTreeMap::new(), true),
            complaints: vec!["c: BUG".into()],
            broken_off: None,
        };
        assert!(!report.passed());
        let text = report.text();
        assert!(text.contains("c     exit=0      exit=0      DIFFERS"), "{text}");
        assert!(text.contains("  ring3   x\n  app     y\n") && !text.contains("  ring3   same line"), "{text}");
        assert!(text.ends_with("1 cases: 0 same, 0 differ for a known reason, 1 unexpected\n"), "{text}");
    }
}
