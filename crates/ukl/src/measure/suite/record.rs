//! `results.txt`: how each case of a public suite ended when it was last recorded.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::error::Result;

/// How a case ended that was not seen to end.
pub(super) const MISSING: &str = "missing";

/// What two ends say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Passed in both modes.
    Passed,
    /// Both say that the case does not apply: unsupported, untested.
    Skipped,
    /// The same failure in both modes.
    Fails,
    /// Not the same.
    Differs,
}

impl Verdict {
    /// The word in the record.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Skipped => "skipped",
            Verdict::Fails => "fails",
            Verdict::Differs => "differs",
        }
    }

    /// The verdict over `ends`; a case that ends with one of `skips` does not apply. Without an end nothing is equal.
    pub(super) fn of(ends: &[String], skips: &[&str]) -> Self {
        match ends {
            _ if ends.iter().any(|end| end == MISSING) => Verdict::Differs,
            [first, rest @ ..] if rest.iter().all(|end| end == first) => match first.as_str() {
                "exit=0" => Verdict::Passed,
                end if skips.contains(&end) => Verdict::Skipped,
                _ => Verdict::Fails,
            },
            _ => Verdict::Differs,
        }
    }
}

/// The lines of a record, in the order of `rows`: verdict, how it ended in each mode, name.
pub(super) fn text<'a>(head: &str, rows: impl Iterator<Item = (Verdict, &'a [String], &'a str)>) -> String {
    let line = |(verdict, ends, name): (Verdict, &[String], &str)| {
        let ends: String = ends.iter().map(|end| format!("{end:<10} ")).collect();
        format!("{:<8} {ends}{name}\n", verdict.word())
    };
    let head: String = head.lines().map(|line| format!("# {line}\n")).collect();
    head + &rows.map(line).collect::<String>()
}

/// Case → verdict. `#` begins a comment.
pub(super) fn parse(text: &str) -> Result<BTreeMap<String, Verdict>> {
    let mut cases = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (Some(first), Some(name)) = (words.first(), words.last().filter(|_| words.len() > 2)) else {
            anyhow::bail!("results.txt: `{line}` is not a verdict, ends and name");
        };
        let known = [Verdict::Passed, Verdict::Skipped, Verdict::Fails, Verdict::Differs];
        let Some(verdict) = known.into_iter().find(|verdict| verdict.word() == *first) else {
            anyhow::bail!("results.txt: `{first}` is not a verdict");
        };
        anyhow::ensure!(cases.insert((*name).to_owned(), verdict).is_none(), "results.txt: `{name}` is there twice");
    }
    Ok(cases)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(ring3: &str, app: &str) -> Vec<String> {
        vec![ring3.into(), app.into()]
    }

    #[test]
    fn equal_ends_pass_fail_or_do_not_apply() {
        let of = |ring3: &str, app: &str| Verdict::of(&ends(ring3, app), &["exit=4"]);
        assert_eq!(of("exit=0", "exit=0"), Verdict::Passed);
        assert_eq!(of("exit=4", "exit=4"), Verdict::Skipped);
        assert_eq!(of("signal=11", "signal=11"), Verdict::Fails);
        assert_eq!(of("exit=0", "exit=1"), Verdict::Differs);
        assert_eq!(of("exit=1", "exit=2"), Verdict::Differs);
        assert_eq!(of(MISSING, MISSING), Verdict::Differs);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let (a, b) = (ends("exit=0", "exit=0"), ends("exit=0", "timeout"));
        let rows = [(Verdict::Passed, a.as_slice(), "x/1-1"), (Verdict::Differs, b.as_slice(), "y/2-1")];
        let text = text("one\ntwo", rows.into_iter());
        assert_eq!(text.lines().last(), Some("differs  exit=0     timeout    y/2-1"));
        let cases = parse(&text).unwrap();
        assert_eq!(cases["x/1-1"], Verdict::Passed);
        assert_eq!(cases["y/2-1"], Verdict::Differs);
    }

    #[test]
    fn nonsense_in_a_record_is_an_error() {
        assert!(parse("perhaps exit=0 exit=0 a\n").is_err());
        assert!(parse("passed a\n").is_err());
        assert!(parse("passed exit=0 exit=0 a\nfails exit=1 exit=1 a\n").is_err());
    }
}
