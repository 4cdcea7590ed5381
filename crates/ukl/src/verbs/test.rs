//! `ukl test`: the conformance suite built, booted and judged.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::answer::Answer;
use super::options::{BuildOptions, MachineOptions};
use super::{images, run};
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::term;
use crate::base::workdir::{self, ImageDir};
use crate::image::folder::Image;
use crate::machine::{Request, What};
use crate::measure::suite::{self, Endurance, Fuzz, Selection};

/// `ukl test`.
#[derive(Debug, Clone, Args)]
pub struct TestArgs {
    /// Run only these cases
    #[arg(value_name = "CASE", conflicts_with = "endurance")]
    pub cases: Vec<String>,
    /// Image folder [default: build/guest, or build/NAME with --suite]
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// The long version of cases that have one (minutes more)
    #[arg(long)]
    pub full: bool,
    /// Instead: mixed load for so many seconds, many starts, the end of memory
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "60", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub endurance: Option<u32>,
    /// How often --endurance starts the program
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..), requires = "endurance")]
    pub starts: u32,
    /// Instead: so many random programs against the boundary, in app mode and in ring 3 beside it; continues where the last run ended
    #[arg(long, value_name = "PROGRAMS", num_args = 0..=1, default_missing_value = "1000", value_parser = clap::value_parser!(u64).range(1..), conflicts_with_all = ["cases", "endurance", "full", "suite"])]
    pub fuzz: Option<u64>,
    /// What --fuzz makes its programs from
    #[arg(long, value_name = "N", default_value_t = 1, requires = "fuzz")]
    pub seed: u64,
    /// The first program of --fuzz, to run some of them again
    #[arg(long, value_name = "N", requires = "fuzz")]
    pub first: Option<u64>,
    /// Instead: what only shows on hardware; what cannot be shown here says why
    #[arg(long, conflicts_with_all = ["cases", "endurance", "full", "suite", "fuzz"])]
    pub hardware: bool,
    /// Instead: a public test suite, unmodified: posix or uring (docs/conformance.md)
    #[arg(long, value_name = "NAME", value_parser = crate::measure::suite::NAMES, hide_possible_values = true, conflicts_with_all = ["endurance", "full"])]
    pub suite: Option<String>,
    /// Write the results of --suite to a file
    #[arg(long, value_name = "FILE", requires = "suite")]
    pub record: Option<PathBuf>,
    /// Send the guest a non-maskable interrupt every so many milliseconds while the cases run
    #[arg(long, value_name = "MS", num_args = 0..=1, default_missing_value = "2", value_parser = clap::value_parser!(u64).range(1..))]
    pub nmi: Option<u64>,
    /// How to build.
    #[command(flatten)]
    pub build: BuildOptions,
    /// Where to run.
    #[command(flatten)]
    pub machine: MachineOptions,
}

/// Compares the modes, or runs the long tasks; the exit code is 1 when something is not as it should be.
pub(super) fn test(env: &Env, args: &TestArgs) -> Result<Answer> {
    if env.shell.dry_run {
        return Err(fail(Class::Usage, "the suite cannot be a dry run").into());
    }
    let image = image(env, args)?;
    let nmi = args.nmi.map(Duration::from_millis);
    let options = Request { nmi, ..run::machine(&args.machine, What::Program(None)) };
    if let Some(seconds) = args.endurance {
        let what = Endurance { seconds, starts: args.starts };
        term::say(&format!("mixed load for {seconds} s, then {} starts", what.starts));
        let tasks = suite::endure(env, &image, options, what)?;
        let code = u8::from(!tasks.iter().all(|task| task.passed));
        return Ok(Answer { text: suite::endurance_text(&tasks), json: json!({ "tasks": tasks }), code });
    }
    if let Some(programs) = args.fuzz {
        return fuzz(env, args, &image, &options, programs);
    }
    if let Some(name) = &args.suite {
        return public(env, args, &image, &options, name);
    }
    let cases = if args.hardware { suite::hardware() } else { args.cases.clone() };
    term::say("running the suite in ring 3 and in app mode (minutes where the processor is emulated)");
    let report = suite::compare(env, &image, options, &Selection { cases, full: args.full })?;
    let code = u8::from(!report.passed());
    Ok(Answer { text: report.text(), json: serde_json::to_value(&report)?, code })
}

/// Random programs; what is known of this seed is kept beside the image.
fn fuzz(env: &Env, args: &TestArgs, image: &Image, options: &Request, programs: u64) -> Result<Answer> {
    let what = Fuzz { programs, seed: args.seed, first: args.first };
    // Two processors, so that the modes meet.
    let options = Request { cpus: options.cpus.or(Some(2)), ..options.clone() };
    let (all, failed) = suite::fuzz(env, image, &options, what)?;
    Ok(Answer { text: all.text(), json: serde_json::to_value(&all)?, code: u8::from(failed > 0) })
}

/// A public suite; with `--record`, its results are written whatever they are.
fn public(env: &Env, args: &TestArgs, image: &Image, options: &Request, name: &str) -> Result<Answer> {
    term::say(&format!("running `{name}` in ring 3 and in app mode"));
    let report = suite::measure(env, image, options, name, &args.cases)?;
    if let Some(file) = &args.record {
        workdir::write_atomic(&std::path::absolute(file)?, report.record().as_bytes())?;
    }
    let code = u8::from(!report.passed());
    Ok(Answer { text: report.text(), json: serde_json::to_value(&report)?, code })
}

fn image(env: &Env, args: &TestArgs) -> Result<Image> {
    let suite = args.suite.as_deref();
    let folder = args.out.clone().unwrap_or_else(|| suite::default_folder(suite));
    let dir = ImageDir::at(std::path::absolute(folder)?);
    let mut manifest = match suite {
        Some(name) => suite::public_manifest(&dir, name)?,
        None => suite::manifest(&dir)?,
    };
    images::replace(&mut manifest, &args.build)?;
    Ok(images::from_manifest(env, &manifest, &dir)?.0)
}
