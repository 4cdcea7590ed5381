//! The command line comes in, an answer and an exit code go out: one file for each verb, with its arguments and its work.

mod answer;
mod options;
mod project;
mod images;
mod linuxu;
mod ps;
mod list;
mod init;
mod set;
mod configure;
mod defconfig;
mod menuconfig;
mod build;
mod script;
mod env;
mod tool;
mod prefix;
mod trigger;
mod run;
mod up;
mod watch;
mod debug;
mod logs;
mod stats;
mod exec;
mod cp;
mod stop;
mod kill;
mod rm;
mod attend;
mod inspect;
mod explain;
mod pkg;
mod push;
mod pull;
mod sbom;
mod sign;
mod verify;
mod doctor;
mod test;
mod bench;
mod update;
mod clean;
mod cache;
mod completions;
mod man;
mod cli;
mod foreign;

use std::ffi::OsString;

use clap::FromArgMatches;
use serde_json::{json, Value};

use self::answer::Answer;
use self::cli::{Cli, Command, Global};
use crate::base::env::Env;
use crate::base::error::{self, Result, EXIT_INTERRUPTED};
use crate::base::run::{catch_interrupts, interrupted, Shell};
use crate::base::term;
use crate::base::workdir::Cache;
use crate::program::wrapper;

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
    let parsed = cli::command().try_get_matches().and_then(|words| Ok((Cli::from_arg_matches(&words)?, words)));
    let (cli, words) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            // A closed pipe is the only way in which this fails.
            let _ = error.print();
            if let Some(hint) = foreign::hint(&error) {
                term::say(&format!("\nhint: {hint}"));
            }
            return error.exit_code() as u8;
        }
    };
    term::init(cli.global.color.into(), cli.global.json);
    let name = words.subcommand_name().unwrap_or_default();
    let global = cli.global;
    let shell = Shell::new(global.verbose, global.dry_run);
    let result = catch_interrupts().and_then(|()| dispatch(cli, shell.clone()));
    if interrupted() {
        term::say("interrupted");
        return EXIT_INTERRUPTED;
    }
    match result.and_then(|answer| print(name, global, &shell, answer)) {
        Ok(code) => code,
        // Whoever closed our output has seen enough.
        Err(error) if term::is_closed_pipe(&error) => 0,
        Err(error) => report(name, global, &shell, &error),
    }
}

fn dispatch(cli: Cli, shell: Shell) -> Result<Answer> {
    let (dry_run, json) = (shell.dry_run, cli.global.json);
    match cli.command {
        Command::List => list::list(),
        Command::Init(args) => init::init(&args, dry_run),
        Command::Configure(args) => configure::configure(&env(shell)?, &args),
        Command::Set(args) => set::set(&env(shell)?, &args),
        Command::Unset(args) => set::unset(&env(shell)?, &args),
        Command::Defconfig(args) => defconfig::defconfig(&env(shell)?, &args),
        Command::Menuconfig(args) => menuconfig::menuconfig(&env(shell)?, &args),
        Command::Build(args) => build::build(&env(shell)?, &args),
        Command::Script(args) => script::script(&env(shell)?, &args),
        Command::Env(args) => env::env(&shell, &args),
        Command::Cc(_) | Command::Ar(_) | Command::Ld(_) => tool::refuse(),
        Command::Prefix(args) => prefix::prefix(&args, dry_run),
        Command::Trigger(args) => trigger::trigger(&args, dry_run),
        Command::Run(args) => run::run(&env(shell)?, &args, json),
        Command::Up(args) => up::up(&env(shell)?, &args, json),
        Command::Watch(args) => watch::watch(&env(shell)?, &args, json),
        Command::Debug(args) => debug::debug(&env(shell)?, &args),
        Command::Ps(_) => ps::ps(),
        Command::Logs(args) => logs::logs(&args, json),
        Command::Stats(args) => stats::stats(&args, json),
        Command::Exec(args) => exec::exec(&args, json),
        Command::Shell(args) => exec::shell(&args, json),
        Command::Cp(args) => cp::cp(&args, dry_run),
        Command::Stop(args) => stop::stop(&args, dry_run),
        Command::Kill(args) => kill::kill(&args, dry_run),
        Command::Rm(args) => rm::rm(&args, dry_run),
        Command::Attend(args) => attend::attend(&env(shell)?, &args),
        Command::Inspect(args) => inspect::inspect(&args),
        Command::Pkg(args) => pkg::pkg(&env(shell)?, args.command),
        Command::Push(args) => push::push(&env(shell)?, &args),
        Command::Pull(args) => pull::pull(&env(shell)?, &args),
        Command::Sbom(args) => sbom::sbom(&env(shell)?, &args),
        Command::Sign(args) => sign::sign(&env(shell)?, &args),
        Command::Verify(args) => verify::verify(&env(shell)?, &args),
        Command::Explain(args) => explain::explain(env(shell)?, &args),
        Command::Doctor(args) => doctor::doctor(&shell, args),
        Command::Test(args) => test::test(&env(shell)?, &args),
        Command::Bench(args) => bench::bench(&env(shell)?, args.command),
        Command::Update(args) => update::update(&env(shell)?, &args),
        Command::Clean(args) => clean::clean(&args, dry_run),
        Command::Cache(args) => cache::cache(args.command, dry_run),
        Command::Version => Ok(Answer::new(format!("ukl {}\n", env!("CARGO_PKG_VERSION")), json!({}))),
        Command::Completions(args) => Ok(completions::completions(cli::command(), args)),
        Command::Man(args) => man::man(cli::command(), &args),
    }
}

fn env(shell: Shell) -> Result<Env> {
    Ok(Env { shell, cache: Cache::from_env()? })
}

fn print(name: &str, global: Global, shell: &Shell, answer: Answer) -> Result<u8> {
    if global.json {
        let mut object = json!({ "ukl": env!("CARGO_PKG_VERSION"), "command": name, "exit_code": answer.code });
        object["result"] = answer.json;
        print_object(shell, object)?;
    } else {
        term::out(&answer.text)?;
    }
    Ok(answer.code)
}

fn print_object(shell: &Shell, mut object: Value) -> Result<()> {
    if shell.dry_run {
        object["commands"] = json!(shell.shown());
    }
    term::out(&format!("{}\n", serde_json::to_string_pretty(&object)?))
}

fn report(name: &str, global: Global, shell: &Shell, error: &anyhow::Error) -> u8 {
    let (text, code) = error::render_with(error, global.verbose);
    let text = text.strip_prefix("error:").map_or(text.clone(), |rest| term::paint("1;31", "error:") + rest);
    term::say(&text);
    if global.json {
        let mut object = json!({ "ukl": env!("CARGO_PKG_VERSION"), "command": name, "exit_code": code });
        object["error"] = json!(error::describe(error));
        // The exit code tells the same to a reader who went away.
        let _ = print_object(shell, object);
    }
    code
}
