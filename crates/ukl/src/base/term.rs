//! The terminal: data goes to standard output, everything else to standard error, and neither may panic.

mod lent;

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::base::error::{Result, STDOUT_FAILED};

pub use lent::{lend, put_back, raw, size, Lent};

/// When to colour messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

static COLOR: AtomicBool = AtomicBool::new(false);
/// Standard output is reserved for one JSON object.
static JSON: AtomicBool = AtomicBool::new(false);
/// The bar that is on the screen now: lines must be printed above it.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Decides on colour once; `json` reserves standard output for the final object.
pub fn init(color: Color, json: bool) {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    let auto = std::io::stderr().is_terminal() && !no_color;
    COLOR.store(color == Color::Always || color == Color::Auto && auto, Ordering::Relaxed);
    JSON.store(json, Ordering::Relaxed);
}

/// Prints a line on standard error, above the progress bar if there is one.
///
/// A standard error that nobody reads is no reason to stop.
pub fn say(line: &str) {
    let print = || drop(writeln!(std::io::stderr().lock(), "{line}"));
    match BAR.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
        Some(bar) => bar.suspend(print),
        None => print(),
    }
}

/// Prints `text` as it is on standard output; a closed pipe is an error that [`is_closed_pipe`] knows.
pub fn out(text: &str) -> Result<()> {
    out_bytes(text.as_bytes())
}

/// [`out`] for what need not be text: a guest's console.
pub fn out_bytes(bytes: &[u8]) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).context(STDOUT_FAILED)
}

/// Prints bytes as they are on standard error; one that nobody reads is no reason to stop.
pub fn error_bytes(bytes: &[u8]) {
    drop(std::io::stderr().lock().write_all(bytes));
}

/// Shows a command: it is data of a dry run, and progress otherwise.
pub fn command(line: &str, dry_run: bool) -> Result<()> {
    if dry_run && !JSON.load(Ordering::Relaxed) {
        return out(&format!("{line}\n"));
    }
    say(&paint("2", &format!("$ {line}")));
    Ok(())
}

/// True when a person can be asked: standard input and standard error are a terminal.
pub fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks on standard error and reads one line; nothing typed means `default`.
///
/// Fails as soon as `stopped` says so: a signal does not end the wait for a line.
pub fn ask(question: &str, default: &str, stopped: &dyn Fn() -> bool) -> Result<String> {
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "{question} [{default}]: ")?;
    stderr.flush()?;
    while !has_input() {
        anyhow::ensure!(!stopped(), "interrupted");
    }
    let mut line = String::new();
    if std::io::stdin().read_line(&mut line)? == 0 {
        writeln!(stderr)?;
    }
    anyhow::ensure!(!stopped(), "interrupted");
    let line = line.trim();
    Ok(if line.is_empty() { default.to_owned() } else { line.to_owned() })
}

/// Waits a moment for standard input, which a terminal has line by line.
fn has_input() -> bool {
    let mut stdin = libc::pollfd { fd: 0, events: libc::POLLIN, revents: 0 };
    // SAFETY: one descriptor, which lives as long as the call.
    unsafe { libc::poll(&mut stdin, 1, 100) > 0 }
}

/// True when `error` only says that the reader of our output went away.
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let kind = error.root_cause().downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    kind == Some(std::io::ErrorKind::BrokenPipe)
}

/// `text` in the colour `code` (SGR parameters), when colours are on.
pub fn paint(code: &str, text: &str) -> String {
    if COLOR.load(Ordering::Relaxed) {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// A counted task on standard error: a bar on a terminal, a line every few hundred steps elsewhere.
#[derive(Debug)]
pub struct Counter {
    bar: Option<ProgressBar>,
    next_line: u64,
}

/// Without a terminal a line appears after so many steps.
const STEPS_PER_LINE: u64 = 500;

impl Counter {
    /// Starts counting `what` ("objects"); at most one counter exists at a time.
    pub fn start(what: &str) -> Self {
        if !std::io::stderr().is_terminal() {
            return Counter { bar: None, next_line: STEPS_PER_LINE };
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8));
        let template = format!("  {{elapsed:>4}} {{wide_bar}} {{pos}}/{{len}} {what}");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        *BAR.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
        Counter { bar: Some(bar), next_line: 0 }
    }

    /// `done` of about `total` steps (0: unknown), the last one being `item`.
    pub fn set(&mut self, done: u64, total: u64, item: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_length(total.max(done));
                bar.set_position(done);
            }
            None if done >= self.next_line => {
                let of = if total > 0 { format!(" of about {total}") } else { String::new() };
                say(&format!("  {done}{of}  {item}"));
                self.next_line = done + STEPS_PER_LINE;
            }
            None => {}
        }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        clear_bar();
    }
}

/// Takes the progress bar off the screen, if there is one: its task is over.
pub fn clear_bar() {
    if let Some(bar) = BAR.lock().unwrap_or_else(PoisonError::into_inner).take() {
        bar.finish_and_clear();
    }
}
