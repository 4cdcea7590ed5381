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
    fn only_what_a_shell_would_take_apart_is_quoted() {
        let quoted = ["a/b.c", "", "two words", "it's", "$x"].map(shell);
        assert_eq!(quoted, ["a/b.c", "''", "'two words'", r"'it'\''s'", "'$x'"]);
        assert_eq!(qemu(Path::new("/a,b")), "/a,,b");
    }
}
