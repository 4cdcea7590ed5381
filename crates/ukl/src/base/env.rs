//! What is the same for every stage: how commands are run, and what builds share.

use crate::base::run::Shell;
use crate::base::workdir::Cache;

/// What is the same for every stage.
#[derive(Debug, Clone)]
pub struct Env {
    /// How commands are run.
    pub shell: Shell,
    /// What builds share.
    pub cache: Cache,
}
