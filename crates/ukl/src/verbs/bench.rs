//! `ukl bench`: measures, as a table or with every sample.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{json, Value};

use super::answer::Answer;
use super::images;
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::term;
use crate::base::workdir::{self, ImageDir};
use crate::manifest::{self, Libc, Malloc, Manifest};
use crate::measure::bench::{self, Against, BuildRounds, CountOptions, ServeOptions, Server};
use crate::tools::templates;

/// `ukl bench`.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// What to measure.
    #[command(subcommand)]
    pub command: BenchCommand,
}

/// What to measure.
#[derive(Debug, Clone, Subcommand)]
pub enum BenchCommand {
    /// Hello: edit to image, QEMU start to output, sizes, least memory
    Build {
        /// How often
        #[arg(long, value_name = "N", default_value_t = 5, value_parser = rounds)]
        rounds: usize,
        /// Build everything from nothing first, in a cache of its own (minutes)
        #[arg(long)]
        cold: bool,
    },
    /// A server in app mode and in ring 3, in turn: requests per second, latency, processor time, memory
    Serve(ServeArgs),
    /// A server in app mode and in ring 3: instructions for each request, the client inside the guest
    Count(CountArgs),
    /// Single system calls, faults and signals in app mode and in ring 3: instructions of each
    Calls {
        /// Image folder
        #[arg(short, long, value_name = "DIR", default_value = "build/bench-calls")]
        out: PathBuf,
    },
    /// A mebibyte of output by the serial console and by the port of its own, in turn: seconds of each
    Output {
        /// How often each
        #[arg(long, value_name = "N", default_value_t = 5, value_parser = rounds)]
        rounds: usize,
        /// Image folder
        #[arg(short, long, value_name = "DIR", default_value = "build/bench-output")]
        out: PathBuf,
    },
}

/// `ukl bench serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Which server
    #[arg(value_enum)]
    pub server: Server,
    /// How often each mode is booted
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = rounds)]
    pub rounds: usize,
    /// Requests of one load
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub requests: u64,
    /// Connections at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=512))]
    pub connections: u64,
    /// Requests that a connection sends before it waits for replies; a load for each
    #[arg(long, value_name = "N,…", default_value = "1,16", value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..=256))]
    pub pipeline: Vec<u64>,
    /// Do not search for the least memory (saves minutes)
    #[arg(long)]
    pub no_memory: bool,
    /// The C library that the server is linked with: musl or glibc [default: the recipe's]
    #[arg(long, value_name = "LIBC", value_parser = crate::verbs::options::libc)]
    pub libc: Option<Libc>,
    /// Image folder [default: build/bench-NAME]
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `ukl bench count`.
#[derive(Debug, Clone, Args)]
pub struct CountArgs {
    /// Which server
    #[arg(value_enum)]
    pub server: Server,
    /// How often each mode is booted, each time with another seed for its random numbers
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = rounds)]
    pub rounds: usize,
    /// Requests of one load
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(512..=10_000_000))]
    pub requests: u64,
    /// Connections at once; loads for each
    #[arg(long, value_name = "N,…", default_value = "1,8", value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..=512))]
    pub connections: Vec<u64>,
    /// Requests that a connection sends before it waits for replies; a load for each
    #[arg(long, value_name = "N,…", default_value = "1,16", value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..=256))]
    pub pipeline: Vec<u64>,
    /// The allocator, instead of the example's
    #[arg(long, value_enum, value_name = "WHICH")]
    pub malloc: Option<Malloc>,
    /// Beside app mode and the twin, what people run today
    #[arg(long, value_enum, value_name = "WHAT")]
    pub against: Option<Against>,
    /// The C library that the server is linked with: musl or glibc [default: the recipe's]
    #[arg(long, value_name = "LIBC", value_parser = crate::verbs::options::libc)]
    pub libc: Option<Libc>,
    /// Image folder [default: build/bench-NAME]
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

fn rounds(text: &str) -> std::result::Result<usize, String> {
    match text.parse() {
        Ok(rounds @ 1..=1000) => Ok(rounds),
        _ => Err("a number from 1 to 1000 is wanted".into()),
    }
}

/// Measures and reports; asserts nothing.
pub(super) fn bench(env: &Env, what: BenchCommand) -> Result<Answer> {
    if env.shell.dry_run {
        return Err(fail(Class::Usage, "a measurement cannot be a dry run").into());
    }
    match what {
        BenchCommand::Build { rounds, cold } => {
            let measures = bench::build(env, BuildRounds { rounds, cold })?;
            Ok(Answer::new(bench::table(&measures), json!({ "rounds": rounds, "measures": measures })))
        }
        BenchCommand::Serve(args) => serve(env, &args),
        BenchCommand::Count(args) => count(env, &args),
        BenchCommand::Calls { out } => {
            let dir = ImageDir::at(std::path::absolute(out)?);
            let image = images::from_manifest(env, &bench::calls_manifest(&dir)?, &dir)?.0;
            let calls = bench::calls(env, &image)?;
            Ok(Answer::new(bench::calls_table(&calls), json!({ "calls": calls })))
        }
        BenchCommand::Output { rounds, out } => {
            let dir = ImageDir::at(std::path::absolute(out)?);
            let image = images::from_manifest(env, &bench::output_manifest(&dir)?, &dir)?.0;
            let ways = bench::output(env, &image, rounds)?;
            Ok(Answer::new(bench::output_table(&ways), json!({ "rounds": rounds, "ways": ways })))
        }
    }
}

/// The example as it is in this program, and the folder of its image.
fn example(server: Server, libc: Option<Libc>, out: &Option<PathBuf>) -> Result<(Manifest, ImageDir)> {
    let name = server.name();
    let folder = out.clone().unwrap_or_else(|| PathBuf::from("build").join(format!("bench-{name}")));
    let dir = ImageDir::at(std::path::absolute(folder)?);
    let recipe = dir.stage("recipe");
    workdir::remove_dir(&recipe)?;
    templates::begin(name, &recipe, false)?;
    let mut manifest = manifest::load(&recipe)?;
    if let Some(libc) = libc {
        manifest::set_libc(&mut manifest, libc).map_err(|text| fail(Class::Usage, text))?;
    }
    Ok((manifest, dir))
}

/// Builds the example and counts its instructions.
fn count(env: &Env, args: &CountArgs) -> Result<Answer> {
    let (mut manifest, dir) = example(args.server, args.libc, &args.out)?;
    manifest.malloc = args.malloc.unwrap_or(manifest.malloc);
    bench::equip(env, &mut manifest, &dir, args.server)?;
    let libc = manifest.libc;
    let packages = args.against.map(|Against::Debian| bench::fetch(env, &mut manifest, args.server)).transpose()?;
    let image = images::from_manifest(env, &manifest, &dir)?.0;
    let options = CountOptions {
        server: args.server,
        rounds: args.rounds as u32,
        requests: args.requests as usize,
        connections: args.connections.iter().map(|number| *number as usize).collect(),
        depths: args.pipeline.iter().map(|depth| *depth as usize).collect(),
    };
    term::say(&format!("counting the instructions of {}", args.server.name()));
    if let Some(packages) = packages {
        let result = bench::against(env, &image, packages, &options)?;
        return Ok(Answer::new(result.table(), of_libc(serde_json::to_value(&result)?, libc)));
    }
    let result = bench::count(env, &image, &options)?;
    Ok(Answer::new(result.table(), of_libc(serde_json::to_value(&result)?, libc)))
}

/// What was measured, with the C library that the server was linked with.
fn of_libc(mut result: Value, libc: Libc) -> Value {
    result["libc"] = json!(libc.name());
    result
}

/// Builds the example and measures it.
fn serve(env: &Env, args: &ServeArgs) -> Result<Answer> {
    let (manifest, dir) = example(args.server, args.libc, &args.out)?;
    let image = images::from_manifest(env, &manifest, &dir)?.0;
    let options = ServeOptions {
        server: args.server,
        rounds: args.rounds,
        requests: args.requests as usize,
        connections: args.connections as usize,
        depths: args.pipeline.iter().map(|depth| *depth as usize).collect(),
        memory: !args.no_memory,
    };
    term::say(&format!("measuring {}: what else runs on this machine is measured as well", args.server.name()));
    let result = bench::serve(&image, &dir.stage("bench"), &options)?;
    Ok(Answer::new(result.table(), of_libc(serde_json::to_value(&result)?, manifest.libc)))
}
