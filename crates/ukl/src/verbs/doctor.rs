//! `ukl doctor`: what this machine lacks.

use clap::Args;

use super::answer::Answer;
use crate::base::error::{Class, Result};
use crate::base::run::Shell;
use crate::base::workdir::Cache;
use crate::tools::doctor;

/// `ukl doctor`.
#[derive(Debug, Clone, Copy, Args)]
pub struct DoctorArgs {
    /// Install what is missing (as root, or with sudo that needs no password)
    #[arg(long)]
    pub install: bool,
}

/// Examines the machine; installs first what is missing, when asked to.
pub(super) fn doctor(shell: &Shell, args: DoctorArgs) -> Result<Answer> {
    let mut report = doctor::examine();
    if args.install && !report.missing.is_empty() {
        doctor::install(shell, &Cache::from_env()?, &report.missing)?;
        report = doctor::examine();
    }
    let code = if report.missing.is_empty() { 0 } else { Class::Host.exit_code() };
    Ok(Answer { text: report.text(), json: serde_json::to_value(&report)?, code })
}
