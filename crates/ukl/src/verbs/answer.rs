//! What a verb answers.

use serde_json::Value;

/// What a command found out, in both forms, and the exit code.
pub struct Answer {
    /// For a person, printed on standard output.
    pub text: String,
    /// For `--json`.
    pub json: Value,
    /// The process's exit code.
    pub code: u8,
}

impl Answer {
    /// The answer of a command that ended well.
    pub fn new(text: impl Into<String>, json: Value) -> Self {
        Answer { text: text.into(), json, code: 0 }
    }
}
