//! What a guest uses at the moment: its QEMU seen from outside, its memory as its own kernel counts it.

use std::time::Duration;

use crate::base::error::Result;

use super::{load, record, Guest, State};

/// One look at a guest that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The guest's name.
    pub name: String,
    /// The word of `ukl ps`.
    pub state: &'static str,
    /// The processor time that its QEMU has used.
    pub cpu: Duration,
    /// Its processors.
    pub cpus: u32,
    /// Its memory.
    pub memory_kib: u64,
    /// What its kernel would still give to programs; nothing where nobody in the guest says so.
    pub available_kib: Option<u64>,
    /// What its QEMU takes of this machine's memory.
    pub resident_kib: u64,
    /// How long it runs.
    pub uptime: Duration,
}

impl Guest {
    /// What the guest uses. Error (class `Boot`): it does not run any more.
    pub fn sample(&self) -> Result<Sample> {
        let qemu = self.qemu()?;
        let record = record(&self.dir)?;
        let request = record.as_ref().map(|record| &record.request);
        let answers = matches!(self.state, State::Running | State::Ready)
            && request.is_some_and(|request| request.what.has_init());
        let image = record.as_ref().and_then(|record| load(record).ok());
        let memory_mib =
            request.and_then(|request| request.memory_mib).or(image.as_ref().map(|image| image.info.memory_mib));
        let cpus = request.and_then(|request| request.cpus).or(image.map(|image| image.info.cpus));
        Ok(Sample {
            name: self.name.clone(),
            state: self.state.word(),
            cpu: qemu.cpu()?,
            cpus: cpus.unwrap_or(1),
            memory_kib: u64::from(memory_mib.unwrap_or_default()) << 10,
            // A guest that is going down says nothing more.
            available_kib: answers.then(|| self.available_kib().ok()).flatten(),
            resident_kib: qemu.resident_kib()?,
            uptime: self.uptime.unwrap_or_default(),
        })
    }
}
