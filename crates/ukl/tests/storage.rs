//! Disks and shares in real guests: what is written is there after the end, at the next boot, and after a crash.
//!
//! The first run builds the kernel with disks and shares (minutes); later ones find it in the cache.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests.

mod world;

use std::fs;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{MutexGuard, OnceLock};
use std::time::Duration;

use ukl::base::error::render;
use ukl::base::run::Cmd;
use ukl::boot::{self, BootRun, Outcome};
use ukl::image::folder::Image;
use ukl::machine::{MachineKind, Request, What};
use ukl::manifest::storage::{disk_option, share_option, Storage};
use ukl::manifest::Manifest;
use world::{built, env, kill, manifest_of, own, processes_with, says, text, wait, Own, SHELL, UKL};

/// The image that all tests boot, and the turn to do so.
fn image() -> (Own, MutexGuard<'static, ()>) {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    let turn = world::turn();
    let image = IMAGE.get_or_init(|| {
        let mut manifest: Manifest = manifest_of("disk.c");
        manifest.kernel.storage = true;
        built(&manifest).unwrap_or_else(|error| panic!("{error}"))
    });
    (own(image), turn)
}

fn storage(disks: &[String], shares: &[String]) -> Storage {
    Storage {
        disks: disks.iter().map(|text| disk_option(text).unwrap()).collect(),
        shares: shares.iter().map(|text| share_option(text).unwrap()).collect(),
    }
}

fn options(storage: &Storage, words: &[&str]) -> Request {
    let words = words.iter().map(|word| word.to_string()).collect();
    let limit = Some(Duration::from_secs(300));
    Request { attach: false, timeout: limit, storage: storage.clone(), ..Request::new(What::Program(Some(words))) }
}

fn boot(image: &Image, options: &Request) -> ukl::base::error::Result<BootRun> {
    boot::run(&env(), image, options)
}

/// What the program prints when it is given `words` and ends well.
#[track_caller]
fn prints(image: &Image, options: &Request) -> String {
    let run = boot(image, options).map_err(|error| render(&error).0).unwrap();
    let text = text(&run).replace('\r', "");
    assert_eq!(run.outcome, Outcome::Exited(0), "{text}");
    text
}

/// Fails unless the file system is whole and was unmounted.
#[track_caller]
fn clean(path: &Path) {
    let output = SHELL.run(&Cmd::new("/usr/sbin/e2fsck").args(["-f", "-n"]).arg(path)).unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(!text.contains("recovering journal"), "{text}");
}

#[test]
fn data_on_a_disk_survives_a_restart() {
    let (image, _turn) = image();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a,b c.img");
    let disk = |size| storage(&[format!("{}:{size}:/data/deep", path.display())], &[]);
    let words = |word| ["append", "/data/deep/log", word];
    let both = |mut options: Request| {
        let What::Program(words) = options.what else { panic!() };
        options.what = What::Both(words);
        options
    };
    let first = options(&disk("16M"), &words("a"));
    assert_eq!(prints(&image, &both(first.clone())), "a\naa\n", "the kernel-linked program, then its twin");
    clean(&path);
    let second = Request { machine: Some(MachineKind::Q35), cpus: Some(2), ..options(&disk("16M"), &words("b")) };
    assert_eq!(prints(&image, &both(second)), "aab\naabb\n");
    clean(&path);
    // Bigger at the next boot, with everything in it.
    assert_eq!(prints(&image, &options(&disk("64M"), &words("c"))), "aabbc\n");
    clean(&path);
    assert_eq!(formats::ext4::size(&fs::read(&path).unwrap()), Some(64 << 20));
    let line = fs::read_to_string(image.dir.qemu_line()).unwrap();
    assert!(line.contains("microvm") && line.contains("a,,b c.img"), "{line}");
}

#[test]
fn a_killed_guests_disk_is_whole_and_has_what_was_synchronised() {
    let (image, _turn) = image();
    let dir = tempfile::tempdir().unwrap();
    let option = format!("{}/d.img:16M:/data", dir.path().display());
    let mut run = Command::new(UKL);
    run.args(["run", "--timeout", "300", "--disk", &option, "--out"]).arg(image.dir.root());
    run.args(["--", "append", "/data/log", "kept", "and then hang"]);
    let mut guest = run.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let console = guest.stdout.as_mut().unwrap();
    says(console, "kept");
    says(console, "synchronised");
    // QEMU's command line names the image's files.
    let (qemu, _) = processes_with(&format!("path={}", image.dir.control().display())).pop().unwrap();
    assert!(kill("-KILL", &qemu.to_string()));
    assert_eq!(guest.wait().unwrap().code(), Some(123), "no status came");
    let disk = storage(&[option], &[]);
    assert_eq!(prints(&image, &options(&disk, &["show", "/data/log"])), "kept\n");
    clean(&dir.path().join("d.img"));
}

#[test]
fn a_raw_disk_is_the_programs_own() {
    let (image, _turn) = image();
    let dir = tempfile::tempdir().unwrap();
    let raw = format!("{}/r.img:8M:/dev/mine:raw", dir.path().display());
    let other = format!("{}/d.img:8M:/data", dir.path().display());
    let disks = storage(&[other, raw], &[]);
    prints(&image, &options(&disks, &["append", "/dev/mine", "bytes"]));
    assert!(fs::read(dir.path().join("r.img")).unwrap().starts_with(b"bytes\0"));
    let pc = Request { machine: Some(MachineKind::Q35), ..options(&disks, &["show", "/dev/mine"]) };
    assert_eq!(prints(&image, &pc), "bytes\n");
}

#[test]
fn folders_of_the_host_are_read_and_written() {
    let (image, _turn) = image();
    for (kind, machine) in [("9p", Some(MachineKind::Microvm)), ("9p", Some(MachineKind::Q35)), ("virtiofs", None)] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("in"), "from the host").unwrap();
        let share = storage(&[], &[format!("{}:/mnt/host:{kind}", dir.path().display())]);
        let run = |words: &[&str]| prints(&image, &Request { machine, ..options(&share, words) });
        assert_eq!(run(&["append", "/mnt/host/in", ", and the guest"]), "from the host, and the guest\n", "{kind}");
        let mut want = "from the host, and the guest".to_owned();
        if kind == "virtiofs" {
            run(&["map", "/mnt/host/in"]);
            want.replace_range(..1, "M");
        }
        run(&["tree", "/mnt/host"]);
        assert_eq!(fs::read_to_string(dir.path().join("in")).unwrap(), want, "{kind}");
        assert_eq!(fs::read_link(dir.path().join("link")).unwrap(), Path::new("moved1"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1 + 99 + 99 + 1, "{kind}");
        let left = processes_with(&dir.path().display().to_string());
        assert!(left.is_empty(), "{kind}: {left:?}");
    }
}

#[test]
fn a_machine_that_cannot_have_a_share_is_refused() {
    let (image, _turn) = image();
    let share = storage(&[], &["/tmp:/mnt/host:virtiofs".into()]);
    let options = Request { machine: Some(MachineKind::Microvm), ..options(&share, &["show", "/mnt/host/x"]) };
    let (text, code) = render(&boot(&image, &options).unwrap_err());
    assert!(code == 2 && text.contains("none of the kind virtiofs"), "{text}");
}

#[test]
fn what_is_read_only_stays_as_it_is() {
    let (image, _turn) = image();
    let dir = tempfile::tempdir().unwrap();
    let disk = format!("{}/d.img", dir.path().display());
    prints(&image, &options(&storage(&[format!("{disk}:8M:/data")], &[]), &["append", "/data/log", "first"]));
    let before = fs::read(&disk).unwrap();
    fs::create_dir(dir.path().join("share")).unwrap();
    let share = format!("{}/share:/mnt:ro", dir.path().display());
    let storage = storage(&[format!("{disk}:/data:ro")], &[share]);
    assert_eq!(prints(&image, &options(&storage, &["show", "/data/log"])), "first\n");
    for place in ["/data/log", "/mnt/log"] {
        let run = boot(&image, &options(&storage, &["append", place, "x"])).unwrap();
        assert_eq!(run.outcome, Outcome::Exited(1));
        let said = text(&run);
        assert!(said.contains(&format!("{place}: Read-only file system")), "{said}");
    }
    assert!(fs::read(&disk).unwrap() == before);
    assert_eq!(fs::read_dir(dir.path().join("share")).unwrap().count(), 0);
}

#[test]
fn no_program_runs_when_its_disk_cannot_be_mounted() {
    let (image, _turn) = image();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broken.img");
    // The mark of ext4 and nothing else of it.
    let mut bytes = vec![0; 8 << 20];
    bytes[1024 + 0x38..][..2].copy_from_slice(&0xef53u16.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let disk = storage(&[format!("{}:/data", path.display())], &[]);
    let (text, code) = render(&boot(&image, &options(&disk, &["append", "/data/log", "x"])).unwrap_err());
    assert_eq!(code, 123, "{text}");
    assert!(text.contains("the guest failed: cannot mount `/data`: Invalid argument"), "{text}");
    assert!(!fs::read_to_string(image.dir.control()).unwrap().contains("run 0"), "the program did not run");
}

/// Does somebody hold a lock on a part of the file?
fn is_locked(path: &Path) -> bool {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    // SAFETY: zeros are a valid flock: the whole file, from its start.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as i16;
    // SAFETY: the call writes to the structure that it is given.
    assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &mut lock) }, 0);
    lock.l_type != libc::F_UNLCK as i16
}

#[test]
fn two_guests_cannot_write_to_one_disk() {
    let (image, _turn) = image();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.img");
    fs::File::create(&path).unwrap().set_len(8 << 20).unwrap();
    let raw = storage(&[format!("{}:/dev/mine:raw", path.display())], &[]);
    // Somebody's QEMU, which we did not start.
    let node = format!("driver=raw,node-name=d,file.driver=file,file.filename={}", path.display());
    let cmd = Cmd::new("qemu-system-x86_64").args(["-M", "none", "-display", "none", "-nodefaults", "-S", "-blockdev"]);
    let cmd = cmd.arg(node).args(["-M", "q35", "-device", "virtio-blk-pci,drive=d"]);
    let null = std::process::Stdio::null;
    let mut other = SHELL.spawn(&cmd, null(), null(), null()).unwrap().unwrap();
    let refused = || match boot(&image, &options(&raw, &["show", "/dev/mine"])) {
        Err(error) => render(&error),
        Ok(run) => (text(&run), 0),
    };
    assert!(wait(|| is_locked(&path)), "QEMU did not take the disk");
    let (text, code) = refused();
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(code, 120, "{text}");
    assert!(text.contains("is used by another guest"), "{text}");
    assert_eq!(refused().1, 0, "and then it is free again");
}
