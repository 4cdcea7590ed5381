//! virtiofsd: serves one folder to one guest, and ends with it.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::base::error::{fail, Class, Failure, Result};
use crate::base::run::{Cmd, Shell};
use crate::base::workdir::ImageDir;
use crate::manifest::storage::Share;

/// Where Debian 12 has it.
const PROGRAM: &str = "/usr/lib/qemu/virtiofsd";
/// It ends when QEMU hangs up; one that does not is killed.
const GRACE: Duration = Duration::from_secs(2);

/// A running virtiofsd.
pub(super) struct Daemon {
    child: Option<Child>,
    command: String,
    log: PathBuf,
}

impl Daemon {
    /// Starts one for `share` at `socket`; what it says goes to a log of `image`.
    pub(super) fn start(shell: &Shell, socket: PathBuf, image: &ImageDir, share: &Share) -> Result<Self> {
        if !Path::new(PROGRAM).exists() {
            let failure = fail(Class::Host, format!("no `{PROGRAM}`, which virtio-fs needs"));
            let hint = "sudo apt-get install --yes qemu-system-common, or share by `9p`, which needs nothing";
            return Err(failure.hint(hint).into());
        }
        let log = image.log("virtiofsd");
        // It listens at its standard input: the socket is there before anybody looks for it.
        let source = share.path.display().to_string().replace('\\', "\\\\").replace(',', "\\,");
        let cmd = Cmd::new(PROGRAM).args(["-f", "--fd=0", "-o", "cache=auto", "-o"]).arg(format!("source={source}"));
        let command = cmd.display();
        let child = if shell.dry_run {
            shell.spawn(&cmd, Stdio::null(), Stdio::null(), Stdio::null())?
        } else {
            crate::base::workdir::write_atomic(&log, b"")?;
            let output = || File::options().append(true).open(&log);
            let socket: OwnedFd = UnixListener::bind(socket)?.into();
            shell.spawn(&cmd, Stdio::from(socket), Stdio::from(output()?), Stdio::from(output()?))?
        };
        Ok(Daemon { child, command, log })
    }

    /// How it was started.
    pub(super) fn command(&self) -> &str {
        &self.command
    }

    /// What it said, when it ended before its guest.
    pub(super) fn failure(&mut self) -> Option<Failure> {
        let status = self.child.as_mut()?.try_wait().ok()?.filter(|status| !status.success())?;
        let said = std::fs::read_to_string(&self.log).unwrap_or_default();
        let last = said.lines().last().unwrap_or_default();
        let failure = fail(Class::Host, format!("virtiofsd ended ({status}): {last}"));
        let hint = "virtiofsd needs root; a share by `9p` does not";
        Some(failure.command(&self.command).log(&self.log).hint(hint))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        let start = Instant::now();
        while matches!(child.try_wait(), Ok(None)) && start.elapsed() < GRACE {
            std::thread::sleep(Duration::from_millis(5));
        }
        // It may have ended already.
        let _ = child.kill();
        let _ = child.wait();
    }
}
