//! `ukl bench`: measures, as a table or with every sample.

use std::path::PathBuf;

use anyhow::Context;
use serde_json::json;

use super::{build, Answer};
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::term;
use crate::base::workdir::ImageDir;
use crate::manifest;
use crate::manifest::Manifest;
use crate::measure::bench::{self, CountPlan, Plan, ServePlan, Server};
use crate::tools::templates;
use crate::verbs::cli::{BenchCommand, CountArgs, ServeArgs};

/// Measures and reports; asserts nothing.
pub(super) fn bench(env: &Env, what: BenchCommand) -> Result<Answer> {
    if env.shell.dry_run {
        return Err(fail(Class::Usage, "a measurement cannot be a dry run").into());
    }
    match what {
        BenchCommand::Build { rounds, cold } => {
            let measures = bench::build(env, Plan { rounds, cold })?;
            Ok(Answer::new(bench::table(&measures), json!({ "rounds": rounds, "measures": measures })))
        }
        BenchCommand::Serve(args) => serve(env, &args),
        BenchCommand::Count(args) => count(env, &args),
        BenchCommand::Calls { out } => {
            let dir = ImageDir::at(std::path::absolute(out)?);
            let image = build::from_manifest(env, &bench::calls_manifest(&dir)?, &dir)?.0;
            let calls = bench::calls(env, &image)?;
            Ok(Answer::new(bench::calls_table(&calls), json!({ "calls": calls })))
        }
    }
}

/// The example as it is in this program, and the folder of its image.
fn example(server: Server, out: &Option<PathBuf>) -> Result<(Manifest, ImageDir)> {
    let name = server.name();
    let folder = out.clone().unwrap_or_else(|| PathBuf::from("build").join(format!("bench-{name}")));
    let dir = ImageDir::at(std::path::absolute(folder)?);
    let recipe = dir.stage("recipe");
    if recipe.exists() {
        std::fs::remove_dir_all(&recipe).with_context(|| format!("failed to remove `{}`", recipe.display()))?;
    }
    templates::begin(name, &recipe, false)?;
    Ok((manifest::load(&recipe)?, dir))
}

/// Builds the example and counts its instructions.
fn count(env: &Env, args: &CountArgs) -> Result<Answer> {
    let (mut manifest, dir) = example(args.server, &args.out)?;
    bench::equip(env, &mut manifest, &dir, args.server)?;
    let image = build::from_manifest(env, &manifest, &dir)?.0;
    let plan = CountPlan {
        server: args.server,
        rounds: args.rounds as u32,
        requests: args.requests as usize,
        connections: args.connections.iter().map(|number| *number as usize).collect(),
        depths: args.pipeline.iter().map(|depth| *depth as usize).collect(),
    };
    term::say(&format!("counting the instructions of {}", args.server.name()));
    let report = bench::count(env, &image, &plan)?;
    Ok(Answer::new(report.table(), serde_json::to_value(&report)?))
}

/// Builds the example and measures it.
fn serve(env: &Env, args: &ServeArgs) -> Result<Answer> {
    let (manifest, dir) = example(args.server, &args.out)?;
    let image = build::from_manifest(env, &manifest, &dir)?.0;
    let plan = ServePlan {
        server: args.server,
        rounds: args.rounds,
        requests: args.requests as usize,
        connections: args.connections as usize,
        depths: args.pipeline.iter().map(|depth| *depth as usize).collect(),
        memory: !args.no_memory,
    };
    term::say(&format!("measuring {}: what else runs on this machine is measured as well", args.server.name()));
    let report = bench::serve(&image, &dir.stage("bench"), &plan)?;
    Ok(Answer::new(report.table(), serde_json::to_value(&report)?))
}
