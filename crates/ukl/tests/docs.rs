//! Every block of commands in README.md and `docs/` runs, page by page, from top to bottom, beside a copy of `examples/`.
//!
//! A block is fenced as `sh`. The block fenced as `text` that follows must be in its output: each line somewhere,
//! in this order. A line `<!-- skip: why -->` before a block leaves it out, and the test says so.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};

/// Commands, what they must print, and why they do not run.
#[derive(Debug, Default, PartialEq)]
struct Block {
    line: usize,
    commands: String,
    expected: Vec<String>,
    skip: Option<String>,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let (mut fence, mut skip) = (None, None);
    for (number, line) in (1..).zip(text.lines()) {
        match (fence, line.strip_prefix("```")) {
            (None, Some(kind)) => {
                fence = Some(kind.to_owned());
                if kind == "sh" {
                    blocks.push(Block { line: number, skip: skip.take(), ..Block::default() });
                }
            }
            (Some(_), Some("")) => {
                fence = None;
                continue;
            }
            (Some(kind), _) => {
                if let (Some(block), "sh") = (blocks.last_mut(), kind.as_str()) {
                    block.commands.push_str(line);
                    block.commands.push('\n');
                } else if let (Some(block), "text") = (blocks.last_mut(), kind.as_str()) {
                    block.expected.push(line.to_owned());
                }
                fence = Some(kind);
            }
            (None, None) => {
                let marked = line.strip_prefix("<!-- skip: ").and_then(|rest| rest.strip_suffix(" -->"));
                skip = marked.map(str::to_owned).or(skip.filter(|_| line.is_empty()));
                fence = None;
            }
        }
    }
    blocks
}

/// Runs a page's blocks in one shell, so that `cd` lasts; each block's output ends with a mark.
fn page(path: &Path) -> Result<(), Failed> {
    let blocks = blocks(&fs::read_to_string(path)?);
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let dir = tempfile::tempdir()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let copy = Command::new("cp").arg("-r").arg(root.join("examples")).arg(dir.path()).status()?;
    assert!(copy.success());
    let mut script = String::from("set -eu\n");
    for block in &blocks {
        match &block.skip {
            Some(why) => eprintln!("skip: {name}:{}: {why}", block.line),
            None => script.push_str(&block.commands),
        }
        script.push_str(&format!("echo '== {}'\n", block.line));
    }
    let bin = Path::new(env!("CARGO_BIN_EXE_ukl")).parent().unwrap();
    let paths = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    // A block that waits for ever is a mistake of the page's.
    let mut bash = Command::new("timeout");
    bash.args(["1800", "bash", "-c"]).arg(format!("exec 2>&1\n{script}")).current_dir(dir.path()).env("PATH", paths);
    // Guests in the background are this page's own.
    bash.env("XDG_STATE_HOME", dir.path().join("state"));
    let output = bash.stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut rest = text.as_str();
    for block in &blocks {
        let mark = format!("== {}\n", block.line);
        let Some((said, after)) = rest.split_once(&mark) else {
            return Err(format!("{name}:{}: the block fails\n{rest}", block.line).into());
        };
        rest = after;
        let mut said = said;
        for line in block.expected.iter().filter(|_| block.skip.is_none()) {
            let Some(at) = said.find(line.as_str()) else {
                return Err(format!("{name}:{}: no `{line}` in\n{said}", block.line).into());
            };
            said = &said[at + line.len()..];
        }
    }
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{name}: {}\n{rest}", output.status).into()),
    }
}

/// Links and pictures on every page. Those of `docs/` stay in the book, whose table of contents names every page.
fn links() -> Result<(), Failed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let docs = root.join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md"))?;
    let mut pages = vec![root.join("README.md"), root.join("DESIGN.md")];
    for page in fs::read_dir(&docs)? {
        let page = page?.path();
        let name = page.file_name().unwrap().to_string_lossy().into_owned();
        if !name.ends_with(".md") {
            continue;
        }
        if name != "SUMMARY.md" && !summary.contains(&format!("]({name})")) {
            return Err(format!("SUMMARY.md does not name {name}").into());
        }
        pages.push(page);
    }
    let mut wrong = Vec::new();
    for page in pages {
        for link in fs::read_to_string(&page)?.split("](").skip(1) {
            let link = link.split(')').next().unwrap_or_default();
            wrong.extend(dead(&page, link, page.starts_with(&docs)).map(|why| format!("{}: {why}", page.display())));
        }
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(wrong.join("\n").into()),
    }
}

/// Why `link` on `page` leads nowhere.
fn dead(page: &Path, link: &str, in_book: bool) -> Option<String> {
    let (target, heading) = link.split_once('#').unwrap_or((link, ""));
    if target.contains("://") {
        return None;
    }
    if in_book && target.contains("..") {
        return Some(format!("`{link}` leads out of the book"));
    }
    let file = if target.is_empty() { page.to_owned() } else { page.parent().unwrap().join(target) };
    let Ok(text) = fs::read_to_string(&file) else { return Some(format!("no `{target}`")) };
    let lines = text.lines().filter(|line| line.starts_with('#'));
    let missing = !heading.is_empty() && !lines.map(anchor).any(|anchor| anchor == heading);
    missing.then(|| format!("no heading for `{link}`"))
}

/// The name by which a heading is linked to, as mdBook and GitHub make it.
fn anchor(heading: &str) -> String {
    let letters = heading.trim_start_matches('#').trim().to_lowercase();
    let letters = letters.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    letters.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The conformance suite's cases are those of `tests/conformance/results.txt`, from which pages have their numbers.
fn recorded() -> Result<(), Failed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance");
    let mut cases = Vec::new();
    for file in fs::read_dir(&folder)? {
        let file = file?.path();
        if file.extension().is_some_and(|e| e == "c") {
            let text = fs::read_to_string(&file)?;
            // `FAMILY(tcp, T(tcp_echo), …)`: nothing else is written ` T(name)`.
            let defined = text.split(" T(").skip(1).filter_map(|rest| rest.split_once(')'));
            cases.extend(defined.map(|(name, _)| name.to_owned()));
        }
    }
    let text = fs::read_to_string(folder.join("results.txt"))?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut results: Vec<String> = lines.filter_map(|line| Some(line.split_whitespace().last()?.to_owned())).collect();
    cases.sort();
    results.sort();
    let differ =
        |a: &[String], b: &[String]| a.iter().filter(|name| !b.contains(name)).cloned().collect::<Vec<_>>().join(" ");
    let (missing, gone) = (differ(&cases, &results), differ(&results, &cases));
    match missing.is_empty() && gone.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "tests/conformance/results.txt: missing: {missing}; gone: {gone}; run \
             `ukl --json test | cargo run -p report -- record tests/conformance/results.txt` and `cargo run -p report -- docs`"
        )
        .into()),
    }
}

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(1));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pages: Vec<PathBuf> = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.push(root.join("README.md"));
    pages.retain(|path| path.extension().is_some_and(|e| e == "md"));
    pages.retain(|path| fs::read_to_string(path).unwrap().contains("\n```sh\n"));
    pages.sort();
    assert!(pages.len() >= 4, "{pages:?}");
    let mut trials: Vec<Trial> = pages
        .into_iter()
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            Trial::test(name, move || page(&path))
        })
        .collect();
    trials.push(Trial::test("blocks_are_found_with_their_outputs", || {
        let text =
            "<!-- skip: why -->\n```sh\na\nb\n```\n\nwords\n\n```sh\nc\n```\n\n```text\nx\ny\n```\n```toml\nz\n```\n";
        let found = blocks(text);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].commands.as_str(), found[0].skip.as_deref()), ("a\nb\n", Some("why")));
        assert_eq!((found[1].commands.as_str(), found[1].skip.as_deref()), ("c\n", None));
        assert_eq!(found[1].expected, ["x", "y"]);
        Ok(())
    }));
    trials.push(Trial::test("links_lead_somewhere_and_the_book_has_every_page", links));
    trials.push(Trial::test("dead_links_are_found", || {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/by-hand.md");
        assert_eq!(dead(&page, "#7-the-same-as-a-script", true), None);
        assert_eq!(dead(&page, "kernel.md#memory", true), None);
        assert_eq!(dead(&page, "pictures/pipeline.svg", true), None);
        assert!(dead(&page, "kernel.md#no-such-heading", true).is_some());
        assert!(dead(&page, "no-such-page.md", true).is_some());
        assert!(dead(&page, "../README.md", true).is_some_and(|why| why.contains("out of the book")));
        assert_eq!(dead(&page, "../README.md", false), None);
        Ok(())
    }));
    trials.push(Trial::test("every_case_of_the_suite_is_recorded", recorded));
    libtest_mimic::run(&arguments, trials).exit();
}
