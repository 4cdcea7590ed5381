//! A server in app mode and as its twin, and one client that must hear the same from both.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use formats::console::complaint;
use libtest_mimic::Failed;
use ukl::base::workdir::ImageDir;
use ukl::manifest::{self, Storage};

use crate::world::{image, kill, own_end, scratch, storage_options, wait, Own, UKL};

/// Of `ukl run`: the kernel's warnings appear on the console; without it only what kills a guest does.
pub const LOUD: [&str; 2] = ["--append", "loglevel=5"];
/// What the kernel says of a program that it ends; what it says of itself is [`formats::console::complaint`].
const BAD: [&str; 2] = ["Call Trace", "segfault"];

/// How a server is built and run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As the recipe says.
    Plain,
    /// Compiled by clang.
    Clang,
    /// On two processors.
    Two,
}

/// Builds the server in `folder` and lets its client speak to app mode, and then to the twin.
pub fn test(folder: &Path, way: Way) -> Result<(), Failed> {
    if way == Way::Clang && ukl::program::toolchain::which("clang").is_none() {
        eprintln!("skip: clang is not installed");
        return Ok(());
    }
    let mut manifest = manifest::load(folder)?;
    if way == Way::Clang {
        manifest.compiler = "clang".into();
    }
    let image = image(&manifest)?;
    let port = manifest.ready.ok_or("a server says in `ready` which port answers")?;
    let options: &[&str] = if way == Way::Two { &["--cpus", "2"] } else { &[] };
    let app = converse(&image, folder, &manifest.storage, port, options)?;
    let twin = converse(&image, folder, &manifest.storage, port, &[options, &["--twin"]].concat())?;
    if app != twin || app.is_empty() {
        return Err(format!("app mode answers\n{app}\n-- and the twin\n{twin}").into());
    }
    Ok(())
}

/// Boots the image and lets the client speak to it; its output.
fn converse(image: &Own, folder: &Path, storage: &Storage, port: u16, options: &[&str]) -> Result<String, Failed> {
    let dir = &image.dir;
    let storage = scratch(storage, &image.at("scratch"));
    let shared = storage_options(&storage);
    let options: Vec<&str> = options.iter().copied().chain(shared.iter().map(String::as_str)).collect();
    let (mut guest, host) = serve(dir, port, &options)?;
    let client = client(folder, host).args(storage.shares.first().map(|share| &share.path)).output()?;
    let end = own_end(folder);
    let ended = end.map(|_| guest.end()).transpose()?;
    drop(guest);
    if ended != end {
        return Err(format!("the server's end is {ended:?}, not {end:?}:\n{}", console(dir)).into());
    }
    let errors = String::from_utf8_lossy(&client.stderr).into_owned();
    errors.lines().filter(|line| line.starts_with("skip: ")).for_each(|line| eprintln!("{line}"));
    quiet(&dir.console())?;
    let said = String::from_utf8_lossy(&client.stdout).into_owned();
    if !client.status.success() {
        return Err(format!("the client failed ({}):\n{said}{errors}\n{}", client.status, console(dir)).into());
    }
    Ok(said)
}

/// The example's own client, for the server at `port` of this machine.
pub fn client(folder: &Path, port: u16) -> Command {
    let mut client = Command::new("bash");
    client.arg(folder.join("client.sh")).arg(port.to_string());
    client
}

/// Boots the image in the foreground; comes back when it listens at `port`, which is the answer's port here.
pub fn serve(dir: &ImageDir, port: u16, options: &[&str]) -> Result<(Guest, u16), Failed> {
    let host = free_port()?;
    let mut run = Command::new(UKL);
    run.arg("run").arg(dir.root()).args(["--timeout", "14400", "-p", &format!("{host}:{port}")]);
    run.args(LOUD).args(options).stdin(Stdio::null()).stdout(Stdio::null());
    // What an earlier boot said is not about this one.
    let _ = fs::remove_file(dir.control());
    let mut guest = Guest(run.spawn()?);
    let mut ended = None;
    let there = wait(|| {
        ended = guest.0.try_wait().ok().flatten();
        ended.is_some() || control(dir).ready
    });
    match ended {
        Some(status) => return Err(format!("the guest ended ({status}):\n{}", console(dir)).into()),
        None if !there => return Err(format!("nobody listens:\n{}", console(dir)).into()),
        None => {}
    }
    Ok((guest, host))
}

/// The kernel must have had nothing to complain about on this console.
pub fn quiet(console: &Path) -> Result<(), Failed> {
    let text = String::from_utf8_lossy(&fs::read(console)?).into_owned();
    let ended = || text.lines().find(|line| BAD.iter().any(|word| line.contains(word)));
    match complaint(&text).or_else(ended) {
        Some(line) => Err(format!("the kernel says `{line}`:\n{text}").into()),
        None => Ok(()),
    }
}

fn control(dir: &ImageDir) -> formats::console::Control {
    formats::console::control(&fs::read_to_string(dir.control()).unwrap_or_default())
}

fn console(dir: &ImageDir) -> String {
    String::from_utf8_lossy(&fs::read(dir.console()).unwrap_or_default()).into_owned()
}

/// A running `ukl run`: stopped as Ctrl-C would, when it was not stopped by its client.
pub struct Guest(Child);

impl Guest {
    /// Waits until it ends by itself; its exit code, 255 when it was killed.
    fn end(&mut self) -> Result<i32, Failed> {
        let mut ended = None;
        wait(|| {
            ended = self.0.try_wait().ok().flatten();
            ended.is_some()
        });
        Ok(ended.ok_or("the server does not end")?.code().unwrap_or(255))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        interrupt(&mut self.0);
    }
}

/// Stops a `ukl run` as Ctrl-C would, and waits for it.
pub fn interrupt(child: &mut Child) {
    if matches!(child.try_wait(), Ok(Some(_))) {
        // Its number may be somebody else's by now.
        return;
    }
    kill("-INT", &child.id().to_string());
    let _ = child.wait();
}

/// A port of this machine that nobody uses.
pub fn free_port() -> Result<u16, Failed> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
