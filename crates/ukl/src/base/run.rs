//! The only place that spawns processes: argv without a shell, explicit directory, log, limit, echo.

mod interrupt;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::base::error::{fail, Class, Result};
use crate::base::term;

pub use interrupt::{catch_interrupts, interrupted};

/// How commands are shown and whether they run at all.
#[derive(Debug, Clone, Default)]
pub struct Shell {
    /// Print each command before it runs (`-v`).
    pub verbose: bool,
    /// Print each command and run none (`--dry-run`).
    pub dry_run: bool,
    /// Print none, whatever the run.
    silent: bool,
    /// In a dry run, what this shell and its clones were asked for: a report, which no stage reads.
    shown: Option<Arc<Mutex<Vec<String>>>>,
}

/// One program call, complete: nothing is taken from the process's own directory.
#[derive(Debug, Clone)]
pub struct Cmd {
    program: OsString,
    args: Vec<OsString>,
    cwd: Option<PathBuf>,
    env: Vec<(OsString, OsString)>,
    stdin: Option<Vec<u8>>,
    log: Option<PathBuf>,
    limit: Duration,
    probe: bool,
    arg0: Option<OsString>,
    inherits: Inherits,
    output: Option<i32>,
}

/// What a program gets of our own environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inherits {
    /// Nothing.
    Nothing,
    /// What [`chosen`] says: no build of ours may depend on more.
    Chosen,
    /// Everything: the program is the user's own, or stands for one that they called.
    All,
}

/// May our tools see this variable? Where things are, who asks, how to reach the network; no compiler's or make's
/// own settings, and neither `PWD`, which the kernel's makefiles give to a shell unquoted, nor a locale.
fn chosen(name: &OsStr) -> bool {
    const NAMES: [&str; 14] = [
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "TERM",
        "TMPDIR",
        "TZ",
        "NO_COLOR",
        "NO_PROXY",
        "no_proxy",
        "APT_CONFIG",
        "DEBIAN_FRONTEND",
        "RUST_BACKTRACE",
    ];
    const STARTS: [&str; 5] = ["XDG_", "SSL_", "CURL_", "CCACHE_", "SUDO_"];
    let name = name.to_string_lossy();
    let proxy = name.ends_with("_proxy") || name.ends_with("_PROXY");
    proxy || NAMES.contains(&&*name) || STARTS.iter().any(|start| name.starts_with(start))
}

/// What a finished command left.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output (empty when it went to the log).
    pub stdout: Vec<u8>,
    /// Standard error (empty when it went to the log).
    pub stderr: Vec<u8>,
    /// Wall time.
    pub elapsed: Duration,
}

impl Cmd {
    /// A call of `program` with no arguments, one hour of time and no log.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Cmd {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            cwd: None,
            env: Vec::new(),
            stdin: None,
            log: None,
            limit: Duration::from_secs(3600),
            probe: false,
            arg0: None,
            inherits: Inherits::Chosen,
            output: None,
        }
    }

    /// The program writes to this file descriptor as well, which a shell can name; see [`Shell::spawn_with`].
    pub fn output(mut self, fd: i32) -> Self {
        self.output = Some(fd);
        self
    }

    /// What the program is told that its name is.
    pub fn arg0(mut self, name: impl AsRef<OsStr>) -> Self {
        self.arg0 = Some(name.as_ref().to_owned());
        self
    }

    /// Nothing is inherited from our own environment.
    pub fn bare_env(mut self) -> Self {
        self.inherits = Inherits::Nothing;
        self
    }

    /// Everything is inherited from our own environment: the program is the user's own.
    pub fn whole_env(mut self) -> Self {
        self.inherits = Inherits::All;
        self
    }

    /// Appends one argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Appends arguments.
    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Runs in `dir`.
    pub fn cwd(mut self, dir: impl AsRef<Path>) -> Self {
        self.cwd = Some(dir.as_ref().to_owned());
        self
    }

    /// Sets one environment variable on top of the inherited ones, which are chosen ones unless said otherwise.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Feeds `bytes` to standard input (otherwise it is empty).
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Sends standard output and error to `file` (appended), which error messages then name.
    pub fn log(mut self, file: impl AsRef<Path>) -> Self {
        self.log = Some(file.as_ref().to_owned());
        self
    }

    /// Kills the command after `limit`.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Marks a command that only looks (`gcc --version`): it runs in a dry run too, and is shown with `-v` only.
    pub fn probe(mut self) -> Self {
        self.probe = true;
        self
    }

    /// The program and its arguments.
    pub fn words(&self) -> impl Iterator<Item = &OsStr> {
        std::iter::once(self.program.as_os_str()).chain(self.args.iter().map(OsString::as_os_str))
    }

    /// Where it runs, unless it does not matter.
    pub fn dir(&self) -> Option<&Path> {
        self.cwd.as_deref()
    }

    /// What its environment has on top of ours.
    pub fn variables(&self) -> &[(OsString, OsString)] {
        &self.env
    }

    /// The command as a person would paste it into a shell.
    pub fn display(&self) -> String {
        let mut words: Vec<String> = Vec::new();
        if let Some(cwd) = &self.cwd {
            words.push(format!("cd {} &&", quote(cwd.as_os_str())));
        }
        if self.inherits == Inherits::Nothing {
            words.push("env -i".into());
        }
        for (key, value) in &self.env {
            words.push(format!("{}={}", key.to_string_lossy(), quote(value)));
        }
        words.push(quote(&self.program));
        words.extend(self.args.iter().map(|a| quote(a)));
        words.extend(self.output.map(|fd| format!("{fd}>&1")));
        words.join(" ")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(name) = &self.arg0 {
            command.arg0(name);
        }
        match (self.inherits, &self.cwd) {
            (Inherits::Nothing, _) => drop(command.env_clear()),
            (Inherits::Chosen, _) => {
                command.env_clear().envs(std::env::vars_os().filter(|(name, _)| chosen(name)));
            }
            // A shell would say where it is.
            (Inherits::All, Some(cwd)) => drop(command.env("PWD", cwd)),
            (Inherits::All, None) => {}
        }
        command.args(&self.args).envs(self.env.iter().map(|(k, v)| (k, v)));
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        command
    }
}

fn quote(word: &OsStr) -> String {
    crate::base::quote::shell(&word.to_string_lossy())
}

impl Shell {
    /// Runs commands and shows none.
    pub const fn plain() -> Self {
        Shell { verbose: false, dry_run: false, silent: false, shown: None }
    }

    /// Shows commands where `verbose` says so, and runs none in a `dry_run`.
    pub fn new(verbose: bool, dry_run: bool) -> Self {
        Shell { verbose, dry_run, shown: dry_run.then(Arc::default), ..Shell::plain() }
    }

    /// Shows commands and runs none.
    pub fn dry() -> Self {
        Shell::new(false, true)
    }

    /// The same for somebody who only wants to know: no command runs, and none is shown.
    pub fn looking(&self) -> Self {
        Shell { dry_run: true, silent: true, ..self.clone() }
    }

    /// The commands of this dry run so far, in order.
    pub fn shown(&self) -> Vec<String> {
        let shown = self.shown.as_ref();
        shown.map(|shown| shown.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap_or_default()
    }

    /// Shows `cmd` if asked to; true when it should also run.
    fn announce(&self, cmd: &Cmd) -> Result<bool> {
        let runs = !self.dry_run || cmd.probe;
        let line = cmd.display();
        if (self.verbose || !runs) && !self.silent {
            term::command(&line, !runs)?;
        }
        if let Some(shown) = self.shown.as_ref().filter(|_| !cmd.probe) {
            shown.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
        Ok(runs)
    }

    /// Runs `cmd` to its end, whatever its status.
    ///
    /// With a log, `on_line` sees each line of output as it arrives. Errors: the program does
    /// not exist (class `Host`), the limit passed (class `Host`).
    pub fn run_with(&self, cmd: &Cmd, on_line: &mut dyn FnMut(&str)) -> Result<Output> {
        if !self.announce(cmd)? {
            return Ok(Output {
                status: ExitStatus::default(),
                stdout: Vec::new(),
                stderr: Vec::new(),
                elapsed: Duration::ZERO,
            });
        }
        let start = Instant::now();
        let mut command = cmd.command();
        command.stdin(if cmd.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        if cmd.log.is_some() {
            return run_logged(cmd, command, start, on_line);
        }
        let (mut child, _live) = spawn_group(cmd, command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
        feed(&mut child, cmd.stdin.clone());
        let out = drain(child.stdout.take());
        let err = drain(child.stderr.take());
        let status = wait(cmd, &mut child, start)?;
        anyhow::ensure!(!interrupted(), "interrupted");
        let join = |t: std::thread::JoinHandle<Vec<u8>>| t.join().unwrap_or_default();
        Ok(Output { status, stdout: join(out), stderr: join(err), elapsed: start.elapsed() })
    }

    /// Runs `cmd` to its end, whatever its status.
    pub fn run(&self, cmd: &Cmd) -> Result<Output> {
        self.run_with(cmd, &mut |_| ())
    }

    /// Runs `cmd` and fails with `class` unless it exits with 0.
    pub fn check(&self, cmd: &Cmd, class: Class) -> Result<Output> {
        let output = self.run(cmd)?;
        if output.status.success() {
            return Ok(output);
        }
        Err(exit_failure(cmd, &output, class).into())
    }

    /// Runs `cmds` in order, as [`Shell::check`] does.
    pub fn check_all(&self, cmds: &[Cmd], class: Class) -> Result<()> {
        cmds.iter().try_for_each(|cmd| self.check(cmd, class).map(drop))
    }

    /// Runs `cmd` as a shell would: on our own standard streams, or with its output kept (and no input).
    ///
    /// The status is missing when the limit ended the program, and everything in a dry run.
    pub fn attend(
        &self,
        cmd: &Cmd,
        keep: bool,
        limit: Option<Duration>,
    ) -> Result<Option<(Option<ExitStatus>, Vec<u8>)>> {
        if !self.announce(cmd)? {
            return Ok(None);
        }
        let mut command = cmd.command();
        let mut output = None;
        if keep {
            let (reader, writer) = std::io::pipe()?;
            command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
            output = Some(drain(Some(reader)));
        }
        let start = Instant::now();
        let mut child = spawn(cmd, &mut command)?;
        drop(command); // Closes our copies of the pipe, so that the reader sees its end.
        let _live = interrupt::Live::new(child.id() as i32);
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break Some(status);
            }
            if limit.is_some_and(|limit| start.elapsed() > limit) {
                interrupt::kill(child.id() as i32, libc::SIGKILL);
                child.wait()?;
                break None;
            }
            std::thread::sleep(Duration::from_millis(if start.elapsed().as_millis() < 200 { 1 } else { 10 }));
        };
        anyhow::ensure!(!interrupted(), "interrupted");
        Ok(Some((status, output.map(|output| output.join().unwrap_or_default()).unwrap_or_default())))
    }

    /// Runs `cmd` on our own streams, with Ctrl-C its own meanwhile: it is for people. No status in a dry run.
    pub fn lend(&self, cmd: &Cmd) -> Result<Option<ExitStatus>> {
        if !self.announce(cmd)? {
            return Ok(None);
        }
        let mut command = cmd.command();
        let _ignored = interrupt::Ignored::start();
        // SAFETY: signal is async-signal-safe and takes plain integers.
        unsafe { command.pre_exec(interrupt::listen_again) };
        let mut child = spawn(cmd, &mut command)?;
        let _live = interrupt::Live::new(child.id() as i32);
        let status = child.wait()?;
        anyhow::ensure!(!interrupted(), "interrupted");
        Ok(Some(status))
    }

    /// Starts `cmd` with the given standard streams, for programs that run beside us (QEMU).
    ///
    /// It shares our terminal and process group and dies with the thread that started it.
    pub fn spawn(&self, cmd: &Cmd, stdin: Stdio, stdout: Stdio, stderr: Stdio) -> Result<Option<Child>> {
        self.spawn_with(cmd, (stdin, stdout, stderr), None)
    }

    /// As [`Shell::spawn`]; `output` is what the command finds at the descriptor that it named with [`Cmd::output`].
    pub fn spawn_with(
        &self,
        cmd: &Cmd,
        (stdin, stdout, stderr): (Stdio, Stdio, Stdio),
        output: Option<OwnedFd>,
    ) -> Result<Option<Child>> {
        if !self.announce(cmd)? {
            return Ok(None);
        }
        let mut command = cmd.command();
        if let (Some(fd), Some(output)) = (cmd.output, output) {
            give(&mut command, fd, &output)?;
        }
        let child = spawn(cmd, command.stdin(stdin).stdout(stdout).stderr(stderr))?;
        interrupt::Live::new(child.id() as i32).forget();
        Ok(Some(child))
    }
}

/// Lets the command find `output` at the descriptor `fd`.
fn give(command: &mut Command, fd: i32, output: &OwnedFd) -> Result<()> {
    // SAFETY: fcntl takes plain integers; a descriptor that it returns is nobody else's.
    let copy = unsafe {
        let copy = libc::fcntl(output.as_raw_fd(), libc::F_DUPFD_CLOEXEC, fd);
        (copy >= 0).then(|| OwnedFd::from_raw_fd(copy)).ok_or_else(std::io::Error::last_os_error)?
    };
    // By now somebody of ours has the number, so the pipe by which the child tells of an error has another one.
    let put = move || {
        let number = copy.as_raw_fd();
        // SAFETY: both calls are async-signal-safe and take plain integers.
        let done = unsafe {
            if number == fd {
                libc::fcntl(fd, libc::F_SETFD, 0)
            } else {
                libc::dup2(number, fd)
            }
        };
        if done < 0 {
            Err(std::io::Error::last_os_error())
        } else {
            Ok(())
        }
    };
    // SAFETY: the closure allocates nothing and calls async-signal-safe functions only.
    unsafe { command.pre_exec(put) };
    Ok(())
}

/// Starts `cmd` in a session of its own, without input and with its output in `log`: it lives on when we end.
pub fn detach(cmd: &Cmd, log: &Path) -> Result<Child> {
    let file = File::create(log).with_context(|| format!("failed to create `{}`", log.display()))?;
    let mut command = cmd.command();
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let own_session = || {
        // SAFETY: setsid is async-signal-safe and takes nothing.
        match unsafe { libc::setsid() } {
            -1 => Err(std::io::Error::last_os_error()),
            _ => Ok(()),
        }
    };
    // SAFETY: the closure allocates nothing and calls async-signal-safe functions only.
    unsafe { command.pre_exec(own_session) };
    command.spawn().map_err(|error| cannot_start(cmd, &error).into())
}

/// Becomes `cmd`, with our standard streams and environment; comes back only when that fails.
pub fn replace(cmd: &Cmd) -> anyhow::Error {
    cannot_start(cmd, &cmd.command().exec()).into()
}

/// The failure of a command that ran and ended badly: status and the end of its output.
pub fn exit_failure(cmd: &Cmd, output: &Output, class: Class) -> crate::base::error::Failure {
    let program = Path::new(&cmd.program).file_name().unwrap_or(&cmd.program).to_string_lossy();
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(20)..].join("\n    ");
    let mut message = format!("`{program}` failed ({})", output.status);
    if !tail.is_empty() {
        message.push_str(&format!("\n    {tail}"));
    }
    let failure = fail(class, message).command(cmd.display());
    match &cmd.log {
        Some(log) => failure.log(log),
        None => failure,
    }
}

/// Starts a command as the leader of its own process group, so that all of it can be stopped.
fn spawn_group(cmd: &Cmd, command: &mut Command) -> Result<(Child, interrupt::Live)> {
    let child = spawn(cmd, command.process_group(0))?;
    let live = interrupt::Live::new(-(child.id() as i32));
    Ok((child, live))
}

fn spawn(cmd: &Cmd, command: &mut Command) -> Result<Child> {
    anyhow::ensure!(!interrupted(), "interrupted");
    let parent = std::process::id();
    let die_with_parent = move || {
        // SAFETY: prctl and getppid are async-signal-safe and take plain integers.
        let orphaned = unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            libc::getppid() as u32 != parent
        };
        if orphaned {
            Err(std::io::ErrorKind::Interrupted.into())
        } else {
            Ok(())
        }
    };
    // SAFETY: the closure allocates nothing and calls async-signal-safe functions only.
    unsafe { command.pre_exec(die_with_parent) };
    command.spawn().map_err(|error| cannot_start(cmd, &error).into())
}

fn cannot_start(cmd: &Cmd, error: &std::io::Error) -> crate::base::error::Failure {
    let program = cmd.program.to_string_lossy();
    let failure = fail(Class::Host, format!("cannot start `{program}`: {error}"));
    failure.command(cmd.display()).hint("`ukl doctor` lists what is missing and how to install it")
}

fn feed(child: &mut Child, bytes: Option<Vec<u8>>) {
    if let (Some(mut pipe), Some(bytes)) = (child.stdin.take(), bytes) {
        // A program may end without reading its input: a broken pipe is its business.
        std::thread::spawn(move || pipe.write_all(&bytes).ok());
    }
}

/// Reads `pipe` to its end, on a thread of its own.
pub fn drain<R: Read + Send + 'static>(pipe: Option<R>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What arrived before a read error is still worth showing.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn wait(cmd: &Cmd, child: &mut Child, start: Instant) -> Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if start.elapsed() > cmd.limit {
            interrupt::kill(-(child.id() as i32), libc::SIGKILL);
            child.wait()?;
            let text = format!("`{}` took longer than {} s", cmd.program.to_string_lossy(), cmd.limit.as_secs());
            return Err(fail(Class::Host, text).command(cmd.display()).into());
        }
        std::thread::sleep(Duration::from_millis(if start.elapsed().as_millis() < 200 { 1 } else { 20 }));
    }
}

fn run_logged(cmd: &Cmd, mut command: Command, start: Instant, on_line: &mut dyn FnMut(&str)) -> Result<Output> {
    let path = cmd.log.as_deref().unwrap_or(Path::new("/dev/null"));
    let open = || {
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        File::options().create(true).append(true).open(path)
    };
    let mut log = open().with_context(|| format!("failed to open log `{}`", path.display()))?;
    writeln!(log, "$ {}", cmd.display())?;
    let (reader, writer) = std::io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let (mut child, _live) = spawn_group(cmd, &mut command)?;
    drop(command); // Closes our copies of the pipe, so that the reader sees its end.
    feed(&mut child, cmd.stdin.clone());
    let pid = child.id();
    let (done, expired) = watchdog(pid, cmd.limit);
    let mut lines = BufReader::new(reader);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        log.write_all(&line)?;
        on_line(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    let status = child.wait()?;
    drop(done);
    anyhow::ensure!(!interrupted(), "interrupted");
    if expired.join().unwrap_or(false) {
        let text = format!("`{}` took longer than {} s", cmd.program.to_string_lossy(), cmd.limit.as_secs());
        return Err(fail(Class::Host, text).command(cmd.display()).log(path).into());
    }
    Ok(Output { status, stdout: Vec::new(), stderr: Vec::new(), elapsed: start.elapsed() })
}

/// Kills the group of `pid` after `limit` unless the returned sender is dropped first; the thread says which.
fn watchdog(pid: u32, limit: Duration) -> (std::sync::mpsc::Sender<()>, std::thread::JoinHandle<bool>) {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        let timed_out = receiver.recv_timeout(limit) == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
        if timed_out {
            // The child is not reaped before the sender drops: the group's number is still its own.
            interrupt::kill(-(pid as i32), libc::SIGKILL);
        }
        timed_out
    });
    (sender, thread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_and_status_come_back() {
        let cmd = Cmd::new("sh").args(["-c", "cat; echo err >&2; exit 3"]).stdin("in");
        let output = Shell::default().run(&cmd).unwrap();
        assert_eq!((output.status.code(), output.stdout, output.stderr), (Some(3), b"in".to_vec(), b"err\n".to_vec()));
    }

    #[test]
    fn the_environment_is_chosen_and_not_inherited() {
        let dir = tempfile::tempdir().unwrap();
        let seen = |cmd: Cmd| String::from_utf8(Shell::default().run(&cmd.cwd(dir.path())).unwrap().stdout).unwrap();
        let has = |text: &str, name: &str| text.lines().any(|line| line.starts_with(&format!("{name}=")));
        let text = seen(Cmd::new("env").env("MINE", "yes"));
        assert!(has(&text, "PATH") && has(&text, "MINE"), "{text}");
        // Cargo sets the first, each shell the second.
        assert!(!has(&text, "CARGO_MANIFEST_DIR") && !has(&text, "PWD"), "{text}");
        let text = seen(Cmd::new("env").whole_env());
        assert!(has(&text, "CARGO_MANIFEST_DIR"), "{text}");
        assert!(text.contains(&format!("PWD={}\n", dir.path().display())), "{text}");
        assert_eq!(seen(Cmd::new("/usr/bin/env").bare_env()), "");
        for name in
            ["PWD", "OLDPWD", "MAKEFLAGS", "GCC_EXEC_PREFIX", "CPATH", "LANG", "LC_ALL", "KBUILD_OUTPUT", "ARCH"]
        {
            assert!(!chosen(OsStr::new(name)), "{name}");
        }
        for name in ["HOME", "https_proxy", "XDG_CACHE_HOME", "CCACHE_DIR"] {
            assert!(chosen(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn a_missing_program_is_the_hosts_fault() {
        let error = Shell::default().run(&Cmd::new("/no/such/program")).unwrap_err();
        assert_eq!(crate::base::error::render(&error).1, Class::Host.exit_code());
    }

    #[test]
    fn a_limit_ends_a_command_with_and_without_a_log() {
        let dir = tempfile::tempdir().unwrap();
        let slow = Cmd::new("sleep").arg("20").limit(Duration::from_millis(100));
        for cmd in [slow.clone(), slow.log(dir.path().join("log"))] {
            let error = Shell::default().run(&cmd).unwrap_err().to_string();
            assert!(error.contains("took longer"), "{error}");
        }
    }

    #[test]
    fn a_dry_run_runs_probes_only() {
        let dry = Shell::dry();
        let cmd = Cmd::new("echo").arg("a dry run");
        assert_eq!(dry.run(&cmd).unwrap().stdout, b"");
        assert_eq!(dry.run(&cmd.clone().probe()).unwrap().stdout, b"a dry run\n");
        assert_eq!(dry.shown(), [cmd.display()]);
        assert_eq!(dry.clone().looking().run(&cmd).unwrap().stdout, b"");
        assert_eq!(dry.shown().len(), 2, "clones share what they were asked for");
        assert!(Shell::dry().shown().is_empty(), "and others do not");
    }

    #[test]
    fn a_limit_ends_grandchildren_too() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        // The grandchild alone holds the other end of the pipe, so that its end can be read.
        let script = format!("mkfifo '{0}'; sleep 600 >'{0}' & wait", pipe.display());
        let ended = std::thread::spawn({
            let pipe = pipe.clone();
            move || {
                while !pipe.exists() {
                    std::thread::yield_now();
                }
                std::fs::read(pipe).unwrap()
            }
        });
        let cmd = Cmd::new("sh").args(["-c", &script]).limit(Duration::from_secs(1));
        Shell::default().run(&cmd).unwrap_err();
        assert!(pipe.exists(), "a second was too short for `sh`");
        assert_eq!(ended.join().unwrap(), b"", "returns when the grandchild is gone");
    }

    #[test]
    fn words_that_a_shell_would_split_are_quoted() {
        let cmd = Cmd::new("a b").arg("it's").cwd("/x");
        assert_eq!(cmd.display(), r"cd /x && 'a b' 'it'\''s'");
    }
}
