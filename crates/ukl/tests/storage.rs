//! Disks and shares in real guests: what is written is there after the end, at the next boot, and after a crash.
//!
//! The first run builds the kernel with disks and shares (minutes); later ones find it in the cache.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use ukl::base::env::Env;
use ukl::base::error::render;
use ukl::base::run::{Cmd, Shell};
use ukl::base::workdir::{self, Cache, ImageDir};
use ukl::boot::{self, BootRun, Outcome};
use ukl::image::folder::Image;
use ukl::machine::{MachineKind, Request, What};
use ukl::manifest::storage::{disk_option, share_option, Storage};
use ukl::manifest::{self, Manifest};
use ukl::pipeline::{self, Clock};

const SHELL: Shell = Shell { verbose: false, dry_run: false };

/// `append FILE WORD [hang]`, `show FILE`, `map FILE`, `tree DIR`: says what failed, or what it found.
const PROGRAM: &str = r#"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void show(const char *path)
{
    char bytes[4096];
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);

    if (n < 0)
        die(path);
    printf("%.*s\n", (int)strnlen(bytes, n), bytes);
    close(fd);
}

static void append(const char *path, const char *word, int flags)
{
    int fd = open(path, O_WRONLY | O_APPEND | flags, 0644);

    if (fd < 0 || write(fd, word, strlen(word)) < 0 || close(fd) < 0)
        die(path);
}

/* A mapping that is shared with the file, read and written. */
static void map(const char *path)
{
    int fd = open(path, O_RDWR);
    char *bytes = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (bytes == MAP_FAILED)
        die(path);
    bytes[0] = 'M';
    if (munmap(bytes, 4096) || close(fd))
        die(path);
}

/* Many files, folders, links and names that change. */
static void tree(const char *dir)
{
    char path[256], to[256];
    struct stat facts;

    if (chdir(dir))
        die(dir);
    for (int i = 0; i < 100; i++) {
        sprintf(path, "d%d", i);
        sprintf(to, "d%d/f", i);
        if (mkdir(path, 0755))
            die(path);
        append(to, "x", O_CREAT | O_EXCL);
        sprintf(path, "moved%d", i);
        if (rename(to, path) || stat(path, &facts) || facts.st_size != 1)
            die(path);
    }
    if (symlink("moved1", "link") || stat("link", &facts) || unlink("moved2") || rmdir("d3"))
        die("links");
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "";

    if (!strcmp(what, "append")) {
        append(argv[2], argv[3], O_CREAT);
        show(argv[2]);
    } else if (!strcmp(what, "show")) {
        show(argv[2]);
    } else if (!strcmp(what, "map")) {
        map(argv[2]);
    } else if (!strcmp(what, "tree")) {
        tree(argv[2]);
    } else {
        return 2;
    }
    if (argc > 4) {
        fflush(stdout);
        sync();
        for (;;)
            pause();
    }
    return 0;
}
"#;

fn env() -> Env {
    Env { shell: SHELL, cache: Cache::from_env().unwrap() }
}

fn program(dir: &Path) -> Manifest {
    workdir::write_atomic(&dir.join("prog.c"), PROGRAM.as_bytes()).unwrap();
    let mut manifest = manifest::from_files(&[dir.join("prog.c")]).unwrap();
    manifest.kernel.storage = true;
    manifest
}

/// The image that all tests boot, and the turn to use it: a boot writes its logs there.
fn image() -> (&'static Image, MutexGuard<'static, ()>) {
    static IMAGE: OnceLock<(tempfile::TempDir, Image)> = OnceLock::new();
    static TURN: Mutex<()> = Mutex::new(());
    let (_, image) = IMAGE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let mut steps = |p: ukl::kernel::vmlinux::Progress| {
            if p.done.is_multiple_of(200) {
                eprintln!("{}/{} {}", p.done, p.total, p.item);
            }
        };
        let out = ImageDir::at(dir.path().join("image"));
        let built = pipeline::image(&env(), &program(dir.path()), &out, &mut Clock::default(), &mut steps);
        (dir, built.map_err(|error| render(&error).0).unwrap())
    });
    (image, TURN.lock().unwrap_or_else(PoisonError::into_inner))
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
fn says(image: &Image, options: &Request) -> String {
    let run = boot(image, options).map_err(|error| render(&error).0).unwrap();
    let text = String::from_utf8_lossy(&run.console).replace('\r', "");
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
    assert_eq!(says(image, &both(first.clone())), "a\naa\n", "the kernel-linked program, then its twin");
    clean(&path);
    let second = Request { machine: Some(MachineKind::Q35), cpus: Some(2), ..options(&disk("16M"), &words("b")) };
    assert_eq!(says(image, &both(second)), "aab\naabb\n");
    clean(&path);
    // Bigger at the next boot, with everything in it.
    assert_eq!(says(image, &options(&disk("64M"), &words("c"))), "aabbc\n");
    clean(&path);
    assert_eq!(formats::ext4::size(&fs::read(&path).unwrap()), Some(64 << 20));
    let line = fs::read_to_string(image.dir.qemu_line()).unwrap();
    assert!(line.contains("microvm") && line.contains("a,,b c.img"), "{line}");
}

#[test]
fn a_killed_guests_disk_is_whole_and_has_what_was_synchronised() {
    let (image, _turn) = image();
    let dir = tempfile::tempdir().unwrap();
    let disk = storage(&[format!("{}/d.img:16M:/data", dir.path().display())], &[]);
    let run = Request {
        timeout: Some(Duration::from_secs(30)),
        ..options(&disk, &["append", "/data/log", "kept", "and then hang"])
    };
    assert_eq!(boot(image, &run).unwrap().outcome, Outcome::Timeout);
    assert_eq!(says(image, &options(&disk, &["show", "/data/log"])), "kept\n");
    clean(&dir.path().join("d.img"));
}

#[test]
fn a_raw_disk_is_the_programs_own() {
    let (image, _turn) = image();
    let dir = tempfile::tempdir().unwrap();
    let raw = format!("{}/r.img:8M:/dev/mine:raw", dir.path().display());
    let other = format!("{}/d.img:8M:/data", dir.path().display());
    let disks = storage(&[other, raw], &[]);
    says(image, &options(&disks, &["append", "/dev/mine", "bytes"]));
    assert!(fs::read(dir.path().join("r.img")).unwrap().starts_with(b"bytes\0"));
    let pc = Request { machine: Some(MachineKind::Q35), ..options(&disks, &["show", "/dev/mine"]) };
    assert_eq!(says(image, &pc), "bytes\n");
}

#[test]
fn folders_of_the_host_are_read_and_written() {
    let (image, _turn) = image();
    for (kind, machine) in [("9p", Some(MachineKind::Microvm)), ("9p", Some(MachineKind::Q35)), ("virtiofs", None)] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("in"), "from the host").unwrap();
        let share = storage(&[], &[format!("{}:/mnt/host:{kind}", dir.path().display())]);
        let run = |words: &[&str]| says(image, &Request { machine, ..options(&share, words) });
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
        assert_eq!(processes_with(&dir.path().display().to_string()), 0, "nothing of {kind} is left");
    }
}

/// How many processes have `text` on their command line.
fn processes_with(text: &str) -> usize {
    let line = |process: fs::DirEntry| fs::read(process.path().join("cmdline")).unwrap_or_default();
    let processes = fs::read_dir("/proc").unwrap().flatten().map(line);
    processes.filter(|line| String::from_utf8_lossy(line).contains(text)).count()
}

#[test]
fn a_machine_that_cannot_have_a_share_is_refused() {
    let (image, _turn) = image();
    let share = storage(&[], &["/tmp:/mnt/host:virtiofs".into()]);
    let options = Request { machine: Some(MachineKind::Microvm), ..options(&share, &["show", "/mnt/host/x"]) };
    let (text, code) = render(&boot(image, &options).unwrap_err());
    assert!(code == 2 && text.contains("none of the kind virtiofs"), "{text}");
}

#[test]
fn what_is_read_only_stays_as_it_is() {
    let (image, _turn) = image();
    let dir = tempfile::tempdir().unwrap();
    let disk = format!("{}/d.img", dir.path().display());
    says(image, &options(&storage(&[format!("{disk}:8M:/data")], &[]), &["append", "/data/log", "first"]));
    let before = fs::read(&disk).unwrap();
    fs::create_dir(dir.path().join("share")).unwrap();
    let share = format!("{}/share:/mnt:ro", dir.path().display());
    let storage = storage(&[format!("{disk}:/data:ro")], &[share]);
    assert_eq!(says(image, &options(&storage, &["show", "/data/log"])), "first\n");
    for place in ["/data/log", "/mnt/log"] {
        let run = boot(image, &options(&storage, &["append", place, "x"])).unwrap();
        assert_eq!(run.outcome, Outcome::Exited(1));
        let said = String::from_utf8_lossy(&run.console).into_owned();
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
    let (text, code) = render(&boot(image, &options(&disk, &["append", "/data/log", "x"])).unwrap_err());
    assert_eq!(code, 123, "{text}");
    assert!(text.contains("the guest failed: cannot mount `/data`: Invalid argument"), "{text}");
    assert!(!fs::read_to_string(image.dir.control()).unwrap().contains("run 0"), "the program did not run");
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
    let refused = |image| match boot(image, &options(&raw, &["show", "/dev/mine"])) {
        Err(error) => render(&error),
        Ok(run) => (String::from_utf8_lossy(&run.console).into_owned(), 0),
    };
    std::thread::sleep(Duration::from_secs(3));
    let (text, code) = refused(image);
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(code, 120, "{text}");
    assert!(text.contains("is used by another guest"), "{text}");
    assert_eq!(refused(image).1, 0, "and then it is free again");
}
