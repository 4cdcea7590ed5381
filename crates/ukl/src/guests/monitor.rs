//! QEMU's monitor: what is asked of the machine itself.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde_json::{json, Value};

use crate::base::error::{fail, Class, Result};

/// QEMU answers between two instructions of the guest.
const ANSWER: Duration = Duration::from_secs(20);

/// One conversation; others wait until it ends.
pub(super) struct Monitor {
    to: UnixStream,
    from: BufReader<UnixStream>,
}

impl Monitor {
    /// Begins to talk at the socket.
    pub(super) fn connect(socket: &Path) -> Result<Self> {
        let to = UnixStream::connect(socket).context("failed to reach the guest's QEMU")?;
        to.set_read_timeout(Some(ANSWER))?;
        let from = BufReader::new(to.try_clone()?);
        let mut monitor = Monitor { to, from };
        monitor.line()?;
        monitor.ask("qmp_capabilities", json!({}))?;
        Ok(monitor)
    }

    /// What QEMU answers. Error (class `Host`): it refuses.
    pub(super) fn ask(&mut self, command: &str, arguments: Value) -> Result<Value> {
        self.to.write_all(format!("{}\n", json!({ "execute": command, "arguments": arguments })).as_bytes())?;
        loop {
            let mut answer = self.line()?;
            if let Some(error) = answer.get("error") {
                let why = error["desc"].as_str().unwrap_or_default();
                return Err(fail(Class::Host, format!("QEMU refuses `{command}`: {why}")).into());
            }
            if answer.get("return").is_some() {
                return Ok(answer["return"].take());
            }
        }
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        let length = self.from.read_line(&mut line).context("the guest's QEMU does not answer")?;
        anyhow::ensure!(length > 0, "the guest's QEMU has ended");
        Ok(serde_json::from_str(&line)?)
    }
}
