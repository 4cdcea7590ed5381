//! Measures the tool and its images: every sample is kept, the median and the range are reported.

mod load;
mod server;
mod serve;
mod count;
mod table;
mod against;
mod calls;
mod output;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;

use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::term;
use crate::base::workdir::{self, Cache, ImageDir};
use crate::boot::{self, Outcome};
use crate::image::folder::Image;
use crate::machine::{Request, What};
use crate::manifest::{self, Manifest};
use crate::pipeline::{self, Clock};

pub use against::{against, fetch, Against, AgainstResult};
pub use calls::{calls, calls_table, manifest as calls_manifest, Call};
pub use count::{count, equip, CountBoot, CountOptions, CountResult, Counted};
pub use output::{manifest as output_manifest, output, output_table};
pub use serve::{serve, Sample, ServeBoot, ServeOptions, ServeResult};
pub use server::Server;

/// The program that is measured: the first that everybody links.
const HELLO: &str = include_str!("../../../../examples/hello/main.c");
/// A part of what it says.
const SAYS: &str = "hello, world";
/// The smallest guest that is tried, in MiB, and the first that surely boots.
const MEMORY_MIB: (u32, u32) = (8, 128);
/// A guest that has not ended by then is not going to.
const LIMIT: Duration = Duration::from_secs(20);

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct BuildRounds {
    /// How often each is measured.
    pub rounds: usize,
    /// Measure a kernel build from nothing as well (minutes).
    pub cold: bool,
}

/// One quantity and all samples of it.
#[derive(Debug, Clone, Serialize)]
pub struct Measure {
    /// What was measured.
    pub name: &'static str,
    /// `s`, `bytes`, `MiB` or `CPU s`.
    pub unit: &'static str,
    /// Every sample, in the order taken.
    pub samples: Vec<f64>,
}

impl Measure {
    /// The middle sample, or the mean of the two middle ones.
    pub fn median(&self) -> f64 {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => sorted[middle],
            _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
        }
    }

    /// The smallest and the largest sample.
    pub fn range(&self) -> (f64, f64) {
        let fold = |pick: fn(f64, f64) -> f64, start| self.samples.iter().copied().fold(start, pick);
        (fold(f64::min, f64::INFINITY), fold(f64::max, f64::NEG_INFINITY))
    }
}

/// From an edit of hello to an image, from QEMU's start to its output; sizes and memory.
///
/// Errors are those of the stages; a guest that does not print what hello prints is of class `Boot`.
pub fn build(env: &Env, options: BuildRounds) -> Result<Vec<Measure>> {
    let folder = tempfile::tempdir().context("failed to create a folder to build in")?;
    let mut measures = Vec::new();
    if options.cold {
        measures.extend(from_nothing(env, folder.path())?);
    }
    let mut project = Project::create(folder.path())?;
    term::say("building hello once, so that only the edits are measured");
    let mut image = project.image(env)?;
    let mut edits = Vec::new();
    for round in 1..=options.rounds {
        project.edit(round)?;
        let start = Instant::now();
        image = project.image(env)?;
        edits.push(start.elapsed().as_secs_f64());
    }
    measures.push(Measure { name: "edit of main.c to image", unit: "s", samples: edits });
    measures.extend(boots(env, &image, options.rounds)?);
    for (name, path) in [("bzImage", image.dir.bzimage()), ("initrd", image.dir.initrd())] {
        let bytes = fs::metadata(&path).with_context(|| format!("failed to read `{}`", path.display()))?.len();
        measures.push(Measure { name, unit: "bytes", samples: vec![bytes as f64] });
    }
    let memory = minimum_memory(env, &image)?;
    measures.push(Measure { name: "minimum memory", unit: "MiB", samples: vec![f64::from(memory)] });
    Ok(measures)
}

/// The measures as a table for a person.
pub fn table(measures: &[Measure]) -> String {
    let mut text = format!("{:<34} {:>12} {:>12} {:>12}  {}\n", "", "median", "least", "most", "samples");
    for measure in measures {
        let (least, most) = measure.range();
        let digits = if measure.unit.ends_with('s') && measure.unit != "bytes" { 3 } else { 0 };
        let number = |value: f64| format!("{value:.digits$}");
        let name = format!("{} ({})", measure.name, measure.unit);
        let (median, count) = (number(measure.median()), measure.samples.len());
        text += &format!("{name:<34} {median:>12} {:>12} {:>12}  {count}\n", number(least), number(most));
    }
    text
}

/// A project in a folder of ours.
struct Project {
    manifest: Manifest,
    dir: ImageDir,
}

impl Project {
    fn create(folder: &Path) -> Result<Self> {
        let source = folder.join("main.c");
        workdir::write_atomic(&source, HELLO.as_bytes())?;
        let manifest = manifest::from_files(&[source])?;
        Ok(Project { manifest, dir: ImageDir::at(folder.join("image")) })
    }

    /// Changes what the program says: an edit that the linker cannot drop.
    fn edit(&mut self, round: usize) -> Result<()> {
        let text = HELLO.replace(SAYS, &format!("{SAYS} {round}"));
        workdir::write_atomic(&self.manifest.sources[0], text.as_bytes())
    }

    fn image(&self, env: &Env) -> Result<Image> {
        let _lock = self.dir.lock(false)?;
        let mut bar = None;
        let mut progress = |step: crate::kernel::vmlinux::Progress| {
            let bar = bar.get_or_insert_with(|| term::Counter::start("objects"));
            bar.set(step.done, step.total, &step.item);
        };
        pipeline::image(env, &self.manifest, &self.dir, &mut Clock::silent(), &mut progress)
    }
}

fn boots(env: &Env, image: &Image, rounds: usize) -> Result<Vec<Measure>> {
    let mut first = Measure { name: "QEMU start to first output", unit: "s", samples: Vec::new() };
    let mut whole = Measure { name: "QEMU start to QEMU end", unit: "s", samples: Vec::new() };
    for _ in 0..rounds {
        let run = boot::run(env, image, &options(None))?;
        let (Outcome::Exited(0), Some(output_s)) = (&run.outcome, run.first_output_s) else {
            let text = format!("hello ended otherwise than it should: {:?}", run.outcome);
            return Err(fail(Class::Boot, text).log(image.dir.console()).into());
        };
        first.samples.push(output_s);
        whole.samples.push(run.total_s);
    }
    Ok(vec![first, whole])
}

fn options(memory_mib: Option<u32>) -> Request {
    Request { attach: false, memory_mib, timeout: Some(LIMIT), ..Request::new(What::Program(None)) }
}

/// The least memory, in whole MiB, with which hello still runs to its end.
fn minimum_memory(env: &Env, image: &Image) -> Result<u32> {
    let (dies, lives) = MEMORY_MIB;
    // Too little memory shows as a panic, as silence, or as a QEMU that gives up.
    least(dies, lives, |memory_mib| {
        let run = boot::run(env, image, &options(Some(memory_mib)));
        run.is_ok_and(|run| run.outcome == Outcome::Exited(0))
    })
}

/// The least number with which something works, between one with which it does not and one with which it does.
fn least(mut fails: u32, mut works: u32, mut check: impl FnMut(u32) -> bool) -> Result<u32> {
    while fails + 1 < works {
        let middle = (fails + works) / 2;
        *(if check(middle) { &mut works } else { &mut fails }) = middle;
        anyhow::ensure!(!crate::base::run::interrupted(), "interrupted");
    }
    Ok(works)
}

/// Builds hello with an empty cache: wall time and processor time of this process's children.
fn from_nothing(env: &Env, folder: &Path) -> Result<Vec<Measure>> {
    let cold = Env { shell: env.shell.clone(), cache: Cache::at(folder.join("cache")) };
    let home = folder.join("cold");
    workdir::create_dir(&home)?;
    let project = Project::create(&home)?;
    let (start, cpu) = (Instant::now(), children_cpu_s());
    project.image(&cold)?;
    let (wall, cpu) = (start.elapsed().as_secs_f64(), children_cpu_s() - cpu);
    let measure = |name, unit, sample| Measure { name, unit, samples: vec![sample] };
    Ok(vec![measure("everything from nothing", "s", wall), measure("everything from nothing", "CPU s", cpu)])
}

/// Processor time of all children that ended and were waited for, in seconds (getrusage(2)).
fn children_cpu_s() -> f64 {
    // SAFETY: getrusage only writes to the structure it is given; zeros are a valid one.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_the_range_is_the_ends() {
        let odd = Measure { name: "x", unit: "s", samples: vec![3.0, 1.0, 2.0] };
        assert_eq!((odd.median(), odd.range()), (2.0, (1.0, 3.0)));
        let even = Measure { name: "x", unit: "s", samples: vec![4.0, 1.0] };
        assert_eq!(even.median(), 2.5);
    }

    #[test]
    fn the_least_is_found_between_what_fails_and_what_works() {
        for least_that_works in [9, 10, 77, 128] {
            assert_eq!(least(8, 128, |number| number >= least_that_works).unwrap(), least_that_works);
        }
    }

    #[test]
    fn an_edit_changes_the_program() {
        assert!(HELLO.contains(SAYS));
    }

    #[test]
    fn the_table_names_the_unit_and_counts_the_samples() {
        let text = table(&[Measure { name: "bzImage", unit: "bytes", samples: vec![2_000_000.0] }]);
        let row = text.lines().nth(1).unwrap();
        assert!(row.starts_with("bzImage (bytes)") && row.contains("2000000") && row.ends_with("1"), "{row}");
    }
}
