//! The marked places of a page, where tables stand that are made from recorded files.

use anyhow::{Context, Result};

/// What stands before and behind the name of a block.
const BEGIN: (&str, &str) = ("<!-- report: ", " -->\n");
/// What ends a block.
const END: &str = "<!-- end of report -->\n";

/// `page` with the text of every block replaced by what `make` says for its name.
pub fn fill(page: &str, make: impl Fn(&str) -> Result<String>) -> Result<String> {
    let mut done = String::new();
    let mut rest = page;
    while let Some((before, after)) = rest.split_once(BEGIN.0) {
        let (name, after) = after.split_once(BEGIN.1).context("a block whose first line does not end")?;
        let (_, after) = after.split_once(END).with_context(|| format!("block `{name}` has no end: {}", END.trim()))?;
        done += &format!("{before}{}{name}{}{}{END}", BEGIN.0, BEGIN.1, make(name)?);
        rest = after;
    }
    Ok(done + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_replaced_and_the_rest_stays() {
        let page = "a\n<!-- report: x y -->\nold\n<!-- end of report -->\nb\n";
        let filled = fill(page, |name| Ok(format!("new {name}\n"))).unwrap();
        assert_eq!(filled, "a\n<!-- report: x y -->\nnew x y\n<!-- end of report -->\nb\n");
        assert_eq!(fill(&filled, |name| Ok(format!("new {name}\n"))).unwrap(), filled);
    }

    #[test]
    fn a_block_without_an_end_is_an_error() {
        assert!(fill("<!-- report: x -->\nold\n", |_| Ok(String::new())).is_err());
    }
}
