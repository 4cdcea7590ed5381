//! An image and a request come in, a [`Machine`] goes out: every default taken, everything checked, nothing open.
//!
//! [`resolve`] decides once; nothing changes a machine afterwards, and nobody asks the request again.

mod kind;
mod request;
mod net;
pub mod storage;
mod qemu;
mod accel;
mod resolve;
pub mod elsewhere;

use std::path::PathBuf;
use std::time::Duration;

use crate::base::run::Cmd;
use crate::base::workdir::{ImageDir, RunDir};
use crate::image::initrd::Startup;
use crate::manifest::Storage;

pub use accel::software as software_kvm;
pub use kind::MachineKind;
pub use net::{Connection, Endpoint, TapScript};
pub use qemu::Hardware;
pub use request::{Accel, Input, Output, Request, What};
pub use resolve::resolve;

/// One boot, decided.
#[derive(Debug)]
pub struct Machine {
    /// The image's folder.
    pub image: ImageDir,
    /// Where the boot's files go.
    pub files: RunDir,
    /// What QEMU emulates.
    pub hardware: Hardware,
    /// What init does, where the image's own RAM disk does not say it: one for this boot must be written.
    pub startup: Option<Startup>,
    /// What readies a tap device: must be written, too.
    pub tap_script: Option<TapScript>,
    /// Disks and shares.
    pub storage: Storage,
    /// Our own sockets, which end with the machine: a path of bounded length, for a socket's has 108 bytes at most.
    sockets: Option<tempfile::TempDir>,
    /// Where the program can be reached.
    pub endpoint: Option<Endpoint>,
    /// How our standard input gets into the guest.
    pub input: Input,
    /// How the program's output leaves the guest.
    pub output: Output,
    /// The program's output appears on our standard output.
    pub attach: bool,
    /// Process 1 is ours, and reports; otherwise it is the program.
    pub has_init: bool,
    /// How many programs run, one after the other.
    pub programs: usize,
    /// The guest is stopped after this time.
    pub timeout: Option<Duration>,
    /// The guest does nothing before a debugger tells it to.
    pub waits: bool,
    /// The guest gets an interrupt that cannot be masked so often.
    pub nmi: Option<Duration>,
    /// Init is told when QEMU was started.
    pub has_clock: bool,
}

impl Machine {
    /// QEMU's command line for a start at `now`, the time since 1970; a plan has no time.
    pub fn command(&self, now: Option<Duration>) -> Cmd {
        qemu::command(&self.hardware, now.filter(|_| self.has_clock))
    }

    /// The socket at which the daemon of a share listens; for those that have one.
    fn share_socket(&self, i: usize) -> Option<PathBuf> {
        self.sockets.as_ref().map(|folder| storage::socket(folder.path(), i))
    }
}
