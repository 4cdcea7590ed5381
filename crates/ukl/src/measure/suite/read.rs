//! The console's text → the runs, their cases, and what the kernel complained about.

/// What the console showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Console {
    /// The runs in the order in which they began.
    pub runs: Vec<Run>,
    /// Lines of the kernel that tell of a defect, each with the case that ran.
    pub complaints: Vec<String>,
}

/// All cases in one mode.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Run {
    /// What the program said its mode is.
    pub mode: String,
    /// Its cases.
    pub blocks: Vec<Block>,
}

/// One case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Block {
    /// Its name.
    pub name: String,
    /// What it printed.
    pub lines: Vec<String>,
    /// `exit=0`, `signal=11`, `timeout`; nothing when the run broke off in it.
    pub end: Option<String>,
}

/// Reads the console's text: blocks of `case NAME`, lines, `end NAME HOW`, below `mode NAME`.
pub(super) fn console(text: &str) -> Console {
    let mut console = Console::default();
    let (text, messages) = without_messages(text);
    for line in text.lines().map(|line| line.trim_end_matches('\r')) {
        if let Some(mode) = line.strip_prefix("mode ") {
            console.runs.push(Run { mode: mode.to_owned(), blocks: Vec::new() });
            continue;
        }
        let Some(run) = console.runs.last_mut() else { continue };
        if let Some(name) = line.strip_prefix("case ") {
            run.blocks.push(Block { name: name.to_owned(), ..Block::default() });
            continue;
        }
        let Some(block) = run.blocks.last_mut().filter(|block| block.end.is_none()) else { continue };
        match line.strip_prefix("end ").and_then(|rest| rest.strip_prefix(block.name.as_str())) {
            Some(end) => block.end = Some(end.trim_start().to_owned()),
            None => block.lines.push(line.to_owned()),
        }
    }
    console.complaints = messages.into_iter().filter_map(complaint).collect();
    console
}

/// A message of the kernel and the last case that had begun before it.
struct Message<'a> {
    text: &'a str,
    case: Option<String>,
}

fn complaint(message: Message) -> Option<String> {
    let case = message.case?;
    formats::console::is_complaint(message.text).then(|| format!("{case}: {}", message.text))
}

/// The text without the kernel's messages, and the messages.
pub(super) fn split(text: &str) -> (String, Vec<String>) {
    let (rest, messages) = without_messages(text);
    (rest, messages.iter().map(|message| message.text.to_owned()).collect())
}

/// Takes out the kernel's messages, wherever they begin: the kernel does not wait for the end of a line.
fn without_messages(text: &str) -> (String, Vec<Message<'_>>) {
    let (mut rest, mut messages, mut case) = (String::new(), Vec::new(), None);
    for line in text.split_inclusive('\n') {
        let Some(at) = stamp(line) else {
            if rest.is_empty() || rest.ends_with('\n') {
                if let Some(name) = line.strip_prefix("case ") {
                    case = Some(name.trim_end().to_owned());
                }
            }
            rest.push_str(line);
            continue;
        };
        rest.push_str(&line[..at]);
        messages.push(Message { text: line[at..].trim_end(), case: case.clone() });
    }
    (rest, messages)
}

/// Where `[   12.345678] ` begins in a line.
fn stamp(line: &str) -> Option<usize> {
    line.match_indices('[').map(|(at, _)| at).find(|at| {
        let Some((time, _)) = line[at + 1..].split_once("] ") else { return false };
        let Some((seconds, fraction)) = time.trim_start().split_once('.') else { return false };
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits(seconds) && fraction.len() == 6 && digits(fraction)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[    0.100000] WARNING: before the suite\r\nmode ring3\r\ncase a\r\n  one\r\nend a exit=0\r\n\
                        case b\r\n  tw[   12.345678] BUG: bad thing\r\no\r\nend b signal=11\r\nmode app\r\ncase a\r\n  one\r\n";

    #[test]
    fn blocks_are_read_and_the_last_may_be_open() {
        let console = console(TEXT);
        assert_eq!(console.runs.len(), 2);
        let ring3 = &console.runs[0];
        assert_eq!((ring3.mode.as_str(), ring3.blocks.len()), ("ring3", 2));
        assert_eq!(ring3.blocks[0].lines, ["  one"]);
        assert_eq!(ring3.blocks[1].end.as_deref(), Some("signal=11"));
        assert_eq!(console.runs[1].blocks[0].end, None);
    }

    #[test]
    fn the_kernel_may_speak_in_the_middle_of_a_line() {
        let console = console(TEXT);
        assert_eq!(console.runs[0].blocks[1].lines, ["  two"]);
        assert_eq!(console.complaints, ["b: [   12.345678] BUG: bad thing"]);
    }

    #[test]
    fn brackets_of_a_program_are_no_message() {
        assert_eq!(stamp("  [ 1.5] [x] [12.3456789] "), None);
        assert_eq!(stamp("ab[   12.345678] x"), Some(2));
    }
}
