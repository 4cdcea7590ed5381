//! The conformance suite: one program, run in ring 3 and in app mode in one boot, compared line by line.

mod sources;
mod known;
mod read;
mod record;
mod judge;
mod public;
mod endurance;
mod fuzz;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::workdir::ImageDir;
use crate::boot::Outcome;
use crate::image::folder::Image;
use crate::image::initrd::{self, Command};
use crate::machine::{Request, What};
use crate::manifest::{self, Manifest};
use crate::measure::pair::{self, SAID, TWIN_FIRST};

pub use endurance::{endure, text as endurance_text, Endurance, Task};
pub use fuzz::{fuzz, Fuzz, Fuzzed};
pub use judge::{Row, Verdict};
pub use public::{manifest as public_manifest, measure, PublicComparison, PublicRow, NAMES};
pub use record::Verdict as PublicVerdict;

/// A run that has not ended by then is not going to: on a slow machine, and the long version.
const LIMIT: Duration = Duration::from_secs(1200);
const FULL_LIMIT: Duration = Duration::from_secs(7200);

/// The cases about what only shows on hardware.
pub fn hardware() -> Vec<String> {
    sources::hardware()
}

/// What to run.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Names of cases; all when empty.
    pub cases: Vec<String>,
    /// The long version of cases that have one.
    pub full: bool,
}

/// The comparison.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The modes, in the order of each row's `ends`.
    pub modes: Vec<String>,
    /// The cases, in the order in which they ran.
    pub cases: Vec<Row>,
    /// What the kernel complained about while cases ran.
    pub complaints: Vec<String>,
    /// Why the boot ended before the last case did.
    pub broken_off: Option<String>,
}

impl Comparison {
    /// Is every case the same or different for a known reason, and the kernel without complaint?
    pub fn passed(&self) -> bool {
        let fine = |row: &Row| matches!(row.verdict, Verdict::Same | Verdict::Known { .. });
        self.cases.iter().all(fine) && self.complaints.is_empty() && self.broken_off.is_none()
    }

    /// The table for a person, and what is behind each unexpected row.
    pub fn text(&self) -> String {
        judge::table(self)
    }
}

/// The suite's manifest; its sources, which are part of this program, are written to the image folder.
pub fn manifest(dir: &ImageDir) -> Result<Manifest> {
    let folder = dir.stage("suite");
    sources::unpack(&folder)?;
    manifest::load(&folder)
}

/// Boots the suite's image and compares its runs. Error (class `Usage`): a case that does not exist.
pub fn compare(env: &Env, image: &Image, request: Request, selection: &Selection) -> Result<Comparison> {
    let mut args = if selection.full { vec!["--full".to_owned()] } else { Vec::new() };
    args.extend(if selection.cases.is_empty() { vec!["all".to_owned()] } else { vec!["run".to_owned()] });
    args.extend(selection.cases.iter().cloned());
    let limit = if selection.full { FULL_LIMIT } else { LIMIT };
    let commands = TWIN_FIRST.map(|mode| command(mode.path(image), &args)).to_vec();
    // Cases are about time, too, which a busy host would stretch. Interrupts from outside keep their own time.
    let request = Request { icount: request.nmi.is_none(), what: What::Commands(commands), ..request };
    let run = pair::boot(env, image, request, limit)?;
    let console = read::console(&String::from_utf8_lossy(&run.console));
    if run.ends.contains(&Outcome::Exited(2)) && console.runs.iter().all(|run| run.blocks.is_empty()) {
        let failure = fail(Class::Usage, "the suite has no case of this name");
        return Err(failure.hint("`ukl test` without names runs and lists all of them").into());
    }
    let known = known::parse(sources::KNOWN)?;
    let whole = selection.cases.is_empty();
    Ok(Comparison {
        modes: SAID.map(String::from).to_vec(),
        cases: judge::rows(&console.runs, &SAID, &known, whole),
        complaints: console.complaints.clone(),
        broken_off: broken_off(&run.outcome, &console),
    })
}

/// Why the boot ended early, and in which case.
fn broken_off(outcome: &Outcome, console: &read::Console) -> Option<String> {
    let why = match outcome {
        Outcome::Exited(_) => return None,
        Outcome::Signaled(signal) => format!("the suite itself was killed by signal {signal}"),
        Outcome::Panic(text) => format!("the kernel panicked: {text}"),
        Outcome::Timeout => "the time limit passed".into(),
        Outcome::NoStatus => "the guest ended without a status".into(),
    };
    let last = console.runs.last().map_or(String::new(), |run| match run.blocks.last() {
        Some(block) => format!(", in {} at `{}`", run.mode, block.name),
        None => format!(", in {}", run.mode),
    });
    Some(why + &last)
}

fn command(path: &str, args: &[String]) -> Command {
    initrd::command("guest", path, args, &Default::default())
}

/// Where the image of the suite, or of a public one, is kept unless the command line says otherwise.
pub fn default_folder(suite: Option<&str>) -> PathBuf {
    Path::new("build").join(suite.unwrap_or("guest"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suite_is_complete_in_this_program() {
        let dir = tempfile::tempdir().unwrap();
        let image = ImageDir::at(dir.path());
        let manifest = manifest(&image).unwrap();
        let sources = manifest.sources.iter().chain(&manifest.kernel_sources);
        let listed: Vec<_> = sources.map(|path| path.file_name().unwrap().to_owned()).collect();
        for (name, _) in sources::FILES.iter().filter(|(name, _)| name.ends_with(".c")) {
            assert!(listed.iter().any(|file| file == name), "`{name}` is not in tests/conformance/ukl.toml");
        }
    }

    #[test]
    fn every_known_difference_names_a_case() {
        let text: String =
            sources::FILES.iter().filter(|(name, _)| name.ends_with(".c")).map(|(_, text)| *text).collect();
        let known = known::parse(sources::KNOWN).unwrap();
        assert!(known.len() > 10);
        for name in known.keys() {
            assert!(text.contains(&format!("T({name})")), "known.txt: there is no case `{name}`");
        }
    }

    #[test]
    fn a_boot_that_breaks_off_names_the_case() {
        let console = read::console("mode ring3\ncase a\nend a exit=0\nmode app\ncase a\n");
        assert_eq!(broken_off(&Outcome::Exited(1), &console), None);
        let text = broken_off(&Outcome::Timeout, &console).unwrap();
        assert_eq!(text, "the time limit passed, in app at `a`");
    }
}
