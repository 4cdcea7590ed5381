//! quilt series files, and the headers of the patches that they list.

use crate::{Error, Result};
use std::collections::HashSet;

/// The patches of a series, in order; `#` begins a comment.
///
/// Paths that leave the series' folder, repeated ones and quilt's options (`-p0`) are errors.
pub fn parse(text: &str) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    let mut seen = HashSet::new();
    for (index, line) in text.lines().enumerate() {
        let error = |what: &str| Err(Error::new(format!("line {}: {what}: {}", index + 1, line.trim())));
        let line = match line.find('#') {
            Some(at) if at == 0 || line[..at].ends_with(char::is_whitespace) => &line[..at],
            _ => line,
        };
        let mut words = line.split_whitespace();
        let Some(name) = words.next() else { continue };
        if words.next().is_some() {
            return error("one file name is expected");
        }
        if name.starts_with('/') || name.split('/').any(|part| matches!(part, ".." | "." | "")) {
            return error("a patch must lie in the series' folder");
        }
        if !seen.insert(name) {
            return error("listed before");
        }
        names.push(name.to_string());
    }
    Ok(names)
}

/// What a patch says about itself, and how large it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatchInfo {
    /// Subject without `[PATCH 1/2]`.
    pub subject: String,
    /// `From:`, empty when absent.
    pub author: String,
    /// The message between the headers and the diff, without the trailers that follow it.
    pub body: String,
    /// `Signed-off-by:` lines, the name and address of each.
    pub sign_offs: Vec<String>,
    /// Files touched, without `a/` and `b/`, in order.
    pub files: Vec<String>,
    /// Lines added.
    pub added: usize,
    /// Lines removed.
    pub removed: usize,
}

/// Reads a patch as `git format-patch` writes it.
pub fn patch_info(text: &str) -> Result<PatchInfo> {
    let mut info = PatchInfo::default();
    let mut lines = text.lines().enumerate().peekable();
    headers(&mut info, &mut lines);
    message(&mut info, &mut lines);
    diff(&mut info, &mut lines)?;
    if info.files.is_empty() {
        return Err(Error::new("patch without a diff"));
    }
    Ok(info)
}

type Lines<'a> = std::iter::Peekable<std::iter::Enumerate<std::str::Lines<'a>>>;

/// Mail headers up to the empty line; a line that begins with a blank goes on with the one before.
fn headers(info: &mut PatchInfo, lines: &mut Lines) {
    while let Some((_, line)) = lines.next_if(|(_, line)| !line.is_empty() && !begins_diff(line)) {
        let mut value = line.to_string();
        while let Some((_, more)) = lines.next_if(|(_, more)| more.starts_with([' ', '\t'])) {
            value = format!("{value} {}", more.trim());
        }
        if let Some(subject) = value.strip_prefix("Subject:") {
            let subject = subject.trim();
            let tag_end = if subject.starts_with('[') { subject.find(']').map_or(0, |at| at + 1) } else { 0 };
            info.subject = subject[tag_end..].trim().to_string();
        } else if let Some(author) = value.strip_prefix("From:") {
            info.author = author.trim().to_string();
        }
    }
}

/// The message: up to the `---` line or the diff.
fn message(info: &mut PatchInfo, lines: &mut Lines) {
    let mut body: Vec<&str> = Vec::new();
    while let Some((_, line)) = lines.next_if(|(_, line)| *line != "---" && !begins_diff(line)) {
        match line.strip_prefix("Signed-off-by:") {
            Some(who) => info.sign_offs.push(who.trim().to_string()),
            None => body.push(line),
        }
    }
    info.body = body.join("\n").trim().to_string();
}

fn begins_diff(line: &str) -> bool {
    line.starts_with("diff --git ") || line.starts_with("--- a/") || line.starts_with("--- /dev/null")
}

/// File names and line counts. A hunk's header says how long it is, so `---` in it is not a file name.
fn diff(info: &mut PatchInfo, lines: &mut Lines) -> Result<()> {
    let mut file = |name: &str| {
        let name = name.split('\t').next().unwrap_or_default();
        let name = name.strip_prefix("a/").or(name.strip_prefix("b/")).unwrap_or(name);
        if name != "/dev/null" && !info.files.iter().any(|known| known == name) {
            info.files.push(name.to_string());
        }
    };
    while let Some((number, line)) = lines.next() {
        if let Some(name) = line.strip_prefix("--- ").or(line.strip_prefix("+++ ")) {
            file(name);
        } else if let Some(name) = line.strip_prefix("rename from ").or(line.strip_prefix("rename to ")) {
            file(name);
        } else if line.starts_with("@@ ") {
            let bad = || Error::new(format!("line {}: bad hunk header", number + 1));
            let (mut old, mut new) = hunk_lengths(line).ok_or_else(bad)?;
            while old > 0 || new > 0 {
                let (_, line) = lines.next().ok_or_else(|| Error::new("patch is cut off"))?;
                let (removes, adds) = match line.bytes().next() {
                    Some(b'+') => (0, 1),
                    Some(b'-') => (1, 0),
                    // Some mailers strip the blank of an empty context line.
                    Some(b' ') | None => (1, 1),
                    Some(b'\\') => (0, 0),
                    Some(_) => return Err(bad()),
                };
                old = usize::checked_sub(old, removes).ok_or_else(bad)?;
                new = usize::checked_sub(new, adds).ok_or_else(bad)?;
                info.added += usize::from(line.starts_with('+'));
                info.removed += usize::from(line.starts_with('-'));
            }
        }
    }
    Ok(())
}

/// The two lengths in `@@ -1,2 +3,4 @@`; a missing one is 1.
fn hunk_lengths(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split(' ').skip(1);
    let mut length = |sign: char| {
        let range = words.next()?.strip_prefix(sign)?;
        range.split_once(',').map_or(Some(1), |(_, length)| length.parse().ok())
    };
    Some((length('-')?, length('+')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_order_without_comments() {
        let text = "# app mode\n0001-a.patch\n\n  0002-b.patch   # why\nsub/0003-c#1.patch\n";
        assert_eq!(parse(text).unwrap(), ["0001-a.patch", "0002-b.patch", "sub/0003-c#1.patch"]);
        assert_eq!(parse("").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn paths_that_leave_the_folder_are_refused() {
        for bad in ["/etc/passwd", "../x.patch", "a/../../x.patch", "./x.patch", "a//b"] {
            let error = parse(&format!("ok.patch\n{bad}\n")).unwrap_err().to_string();
            assert!(error.starts_with("line 2: a patch must lie"), "{error}");
        }
        assert_eq!(parse("x.patch -p0").unwrap_err().to_string(), "line 1: one file name is expected: x.patch -p0");
        assert!(parse("x.patch\nx.patch").is_err());
    }

    const PATCH: &str = "\
From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001
From: A Person <a@example.org>
Date: Sat, 1 Jan 2022 00:00:00 +0000
Subject: [PATCH 02/14] x86/entry: move frames of the app to the
 right stack

Why it is needed.
--- a dash is not a diff

Signed-off-by: A Person <a@example.org>
---
 arch/x86/kernel/traps.c | 3 ++-
 fs/new.c                | 2 ++

diff --git a/arch/x86/kernel/traps.c b/arch/x86/kernel/traps.c
index 1111111..2222222 100644
--- a/arch/x86/kernel/traps.c
+++ b/arch/x86/kernel/traps.c
@@ -10,3 +10,4 @@ static void f(void)
 context
---- a/not/a/file
++++ b/not/a/file
+more
 context
diff --git a/fs/new.c b/fs/new.c
new file mode 100644
--- /dev/null
+++ b/fs/new.c
@@ -0,0 +1,2 @@
+int x;
+int y;
\\ No newline at end of file
--\u{20}
2.39.5
";

    #[test]
    fn a_patch_tells_its_subject_files_and_size() {
        let info = patch_info(PATCH).unwrap();
        assert_eq!(info.subject, "x86/entry: move frames of the app to the right stack");
        assert_eq!(info.author, "A Person <a@example.org>");
        assert_eq!(info.sign_offs, ["A Person <a@example.org>"]);
        assert_eq!(info.body, "Why it is needed.\n--- a dash is not a diff");
        assert_eq!(info.files, ["arch/x86/kernel/traps.c", "fs/new.c"]);
        assert_eq!((info.added, info.removed), (4, 1));
    }

    #[test]
    fn a_bare_diff_has_no_subject() {
        let info = patch_info("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n").unwrap();
        assert_eq!((info.subject.as_str(), info.files.len(), info.added, info.removed), ("", 1, 1, 1));
    }

    #[test]
    fn damaged_patches_are_errors() {
        assert_eq!(patch_info("Subject: x\n\nwhy\n").unwrap_err().to_string(), "patch without a diff");
        let cut = &PATCH[..PATCH.find("+more").unwrap()];
        assert_eq!(patch_info(cut).unwrap_err().to_string(), "patch is cut off");
        let wrong = PATCH.replace("+10,4", "+10,3");
        assert_eq!(patch_info(&wrong).unwrap_err().to_string(), "line 19: bad hunk header");
    }
}
