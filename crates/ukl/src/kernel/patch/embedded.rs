//! `linux-patches/`, embedded by `build.rs`: for each kernel line its patches and configuration fragments.

use crate::base::error::{fail, Class, Result};

/// Line (`6.12`) → (file name, contents), sorted.
static LINES: &[(&str, &[(&str, &str)])] = include!(concat!(env!("OUT_DIR"), "/linux_patches.rs"));

/// The kernel lines that ukl has patches for.
pub fn lines() -> Vec<&'static str> {
    LINES.iter().map(|(line, _)| *line).collect()
}

/// The file `name` of the kernel line `version`. Error (class `Usage`): there are no patches for this line.
pub fn file(version: &str, name: &str) -> Result<Option<&'static str>> {
    let Some((_, files)) = LINES.iter().find(|(line, _)| *line == version) else {
        let failure = fail(Class::Usage, format!("there are no patches for Linux `{version}`"));
        return Err(failure.hint(format!("kernel lines with patches: {}", lines().join(", "))).into());
    };
    Ok(files.iter().find(|(file, _)| *file == name).map(|(_, text)| *text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_a_series_and_a_base_configuration() {
        assert!(lines().contains(&"6.12"));
        for line in lines() {
            for name in ["series", "base.config", "ukl.config", "storage.config", "debug.config"] {
                assert!(file(line, name).unwrap().is_some(), "{line}/{name}");
            }
        }
    }

    #[test]
    fn an_unknown_line_names_the_known_ones() {
        let (text, code) = crate::base::error::render(&file("2.4", "series").unwrap_err());
        assert!(text.contains("`2.4`") && text.contains("6.12"), "{text}");
        assert_eq!(code, 2);
    }
}
