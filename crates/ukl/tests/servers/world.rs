//! A server's image, a state folder for its guests, a port, and what a user types: `ukl run -d`, `ukl stop`, `ukl kill`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use ukl::base::workdir::{Guests, ImageDir};
use ukl::guests::{self, Guest};
use ukl::manifest;

use crate::{common, talk};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// An image of an example, and where its guest `it` lives.
pub struct World {
    /// The example's folder.
    pub folder: PathBuf,
    /// The image.
    pub image: ImageDir,
    /// The forwarded port of this machine.
    pub port: u16,
    inside: u16,
    temp: tempfile::TempDir,
}

impl World {
    /// The example as it is.
    pub fn new(example: &str) -> Result<Self, Failed> {
        Self::build(example, false)
    }

    /// With a kernel that has disks and shares.
    pub fn with_storage(example: &str) -> Result<Self, Failed> {
        Self::build(example, true)
    }

    fn build(example: &str, storage: bool) -> Result<Self, Failed> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(example);
        let mut manifest = manifest::load(&folder)?;
        manifest.kernel.storage |= storage;
        let inside = manifest.ready.ok_or("the server's port")?;
        let image = common::image(&manifest)?.dir;
        Ok(World { folder, image, port: talk::free_port()?, inside, temp: tempfile::tempdir()? })
    }

    /// A place of our own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// A command of ours with our guests.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(crate::UKL);
        command.args(args).env("XDG_STATE_HOME", self.path("state")).stdin(Stdio::null());
        command
    }

    /// A command of ours that must succeed; what it said.
    pub fn ukl(&self, args: &[&str]) -> Result<String, Failed> {
        let output = self.command(args).output()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            return Err(format!("ukl {args:?}: {}\n{text}", output.status).into());
        }
        Ok(text)
    }

    /// Boots the image in the background as the guest `it`, until it answers.
    pub fn start(&self, options: &[&str], args: &[&str]) -> Result<(), Failed> {
        let image = self.image.root().display().to_string();
        let ports = format!("{}:{}", self.port, self.inside);
        let _ = self.ukl(&["rm", "it"]);
        let mut words = vec!["run", "-d", "--name", "it", "-p", &ports];
        words.extend(talk::LOUD);
        words.extend(options);
        words.push(&image);
        if !args.is_empty() {
            words.push("--");
            words.extend(args);
        }
        self.ukl(&words).map(|_| ())
    }

    /// Asks the guest's program to end, and wants it to do so with status 0, and nothing from the kernel before.
    pub fn stop(&self) -> Result<(), Failed> {
        let said = self.ukl(&["stop", "it"])?;
        wants("stop", &said, "`it` has ended: exited 0")?;
        talk::quiet(&self.guest()?.dir.run().console())
    }

    /// The guest, as the library knows it.
    pub fn guest(&self) -> Result<Guest, Failed> {
        Ok(guests::find(&Guests::at(self.path("state/ukl/guests")), "it")?)
    }

    /// Has it not ended?
    pub fn is_running(&self) -> Result<bool, Failed> {
        let output = self.command(&["ps", "--json"]).output()?;
        let list: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        Ok(["starting", "running", "ready"].iter().any(|state| list["result"]["guests"][0]["state"] == *state))
    }

    /// What the server's own client says.
    pub fn redis(&self, args: &[&str]) -> Result<String, Failed> {
        let mut said = String::new();
        until("the data", || {
            let output = Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(args).output()?;
            said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            // It listens before it has read its data.
            Ok(!said.starts_with("LOADING"))
        })?;
        Ok(said)
    }

    /// Waits until a shell's console has `text`.
    pub fn console_says(&self, text: &str) -> Result<(), Failed> {
        until(text, || Ok(fs::read_to_string(self.path("console"))?.contains(text)))
    }

    /// What the web server answers to one request over a connection of its own; nothing when it does not.
    pub fn get(&self, path: &str) -> Result<String, Failed> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let output = Command::new("curl").args(["--silent", "--max-time", "20", &url]).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.ukl(&["rm", "--force", "it"]);
    }
}

/// An error when `part` is not in `got`.
pub fn wants(what: &str, got: &str, part: &str) -> Result<(), Failed> {
    match got.contains(part) {
        true => Ok(()),
        false => Err(format!("{what}: no `{part}` in\n{got}").into()),
    }
}

/// Repeats `ask` until it says yes.
pub fn until(what: &str, mut ask: impl FnMut() -> Result<bool, Failed>) -> Result<(), Failed> {
    let start = Instant::now();
    while !ask()? {
        if start.elapsed() > PATIENCE {
            return Err(format!("{what}: not within {} s", PATIENCE.as_secs()).into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
