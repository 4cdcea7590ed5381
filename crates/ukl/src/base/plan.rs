//! What a stage would do, and what came of it: a build, a dry run and an explanation read the same values.

use std::ops::{Deref, DerefMut};

use crate::base::error::Result;
use crate::base::run::{Cmd, Shell};

/// Why something is made that the cache does not have.
pub const NOT_CACHED: &str = "not in the cache";
/// Why something is made that would otherwise be up to date.
pub const INPUTS_ANEW: &str = "what it is made from is made again";

/// What a stage is going to do.
#[derive(Debug)]
pub struct Plan<T> {
    /// What comes out: where it lies, and what is known of it before it is made.
    pub output: T,
    /// Why it has to be made; without a reason, it is there.
    pub why: Vec<String>,
    /// The programs that will be called for it, in order.
    pub commands: Vec<Cmd>,
}

/// What a stage has made or found; in a dry run, what it would make.
#[derive(Debug, Clone)]
pub struct Made<T> {
    /// The output.
    pub value: T,
    /// Why it was made, or would be; without a reason, it was there.
    pub why: Vec<String>,
    /// It is not made yet: this is a dry run, and nothing is known of its bytes.
    pub pending: bool,
}

impl<T> Plan<T> {
    /// A plan for something that is made whether it is there or not.
    pub fn always(why: impl Into<String>, output: T, commands: Vec<Cmd>) -> Self {
        Plan { output, why: vec![why.into()], commands }
    }

    /// Does nothing without a reason; shows the commands in a dry run; otherwise has `make` call them.
    pub fn carry_out(self, shell: &Shell, make: impl FnOnce(T, Vec<Cmd>) -> Result<T>) -> Result<Made<T>> {
        let Plan { output, why, commands } = self;
        if why.is_empty() {
            return Ok(Made::found(output));
        }
        if shell.dry_run {
            commands.iter().try_for_each(|cmd| shell.run(cmd).map(drop))?;
            return Ok(Made { value: output, why, pending: true });
        }
        Ok(Made { value: make(output, commands)?, why, pending: false })
    }
}

impl<T> Made<T> {
    /// Something that is there.
    pub fn found(value: T) -> Self {
        Made { value, why: Vec::new(), pending: false }
    }

    /// Something that will be made when `earlier` is.
    pub fn later<U>(value: T, earlier: &Made<U>) -> Self {
        let why = earlier.pending.then(|| INPUTS_ANEW.to_owned()).into_iter().collect();
        Made { value, why, pending: earlier.pending }
    }

    /// The same output seen otherwise.
    pub fn map<U>(self, see: impl FnOnce(T) -> U) -> Made<U> {
        Made { value: see(self.value), why: self.why, pending: self.pending }
    }

    /// The same output, which a part of the same stage was made for before.
    pub fn behind<U>(mut self, part: &Made<U>) -> Self {
        self.why.splice(0..0, part.why.iter().cloned());
        self.pending |= part.pending;
        self
    }
}

impl<T> Deref for Made<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Made<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(why: &[&str]) -> Plan<u32> {
        let why = why.iter().map(|why| why.to_string()).collect();
        Plan { output: 1, why, commands: vec![Cmd::new("false")] }
    }

    #[test]
    fn without_a_reason_nothing_is_done() {
        let made = plan(&[]).carry_out(&Shell::plain(), |_, _| anyhow::bail!("called")).unwrap();
        assert_eq!((made.value, made.pending), (1, false));
    }

    #[test]
    fn a_dry_run_shows_the_commands_that_a_build_is_given() {
        let shell = Shell::dry();
        let made = plan(&["new"]).carry_out(&shell, |_, _| anyhow::bail!("called")).unwrap();
        assert_eq!((made.value, made.pending, made.why), (1, true, vec!["new".to_owned()]));
        let given = plan(&["new"]).carry_out(&Shell::plain(), |one, commands| {
            assert_eq!(commands.iter().map(Cmd::display).collect::<Vec<_>>(), shell.shown());
            Ok(one + 1)
        });
        let given = given.unwrap();
        assert_eq!((given.value, given.pending), (2, false));
    }
}
