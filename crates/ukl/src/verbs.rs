//! What each command does: the library called, the answer printed, the exit code chosen.

pub mod cli;
mod project;
mod begin;
mod linuxu;
mod build;
mod bench;
mod configure;
mod explain;
mod guests;
mod object;
mod run;
mod test;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{CommandFactory, Parser};
use serde_json::{json, Value};

use crate::base::env::Env;
use crate::base::error::{self, fail, Class, Result, EXIT_INTERRUPTED};
use crate::base::run::{announced, catch_interrupts, interrupted, Shell};
use crate::base::term;
use crate::base::workdir::{self, Cache, GuestDir};
use crate::program::wrapper;
use crate::tools::cache::{self, Prune};
use crate::tools::doctor;
use crate::verbs::cli::{CacheCommand, Cli, Command, EnvArgs, Global};

/// What a command found out, in both forms, and the exit code.
pub struct Answer {
    /// For a person, printed on standard output.
    pub text: String,
    /// For `--json`.
    pub json: Value,
    /// The process's exit code.
    pub code: u8,
}

impl Answer {
    fn new(text: impl Into<String>, json: Value) -> Self {
        Answer { text: text.into(), json, code: 0 }
    }
}

/// Runs the command line; returns the exit code.
pub fn main() -> u8 {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some(result) = wrapper::main(&words) {
        return result.unwrap_or_else(|error| {
            let (text, code) = error::render(&error);
            term::say(&text);
            code
        });
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A closed pipe is the only way in which this fails.
            let _ = error.print();
            return error.exit_code() as u8;
        }
    };
    term::init(cli.global.color.into(), cli.global.json);
    let name = name(&cli.command);
    let global = cli.global;
    let result = catch_interrupts().and_then(|()| dispatch(cli));
    if interrupted() {
        term::say("interrupted");
        return EXIT_INTERRUPTED;
    }
    match result.and_then(|answer| print(name, global, answer)) {
        Ok(code) => code,
        // Whoever closed our output has seen enough.
        Err(error) if term::is_closed_pipe(&error) => 0,
        Err(error) => report(name, global, &error),
    }
}

fn name(command: &Command) -> &'static str {
    match command {
        Command::List => "list",
        Command::Init(_) => "init",
        Command::Configure(_) => "configure",
        Command::Set(_) => "set",
        Command::Unset(_) => "unset",
        Command::Defconfig(_) => "defconfig",
        Command::Menuconfig(_) => "menuconfig",
        Command::Explain(_) => "explain",
        Command::Update(_) => "update",
        Command::Build(_) => "build",
        Command::Script(_) => "script",
        Command::Run(_) => "run",
        Command::Up(_) => "up",
        Command::Ps => "ps",
        Command::Logs(_) => "logs",
        Command::Stop(_) => "stop",
        Command::Kill(_) => "kill",
        Command::Rm(_) => "rm",
        Command::Attend(_) => "attend",
        Command::Inspect(_) => "inspect",
        Command::Bench(_) => "bench",
        Command::Test(_) => "test",
        Command::Doctor(_) => "doctor",
        Command::Env(_) => "env",
        Command::Cc(_) => "cc",
        Command::Ar(_) => "ar",
        Command::Ld(_) => "ld",
        Command::Clean(_) => "clean",
        Command::Cache(_) => "cache",
        Command::Prefix(_) => "prefix",
        Command::Completions { .. } => "completions",
        Command::Man { .. } => "man",
    }
}

fn dispatch(cli: Cli) -> Result<Answer> {
    let shell = Shell { verbose: cli.global.verbose, dry_run: cli.global.dry_run };
    match cli.command {
        Command::Doctor(args) => examine(&shell, args.install),
        Command::Env(args) => environment(&shell, &args),
        // Only behind a global option: the words alone are taken before clap sees them.
        Command::Cc(_) | Command::Ar(_) | Command::Ld(_) => {
            let failure = fail(Class::Usage, "`cc`, `ar` and `ld` take no options of `ukl`");
            Err(failure.hint("write `ukl cc …`").into())
        }
        Command::List => begin::list(),
        Command::Init(args) => begin::init(&args, shell.dry_run),
        Command::Configure(args) => configure::configure(&env(shell)?, &args),
        Command::Set(args) => configure::set(&env(shell)?, &args),
        Command::Unset(args) => configure::unset(&env(shell)?, &args),
        Command::Defconfig(args) => configure::defconfig(&env(shell)?, &args),
        Command::Menuconfig(args) => configure::menuconfig(&env(shell)?, &args),
        Command::Update(args) => {
            build::update(&env(shell)?, args.project.as_deref().unwrap_or(std::path::Path::new(".")))
        }
        Command::Explain(args) => explain::explain(env(shell)?, &args),
        Command::Clean(args) => project::clean(&args.target, shell.dry_run),
        Command::Cache(args) => shared(args.command, shell.dry_run),
        Command::Build(args) => build::build(&env(shell)?, &args),
        Command::Script(args) => build::script(&env(shell)?, &args),
        Command::Run(args) => run::run(&env(shell)?, &args, cli.global.json),
        Command::Up(args) => run::up(&env(shell)?, &args, cli.global.json),
        Command::Ps => guests::ps(),
        Command::Logs(args) => guests::logs(&args, cli.global.json),
        Command::Stop(args) => guests::stop(&args, shell.dry_run),
        Command::Kill(args) => guests::kill(&args, shell.dry_run),
        Command::Rm(args) => guests::remove(&args, shell.dry_run),
        Command::Attend(args) => attend(&env(shell)?, &args.dir),
        Command::Inspect(args) => object::inspect(&args),
        Command::Bench(args) => bench::bench(&env(shell)?, args.command),
        Command::Test(args) => test::test(&env(shell)?, &args),
        Command::Prefix(args) => object::prefix(&args, shell.dry_run),
        Command::Completions { shell } => Ok(completions(shell)),
        Command::Man { dir } => manual(dir),
    }
}

fn attend(env: &Env, dir: &Path) -> Result<Answer> {
    crate::guests::attend(&env.shell, &env.cache, &GuestDir::at(dir))?;
    Ok(Answer::new("", json!({ "folder": dir })))
}

fn env(shell: Shell) -> Result<Env> {
    Ok(Env { shell, cache: Cache::from_env()? })
}

fn print(name: &str, global: Global, answer: Answer) -> Result<u8> {
    if global.json {
        let mut object = json!({ "ukl": env!("CARGO_PKG_VERSION"), "command": name, "exit_code": answer.code });
        object["result"] = answer.json;
        print_object(global, object)?;
    } else {
        term::out(&answer.text)?;
    }
    Ok(answer.code)
}

fn print_object(global: Global, mut object: Value) -> Result<()> {
    if global.dry_run {
        object["commands"] = json!(announced());
    }
    term::out(&format!("{}\n", serde_json::to_string_pretty(&object)?))
}

fn report(name: &str, global: Global, error: &anyhow::Error) -> u8 {
    let (text, code) = error::render(error);
    let text = text.strip_prefix("error:").map_or(text.clone(), |rest| term::paint("1;31", "error:") + rest);
    term::say(&text);
    if global.json {
        let mut object = json!({ "ukl": env!("CARGO_PKG_VERSION"), "command": name, "exit_code": code });
        object["error"] = json!(error::report(error));
        // The exit code tells the same to a reader who went away.
        let _ = print_object(global, object);
    }
    code
}

fn examine(shell: &Shell, install: bool) -> Result<Answer> {
    let mut report = doctor::examine();
    if install && !report.missing.is_empty() {
        doctor::install(shell, &Cache::from_env()?, &report.missing)?;
        report = doctor::examine();
    }
    let code = if report.missing.is_empty() { 0 } else { Class::Host.exit_code() };
    Ok(Answer { text: report.text(), json: serde_json::to_value(&report)?, code })
}

fn environment(shell: &Shell, args: &EnvArgs) -> Result<Answer> {
    let cache = Cache::from_env()?;
    let tools = wrapper::tools(shell, &cache, &args.compiler)?;
    let prefix = args.prefix.as_ref().map(std::path::absolute).transpose()?;
    let variables = wrapper::environment(&tools, prefix.as_deref())?;
    let line = |(key, value): &(&str, String)| format!("export {key}='{}'\n", value.replace('\'', r"'\''"));
    let json: serde_json::Map<String, Value> =
        variables.iter().map(|(key, value)| (key.to_string(), json!(value))).collect();
    Ok(Answer::new(variables.iter().map(line).collect::<String>(), Value::Object(json)))
}

fn shared(command: CacheCommand, dry_run: bool) -> Result<Answer> {
    let cache = Cache::from_env()?;
    match command {
        CacheCommand::Ls => {
            let entries = cache::list(&cache)?;
            let json = json!({ "root": cache.root(), "entries": entries });
            Ok(Answer::new(cache::table(&cache, &entries), json))
        }
        CacheCommand::Prune { unused_for, all } => {
            let days = Duration::from_secs(unused_for.saturating_mul(86_400));
            let prune = if all { Prune::All } else { Prune::UnusedFor(days) };
            let removed = cache::prune(&cache, prune, dry_run)?;
            let bytes = removed.iter().map(|e| e.bytes).sum();
            let verb = if dry_run { "would remove" } else { "removed" };
            let text = format!("{verb} {} entries, {}\n", removed.len(), cache::human_size(bytes));
            Ok(Answer::new(text, json!({ "root": cache.root(), "removed": removed })))
        }
    }
}

fn completions(shell: clap_complete::Shell) -> Answer {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "ukl", &mut script);
    let text = String::from_utf8_lossy(&script).into_owned();
    Answer::new(text.clone(), json!({ "script": text }))
}

fn manual(dir: Option<PathBuf>) -> Result<Answer> {
    let mut command = Cli::command();
    command.build();
    let Some(dir) = dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        let text = String::from_utf8_lossy(&page).into_owned();
        return Ok(Answer::new(text.clone(), json!({ "page": text })));
    };
    let mut pages = Vec::new();
    for command in std::iter::once(&command).chain(command.get_subcommands().filter(|command| !command.is_hide_set())) {
        let man = clap_mangen::Man::new(command.clone());
        let path = dir.join(man.get_filename());
        let mut page = Vec::new();
        man.render(&mut page)?;
        workdir::write_atomic(&path, &page)?;
        pages.push(path);
    }
    let text = pages.iter().map(|path| format!("{}\n", path.display())).collect::<String>();
    Ok(Answer::new(text, json!({ "pages": pages })))
}
