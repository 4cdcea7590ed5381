//! `ukl env`: the variables that make a build system use `ukl cc`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{json, Value};

use super::answer::Answer;
use crate::base::env::Env;
use crate::base::error::Result;
use crate::base::quote;
use crate::base::run::Shell;
use crate::base::workdir::Cache;
use crate::manifest::Libc;
use crate::program::wrapper;

/// `ukl env`.
#[derive(Debug, Clone, Args)]
pub struct EnvArgs {
    /// gcc, clang or the path of one
    #[arg(long, value_name = "CC", default_value = "gcc")]
    pub compiler: String,
    /// The C library: musl, or glibc with C++ and the host's static libraries
    #[arg(long, value_name = "LIBC", default_value = "musl", value_parser = crate::verbs::options::libc)]
    pub libc: Libc,
    /// Folder with libraries that were installed with `ukl cc`, and for further ones
    #[arg(long, value_name = "DIR")]
    pub prefix: Option<PathBuf>,
}

/// The variables, as a shell reads them.
pub(super) fn env(shell: &Shell, args: &EnvArgs) -> Result<Answer> {
    let env = Env { shell: shell.clone(), cache: Cache::from_env()? };
    let tools = wrapper::tools(&env, &args.compiler, args.libc)?;
    let prefix = args.prefix.as_ref().map(std::path::absolute).transpose()?;
    let variables = wrapper::environment(&tools, prefix.as_deref())?;
    let line = |(key, value): &(&str, String)| format!("export {key}='{}'\n", quote::in_quotes(value));
    let json: serde_json::Map<String, Value> =
        variables.iter().map(|(key, value)| (key.to_string(), json!(value))).collect();
    Ok(Answer::new(variables.iter().map(line).collect::<String>(), Value::Object(json)))
}
