//! Debian's machine-readable copyright files, licence names, and what may be linked with a GPL-2.0-only kernel.

/// One paragraph of a copyright file that is about files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paragraph {
    /// Patterns of the files.
    pub files: Vec<String>,
    /// The licence's short name, as it is written there.
    pub licence: String,
}

/// May something under a licence be given to others as a part of a GPL-2.0-only work?
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It may.
    Compatible,
    /// The name is none that we know.
    Unknown,
    /// Its terms and the GPL's cannot both be met.
    Incompatible,
}

/// The paragraphs of a copyright file, but for those about the packaging; nothing when it is not machine-readable.
pub fn paragraphs(text: &str) -> Option<Vec<Paragraph>> {
    let is_format = |line: &str| line.starts_with("Format:") || line.starts_with("Format-Specification:");
    text.lines().find(|line| !line.trim().is_empty()).filter(|line| is_format(line))?;
    let mut found = Vec::new();
    for paragraph in text.split("\n\n") {
        let (mut files, mut licence, mut in_files) = (Vec::new(), None, false);
        for line in paragraph.lines() {
            if line.starts_with([' ', '\t']) {
                if in_files {
                    files.extend(line.split_whitespace().map(String::from));
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            in_files = field.eq_ignore_ascii_case("files");
            if in_files {
                files.extend(value.split_whitespace().map(String::from));
            }
            if field.eq_ignore_ascii_case("license") {
                licence = Some(value.trim().to_owned());
            }
        }
        let packaging = files.iter().all(|file| file.starts_with("debian/"));
        if let (false, Some(licence)) = (packaging, licence) {
            found.push(Paragraph { files, licence });
        }
    }
    Some(found)
}

/// (Debian's name in lower case, SPDX's name, compatible).
const KNOWN: [(&str, &str, bool); 44] = [
    ("mit", "MIT", true),
    ("expat", "MIT", true),
    ("x11", "X11", true),
    ("isc", "ISC", true),
    ("zlib", "Zlib", true),
    ("libpng", "Libpng", true),
    ("curl", "curl", true),
    ("unlicense", "Unlicense", true),
    ("cc0-1.0", "CC0-1.0", true),
    ("cc0", "CC0-1.0", true),
    ("0bsd", "0BSD", true),
    ("bsd-1-clause", "BSD-1-Clause", true),
    ("bsd-2-clause", "BSD-2-Clause", true),
    ("bsd-3-clause", "BSD-3-Clause", true),
    ("bsd-4-clause", "BSD-4-Clause", false),
    ("bsl-1.0", "BSL-1.0", true),
    ("postgresql", "PostgreSQL", true),
    ("hpnd", "HPND", true),
    ("public-domain", "LicenseRef-public-domain", true),
    ("permissive", "LicenseRef-permissive", true),
    ("gpl-2", "GPL-2.0-only", true),
    ("gpl-2.0", "GPL-2.0-only", true),
    ("gpl-2+", "GPL-2.0-or-later", true),
    ("gpl-2.0+", "GPL-2.0-or-later", true),
    ("gpl-1+", "GPL-1.0-or-later", true),
    ("gpl-3", "GPL-3.0-only", false),
    ("gpl-3+", "GPL-3.0-or-later", false),
    ("lgpl-2", "LGPL-2.0-only", true),
    ("lgpl-2+", "LGPL-2.0-or-later", true),
    ("lgpl-2.1", "LGPL-2.1-only", true),
    ("lgpl-2.1+", "LGPL-2.1-or-later", true),
    ("lgpl-3", "LGPL-3.0-only", false),
    ("lgpl-3+", "LGPL-3.0-or-later", false),
    ("agpl-3", "AGPL-3.0-only", false),
    ("agpl-3+", "AGPL-3.0-or-later", false),
    ("apache-2", "Apache-2.0", false),
    ("apache-2.0", "Apache-2.0", false),
    ("openssl", "OpenSSL", false),
    ("mpl-1.1", "MPL-1.1", false),
    ("cddl-1.0", "CDDL-1.0", false),
    ("epl-1.0", "EPL-1.0", false),
    ("epl-2.0", "EPL-2.0", false),
    ("sspl-1.0", "SSPL-1.0", false),
    ("rsal-2.0", "LicenseRef-RSALv2", false),
];

fn known(name: &str) -> Option<&'static (&'static str, &'static str, bool)> {
    let name = name.trim().to_lowercase();
    KNOWN.iter().find(|(debian, spdx, _)| *debian == name || spdx.to_lowercase() == name)
}

/// A licence expression as Debian writes it, in its alternatives, each in its parts that hold together.
fn alternatives(expression: &str) -> Vec<Vec<String>> {
    let parts = |text: &str| {
        let text = text.replace(" and/or ", " or ").replace(',', " and ");
        text.split(" and ").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
    };
    let expression = expression.replace(" and/or ", " or ");
    expression.split(" or ").map(parts).collect()
}

/// What the whole expression allows: the best of the alternatives, each as bad as its worst part.
pub fn verdict(expression: &str) -> Verdict {
    let one = |name: &String| match known(name) {
        Some((_, _, true)) => Verdict::Compatible,
        Some((_, _, false)) => Verdict::Incompatible,
        None => Verdict::Unknown,
    };
    let all = |parts: &Vec<String>| parts.iter().map(one).max().unwrap_or(Verdict::Unknown);
    alternatives(expression).iter().map(all).min().unwrap_or(Verdict::Unknown)
}

/// The expression as SPDX writes it; names that it does not know become `LicenseRef-` names.
pub fn spdx(expression: &str) -> String {
    let name = |name: &String| match known(name) {
        Some((_, spdx, _)) => (*spdx).to_owned(),
        None => {
            let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
            format!("LicenseRef-{}", name.chars().map(plain).collect::<String>())
        }
    };
    let group = |parts: &Vec<String>| parts.iter().map(name).collect::<Vec<_>>().join(" AND ");
    let mut groups: Vec<String> = alternatives(expression).iter().map(group).filter(|text| !text.is_empty()).collect();
    if groups.len() > 1 {
        groups.iter_mut().filter(|text| text.contains(" AND ")).for_each(|text| *text = format!("({text})"));
    }
    if groups.is_empty() {
        return "NOASSERTION".into();
    }
    groups.join(" OR ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Format: https://x/1.0/\nSource: y\n\nFiles: *\nCopyright: a\nLicense: BSD-3-clause\n Text.\n\n\
                        Files: src/a.c\n       src/b.c\nCopyright: b\nLicense: GPL-3+ or Apache-2.0\n\n\
                        Files: debian/*\nLicense: GPL-3+\n\nLicense: GPL-3+\n Text: of it.\n";

    #[test]
    fn paragraphs_about_files_are_read_and_others_are_not() {
        let found = paragraphs(TEXT).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].files.join(" "), found[0].licence.as_str()), ("*".into(), "BSD-3-clause"));
        assert_eq!(found[1].files, ["src/a.c", "src/b.c"]);
        assert_eq!(paragraphs("This is free software.\n"), None);
    }

    #[test]
    fn the_best_alternative_counts_and_its_worst_part() {
        for name in ["MIT", "Expat", "BSD-3-clause and ISC", "GPL-2+", "GPL-3+ or GPL-2", "public-domain, MIT"] {
            assert_eq!(verdict(name), Verdict::Compatible, "{name}");
        }
        for name in ["Apache-2.0", "GPL-3+ or Apache-2.0", "MIT and OpenSSL", "SSPL-1.0"] {
            assert_eq!(verdict(name), Verdict::Incompatible, "{name}");
        }
        assert_eq!(["odd", "MIT and odd", ""].map(verdict), [Verdict::Unknown; 3]);
        assert_eq!(verdict("Apache-2.0 or odd"), Verdict::Unknown);
    }

    #[test]
    fn names_become_those_of_spdx() {
        assert_eq!(spdx("GPL-2+ or BSD-3-clause and MIT"), "GPL-2.0-or-later OR (BSD-3-Clause AND MIT)");
        assert_eq!(spdx("permissive_odd 1"), "LicenseRef-permissive-odd-1");
        assert_eq!(spdx(""), "NOASSERTION");
    }
}
