//! `ukl stop` and `ukl rm`: the program is asked to end, then made to, then the machine is switched off.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use anyhow::Context;
use formats::console;

use crate::base::error::{fail, Class, Result};
use crate::base::workdir::{GuestDir, Guests};

use super::{find, record, Guest, Record, State};

/// How a guest was brought to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It had ended before.
    Already,
    /// The program ended when it was asked to.
    Asked,
    /// The program was killed, and init ended the machine.
    Forced,
    /// QEMU was ended: as if the plug were pulled.
    SwitchedOff,
}

/// What init and we need to end the machine once the program is gone.
const DOWN: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(20);

/// Stops the guest `name`: SIGTERM to its program; after `limit` SIGKILL; then QEMU is ended.
pub fn stop(guests: &Guests, name: &str, limit: Duration) -> Result<(Guest, How)> {
    let guest = find(guests, name)?;
    if !guest.state.is_alive() {
        return Ok((guest, How::Already));
    }
    let how = bring_down(&guest.dir, limit)?;
    Ok((find(guests, name)?, how))
}

fn bring_down(dir: &GuestDir, limit: Duration) -> Result<How> {
    let Some(Record { process: Some(process), request, .. }) = record(dir)? else { return Ok(How::Already) };
    let control = std::fs::read_to_string(dir.run().control()).unwrap_or_default();
    // Before init runs, and where there is none, nobody passes a signal on.
    let listens = console::control(&control).started && request.what.has_init();
    let ends = |limit: Duration| {
        let begun = Instant::now();
        while process.is_alive() {
            if begun.elapsed() >= limit || crate::base::run::interrupted() {
                return false;
            }
            std::thread::sleep(TICK);
        }
        true
    };
    if listens {
        for (signal, limit, how) in [(libc::SIGTERM, limit, How::Asked), (libc::SIGKILL, DOWN, How::Forced)] {
            // A guest that is going down takes nothing more.
            let _ = tell(dir, signal);
            if ends(limit) {
                return Ok(how);
            }
            anyhow::ensure!(!crate::base::run::interrupted(), "interrupted");
        }
    }
    for signal in [libc::SIGTERM, libc::SIGKILL] {
        process.signal(signal);
        if ends(DOWN) {
            return Ok(How::SwitchedOff);
        }
    }
    Err(fail(Class::Host, format!("process {} does not end", process.pid)).into())
}

/// Ends a guest's QEMU, as if the plug were pulled, also when we are interrupted; waits until it has ended.
pub fn switch_off(guest: &Guest) {
    let Ok(Some(Record { process: Some(process), .. })) = record(&guest.dir) else { return };
    for signal in [libc::SIGTERM, libc::SIGKILL] {
        process.signal(signal);
        let begun = Instant::now();
        while process.is_alive() && begun.elapsed() < DOWN {
            std::thread::sleep(TICK);
        }
    }
}

/// Sends the program of the guest `name` a signal. Errors: it does not run, or nobody there passes signals on.
pub fn signal(guests: &Guests, name: &str, signal: i32) -> Result<Guest> {
    let guest = find(guests, name)?;
    let request = record(&guest.dir)?.map(|record| record.request);
    if !matches!(guest.state, State::Running | State::Ready) {
        return Err(fail(Class::Usage, format!("the guest `{name}` does not run ({})", guest.state)).into());
    }
    if request.is_some_and(|request| !request.what.has_init()) {
        let failure = fail(Class::Usage, format!("the program of `{name}` is process 1: nobody passes signals on"));
        return Err(failure.hint("run it without `--pid1`").into());
    }
    tell(&guest.dir, signal).with_context(|| format!("failed to reach the guest `{name}`"))?;
    Ok(guest)
}

/// Sends the program a signal, through init.
fn tell(dir: &GuestDir, signal: i32) -> std::io::Result<()> {
    say(dir, &format!("signal {signal}"))
}

/// Sends init a line.
pub(super) fn say(dir: &GuestDir, line: &str) -> std::io::Result<()> {
    let Some(pipe) = dir.run().pipe().map(|pipe| pipe.with_extension("in")) else { return Ok(()) };
    // Without a reader at the other end this fails at once.
    let mut pipe = File::options().write(true).custom_flags(libc::O_NONBLOCK).open(pipe)?;
    pipe.write_all(format!("{line}\n").as_bytes())
}

/// Removes what an ended guest left. Error (class `Usage`): it runs, and `force` is not set.
pub fn remove(guests: &Guests, name: &str, force: bool) -> Result<Guest> {
    let guest = find(guests, name)?;
    if guest.state.is_alive() && !force {
        let failure = fail(Class::Usage, format!("the guest `{name}` runs ({})", guest.state));
        return Err(failure.hint(format!("`ukl stop {name}` first, or `ukl rm --force {name}`")).into());
    }
    if guest.state.is_alive() {
        bring_down(&guest.dir, Duration::ZERO)?;
    }
    let Some(_lock) = guest.dir.try_lock()? else {
        return Err(fail(Class::Usage, format!("a guest `{name}` is being started")).into());
    };
    guest.dir.remove()?;
    Ok(guest)
}
