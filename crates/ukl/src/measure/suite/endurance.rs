//! Long work in one boot: mixed load, many starts of the program, the end of memory.

use std::time::Duration;

use serde::Serialize;

use super::{command, read};
use crate::base::env::Env;
use crate::base::error::Result;
use crate::boot::Outcome;
use crate::image::folder::Image;
use crate::image::initrd::TWIN;
use crate::machine::{Request, What};
use crate::measure::pair;

/// What is done.
#[derive(Debug, Clone, Copy)]
pub struct Endurance {
    /// How long the mixed load runs, in seconds.
    pub seconds: u32,
    /// How often the trigger is started from ring 3.
    pub starts: u32,
}

/// One task and what it said.
#[derive(Debug, Clone, Serialize)]
pub struct Task {
    /// The program and its arguments.
    pub name: String,
    /// Did it end with status 0?
    pub passed: bool,
    /// What it printed, and what the kernel complained about.
    pub lines: Vec<String>,
}

/// Boots the suite's image and runs the tasks; whoever did not run has not passed.
pub fn endure(env: &Env, image: &Image, request: Request, what: Endurance) -> Result<Vec<Task>> {
    let trigger = image.info.trigger.as_str();
    let (seconds, starts, fewer) = (what.seconds.to_string(), what.starts.to_string(), (what.starts / 10).to_string());
    let tasks = [
        (trigger, vec!["mixed", &seconds]),
        (TWIN, vec!["starts", trigger, &starts]),
        (trigger, vec!["starts", trigger, &fewer]),
        (trigger, vec!["starts", TWIN, &fewer]),
        (trigger, vec!["memory"]),
    ];
    let words = |(path, args): &(&str, Vec<&str>)| {
        let args: Vec<String> = std::iter::once("load").chain(args.iter().copied()).map(String::from).collect();
        ((*path).to_owned(), args)
    };
    let tasks: Vec<(String, Vec<String>)> = tasks.iter().map(words).collect();
    let commands = tasks.iter().map(|(path, args)| command(path, args)).collect();
    // A start takes some milliseconds where the processor is emulated.
    let limit = Duration::from_secs(u64::from(what.seconds) * 2 + u64::from(what.starts) / 10 + 600);
    let run = pair::boot(env, image, Request { what: What::Commands(commands), ..request }, limit)?;
    let said = said(&String::from_utf8_lossy(&run.console));
    let task = |(i, (path, args)): (usize, &(String, Vec<String>))| Task {
        name: format!("{path} {}", args.join(" ")),
        passed: run.ends.get(i) == Some(&Outcome::Exited(0)) && said.get(i).is_some_and(|(fine, _)| *fine),
        lines: said.get(i).map(|(_, lines)| lines.clone()).unwrap_or_default(),
    };
    Ok(tasks.iter().enumerate().map(task).collect())
}

/// For each task its lines, and whether the kernel had nothing to complain about.
fn said(text: &str) -> Vec<(bool, Vec<String>)> {
    let mut tasks = vec![(true, Vec::new())];
    let (text, messages) = read::split(text);
    for line in text.lines().filter_map(|line| line.trim_end().strip_prefix("load: ")) {
        let last = tasks.len() - 1;
        tasks[last].1.push(line.to_owned());
        if matches!(line, "passed" | "failed") {
            tasks.push((true, Vec::new()));
        }
    }
    // A complaint spoils every task: which of them it belongs to is not known.
    let complaints: Vec<String> =
        messages.into_iter().filter(|message| formats::console::is_complaint(message)).collect();
    for task in tasks.iter_mut().filter(|_| !complaints.is_empty()) {
        task.0 = false;
        task.1.extend(complaints.iter().cloned());
    }
    tasks
}

/// The tasks for a person.
pub fn text(tasks: &[Task]) -> String {
    let line = |task: &Task| {
        let verdict = if task.passed { "passed" } else { "FAILED" };
        let said: String = task.lines.iter().map(|line| format!("    {line}\n")).collect();
        format!("{verdict}  {}\n{said}", task.name)
    };
    tasks.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_belong_to_the_task_that_ends_after_them() {
        let tasks = said("load: a\nload: passed\nnoise\nload: b\nload: failed\n");
        assert_eq!(tasks[0], (true, vec!["a".to_owned(), "passed".to_owned()]));
        assert_eq!(tasks[1].1, ["b", "failed"]);
    }

    #[test]
    fn a_complaint_of_the_kernel_spoils_the_run() {
        let tasks = said("load: a\n[   10.000001] BUG: soft lockup\nload: passed\n");
        assert!(!tasks[0].0 && tasks[0].1.iter().any(|line| line.contains("soft lockup")));
    }

    #[test]
    fn the_text_says_which_failed() {
        let task = Task { name: "/UKL load memory".into(), passed: false, lines: vec!["x".into()] };
        assert_eq!(text(&[task]), "FAILED  /UKL load memory\n    x\n");
    }
}
