//! The fuzzer of the boundary: boots with a batch of programs each, what became of them, and what stays on disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{command, read};
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::term;
use crate::base::workdir;
use crate::boot::Outcome;
use crate::image::folder::Image;
use crate::machine::{Request, What};
use crate::measure::pair;

/// Programs of one boot: what a boot costs does not count then, and little is lost with one.
const BATCH: u64 = 500;
/// After so many failures of one run there is enough to look at.
const ENOUGH: usize = 5;

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Fuzz {
    /// How many programs.
    pub programs: u64,
    /// What they are made from.
    pub seed: u64,
    /// The first one; where the last run with this seed ended when there is none.
    pub first: Option<u64>,
}

/// What all runs with one seed have come to, kept beside the image.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Fuzzed {
    /// What the programs are made from.
    pub seed: u64,
    /// The next program.
    pub next: u64,
    /// Those that were run in app mode, with as many in ring 3 beside them.
    pub programs: u64,
    /// What went wrong.
    pub failures: Vec<Failure>,
    /// By the number of a system call: made and succeeded in app mode, made and succeeded in ring 3.
    pub calls: BTreeMap<u32, [u64; 4]>,
}

/// One failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The last programs that had begun: in app mode and in ring 3.
    pub programs: [Option<u64>; 2],
    /// What happened.
    pub what: String,
}

/// Runs programs until there were enough or too much went wrong; what comes back counts earlier runs as well.
///
/// The answer's number is that of the failures of this run.
pub fn fuzz(env: &Env, image: &Image, request: &Request, fuzz: Fuzz) -> Result<(Fuzzed, usize)> {
    let file = image.dir.root().join(format!("fuzz-{}.json", fuzz.seed));
    let mut all = if file.exists() { load(&file)? } else { Fuzzed { seed: fuzz.seed, ..Fuzzed::default() } };
    let known = all.failures.len();
    let mut next = fuzz.first.unwrap_or(all.next);
    let end = next.saturating_add(fuzz.programs);
    while next < end && all.failures.len() - known < ENOUGH {
        let count = BATCH.min(end - next);
        let batch = boot(env, image, request, fuzz.seed, next, count)?;
        let failed = batch.failures.len();
        next = batch.next.max(next + 1);
        all.add(batch);
        // A run of chosen programs repeats some: it moves no mark.
        if fuzz.first.is_none() {
            all.next = next;
        }
        workdir::write_atomic(&file, &serde_json::to_vec_pretty(&all)?)?;
        term::say(&format!("{next} of {end} programs{}", if failed > 0 { ": FAILED" } else { "" }));
    }
    let failed = all.failures.len() - known;
    Ok((all, failed))
}

fn load(file: &Path) -> Result<Fuzzed> {
    let text = workdir::read(file)?;
    serde_json::from_slice(&text).map_err(|error| {
        let failure = fail(Class::Usage, format!("`{}` is none of ours: {error}", file.display()));
        failure.hint("remove it to begin again").into()
    })
}

/// One boot and what it said.
fn boot(env: &Env, image: &Image, request: &Request, seed: u64, first: u64, count: u64) -> Result<Fuzzed> {
    let args = ["fuzz".to_owned(), seed.to_string(), first.to_string(), count.to_string()];
    let request = Request {
        what: What::Commands(vec![command(&image.info.trigger, &args)]),
        memory_mib: request.memory_mib.or(Some(512)),
        ..request.clone()
    };
    // A program has a limit of its own, in the guest.
    let limit = Duration::from_secs(300 + count * 3 / 2);
    let run = pair::boot(env, image, request, limit)?;
    let mut batch = said(&String::from_utf8_lossy(&run.console), first);
    let what = match &run.outcome {
        Outcome::Exited(0) if batch.next == first + count => None,
        Outcome::Exited(code) => Some(format!("the fuzzer ended with {code}")),
        Outcome::Signaled(signal) => Some(format!("the fuzzer was killed by signal {signal}")),
        Outcome::Panic(text) => Some(format!("the kernel panicked: {text}")),
        Outcome::Timeout => Some("the guest hung".into()),
        Outcome::NoStatus => Some("the guest ended without a status".into()),
    };
    if let Some(what) = what {
        batch.failures.push(Failure { programs: batch.last, what });
    }
    if !batch.failures.is_empty() {
        // The next boot has a console of its own.
        workdir::write_atomic(&image.dir.root().join(format!("fuzz-{seed}-{first}.log")), &run.console)?;
    }
    Ok(batch.all())
}

/// What the console of one boot told.
#[derive(Debug, Default)]
struct Batch {
    next: u64,
    last: [Option<u64>; 2],
    programs: u64,
    failures: Vec<Failure>,
    calls: BTreeMap<u32, [u64; 4]>,
}

impl Batch {
    fn all(self) -> Fuzzed {
        let Batch { next, programs, failures, calls, .. } = self;
        Fuzzed { seed: 0, next, programs, failures, calls }
    }

    fn began(&mut self, mode: usize, program: u64) {
        self.last[mode] = Some(program);
        if mode == 0 {
            self.programs += 1;
            self.next = program + 1;
        }
    }
}

impl Fuzzed {
    fn add(&mut self, batch: Fuzzed) {
        self.programs += batch.programs;
        self.failures.extend(batch.failures);
        for (number, counts) in batch.calls {
            let all = self.calls.entry(number).or_default();
            all.iter_mut().zip(counts).for_each(|(all, count)| *all += count);
        }
    }

    /// What a person wants to know.
    pub fn text(&self) -> String {
        let count = |at: usize| self.calls.values().filter(|counts| counts[at] > 0).count();
        let sum = |at: usize| self.calls.values().map(|counts| counts[at]).sum::<u64>();
        let mut text = String::new();
        for failure in &self.failures {
            let program = |at: usize| failure.programs[at].map_or("none".into(), |number: u64| number.to_string());
            text += &format!("app {}, ring 3 {}: {}\n", program(0), program(1), failure.what);
        }
        for (mode, at) in [("app mode", 0), ("ring 3", 2)] {
            text += &format!(
                "{mode}: {} system calls, {} numbers, of which {} succeeded at least once\n",
                sum(at),
                count(at),
                count(at + 1)
            );
        }
        text + &format!(
            "seed {}: {} programs in each mode, {} failures\n",
            self.seed,
            self.programs,
            self.failures.len()
        )
    }
}

/// Reads the console; the programs began with `first`.
fn said(text: &str, first: u64) -> Batch {
    let mut batch = Batch { next: first, ..Batch::default() };
    let (lines, messages) = read::split(text);
    for line in lines.lines().filter_map(|line| line.trim_end().strip_prefix("fuzz ")) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["app", number] => number.parse().into_iter().for_each(|number| batch.began(0, number)),
            ["ring3", number] => number.parse().into_iter().for_each(|number| batch.began(1, number)),
            ["call", numbers @ ..] => call(numbers, &mut batch.calls),
            ["violation", mode, number, rest @ ..] => {
                let number = number.trim_end_matches(':').parse().ok();
                let programs = if *mode == "app" { [number, None] } else { [None, number] };
                batch.failures.push(Failure { programs, what: rest.join(" ") });
            }
            _ => {}
        }
    }
    // Which program the kernel complains about is not known: the two that had begun last are a good guess.
    if let Some(message) = messages.iter().find(|message| is_defect(message)) {
        let before = text.find(message.as_str()).map_or(text, |at| &text[..at]);
        let programs = ["app", "ring3"].map(|mode| last(before, mode));
        batch.failures.push(Failure { programs, what: message.clone() });
    }
    batch
}

/// The last program of `mode` that begins in `text`.
fn last(text: &str, mode: &str) -> Option<u64> {
    let number = |line: &str| line.strip_prefix("fuzz ")?.strip_prefix(mode)?.trim().parse().ok();
    text.lines().rev().find_map(number)
}

/// A function that is called by name with a bad pointer ends its caller and says so: programs do it on purpose.
fn is_defect(message: &str) -> bool {
    formats::console::is_complaint(message) && !message.contains("UKL call: ")
}

fn call(numbers: &[&str], calls: &mut BTreeMap<u32, [u64; 4]>) {
    let values: Vec<u64> = numbers.iter().filter_map(|number| number.parse().ok()).collect();
    if let [number, counts @ ..] = values.as_slice() {
        if let (Ok(number), Ok(counts)) = (u32::try_from(*number), <[u64; 4]>::try_from(counts)) {
            calls.insert(number, counts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSOLE: &str = "fuzz app 5\nfuzz ring3 5\nfuzz app 6\n[    1.000000] BUG: unable to handle\n\
         [    1.100000] UKL call: UKL[4] ends by trap 14, address 0\n\
         fuzz violation ring3 5: a process ended as user 0\nfuzz call 39 4 3 2 1\n";

    #[test]
    fn a_batch_says_how_far_it_came_and_what_went_wrong() {
        let batch = said(CONSOLE, 5);
        assert_eq!((batch.next, batch.programs, batch.last), (7, 2, [Some(6), Some(5)]));
        assert_eq!(batch.calls[&39], [4, 3, 2, 1]);
        let whats: Vec<&str> = batch.failures.iter().map(|failure| failure.what.as_str()).collect();
        assert!(whats[0] == "a process ended as user 0" && whats[1].contains("unable to handle"), "{whats:?}");
        assert_eq!(batch.failures[0].programs, [None, Some(5)]);
        assert_eq!((whats.len(), batch.failures[1].programs), (2, [Some(6), Some(5)]));
    }

    #[test]
    fn batches_add_up() {
        let mut all = Fuzzed { seed: 3, ..Fuzzed::default() };
        all.add(said(CONSOLE, 5).all());
        all.add(said(CONSOLE, 5).all());
        assert_eq!((all.programs, all.calls[&39]), (4, [8, 6, 4, 2]));
        let text = all.text();
        assert!(text.contains("app mode: 8 system calls, 1 numbers, of which 1 succeeded at least once"), "{text}");
        assert!(text.ends_with("seed 3: 4 programs in each mode, 4 failures\n"), "{text}");
    }

    #[test]
    fn a_guest_without_a_word_has_run_nothing() {
        let batch = said("", 9);
        assert_eq!((batch.next, batch.programs, batch.failures.len()), (9, 0, 0));
    }
}
