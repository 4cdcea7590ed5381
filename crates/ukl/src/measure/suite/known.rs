//! `known.txt`: which cases differ from ring 3, and why.

use std::collections::BTreeMap;

use crate::base::error::Result;

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// Why the answers differ.
    pub reason: String,
    /// Whether they differ depends on the processor: either answer is right.
    pub perhaps: bool,
}

/// Lines of `NAME reason`; `NAME?` where it depends on the processor. `#` begins a comment.
pub(super) fn parse(text: &str) -> Result<BTreeMap<String, Known>> {
    let mut known = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let Some((name, reason)) = line.split_once(char::is_whitespace) else {
            anyhow::bail!("known.txt: `{line}` has no reason");
        };
        let perhaps = name.ends_with('?');
        let entry = Known { reason: reason.trim().to_owned(), perhaps };
        anyhow::ensure!(
            known.insert(name.trim_end_matches('?').to_owned(), entry).is_none(),
            "known.txt: `{name}` is listed twice"
        );
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_name_and_a_reason() {
        let known = parse("# why\n\na_case   it is so\nb_case?\tmay be\n").unwrap();
        assert_eq!(known["a_case"], Known { reason: "it is so".into(), perhaps: false });
        assert!(known["b_case"].perhaps);
    }

    #[test]
    fn a_name_without_a_reason_or_twice_is_refused() {
        assert!(parse("alone\n").is_err());
        assert!(parse("a x\na? y\n").is_err());
    }
}
