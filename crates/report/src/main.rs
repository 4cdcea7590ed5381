//! `report docs` makes the documentation's pictures and tables anew; `report record FILE` records what `ukl --json` printed.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{bail, Context, Result};
use report::tool::{self, Circumstances};
use report::Files;

const USAGE: &str = "\
usage: report docs                      pictures and tables of README.md and docs/ from docs/data/ and tests/
       report record FILE [MACHINE]     standard input, from `ukl --json bench` or `ukl --json test`, to FILE";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["docs"] => docs(&root()),
        ["record", file] => record(Path::new(file), None),
        ["record", file, machine] => record(Path::new(file), Some(machine)),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The repository that this program was built in.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Writes every picture, and every page whose tables are not what the recorded files say.
fn docs(root: &Path) -> Result<()> {
    let files = files(root)?;
    for (name, svg) in report::pictures(&files)? {
        write(&root.join("docs/pictures").join(name), &svg)?;
    }
    for page in pages(root)? {
        let text = read(&page)?;
        let filled = report::page(&text, &files).with_context(|| page.display().to_string())?;
        if filled != text {
            write(&page, &filled)?;
        }
    }
    Ok(())
}

/// The recorded files: measurements, and results of suites.
fn files(root: &Path) -> Result<Files> {
    let mut files = Files::new();
    for entry in list(&root.join("docs/data"))? {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.insert(format!("docs/data/{name}"), read(&entry)?);
    }
    for suite in ["tests/conformance", "tests/suites/posix", "tests/suites/uring"] {
        let path = format!("{suite}/results.txt");
        files.insert(path.clone(), read(&root.join(path))?);
    }
    Ok(files)
}

fn pages(root: &Path) -> Result<Vec<PathBuf>> {
    let mut pages = list(&root.join("docs"))?;
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.push(root.join("README.md"));
    Ok(pages)
}

/// Records standard input; a recording that is there already keeps its machine, unless another one is named.
fn record(file: &Path, machine: Option<&str>) -> Result<()> {
    let mut json = String::new();
    std::io::stdin().read_to_string(&mut json).context("failed to read standard input")?;
    if file.extension().is_some_and(|extension| extension == "txt") {
        return write(file, &tool::results(&json)?);
    }
    let before = fs::read_to_string(file).ok().and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
    let before = before.as_ref().and_then(|before| before.get("machine")).and_then(|machine| machine.as_str());
    // What changes from run to run is in what the tool printed.
    let before = before.and_then(|machine| machine.split("; load average").next());
    let Some(machine) = machine.or(before) else {
        bail!("say what it was measured on: report record FILE \"2 virtual cores, Debian 12, QEMU 7.2 under TCG\"");
    };
    let circumstances = Circumstances { measured: today()?, machine: machine.to_owned() };
    write(file, &tool::recording(&json, circumstances)?.text()?)
}

/// The day in UTC, as 2026-11-25: civil date of a number of days, by 400-year cycles that begin in March.
fn today() -> Result<String> {
    let days = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs() / 86_400;
    let (cycle, day) = ((days + 719_468) / 146_097, (days + 719_468) % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year + cycle * 400 + u64::from(month <= 2);
    Ok(format!("{year:04}-{month:02}-{day:02}"))
}

fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("failed to read `{}`", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("failed to read `{}`", path.display()))
}

/// Whole and renamed into place.
fn write(path: &Path, text: &str) -> Result<()> {
    let draft = path.with_extension("draft");
    let written = fs::write(&draft, text).and_then(|()| fs::rename(&draft, path));
    written.with_context(|| format!("failed to write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGAIN: &str = "run `cargo run -p report -- docs`";

    #[test]
    fn pictures_and_tables_are_what_the_recorded_files_say() {
        let files = files(&root()).unwrap();
        let mut names = Vec::new();
        for (name, svg) in report::pictures(&files).unwrap() {
            let path = root().join("docs/pictures").join(&name);
            assert!(read(&path).unwrap_or_default() == svg, "docs/pictures/{name} is another one: {AGAIN}");
            names.push(path);
        }
        names.sort();
        assert_eq!(list(&root().join("docs/pictures")).unwrap(), names, "a picture that nobody draws");
        let mut blocks = 0;
        for page in pages(&root()).unwrap() {
            let text = read(&page).unwrap();
            blocks += text.matches("<!-- report: ").count();
            assert!(report::page(&text, &files).unwrap() == text, "{} has other tables: {AGAIN}", page.display());
        }
        assert!(blocks > 5, "only {blocks} blocks");
    }

    #[test]
    fn every_picture_is_on_a_page() {
        let text: String = pages(&root()).unwrap().iter().map(|page| read(page).unwrap()).collect();
        for picture in list(&root().join("docs/pictures")).unwrap() {
            let name = picture.file_name().unwrap().to_string_lossy().into_owned();
            assert!(text.contains(&format!("pictures/{name})")), "no page shows {name}");
        }
    }
}
