//! `ukl bench`: measures, as a table or with every sample.

use serde_json::json;

use super::Answer;
use crate::bench::{self, Plan};
use crate::cli::BenchCommand;
use crate::error::{fail, Class, Result};
use crate::pipeline::Env;

/// Measures and reports; asserts nothing.
pub(super) fn bench(env: &Env, what: BenchCommand) -> Result<Answer> {
    if env.shell.dry_run {
        return Err(fail(Class::Usage, "a measurement cannot be a dry run").into());
    }
    let BenchCommand::Build { rounds, cold } = what;
    let measures = bench::build(env, Plan { rounds, cold })?;
    Ok(Answer::new(bench::table(&measures), json!({ "rounds": rounds, "measures": measures })))
}
