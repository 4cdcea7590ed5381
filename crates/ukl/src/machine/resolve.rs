//! Image and request → machine, in one go: what is decided here is decided.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;

use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::run::Shell;
use crate::base::workdir::RunDir;
use crate::image::folder::{Image, Info};
use crate::image::initrd::{self, Console, Startup};
use crate::manifest::storage::Storage;

use super::accel;
use super::kind::{Engine, MachineKind};
use super::net::{card, Connection};
use super::qemu::{self, Hardware};
use super::request::{Input, Output, Request, What};
use super::storage;
use super::Machine;

/// Decides everything about a boot whose files go to `files`; writes nothing, starts nothing but probes.
///
/// Errors: what contradicts itself, or what this image or this mode cannot have (class `Usage`), what this machine
/// cannot give (class `Host`).
pub fn resolve(
    env: &Env,
    image: &Image,
    request: &Request,
    streams: (Input, Output),
    files: &RunDir,
) -> Result<Machine> {
    let shell = &env.shell;
    let info = &image.info;
    let input = streams.0;
    // The init of an older image does not know the port.
    let output = if info.init > 0 { streams.1 } else { Output::Console };
    let disks_and_shares = storage_of(shell, image, request)?;
    let connection = Connection::of(info, request);
    let cpus = request.cpus.unwrap_or(info.cpus);
    let fits = cpus == 1 && !connection.needs_pci() && storage::fits_microvm(&disks_and_shares);
    let kind = request.machine.unwrap_or(if fits { MachineKind::Microvm } else { MachineKind::Q35 });
    let kernel = request.kernel.clone().unwrap_or_else(|| image.dir.vmlinux());
    let engine = engine(env, request, &kernel)?;
    let words = words(info, request, &connection, output)?;
    connection.check(request, kind, cpus)?;
    let (card, tap_script) = card::card(shell, &connection, files)?;
    let has_daemon = storage::has_daemon(&disks_and_shares);
    let has_debugger = files.debugger().is_some();
    let sockets = sockets(has_daemon || request.nmi.is_some() || has_debugger)?;
    let socket_folder = sockets.as_ref().map(|folder| folder.path());
    let startup = startup(info, request, input, &disks_and_shares)?;
    let hardware = Hardware {
        kind,
        engine,
        memory_mib: request.memory_mib.unwrap_or(info.memory_mib),
        cpus,
        card,
        kernel,
        initrd: if startup.is_some() { files.initrd() } else { image.dir.initrd() },
        control: files.control(),
        control_pipe: files.pipe().map(Into::into),
        input_port: input == Input::Port,
        output_port: output != Output::Console,
        storage: storage::qemu_words(&disks_and_shares, socket_folder, kind),
        shared_memory: has_daemon,
        // A guest in the background can be looked at whenever somebody wants to.
        debugger: socket_folder.filter(|_| has_debugger).map(|folder| (folder.join("gdb"), request.waits)),
        monitor: socket_folder.filter(|_| request.nmi.is_some() || has_debugger).map(monitor),
        words,
        more: request.qemu.clone(),
    };
    qemu::check_words(&hardware)?;
    Ok(Machine {
        image: image.dir.clone(),
        files: files.clone(),
        hardware,
        startup,
        tap_script,
        storage: disks_and_shares,
        sockets,
        endpoint: connection.endpoint(),
        input,
        output,
        attach: request.attach,
        has_init: request.what.has_init(),
        programs: request.what.programs(),
        timeout: request.timeout,
        waits: request.waits,
        nmi: request.nmi,
        // A clock that counts instructions is not the host's, and without init nobody listens.
        has_clock: !request.icount && request.what.has_init(),
    })
}

/// How the guest's instructions are carried out.
fn engine(env: &Env, request: &Request, kernel: &Path) -> Result<Engine> {
    Ok(match accel::choose(&env.shell, &env.cache, request.accel, kernel)? {
        Engine::Tcg { .. } if request.icount => Engine::Counted { seed: request.seed },
        engine => engine,
    })
}

/// A folder for sockets where any is wanted.
fn sockets(are_wanted: bool) -> Result<Option<tempfile::TempDir>> {
    are_wanted.then(tempfile::tempdir).transpose().context("failed to create a folder for sockets")
}

/// The socket of QEMU's monitor, in the folder for sockets.
fn monitor(folder: &Path) -> std::path::PathBuf {
    folder.join("monitor")
}

/// The disks and shares of this boot; fails unless this kernel and this mode can have them.
fn storage_of(shell: &Shell, image: &Image, request: &Request) -> Result<Storage> {
    let all = image.info.storage.with(&request.storage);
    if request.machine == Some(MachineKind::Microvm) && !storage::fits_microvm(&all) {
        let failure = fail(Class::Usage, "a microvm takes 6 disks and shares, and none of the kind virtiofs");
        return Err(failure.hint("leave the machine to ukl, or name `--machine q35`").into());
    }
    if all.is_empty() {
        return Ok(all);
    }
    if !request.what.has_init() {
        let failure = fail(Class::Usage, "a program that is process 1 gets no disks and shares: init mounts them");
        return Err(failure.hint("run it without `--pid1`").into());
    }
    if !shell.dry_run {
        storage::check_kernel(image, &all)?;
    }
    storage::check(&all)?;
    Ok(all)
}

/// With one more, the kernel panics.
const PID1_ARGS: usize = 32;

/// Words for the kernel and for init beyond those that the machine needs.
fn words(info: &Info, request: &Request, connection: &Connection, output: Output) -> Result<Vec<String>> {
    let mut words = request.words.clone();
    let What::Pid1(args) = &request.what else {
        words.extend(connection.words());
        words.extend(output.word().map(str::to_owned));
        let is_one = matches!(request.what, What::Program(_) | What::Twin(_));
        // Only what goes through the port can follow the program's output.
        words.extend((is_one && output != Output::Console).then(|| "ukl.core=1".to_owned()));
        return Ok(words);
    };
    // Without init nobody watches a port or sets an address.
    words.push(format!("rdinit={}", info.trigger));
    let args = args.as_ref().unwrap_or(&info.args);
    if args.len() > PID1_ARGS {
        let text = format!("{} arguments for a program that is process 1: the kernel takes {PID1_ARGS}", args.len());
        return Err(fail(Class::Usage, text).hint("run it without `--pid1`: init passes on every argument").into());
    }
    if !args.is_empty() {
        // The kernel passes on what stands behind the dashes; it knows quotes, but no way to quote one.
        words.push("--".into());
        words.extend(args.iter().map(|arg| kernel_word(arg)).collect::<Result<Vec<_>>>()?);
    }
    Ok(words)
}

/// One argument on the kernel's command line.
fn kernel_word(arg: &str) -> Result<String> {
    if arg.is_empty() || arg.contains('"') {
        let text = format!("argument {arg:?} cannot be passed to a program that is process 1");
        return Err(fail(Class::Usage, text).hint("run it without `--pid1`: init passes on every argument").into());
    }
    Ok(if arg.contains(char::is_whitespace) { format!("\"{arg}\"") } else { arg.to_owned() })
}

/// What init does, where that is not what the image's own RAM disk says.
fn startup(info: &Info, request: &Request, input: Input, storage: &Storage) -> Result<Option<Startup>> {
    let what = &request.what;
    if !request.env.is_empty() && !what.has_init() {
        let failure = fail(Class::Usage, "a program that is process 1 gets no variables: init passes them on");
        return Err(failure.hint("run it without `--pid1`").into());
    }
    let variables: BTreeMap<String, String> =
        info.env.iter().chain(&request.env).map(|(name, value)| (name.clone(), value.clone())).collect();
    let command = |path: &str, args: &Option<Vec<String>>| {
        initrd::command(&info.name, path, args.as_ref().unwrap_or(&info.args), &variables)
    };
    let app = |args| command(&info.trigger, args);
    let twin = |args| command(initrd::TWIN, args);
    let startup = match what {
        What::Program(args) => Startup::commands(vec![app(args)]),
        What::Twin(args) => Startup { twin: true, ..Startup::commands(vec![twin(args)]) },
        What::Both(args) => Startup { twin: true, ..Startup::commands(vec![app(args), twin(args)]) },
        What::Pid1(_) => Startup::pid1(),
        What::Shell => Startup::shell(initrd::environment(&variables)),
        What::Commands(commands) => Startup { twin: true, ..Startup::commands(commands.clone()) },
    };
    let mut startup = startup.with_mounts(storage);
    match input {
        Input::Port => startup.console = Console::Port,
        Input::None => startup.console = Console::Null,
        Input::Lines | Input::Terminal => {}
    }
    let usual = Startup::of_image(&info.name, &info.trigger, &info.args, &info.env, &info.storage);
    Ok((startup != usual).then_some(startup))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_of_process_1_are_quoted_for_the_kernel() {
        assert_eq!(kernel_word("a=b").unwrap(), "a=b");
        assert_eq!(kernel_word("two words").unwrap(), "\"two words\"");
        assert!(kernel_word("say \"x\"").is_err() && kernel_word("").is_err());
    }
}
