//! `ukl run -d`: a process of ours is put beside the new guest, and tells how it fares.

use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use formats::console::{self, Control};

use crate::base::env::Env;
use crate::base::error::{describe, fail, Class, Result};
use crate::base::run::{self, Cmd};
use crate::base::term;
use crate::base::workdir::{self, GuestDir, Guests};
use crate::boot::{self, BootRun, Outcome};
use crate::image::folder::Image;
use crate::machine::{Connection, Request};

use super::process::Process;
use super::{find, now, read, record, write, Ended, Failed, Guest, Record, State, FORMAT};

/// How long a server may take to listen, on a machine that is busy with other things.
const READY_LIMIT: Duration = Duration::from_secs(180);
/// The same where no manifest says that it will.
const GUESS_LIMIT: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(20);

/// A started guest.
#[derive(Debug)]
pub struct Started {
    /// The guest.
    pub guest: Guest,
    /// Where it answers, and after how many seconds.
    pub ready: Option<(Option<String>, f64)>,
}

/// Starts `image` in the background as `name`; comes back when the program is ready, or at once
/// when its manifest names no port.
///
/// An ended guest of that name makes room. Errors: one of that name runs (class `Usage`), the guest
/// did not come up or ended before it was ready (then its folder stays, for `ukl logs`).
pub fn start(guests: &Guests, name: &str, image: &Image, request: &Request, remove: bool) -> Result<Started> {
    bring_up(guests, name, image, request, remove, &|| false)
}

/// [`start`], which waits no longer for the program to be ready once `given_up` says so; the guest goes on.
pub fn start_unless(
    guests: &Guests,
    name: &str,
    image: &Image,
    request: &Request,
    given_up: &dyn Fn() -> bool,
) -> Result<Started> {
    bring_up(guests, name, image, request, false, given_up)
}

fn bring_up(
    guests: &Guests,
    name: &str,
    image: &Image,
    request: &Request,
    remove: bool,
    given_up: &dyn Fn() -> bool,
) -> Result<Started> {
    let dir = guests.guest(name);
    let begun = Instant::now();
    let Some(lock) = dir.try_lock()? else {
        return Err(taken(name, "is being started").into());
    };
    if let Some(guest) = read(name, &dir)?.filter(|guest| guest.state.is_alive()) {
        return Err(taken(name, &format!("runs already ({})", guest.state)).into());
    }
    let result = spawn(&dir, image, request, remove).and_then(|mut child| {
        let waited = wait(&dir, image, request, &mut child, (begun, given_up));
        if waited.is_err() && run::interrupted() {
            end(&dir, &mut child);
        }
        waited
    });
    let came_up = record(&dir)?.is_some_and(|record| record.end.is_none_or(|end| end.failure.is_none()));
    if result.is_err() && (!came_up || run::interrupted()) {
        dir.remove()?;
    }
    drop(lock);
    Ok(Started { ready: result?, guest: find(guests, name)? })
}

fn taken(name: &str, how: &str) -> crate::base::error::Failure {
    let hint = format!("`--name OTHER` starts a second one, `ukl stop {name}` ends it");
    fail(Class::Usage, format!("a guest `{name}` {how}")).hint(hint)
}

/// Writes down what is to be booted, and starts the process that does it.
fn spawn(dir: &GuestDir, image: &Image, request: &Request, remove: bool) -> Result<Child> {
    let files = dir.run();
    // What the last guest of that name left would be taken for this one's.
    for old in
        [files.console(), files.times(), files.core(), files.control(), files.qemu_line(), dir.record(), dir.debugger()]
    {
        workdir::remove_file(&old)?;
    }
    workdir::write_atomic(&files.console(), b"")?;
    let record = Record {
        format: FORMAT,
        image: image.dir.root().to_owned(),
        request: request.clone(),
        connection: Some(Connection::of(&image.info, request)),
        started_at: now(),
        process: None,
        remove,
        end: None,
    };
    write(dir, &record)?;
    if let Some(pipe) = files.pipe() {
        for end in ["in", "out"] {
            make_pipe(&pipe.with_extension(end))?;
        }
    }
    let cmd = Cmd::new(std::env::current_exe()?).arg("attend").arg(dir.root());
    run::detach(&cmd, &dir.log())
}

fn make_pipe(path: &Path) -> Result<()> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    workdir::remove_file(path)?;
    // SAFETY: the name ends with a NUL byte.
    if unsafe { libc::mkfifo(name.as_ptr(), 0o600) } != 0 {
        let error = std::io::Error::last_os_error();
        return Err(fail(Class::Host, format!("failed to create the pipe `{}`: {error}", path.display())).into());
    }
    Ok(())
}

/// Waits until the guest is as far as it shall be; where and when it was ready.
fn wait(
    dir: &GuestDir,
    image: &Image,
    request: &Request,
    child: &mut Child,
    (begun, given_up): (Instant, &dyn Fn() -> bool),
) -> Result<Option<(Option<String>, f64)>> {
    let has_init = request.what.has_init();
    let port = Connection::of(&image.info, request).ready_port;
    let waits = port.is_some() && has_init;
    loop {
        anyhow::ensure!(!run::interrupted(), "interrupted");
        let control = control(dir);
        let ended = child.try_wait()?.is_some();
        if control.ready && waits {
            let endpoint = record(dir)?.and_then(|record| record.connection?.endpoint()?.text(&control));
            return Ok(Some((endpoint, begun.elapsed().as_secs_f64())));
        }
        if ended {
            return Err(ended_early(dir)?.into());
        }
        if request.waits {
            // QEMU makes the socket when it has started.
            if dir.debugger().exists() {
                return Ok(None);
            }
            std::thread::sleep(TICK);
            continue;
        }
        // Process 1 announces nothing: QEMU's line is written just before it starts.
        let is_up = control.started || !has_init && dir.run().qemu_line().exists();
        if is_up && !waits {
            return Ok(None);
        }
        if is_up && given_up() {
            return Ok(None);
        }
        // Nobody said that the program listens at the port that is forwarded.
        if image.info.ready.is_none() && is_up && begun.elapsed() > GUESS_LIMIT {
            let port = port.unwrap_or_default();
            term::say(&format!("nothing listens at port {port} of the guest yet; it goes on running"));
            return Ok(None);
        }
        if begun.elapsed() > READY_LIMIT {
            let name = dir.root().file_name().unwrap_or_default().to_string_lossy().into_owned();
            let text = format!("`{name}` does not answer after {} s", READY_LIMIT.as_secs());
            let hint = format!("it goes on running: `ukl logs {name}`, `ukl stop {name}`");
            return Err(fail(Class::Boot, text).log(dir.run().console()).hint(hint).into());
        }
        std::thread::sleep(TICK);
    }
}

fn control(dir: &GuestDir) -> Control {
    console::control(&std::fs::read_to_string(dir.run().control()).unwrap_or_default())
}

/// What to say of a guest that ended while somebody waited for it.
fn ended_early(dir: &GuestDir) -> Result<crate::base::error::Failure> {
    let record = record(dir)?;
    if record.is_none() {
        return Ok(
            fail(Class::Boot, "the guest ended before it was ready").hint("without `--rm`, `ukl logs` has its console")
        );
    }
    let Some(end) = record.and_then(|record| record.end) else {
        let said = std::fs::read_to_string(dir.log()).unwrap_or_default();
        return Ok(fail(Class::Host, format!("the process beside the guest was killed: {}", said.trim())));
    };
    let Some(failed) = end.failure else {
        let text = format!("the guest ended before it was ready: {}", end.state);
        return Ok(fail(Class::Boot, text).log(dir.run().console()).hint("the console may say why"));
    };
    let mut failure = fail(failed.class.unwrap_or(Class::Host), failed.message);
    failure.hint = failed.hint;
    failure.command = failed.command;
    Ok(failure)
}

/// Ends a guest that nobody wants any more.
fn end(dir: &GuestDir, child: &mut Child) {
    if let Ok(Some(Record { process: Some(process), .. })) = record(dir) {
        process.signal(libc::SIGTERM);
    }
    let begun = Instant::now();
    while matches!(child.try_wait(), Ok(None)) && begun.elapsed() < Duration::from_secs(3) {
        std::thread::sleep(TICK);
    }
    // It has ended, or shall: QEMU ends with it.
    let _ = child.kill();
    let _ = child.wait();
}

/// Boots the guest of the folder `dir`, waits for its end and writes it down: the process beside the guest.
///
/// What `crashed` says of an image's core file is added to the log.
pub fn attend(env: &Env, dir: &GuestDir, crashed: &dyn Fn(&Image, &Path) -> String) -> Result<()> {
    let Some(mut record) = record(dir)? else {
        return Err(fail(Class::Usage, format!("no guest in `{}`", dir.root().display())).into());
    };
    record.process = Some(Process::own()?);
    write(dir, &record)?;
    let result = super::load(&record).and_then(|image| {
        let run = boot::run_in(env, &image, &record.request, &dir.run());
        if let Ok(BootRun { core: Some(core), .. }) = &run {
            File::options().append(true).open(dir.run().console())?.write_all(crashed(&image, core).as_bytes())?;
        }
        // What ended us from outside ended the guest.
        if run::interrupted() {
            Ok(None)
        } else {
            run.map(Some)
        }
    });
    let (state, failure) = match &result {
        // A fault in the kernel is never a success.
        Ok(Some(BootRun { outcome: Outcome::Exited(0), oops: Some(_), .. })) => (State::Panicked, None),
        Ok(Some(BootRun { outcome, .. })) => (State::from(outcome), None),
        Ok(None) => (State::Killed, None),
        Err(error) => {
            let report = describe(error);
            let class = error.chain().find_map(|e| e.downcast_ref::<crate::base::error::Failure>()).map(|f| f.class);
            let failed = Failed { class, message: report.message, hint: report.hint, command: report.command };
            (State::Failed, Some(failed))
        }
    };
    let panic = match result {
        Ok(Some(BootRun { outcome: Outcome::Panic(text), .. })) => Some(text),
        Ok(Some(BootRun { oops, .. })) => oops,
        _ => None,
    };
    if record.remove && !matches!(state, State::Failed) {
        return dir.remove();
    }
    record.end = Some(Ended { state, at: now(), failure, panic });
    write(dir, &record)
}
