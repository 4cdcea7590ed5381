//! Every folder of `examples/` is a test: built, then run inside the kernel and as its ring-3 twin in one boot.
//!
//! `expect.txt` is what the program prints, standard error included, and `exit: N` as the last line
//! unless it ends with 0. Lines that begin with `mode:` tell the two modes apart and are checked here.
//! A folder `after` has files that the program must have written to its first share.
//! The first test builds a kernel (minutes); all later ones find it in the cache.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests.

mod world;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use ukl::boot::{self, Outcome};
use ukl::image::folder::Image;
use ukl::machine::{MachineKind, Request, What};
use ukl::manifest::{self, Manifest, Storage};
use world::{env, image, scratch, text};

/// Longer than any example takes on a machine that is busy with a kernel build.
const LIMIT: Duration = Duration::from_secs(300);

fn main() {
    let mut arguments = Arguments::from_args();
    // Guests that share two processors would measure each other.
    arguments.test_threads = arguments.test_threads.or(Some(1));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut folders: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    // Servers have a client instead: see servers.rs.
    folders.retain(|folder| folder.join("expect.txt").is_file());
    folders.sort();
    // Build systems call `ukl`, which this test is not.
    std::env::set_var("UKL_PROGRAM", env!("CARGO_BIN_EXE_ukl"));
    let mut trials = Vec::new();
    for folder in folders {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        for (what, way) in [("", Way::One), (" on 2 CPUs", Way::Two), (" by clang", Way::Clang)] {
            let folder = folder.clone();
            // Fetching and building somebody's sources takes minutes: `-- --include-ignored`.
            let slow = fs::read_to_string(folder.join("ukl.toml")).unwrap().contains("source = ");
            let trial = Trial::test(format!("{name}{what}"), move || run(&folder, way));
            trials.push(trial.with_ignored_flag(slow));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// How an example is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    One,
    Two,
    Clang,
}

fn run(folder: &Path, way: Way) -> Result<(), Failed> {
    if way == Way::Clang && ukl::program::toolchain::which("clang").is_none() {
        eprintln!("skip: clang is not installed");
        return Ok(());
    }
    let compiler = if way == Way::Clang { "clang" } else { "gcc" };
    let image = image(&Manifest { compiler: compiler.into(), ..manifest::load(folder)? })?;
    let storage = scratch(&image.info.storage, &image.at("scratch"));
    let mut options = Request::new(What::Both(None));
    options.attach = false;
    options.timeout = Some(LIMIT);
    options.storage = storage.clone();
    (options.cpus, options.machine) = match way {
        Way::Two => (Some(2), Some(MachineKind::Q35)),
        Way::One | Way::Clang => (Some(1), None),
    };
    let run = boot::run(&env(), &image, &options)?;
    let console = text(&run).replace("\r\n", "\n");
    let (want, end) = expectation(folder)?;
    let said: String = console.lines().filter(|line| !line.starts_with("mode:")).map(|l| format!("{l}\n")).collect();
    let both = format!("{want}{want}");
    if said != both {
        return Err(format!("expected\n{both}\n-- but the console said\n{console}").into());
    }
    if run.ends != [end.clone(), end.clone()] {
        return Err(format!("expected {end:?} twice, got {:?}", run.ends).into());
    }
    check_files(folder, &storage)?;
    check_modes(&console, &image)
}

/// What lies in `after/` must lie in the first share, byte by byte.
fn check_files(folder: &Path, storage: &Storage) -> Result<(), Failed> {
    let Ok(files) = fs::read_dir(folder.join("after")) else { return Ok(()) };
    let share = &storage.shares.first().ok_or("files `after`, but no share")?.path;
    for want in files {
        let want = want?;
        let got = fs::read(share.join(want.file_name()))?;
        if got != fs::read(want.path())? {
            return Err(format!("{:?} in the share is\n{}", want.file_name(), String::from_utf8_lossy(&got)).into());
        }
    }
    Ok(())
}

/// What `expect.txt` says: the output, and the end.
fn expectation(folder: &Path) -> Result<(String, Outcome), Failed> {
    let text = fs::read_to_string(folder.join("expect.txt"))?;
    let last = text.lines().last().unwrap_or_default();
    let end = match last.split_once(": ") {
        Some(("exit", status)) => Outcome::Exited(status.parse()?),
        Some(("signal", signal)) => Outcome::Signaled(signal.parse()?),
        _ => return Ok((text, Outcome::Exited(0))),
    };
    Ok((text[..text.len() - last.len() - 1].to_owned(), end))
}

/// `mode: cs=… main=…`: first privilege level 0 with `main` where vmlinux has it, then ring 3.
fn check_modes(console: &str, image: &Image) -> Result<(), Failed> {
    let modes: Vec<&str> = console.lines().filter_map(|line| line.strip_prefix("mode: ")).collect();
    let [kernel, twin] = modes.as_slice() else {
        return if modes.is_empty() { Ok(()) } else { Err(format!("modes: {modes:?}").into()) };
    };
    let facts = formats::elf::Facts::read(&fs::read(image.dir.vmlinux())?)?;
    let address = |name: &str| facts.symbol(name).map(|s| s.value).ok_or(format!("vmlinux has no `{name}`"));
    let main = address("ukl_main")?;
    let text = address("_stext")?..address("_etext")?;
    if *kernel != format!("cs=10 main={main:#x}") || !text.contains(&main) {
        return Err(format!("`{kernel}` is not main at {main:#x} within the kernel's text {text:x?}").into());
    }
    if !twin.starts_with("cs=33 main=0x4") {
        return Err(format!("`{twin}` is not ring 3").into());
    }
    Ok(())
}
