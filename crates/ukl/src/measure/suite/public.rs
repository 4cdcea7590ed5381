//! Public test suites, unmodified: all programs of a suite in one image, run in ring 3 and in app mode.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::known::{self, Known};
use super::read::{self, Block, Console};
use super::record::{self, Verdict, MISSING};
use super::{broken_off, command, sources};
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::workdir::ImageDir;
use crate::boot::Outcome;
use crate::image::folder::Image;
use crate::image::initrd::TWIN;
use crate::machine::{Request, What};
use crate::manifest::{self, Manifest};
use crate::measure::pair::{self, SAID, TWIN_FIRST};

/// A run of more than a thousand cases, many of which sleep.
const LIMIT: Duration = Duration::from_secs(4 * 3600);

/// One suite.
#[derive(Debug)]
struct Suite {
    name: &'static str,
    /// What it is, for the record.
    title: &'static str,
    /// How a case ends that does not apply.
    skips: &'static [&'static str],
}

const SUITES: [Suite; 2] = [
    Suite { name: "posix", title: "Open POSIX Test Suite (Debian's posixtestsuite)", skips: &["exit=4", "exit=5"] },
    Suite { name: "uring", title: "the tests of liburing (Debian's liburing)", skips: &["exit=77"] },
];

/// The names for `--suite`.
pub const NAMES: [&str; SUITES.len()] = [SUITES[0].name, SUITES[1].name];

/// One case.
#[derive(Debug, Clone, Serialize)]
pub struct PublicRow {
    /// Its name.
    pub case: String,
    /// How it ended in each mode.
    pub ends: Vec<String>,
    /// The verdict.
    pub verdict: Verdict,
    /// Why it differs, when that is known.
    pub reason: Option<String>,
    /// What the record says, when it is something else.
    pub recorded: Option<Verdict>,
    /// Its last lines in each mode, when it differs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<Vec<String>>,
}

/// The whole run.
#[derive(Debug, Clone, Serialize)]
pub struct PublicComparison {
    /// The suite's name.
    pub suite: String,
    /// The modes, in the order of each row's `ends`.
    pub modes: Vec<String>,
    /// The cases, in the order in which they ran.
    pub cases: Vec<PublicRow>,
    /// Cases that differed in the first boot and were run again; their rows are the second's.
    pub again: Vec<String>,
    /// What the kernel complained about.
    pub complaints: Vec<String>,
    /// Why the boot ended early.
    pub broken_off: Option<String>,
}

impl PublicRow {
    /// It differs and nobody said why, or it passed when it was recorded and does not now.
    fn is_unexpected(&self) -> bool {
        let worse = self.recorded == Some(Verdict::Passed);
        self.reason.is_none() && (self.verdict == Verdict::Differs || worse)
    }
}

impl PublicComparison {
    /// Does nothing differ without a reason, or fail that passed, and has the kernel no complaint?
    pub fn passed(&self) -> bool {
        let fine = self.cases.iter().all(|row| !row.is_unexpected());
        fine && !self.cases.is_empty() && self.complaints.is_empty() && self.broken_off.is_none()
    }

    /// What differs or was recorded otherwise, and the counts.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for row in self.cases.iter().filter(|row| row.verdict == Verdict::Differs || row.is_unexpected()) {
            let known = row.reason.as_ref().map_or(String::new(), |reason| format!("known: {reason}"));
            let recorded = row.recorded.map_or(String::new(), |verdict| format!("recorded as {}", verdict.word()));
            let notes = [known, recorded].into_iter().filter(|note| !note.is_empty()).collect::<Vec<_>>().join(", ");
            text += &format!("{:<8} {}  {}  {notes}\n", row.verdict.word(), row.case, row.ends.join(" / "));
            for (mode, lines) in self.modes.iter().zip(&row.lines).filter(|_| row.is_unexpected()) {
                text.extend(lines.iter().map(|line| format!("  {mode:<6}{line}\n")));
            }
        }
        text.extend(self.complaints.iter().map(|complaint| format!("the kernel complained in {complaint}\n")));
        text.extend(self.broken_off.iter().map(|why| format!("{why}\n")));
        if !self.again.is_empty() {
            text += &format!("differed at first, and ran again: {}\n", self.again.join(", "));
        }
        text + &self.counts()
    }

    fn counts(&self) -> String {
        let count = |wanted: Verdict| self.cases.iter().filter(|row| row.verdict == wanted).count();
        format!(
            "{} cases of {}: {} passed in both modes, {} fail in both, {} do not apply, {} differ\n",
            self.cases.len(),
            self.suite,
            count(Verdict::Passed),
            count(Verdict::Fails),
            count(Verdict::Skipped),
            count(Verdict::Differs),
        )
    }

    /// The record of this run, as a file of the repository.
    pub fn record(&self) -> String {
        let title = SUITES.iter().find(|suite| suite.name == self.suite).map_or("", |suite| suite.title);
        let head = format!("{title}, by `ukl test --suite {} --record FILE`.\n{}", self.suite, self.counts());
        record::text(&head, self.cases.iter().map(|row| (row.verdict, row.ends.as_slice(), row.case.as_str())))
    }
}

/// The manifest of suite `name`; what it needs is written to the image folder.
pub fn manifest(dir: &ImageDir, name: &str) -> Result<Manifest> {
    let folder = dir.stage("suite");
    sources::unpack_public(&folder, name)?;
    manifest::load(&folder)
}

/// Boots the image of suite `name` and runs `cases`, or all. What differs for no known reason runs once more: a
/// busy machine stretches time. Error (class `Usage`): no such case.
pub fn measure(env: &Env, image: &Image, request: &Request, name: &str, cases: &[String]) -> Result<PublicComparison> {
    let suite = SUITES.iter().find(|suite| suite.name == name);
    let suite = suite.ok_or_else(|| fail(Class::Usage, format!("there is no suite `{name}`")))?;
    let known = known::parse(sources::public_file(name, "known.txt"))?;
    let recorded = record::parse(sources::public_file(name, "results.txt"))?;
    let boot = |cases: &[String]| boot(env, image, request.clone(), cases);
    let judge = |console: &Console| rows(console, suite.skips, &known, &recorded);
    let (console, ended) = boot(cases)?;
    let mut report = PublicComparison {
        suite: name.to_owned(),
        modes: SAID.map(String::from).to_vec(),
        cases: judge(&console),
        again: Vec::new(),
        complaints: console.complaints.clone(),
        broken_off: ended,
    };
    let odd: Vec<String> = report.cases.iter().filter(|row| row.is_unexpected()).map(|row| row.case.clone()).collect();
    if !odd.is_empty() && report.broken_off.is_none() {
        let (console, ended) = boot(&odd)?;
        for row in judge(&console) {
            report.cases.iter_mut().filter(|old| old.case == row.case).for_each(|old| *old = row.clone());
        }
        report.complaints.extend(console.complaints);
        report.broken_off = ended;
        report.again = odd;
    }
    Ok(report)
}

fn boot(env: &Env, image: &Image, request: Request, cases: &[String]) -> Result<(Console, Option<String>)> {
    // The driver is in ring 3 in both runs: it executes the twin, and then the program.
    let drive = |path: &str, mode: &str| {
        let mut args = vec![path.to_owned(), mode.to_owned()];
        args.extend(cases.iter().cloned());
        command(TWIN, &args)
    };
    let modes = TWIN_FIRST.iter().zip(SAID);
    let commands = modes.map(|(mode, said)| drive(mode.path(image), said)).collect();
    let run = pair::boot(env, image, Request { what: What::Commands(commands), ..request }, LIMIT)?;
    // A test of liburing writes zeros to the terminal.
    let text = String::from_utf8_lossy(&run.console).replace('\0', "");
    if let Some(name) = text.lines().find_map(|line| line.trim_end().strip_prefix("no such case: ")) {
        return Err(fail(Class::Usage, format!("the suite has no case `{name}`")).into());
    }
    let console = read::console(&text);
    let ended = match &run.outcome {
        Outcome::Exited(0) if run.ends.len() == 2 => None,
        Outcome::Exited(status) => Some(format!("the driver ended with status {status}")),
        outcome => broken_off(outcome, &console),
    };
    Ok((console, ended))
}

fn rows(
    console: &Console,
    skips: &[&str],
    known: &BTreeMap<String, Known>,
    recorded: &BTreeMap<String, Verdict>,
) -> Vec<PublicRow> {
    let blocks = |mode: &str| console.runs.iter().find(|run| run.mode == mode).map_or(&[][..], |run| &run.blocks);
    let end = |block: Option<&Block>| match block {
        Some(Block { end: Some(end), .. }) => end.clone(),
        _ => MISSING.to_owned(),
    };
    let row = |first: &Block| {
        let both: Vec<Option<&Block>> =
            SAID.iter().map(|mode| blocks(mode).iter().find(|block| block.name == first.name)).collect();
        let ends: Vec<String> = both.iter().map(|block| end(*block)).collect();
        let verdict = Verdict::of(&ends, skips);
        let differs = verdict == Verdict::Differs;
        let lines = |block: &Option<&Block>| block.map(|block| block.lines.clone()).unwrap_or_default();
        PublicRow {
            reason: known.get(&first.name).filter(|known| differs || known.perhaps).map(|known| known.reason.clone()),
            recorded: recorded.get(&first.name).copied().filter(|recorded| *recorded != verdict),
            lines: if verdict == Verdict::Passed { Vec::new() } else { both.iter().map(lines).collect() },
            case: first.name.clone(),
            ends,
            verdict,
        }
    };
    blocks(SAID[0]).iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "mode ring3\ncase a\nend a exit=0\ncase b\n  x\nend b exit=1\ncase c\nend c exit=0\n\
                        mode app\ncase a\nend a exit=0\ncase b\n  x\nend b exit=1\ncase c\n  bad\nend c signal=11\n";

    fn report(known: &str, recorded: &str) -> PublicComparison {
        let (known, recorded) = (known::parse(known).unwrap(), record::parse(recorded).unwrap());
        PublicComparison {
            suite: "posix".into(),
            modes: SAID.map(String::from).to_vec(),
            cases: rows(&read::console(TEXT), &["exit=4"], &known, &recorded),
            again: Vec::new(),
            complaints: Vec::new(),
            broken_off: None,
        }
    }

    #[test]
    fn a_difference_without_a_reason_is_unexpected() {
        let found = report("", "");
        assert!(!found.passed());
        assert!(found.text().contains("differs  c  exit=0 / signal=11"), "{}", found.text());
        assert!(found.text().contains("  app     bad"), "{}", found.text());
        assert!(report("c because", "").passed());
    }

    #[test]
    fn a_case_that_passed_must_not_fail_now() {
        assert!(report("c because", "fails exit=1 exit=1 b\n").passed());
        assert!(!report("c because", "passed exit=0 exit=0 b\n").passed());
        assert!(report("c because\nb? sleeps", "passed exit=0 exit=0 b\n").passed());
    }

    #[test]
    fn the_record_counts_and_can_be_read() {
        let text = report("", "").record();
        assert!(text.contains("# 3 cases of posix: 1 passed in both modes, 1 fail in both"), "{text}");
        assert_eq!(record::parse(&text).unwrap()["c"], Verdict::Differs);
    }

    #[test]
    fn each_suite_has_its_files_and_a_manifest() {
        for name in NAMES {
            let dir = tempfile::tempdir().unwrap();
            let manifest = manifest(&ImageDir::at(dir.path()), name).unwrap();
            assert!(manifest.program.is_some(), "{name}");
            let known = known::parse(sources::public_file(name, "known.txt")).unwrap();
            let recorded = record::parse(sources::public_file(name, "results.txt")).unwrap();
            assert!(!recorded.is_empty(), "{name} was never recorded");
            for case in known.keys() {
                assert!(recorded.contains_key(case), "{name}/known.txt: there is no case `{case}`");
            }
        }
    }
}
