//! Images on real kernels in real guests: the program and its twin, process 1, panics, limits, SMP, input.
//!
//! The first run builds a kernel (minutes); later ones find it in the cache.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ukl::base::env::Env;
use ukl::base::error::render;
use ukl::base::run::{Cmd, Shell};
use ukl::base::workdir::{self, Cache, ImageDir};
use ukl::boot::{self, BootRun, Outcome};
use ukl::image::folder::Image;
use ukl::image::initrd::Command;
use ukl::machine::{Accel, MachineKind, Request, What};
use ukl::manifest::{self, Manifest};
use ukl::pipeline::{self, Clock};

const SHELL: Shell = Shell { verbose: false, dry_run: false };

/// Says its arguments, echoes its input in upper case, and ends with what its first argument says.
const PROGRAM: &str = r#"
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* With the prefix, what the kernel could have called its own. */
int call, calling, core_dump, raw_syscall, sync_regs, text, regs, vdso, wild_jump;
int *volatile names[] = { &call, &calling, &core_dump, &raw_syscall, &sync_regs, &text, &regs, &vdso, &wild_jump };

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "0";

    printf("cpus %ld args %d\n", sysconf(_SC_NPROCESSORS_ONLN), argc - 1 + *names[0]);
    fflush(stdout);
    if (!strcmp(what, "hang"))
        for (;;)
            pause();
    if (!strcmp(what, "abort"))
        abort();
    if (!strcmp(what, "time")) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        printf("time %lld.%09ld\n", (long long)now.tv_sec, now.tv_nsec);
        return 0;
    }
    if (!strcmp(what, "many"))
        for (int i = 0; i < 20000; i++)
            printf("line %d\n", i);
    if (!strcmp(what, "upper")) {
        long n = 0;
        for (int c; (c = getchar()) != EOF; n++)
            putchar(toupper(c));
        printf("%ld bytes\n", n);
        return 0;
    }
    return atoi(what);
}
"#;

fn env() -> Env {
    Env { shell: SHELL, cache: Cache::from_env().unwrap() }
}

fn program(dir: &Path) -> Manifest {
    workdir::write_atomic(&dir.join("prog.c"), PROGRAM.as_bytes()).unwrap();
    manifest::from_files(&[dir.join("prog.c")]).unwrap()
}

/// The image that most tests boot, and the turn to use it: a boot writes its logs there.
fn image() -> (&'static Image, MutexGuard<'static, ()>) {
    static IMAGE: OnceLock<(tempfile::TempDir, Image)> = OnceLock::new();
    static TURN: Mutex<()> = Mutex::new(());
    let (_, image) = IMAGE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let manifest = program(dir.path());
        let mut steps = |p: ukl::kernel::vmlinux::Progress| {
            if p.done.is_multiple_of(200) {
                eprintln!("{}/{} {}", p.done, p.total, p.item);
            }
        };
        let out = ImageDir::at(dir.path().join("image"));
        let image = pipeline::image(&env(), &manifest, &out, &mut Clock::default(), &mut steps);
        (dir, image.unwrap_or_else(|error| panic!("{}", render(&error).0)))
    });
    (image, TURN.lock().unwrap_or_else(PoisonError::into_inner))
}

fn options(what: What) -> Request {
    // Tests have no terminal, and no machine of ours has a KVM that works.
    Request { attach: false, accel: Accel::Tcg, timeout: Some(Duration::from_secs(300)), ..Request::new(what) }
}

fn run(image: &Image, options: &Request) -> BootRun {
    boot::run(&env(), image, options).unwrap_or_else(|error| panic!("{}", render(&error).0))
}

fn text(run: &BootRun) -> String {
    String::from_utf8_lossy(&run.console).into_owned()
}

fn args(args: &[&str]) -> Option<Vec<String>> {
    Some(args.iter().map(|arg| arg.to_string()).collect())
}

#[test]
fn the_clock_is_the_hosts() {
    let (image, _turn) = image();
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let run = run(image, &options(What::Program(args(&["time"]))));
    let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let text = text(&run);
    let time: f64 = text.split("time ").nth(1).unwrap().trim().parse().unwrap();
    assert!(before - 0.001 <= time && time <= after, "{before} {time} {after}");
}

#[test]
fn the_program_and_its_twin_say_the_same_and_end_as_they_want() {
    let (image, _turn) = image();
    let run = run(image, &options(What::Both(args(&["42"]))));
    assert_eq!(run.ends, [Outcome::Exited(42), Outcome::Exited(42)], "{}", text(&run));
    assert_eq!(text(&run), "cpus 1 args 1\n".repeat(2));
    assert_eq!(std::fs::read_to_string(image.dir.console()).unwrap(), text(&run), "the log has the same");
    let first = run.first_output_s.unwrap();
    assert!(first > 0.0 && first < run.total_s, "{first} of {}", run.total_s);
}

#[test]
fn a_signal_ends_the_program_and_not_the_guest() {
    let (image, _turn) = image();
    let run = run(image, &options(What::Both(args(&["abort"]))));
    assert_eq!(run.ends, [Outcome::Signaled(6), Outcome::Signaled(6)], "{}", text(&run));
    assert_eq!(run.outcome.exit_code(), Some(134));
}

#[test]
fn what_is_written_last_is_not_lost() {
    let (image, _turn) = image();
    let run = run(image, &options(What::Both(args(&["many"]))));
    let lines: String = (0..20000).map(|i| format!("line {i}\n")).collect();
    assert!(text(&run) == format!("cpus 1 args 1\n{lines}").repeat(2), "{} bytes", run.console.len());
}

#[test]
fn two_processors_on_a_pc() {
    let (image, _turn) = image();
    let mut options = options(What::Both(None));
    options.cpus = Some(2);
    let run = run(image, &options);
    assert_eq!(text(&run), "cpus 2 args 0\n".repeat(2));
    assert_eq!(run.outcome, Outcome::Exited(0));
    assert!(std::fs::read_to_string(image.dir.qemu_line()).unwrap().contains("q35"));
}

#[test]
fn one_processor_on_a_pc() {
    let (image, _turn) = image();
    let run = run(image, &Request { machine: Some(MachineKind::Q35), ..options(What::Twin(None)) });
    assert_eq!((text(&run).as_str(), run.outcome), ("cpus 1 args 0\n", Outcome::Exited(0)));
}

#[test]
fn the_program_as_process_1() {
    let (image, _turn) = image();
    let run = run(image, &options(What::Pid1(args(&["7", "two words"]))));
    assert_eq!(run.outcome, Outcome::Exited(7), "{}", text(&run));
    assert!(text(&run).contains("cpus 1 args 2"), "{}", text(&run));
}

#[test]
fn a_panic_is_told_in_its_own_words() {
    let (image, _turn) = image();
    let mut options = options(What::Program(None));
    options.words = vec!["rdinit=/no/such/program".into()];
    let run = run(image, &options);
    let Outcome::Panic(why) = &run.outcome else { panic!("{:?}: {}", run.outcome, text(&run)) };
    assert!(why.contains("unable to mount root") || why.contains("No working init"), "{why}");
    assert_eq!(run.outcome.exit_code(), Some(255));
}

/// `examples/kernel_calls`, whose argument `wild` lets a function of the kernel use a wild pointer.
fn wild(what: What) -> BootRun {
    let dir = tempfile::tempdir().unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/kernel_calls");
    let manifest = manifest::load(&example).unwrap();
    let out = ImageDir::at(dir.path().join("image"));
    let image = pipeline::image(&env(), &manifest, &out, &mut Clock::default(), &mut |_| ());
    run(&image.unwrap_or_else(|error| panic!("{}", render(&error).0)), &options(what))
}

#[test]
fn a_fault_in_the_kernel_ends_the_program_alone_and_is_told_with_its_place() {
    let wild = wild(What::Both(args(&["wild"])));
    assert_eq!(wild.ends, [Outcome::Signaled(9), Outcome::Signaled(9)], "{}", text(&wild));
    let oops = wild.oops.unwrap();
    assert!(oops.contains("NULL pointer dereference"), "{oops}");
    assert!(oops.contains("at      rot13 (kernel.c:18) in the kernel"), "{oops}");
}

#[test]
fn a_fault_in_the_kernel_that_ends_process_1_is_a_panic() {
    let Outcome::Panic(text) = wild(What::Pid1(args(&["wild"]))).outcome else { panic!("no panic") };
    assert!(text.contains("Attempted to kill init!") && text.contains("NULL pointer dereference"), "{text}");
    assert!(text.contains("at      rot13 ("), "{text}");
}

/// Asks the kernel to panic at an interrupt that nobody explains, and waits for it.
const SPIN: &str = r#"
#include <stdio.h>
volatile unsigned long turns;
static __attribute__((noinline)) void spin(void)
{
    for (;;)
        turns++;
}
int main(void)
{
    FILE *file = fopen("/proc/sys/kernel/panic_on_unrecovered_nmi", "w");
    if (!file || fputs("1", file) == EOF || fclose(file))
        return 1;
    spin();
}
"#;

#[test]
#[ignore = "builds the debug kernel: another kernel says nothing of where it panicked"]
fn a_panic_inside_the_program_is_told_with_function_and_line() {
    let dir = tempfile::tempdir().unwrap();
    workdir::write_atomic(&dir.path().join("spin.c"), SPIN.as_bytes()).unwrap();
    let mut manifest = manifest::from_files(&[dir.path().join("spin.c")]).unwrap();
    manifest.kernel.debug = true;
    let out = ImageDir::at(dir.path().join("image"));
    let image = pipeline::image(&env(), &manifest, &out, &mut Clock::default(), &mut |_| ());
    let image = image.unwrap_or_else(|error| panic!("{}", render(&error).0));
    let nmi = Some(Duration::from_secs(1));
    let options = Request { memory_mib: Some(512), nmi, ..options(What::Program(None)) };
    let panicked = run(&image, &options);
    let Outcome::Panic(told) = &panicked.outcome else { panic!("{:?}\n{}", panicked.outcome, text(&panicked)) };
    assert!(told.starts_with("NMI: Not continuing") && told.contains("at      spin ("), "{told}\n{}", text(&panicked));
    assert!(told.contains("spin.c:7) in the program"), "{told}");
    assert_eq!(panicked.outcome.exit_code(), Some(255));
}

/// A function of the kernel that uses up the kernel's stack; the program's child calls it.
const BOTTOMLESS: [(&str, &str); 3] = [
    ("ukl.toml", "name = \"bottomless\"\nsources = [\"main.c\"]\nkernel-sources = [\"kernel.c\"]\nkernel.debug = true\n"),
    ("kernel.c", "long fall(long n);\nlong fall(long n)\n{\n\tvolatile long deep[32];\n\n\tdeep[n & 31] = n;\n\treturn n ? fall(n + 1) + deep[n & 31] : 0;\n}\n"),
    (
        "main.c",
        r#"
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
long fall(long n);
int main(void)
{
    int status;
    if (fork() == 0)
        _exit(fall(1));
    wait(&status);
    printf("child: signal %d; parent: %ld\n", WTERMSIG(status), fall(0));
    return 0;
}
"#,
    ),
];

/// The image of a project with these files, booted in both modes.
fn both_modes(files: &[(&str, &str)], memory_mib: u32) -> BootRun {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        workdir::write_atomic(&dir.path().join(name), text.as_bytes()).unwrap();
    }
    let manifest = manifest::load(dir.path()).unwrap();
    let out = ImageDir::at(dir.path().join("image"));
    let image = pipeline::image(&env(), &manifest, &out, &mut Clock::default(), &mut |_| ());
    let image = image.unwrap_or_else(|error| panic!("{}", render(&error).0));
    run(&image, &Request { memory_mib: Some(memory_mib), ..options(What::Both(None)) })
}

/// A function of the kernel that leaves its caller a stack segment which no IRET takes, and keeps the short way back
/// from being taken; the program's child calls it.
const NO_RETURN: [(&str, &str); 3] = [
    ("ukl.toml", "name = \"no_return\"\nsources = [\"main.c\"]\nkernel-sources = [\"kernel.c\"]\n"),
    (
        "kernel.c",
        r#"
#include <linux/sched/task_stack.h>
#include <asm/ptrace.h>
long spoil(void);
long spoil(void)
{
	task_pt_regs(current)->ss = 0x1234;
	task_pt_regs(current)->r11 = 0;
	return 0;
}
"#,
    ),
    (
        "main.c",
        r#"
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
long spoil(void);
int main(void)
{
    int status;
    if (fork() == 0)
        _exit(spoil());
    wait(&status);
    printf("child: signal %d\n", WTERMSIG(status));
    return 0;
}
"#,
    ),
];

#[test]
fn a_program_that_the_kernel_cannot_return_to_ends_by_a_signal() {
    let both = both_modes(&NO_RETURN, 64);
    assert_eq!(both.ends, [Outcome::Exited(0), Outcome::Exited(0)], "{}", text(&both));
    assert_eq!(text(&both), "child: signal 11\n".repeat(2));
    assert!(both.oops.is_none(), "{:?}", both.oops);
}

#[test]
#[ignore = "builds the debug kernel, whose stacks have guard pages"]
fn a_kernel_stack_that_overflows_takes_one_process_with_it() {
    let both = both_modes(&BOTTOMLESS, 512);
    assert_eq!(both.ends, [Outcome::Exited(0), Outcome::Exited(0)], "{}", text(&both));
    assert_eq!(text(&both).matches("child: signal 11; parent: 0\n").count(), 2, "{}", text(&both));
    assert!(both.oops.as_ref().unwrap().contains("stack guard page was hit"), "{:?}", both.oops);
}

#[test]
fn a_time_limit_ends_the_guest() {
    let (image, _turn) = image();
    let said = [4, 16, 64].into_iter().any(|seconds| {
        let timeout = Some(Duration::from_secs(seconds));
        let run = run(image, &Request { timeout, ..options(What::Twin(args(&["hang"]))) });
        assert_eq!(run.outcome, Outcome::Timeout);
        text(&run).contains("args 1")
    });
    assert!(said, "what was said before is kept");
}

#[test]
fn a_command_that_does_not_exist_is_reported_as_a_shell_does() {
    let (image, _turn) = image();
    let missing = Command { path: "/none".into(), argv: vec!["none".into()], env: BTreeMap::new() };
    let run = run(image, &options(What::Commands(vec![missing])));
    assert_eq!(run.outcome, Outcome::Exited(127));
    assert!(text(&run).contains("cannot run `/none`: No such file"), "{}", text(&run));
}

#[test]
fn thirty_two_mebibytes_are_enough() {
    let (image, _turn) = image();
    let run = run(image, &Request { memory_mib: Some(32), ..options(What::Program(None)) });
    assert_eq!(run.outcome, Outcome::Exited(0), "{}", text(&run));
}

#[test]
fn building_again_changes_nothing() {
    let (image, _turn) = image();
    let before = std::fs::metadata(image.dir.vmlinux()).unwrap().modified().unwrap();
    let manifest = program(image.dir.root().parent().unwrap());
    let again = pipeline::image(&env(), &manifest, &image.dir, &mut Clock::default(), &mut |_| ()).unwrap();
    assert_eq!(again.info, image.info);
    assert_eq!(std::fs::metadata(image.dir.vmlinux()).unwrap().modified().unwrap(), before);
}

/// What `ukl run` prints and ends with when its standard input is `input`.
fn with_input(image: &Image, args: &[&str], input: &[u8]) -> (Vec<u8>, Option<i32>) {
    let cmd = Cmd::new(env!("CARGO_BIN_EXE_ukl")).args(["run", "--timeout", "300", "--accel", "tcg", "--out"]);
    let cmd = cmd.arg(image.dir.root()).args(args).stdin(input).limit(Duration::from_secs(330));
    let output = SHELL.run(&cmd).unwrap();
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    (output.stdout, output.status.code())
}

#[test]
fn every_byte_of_standard_input_reaches_the_program_and_then_its_end() {
    let (image, _turn) = image();
    // All bytes, lines longer than a terminal takes, more than any buffer on the way holds, no last newline.
    let input: Vec<u8> = (0..300_000u32).map(|i| (i / 7 % 256) as u8).collect();
    let mut want = b"cpus 1 args 1\n".to_vec();
    want.extend(input.to_ascii_uppercase());
    want.extend(format!("{} bytes\n", input.len()).into_bytes());
    let (output, code) = with_input(image, &["--", "upper"], &input);
    assert_eq!((output.len(), code), (want.len(), Some(0)));
    assert!(output == want, "the same bytes");
}

#[test]
fn no_input_is_an_end_of_file_at_once() {
    let (image, _turn) = image();
    let run = run(image, &options(What::Both(args(&["upper"]))));
    assert_eq!(text(&run), "cpus 1 args 1\n0 bytes\n".repeat(2));
}

#[test]
fn a_shell_runs_the_program_by_its_name() {
    let (image, _turn) = image();
    if !Path::new("/bin/busybox").exists() {
        eprintln!("skip: busybox-static is not installed");
        return;
    }
    // The console echoes what is typed: the program's own line stands behind it.
    let (output, code) = with_input(image, &["--shell"], b"sleep 1; /UKL 5; echo code $?; exit 3\n");
    let text = String::from_utf8_lossy(&output);
    assert!(text.contains("cpus 1 args 1\r\ncode 5\r\n"), "{text}");
    assert_eq!(code, Some(3), "{text}");
}

#[test]
fn the_acceleration_that_is_chosen_by_itself_works() {
    let (image, _turn) = image();
    let cache = tempfile::tempdir().unwrap();
    let options = Request { accel: Accel::Auto, ..options(What::Program(args(&["9"]))) };
    let first = boot::run(&Env { shell: SHELL, cache: Cache::at(cache.path()) }, image, &options).unwrap();
    assert_eq!(first.outcome, Outcome::Exited(9), "{}", text(&first));
    let facts = std::fs::read_dir(cache.path().join("facts")).unwrap().count();
    assert!(facts > 0 || Path::new("/dev/kvm").exists(), "what was found out is remembered");
}

#[test]
fn a_guest_without_enough_memory_is_a_failed_boot() {
    let (image, _turn) = image();
    let options = Request { memory_mib: Some(16), ..options(What::Program(None)) };
    let result = boot::run(&env(), image, &options);
    match result.map(|run| run.outcome) {
        // It dies without a word, or loudly, or loops until the limit; it never reports a status.
        Ok(Outcome::Timeout | Outcome::Panic(_)) => {}
        Ok(outcome) => panic!("{outcome:?}"),
        Err(error) => assert!(render(&error).0.contains("memory"), "{}", render(&error).0),
    }
}

#[test]
fn an_interrupt_ends_the_guest_and_leaves_nothing() {
    let (image, _turn) = image();
    let said = ["5", "20", "80"].into_iter().any(|seconds| {
        let cmd = Cmd::new("timeout").args(["--preserve-status", "--signal=INT", seconds]);
        let cmd = cmd.args([env!("CARGO_BIN_EXE_ukl"), "run", "--accel", "tcg", "--out"]);
        let output = SHELL.run(&cmd.arg(image.dir.root()).args(["--", "hang"])).unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read_to_string(image.dir.console()).unwrap().contains("args 1")
    });
    assert!(said, "what it said is kept");
    // QEMU's command line names the image's files.
    let control = image.dir.control().display().to_string();
    let left = std::fs::read_dir("/proc").unwrap().flatten().filter(|process| {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&format!("path={control}"))
    });
    assert_eq!(left.count(), 0, "no QEMU is left");
}
