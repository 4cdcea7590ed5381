//! Words as other programs read them: quoted for a shell, commas doubled for QEMU.

use std::path::Path;

/// Characters that mean nothing to a shell.
pub fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_./=:,+@%^".contains(c)
}

/// A word that a shell takes as it is.
pub fn shell(word: &str) -> String {
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", in_quotes(word))
}

/// The words of a line as a shell splits them, by blanks and quotes; `None` when a quote is not closed.
pub fn split(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(end), c) if c == end => quote = None,
            (Some('"') | None, '\\') => word.get_or_insert_default().push(chars.next()?),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// What stands between two single quotes for `word`.
pub fn in_quotes(word: &str) -> String {
    word.replace('\'', r"'\''")
}

/// A path as the value of one of QEMU's options: a comma would end it unless it is doubled.
pub fn qemu(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_as_a_shell_would() {
        let words = |line| split(line);
        assert_eq!(words("-a  'b c' d\"e\\\"f\" ''").unwrap(), ["-a", "b c", "de\"f", ""]);
        assert_eq!(words("").unwrap(), Vec::<String>::new());
        assert_eq!(words("a 'b"), None);
    }

    #[test]
    fn only_what_a_shell_would_take_apart_is_quoted() {
        let quoted = ["a/b.c", "", "two words", "it's", "$x"].map(shell);
        assert_eq!(quoted, ["a/b.c", "''", "'two words'", r"'it'\''s'", "'$x'"]);
        assert_eq!(qemu(Path::new("/a,b")), "/a,,b");
    }
}
