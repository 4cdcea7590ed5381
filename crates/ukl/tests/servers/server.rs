//! A server's image, its guest `it`, a port, and what a user types: `ukl run -d`, `ukl stop`, `ukl kill`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use libtest_mimic::Failed;
use ukl::guests::{self, Guest};
use ukl::manifest;

use crate::talk;
use crate::world::{self, example, wait, Own, World, PATIENCE};

/// An example's image, and the machine where its guest `it` lives.
pub struct Server {
    /// The example's folder.
    pub folder: PathBuf,
    /// The image.
    pub image: Own,
    /// The forwarded port of this machine.
    pub port: u16,
    inside: u16,
    world: World,
}

impl Server {
    /// The example as it is.
    pub fn new(name: &str) -> Result<Self, Failed> {
        Self::build(name, false)
    }

    /// With a kernel that has disks and shares.
    pub fn with_storage(name: &str) -> Result<Self, Failed> {
        Self::build(name, true)
    }

    fn build(name: &str, storage: bool) -> Result<Self, Failed> {
        let folder = example(name);
        let mut manifest = manifest::load(&folder)?;
        manifest.kernel.storage |= storage;
        let inside = manifest.ready.ok_or("the server's port")?;
        let image = world::image(&manifest)?;
        Ok(Server { folder, image, port: talk::free_port()?, inside, world: World::booting() })
    }

    /// A place of our own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.world.at(name)
    }

    /// A command of ours with our guests.
    pub fn command(&self, args: &[&str]) -> Command {
        self.world.command(args)
    }

    /// A command of ours that must succeed; what it said.
    pub fn ukl(&self, args: &[&str]) -> Result<String, Failed> {
        let done = self.world.ukl(args);
        match done.code {
            Some(0) => Ok(done.err),
            _ => Err(format!("ukl {args:?}: {done:?}").into()),
        }
    }

    /// Boots the image in the background as the guest `it`, until it answers.
    pub fn start(&self, options: &[&str], args: &[&str]) -> Result<(), Failed> {
        let image = self.image.dir.root().display().to_string();
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
        Ok(guests::find(&self.world.guests(), "it")?)
    }

    /// Has it not ended?
    pub fn is_running(&self) -> Result<bool, Failed> {
        Ok(self.guest()?.state.is_alive())
    }

    /// Waits until the guest's console has `text`.
    pub fn guest_says(&self, text: &str) -> Result<(), Failed> {
        let console = self.guest()?.dir.run().console();
        until(text, || Ok(fs::read_to_string(&console)?.contains(text)))
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

/// An error when `part` is not in `got`.
pub fn wants(what: &str, got: &str, part: &str) -> Result<(), Failed> {
    match got.contains(part) {
        true => Ok(()),
        false => Err(format!("{what}: no `{part}` in\n{got}").into()),
    }
}

/// Repeats `ask` until it says yes, or fails.
pub fn until(what: &str, mut ask: impl FnMut() -> Result<bool, Failed>) -> Result<(), Failed> {
    let mut answer = Ok(false);
    wait(|| {
        answer = ask();
        !matches!(answer, Ok(false))
    });
    match answer? {
        true => Ok(()),
        false => Err(format!("{what}: not within {} s", PATIENCE.as_secs()).into()),
    }
}
