//! What changes with each run: the commands, how the console behaves, the twin, a shell.

use std::collections::BTreeMap;
use std::fs;

use formats::newc::{self, Entry};
use serde::{Deserialize, Serialize};

use crate::base::error::{fail, Class, Result};
use crate::base::run::{Cmd, Shell};
use crate::base::workdir::{self, ImageDir};
use crate::manifest::Storage;

use super::mounts::{self, Mount};

/// One program that init starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// What is executed.
    pub path: String,
    /// Its arguments, the name first.
    pub argv: Vec<String>,
    /// Its whole environment.
    pub env: BTreeMap<String, String>,
}

/// How the guest's console treats bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Console {
    /// Output unchanged, no echo: a program's standard streams.
    Raw,
    /// The same, and input comes from a port of its own.
    Port,
    /// The same, and there is no input.
    Null,
    /// Echo, line editing, signals: a person at a terminal.
    Cooked,
}

/// What a boot does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Startup {
    /// The console.
    pub console: Console,
    /// What init runs, one after the other; without commands there is no init (the program is process 1).
    pub commands: Vec<Command>,
    /// What init mounts before that, in this order.
    pub mounts: Vec<Mount>,
    /// The RAM disk has `/twin`.
    pub twin: bool,
    /// The RAM disk has busybox and its applets.
    pub busybox: bool,
}

impl Startup {
    /// Init runs `commands` with plain standard streams.
    pub fn commands(commands: Vec<Command>) -> Self {
        Startup { console: Console::Raw, commands, mounts: Vec::new(), twin: false, busybox: false }
    }

    /// What init does in an image unless a run says otherwise: it starts the program `name` by its trigger.
    pub fn of_image(
        name: &str,
        trigger: &str,
        args: &[String],
        env: &BTreeMap<String, String>,
        storage: &Storage,
    ) -> Self {
        Startup::commands(vec![command(name, trigger, args, env)]).with_mounts(storage)
    }

    /// With these disks and shares.
    pub fn with_mounts(self, storage: &Storage) -> Self {
        Startup { mounts: mounts::of(storage), ..self }
    }

    /// The kernel starts the program itself.
    pub fn pid1() -> Self {
        Startup::commands(Vec::new())
    }

    /// A shell for a person.
    pub fn shell(env: BTreeMap<String, String>) -> Self {
        let command = Command { path: "/bin/sh".into(), argv: vec!["-sh".into()], env };
        Startup { console: Console::Cooked, commands: vec![command], mounts: Vec::new(), twin: true, busybox: true }
    }
}

/// The ring-3 twin in the guest.
pub const TWIN: &str = "/twin";

/// What a program finds in its environment unless the manifest says otherwise.
const ENVIRONMENT: [(&str, &str); 3] = [("HOME", "/"), ("PATH", "/bin:/sbin:/usr/bin:/usr/sbin"), ("TERM", "linux")];

/// The manifest's environment on top of the usual one.
pub fn environment(env: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let usual = ENVIRONMENT.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let own = env.iter().map(|(name, value)| (name.clone(), value.clone()));
    usual.chain(own).collect()
}

/// The program `name` at `path` with its arguments: its twin gets the same name, and so the same output.
pub fn command(name: &str, path: &str, args: &[String], env: &BTreeMap<String, String>) -> Command {
    let argv = std::iter::once(name.to_owned()).chain(args.iter().cloned()).collect();
    Command { path: path.into(), argv, env: environment(env) }
}

/// The archive with everything that `startup` asks for.
pub(super) fn archive(shell: &Shell, image: &ImageDir, startup: &Startup) -> Result<Vec<u8>> {
    let mut entries = Vec::new();
    if !startup.commands.is_empty() {
        entries.push(Entry::file("/init", 0o755, workdir::read(&image.stage("initrd").join("init"))?));
        entries.push(Entry::file("/etc/ukl/command", 0o644, command_file(startup)?));
        if !startup.mounts.is_empty() {
            entries.push(Entry::file("/etc/ukl/mounts", 0o644, mounts::file(&startup.mounts)));
        }
    }
    if startup.twin {
        entries.push(Entry::file(TWIN, 0o755, workdir::read(&image.twin())?));
    }
    if startup.busybox {
        entries.extend(applets(shell)?);
    }
    Ok(newc::write(&entries)?)
}

/// What init can read: more than Linux lets a program have of arguments on a usual stack.
const COMMANDS_MAX: usize = (1 << 18) - 1;

/// The file that init reads: see `initrd/init.c`.
fn command_file(startup: &Startup) -> Result<Vec<u8>> {
    let strings = command_strings(startup);
    if let Some(bad) = strings.iter().find(|string| string.contains('\0')) {
        return Err(fail(Class::Usage, format!("{bad:?} has a NUL byte: no program can get it as an argument")).into());
    }
    let file: Vec<u8> = strings.into_iter().flat_map(|string| [string.into_bytes(), vec![0]].concat()).collect();
    if file.len() > COMMANDS_MAX {
        let text =
            format!("{} bytes of arguments and environment are too many: {COMMANDS_MAX} can be passed", file.len());
        return Err(fail(Class::Usage, text).into());
    }
    Ok(file)
}

/// What that file says: strings that each end with a NUL.
pub fn command_strings(startup: &Startup) -> Vec<String> {
    let console = match startup.console {
        Console::Raw => "raw",
        Console::Port => "port",
        Console::Null => "null",
        Console::Cooked => "cooked",
    };
    let mut strings = vec![console.to_owned()];
    for command in &startup.commands {
        strings.push(command.argv.len().to_string());
        strings.push(command.env.len().to_string());
        strings.push(command.path.clone());
        strings.extend(command.argv.iter().cloned());
        strings.extend(command.env.iter().map(|(name, value)| format!("{name}={value}")));
    }
    strings
}

/// Where this machine has it.
const BUSYBOX: &str = "/bin/busybox";

/// The host's static busybox. Error (class `Host`): there is none, or it is not static.
pub fn busybox() -> Result<Vec<u8>> {
    let missing = |text: &str| fail(Class::Host, text).hint("sudo apt-get install busybox-static");
    let bytes = fs::read(BUSYBOX).map_err(|_| missing("no `/bin/busybox` for the guest's shell"))?;
    let elf = goblin::elf::Elf::parse(&bytes).map_err(|_| missing("`/bin/busybox` is not an ELF program"))?;
    if elf.interpreter.is_some() {
        return Err(missing("`/bin/busybox` needs shared libraries, which the guest does not have").into());
    }
    Ok(bytes)
}

/// The host's static busybox and a link for each of its applets.
fn applets(shell: &Shell) -> Result<Vec<Entry>> {
    let bytes = busybox()?;
    let list = shell.check(&Cmd::new(BUSYBOX).arg("--list").probe(), Class::Host)?.stdout;
    let applets = String::from_utf8_lossy(&list).into_owned();
    let names = applets.lines().filter(|name| !name.is_empty() && *name != "busybox" && !name.contains('/'));
    let mut entries: Vec<Entry> = names.map(|name| Entry::symlink(format!("/bin/{name}"), "busybox")).collect();
    entries.push(Entry::file("/bin/busybox", 0o755, bytes));
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(argv: &[&str], env: &[(&str, &str)]) -> Command {
        let argv = argv.iter().map(|arg| arg.to_string()).collect();
        let env = env.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Command { path: "/UKL".into(), argv, env }
    }

    #[test]
    fn nothing_of_an_argument_is_lost() {
        let startup = Startup::commands(vec![plain(&["a", "two words", ""], &[("X", "y=z")]), plain(&["b"], &[])]);
        let want = b"raw\x003\x001\0/UKL\0a\0two words\0\0X=y=z\x001\x000\0/UKL\0b\0";
        assert_eq!(command_file(&startup).unwrap(), want);
    }

    #[test]
    fn too_many_arguments_are_a_usage_error() {
        let error = command_file(&Startup::commands(vec![plain(&[&"x".repeat(1 << 18)], &[])])).unwrap_err();
        assert_eq!(crate::base::error::render(&error).1, Class::Usage.exit_code());
    }

    #[test]
    fn the_manifests_environment_wins() {
        let env = BTreeMap::from([("PATH".to_owned(), "/x".to_owned())]);
        let command = command("hello", "/UKL", &["a".into()], &env);
        assert_eq!(command.argv, ["hello", "a"]);
        assert_eq!((command.env["PATH"].as_str(), command.env["HOME"].as_str()), ("/x", "/"));
    }

    #[test]
    fn a_nul_byte_is_a_usage_error() {
        let error = command_file(&Startup::commands(vec![plain(&["a\0b"], &[])])).unwrap_err();
        assert_eq!(crate::base::error::render(&error).1, Class::Usage.exit_code());
    }
}
