//! Both modes of one program: their table, the boots that compare them, and what a boot must not say.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::run::interrupted;
use crate::boot::{self, BootRun};
use crate::image::folder::Image;
use crate::image::initrd::TWIN;
use crate::machine::{Request, What};

/// How a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// In the kernel.
    App,
    /// The twin, in ring 3.
    Twin,
}

/// What is to be known of a mode: its name in JSON and of a guest, and what the suites' programs call it.
struct Row {
    mode: Mode,
    name: &'static str,
    said: &'static str,
}

const MODES: [Row; 2] =
    [Row { mode: Mode::App, name: "app", said: "app" }, Row { mode: Mode::Twin, name: "twin", said: "ring3" }];

/// In the order in which a benchmark boots them.
pub const BOTH: [Mode; 2] = [MODES[0].mode, MODES[1].mode];
/// In the order in which a suite runs them: the first is what the other is compared with.
pub const TWIN_FIRST: [Mode; 2] = [MODES[1].mode, MODES[0].mode];

/// What the suites' programs call them, in that order.
pub const SAID: [&str; 2] = [MODES[1].said, MODES[0].said];

/// Warnings of the kernel are shown, so that they can be found; less important messages are not.
const KERNEL_WORDS: &str = "loglevel=5";

impl Mode {
    /// Its name in JSON, and of a guest that runs in it.
    pub fn name(self) -> &'static str {
        MODES.iter().find(|row| row.mode == self).map_or("", |row| row.name)
    }

    /// What starts the program of `image` in it.
    pub fn path(self, image: &Image) -> &str {
        match self {
            Mode::App => &image.info.trigger,
            Mode::Twin => TWIN,
        }
    }

    /// The program with these arguments instead of the image's.
    pub fn what(self, args: Option<Vec<String>>) -> What {
        match self {
            Mode::App => What::Program(args),
            Mode::Twin => What::Twin(args),
        }
    }
}

/// Each mode in turn, so many times: what changes with the hour changes both.
pub fn rounds<T>(rounds: usize, mut boot: impl FnMut(Mode, usize) -> Result<T>) -> Result<Vec<T>> {
    let mut all = Vec::new();
    for round in 1..=rounds {
        for mode in BOTH {
            all.push(boot(mode, round)?);
            anyhow::ensure!(!interrupted(), "interrupted");
        }
    }
    Ok(all)
}

/// `request` without our terminal, with the kernel's warnings, and with `limit` unless it has a limit of its own.
pub fn observed(request: Request, limit: Duration) -> Request {
    let mut words = request.words;
    words.push(KERNEL_WORDS.into());
    Request { attach: false, timeout: request.timeout.or(Some(limit)), words, ..request }
}

/// One boot, [`observed`].
pub fn boot(env: &Env, image: &Image, request: Request, limit: Duration) -> Result<BootRun> {
    let run = boot::run(env, image, &observed(request, limit))?;
    anyhow::ensure!(!interrupted(), "interrupted");
    Ok(run)
}

/// Error (class `Boot`): the kernel complains in the text of the console, which `log` has.
pub fn no_complaint(text: &str, log: PathBuf) -> Result<()> {
    match formats::console::complaint(text) {
        Some(line) => Err(fail(Class::Boot, format!("the kernel complains: {line}")).log(log).into()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mode_has_its_row() {
        assert_eq!(BOTH.map(Mode::name), ["app", "twin"]);
        assert_eq!((TWIN_FIRST, SAID), ([Mode::Twin, Mode::App], ["ring3", "app"]));
        // The word of JSON is the name.
        assert!(BOTH.iter().all(|mode| serde_json::to_value(mode).unwrap() == mode.name()));
    }

    #[test]
    fn the_modes_take_turns_and_an_error_ends_them() {
        let seen = rounds(2, |mode, round| Ok((mode, round))).unwrap();
        assert_eq!(seen, [(Mode::App, 1), (Mode::Twin, 1), (Mode::App, 2), (Mode::Twin, 2)]);
        let mut boots = 0;
        let failed: Result<Vec<()>> = rounds(2, |_, _| {
            boots += 1;
            anyhow::bail!("no")
        });
        assert!(failed.is_err() && boots == 1);
    }

    #[test]
    fn a_limit_of_the_request_stays() {
        let limit = Duration::from_secs(1);
        let own = Request { timeout: Some(limit), ..Request::new(What::Shell) };
        let request = observed(own, 2 * limit);
        assert!(request.timeout == Some(limit) && !request.attach && request.words == [KERNEL_WORDS]);
        assert_eq!(observed(Request::new(What::Shell), 2 * limit).timeout, Some(2 * limit));
    }
}
