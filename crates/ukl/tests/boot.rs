//! Images on real kernels in real guests: the program and its twin, process 1, panics, limits, SMP, input.
//!
//! The first run builds a kernel (minutes); later ones find it in the cache.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests.

mod world;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::sync::{MutexGuard, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ukl::base::env::Env;
use ukl::base::error::{render, Class};
use ukl::base::run::Cmd;
use ukl::base::workdir::{self, Cache};
use ukl::boot::{self, BootRun, Outcome};
use ukl::image::folder::Image;
use ukl::image::initrd::{self, Command};
use ukl::machine::{Accel, MachineKind, Request, What};
use ukl::manifest::{Malloc, Manifest};
use world::{built, env, kill, manifest_of, own, processes_with, run, says, text, Own, SHELL, UKL};

/// The image that most tests boot, and the turn to do so.
fn image() -> (Own, MutexGuard<'static, ()>) {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    let turn = world::turn();
    let image = IMAGE.get_or_init(|| built(&manifest_of("arguments.c")).unwrap_or_else(|error| panic!("{error}")));
    (own(image), turn)
}

fn options(what: What) -> Request {
    // Tests have no terminal, and no machine of ours has a KVM that works.
    Request { attach: false, accel: Accel::Tcg, timeout: Some(Duration::from_secs(300)), ..Request::new(what) }
}

fn args(args: &[&str]) -> Option<Vec<String>> {
    Some(args.iter().map(|arg| arg.to_string()).collect())
}

#[test]
fn the_clock_is_the_hosts() {
    let (image, _turn) = image();
    // The guest is told whole milliseconds.
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let before = now();
    let run = run(&image, &options(What::Program(args(&["time"]))));
    let after = now();
    let text = text(&run);
    let (seconds, rest) = text.split("time ").nth(1).unwrap().trim().split_once('.').unwrap();
    let time: u128 = format!("{seconds}{}", &rest[..3]).parse().unwrap();
    assert!(before <= time && time <= after, "{before} {time} {after}");
}

#[test]
fn the_program_and_its_twin_say_the_same_and_end_as_they_want() {
    let (image, _turn) = image();
    let run = run(&image, &options(What::Both(args(&["42"]))));
    assert_eq!(run.ends, [Outcome::Exited(42), Outcome::Exited(42)], "{}", text(&run));
    assert_eq!(text(&run), "cpus 1 args 1\n".repeat(2));
    assert_eq!(std::fs::read_to_string(image.dir.console()).unwrap(), text(&run), "the log has the same");
    let first = run.first_output_s.unwrap();
    assert!(first > 0.0 && first < run.total_s, "{first} of {}", run.total_s);
}

#[test]
fn a_program_may_have_another_allocator_in_both_modes() {
    let _turn = world::turn();
    let manifest = Manifest { malloc: Malloc::Mimalloc, ..manifest_of("allocations.c") };
    let image = world::image(&manifest).unwrap_or_else(|error| panic!("{error}"));
    let run = run(&image, &options(What::Both(None)));
    assert_eq!((text(&run).matches("4 right, 0 off").count(), &run.ends), (2, &vec![Outcome::Exited(0); 2]));
    has_another_allocator(&image.dir.archive());
}

#[test]
fn a_build_systems_compiler_hears_of_the_allocator() {
    let _turn = world::turn();
    let project = tempfile::tempdir().unwrap();
    let source = world::program("allocations.c");
    std::fs::copy(&source, project.path().join("allocations.c")).unwrap();
    let manifest = "name = \"allocations\"\nmalloc = \"mimalloc\"\nprogram = \"allocations\"\n\
                    build = [[\"sh\", \"-c\", \"$CC -o allocations allocations.c\"]]\n";
    std::fs::write(project.path().join("ukl.toml"), manifest).unwrap();
    let mut ukl = Process::new(UKL);
    let done = ukl.args(["up", "--accel", "tcg"]).current_dir(project.path()).stdin(Stdio::null()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success() && out.contains("4 right, 0 off"), "{out}{err}");
    has_another_allocator(&project.path().join("build/allocations/UKL.a"));
}

fn has_another_allocator(archive: &Path) {
    let found = ukl::tools::inspect::inspect(archive, 1000).unwrap();
    let own = |name: &str| found[0].biggest.iter().any(|symbol| symbol.name.ends_with(name));
    assert!(own("mi_segment_alloc") && !own("alloc_slot"), "the one is there, the C library's own is not");
}

#[test]
fn where_the_ram_disk_has_no_file_that_starts_the_program_the_kernel_makes_it() {
    let (image, _turn) = image();
    let manifest = manifest_of("arguments.c");
    let mut entries = initrd::entries(&manifest).unwrap();
    let all = entries.len();
    entries.retain(|entry| entry.path.trim_start_matches('/') != manifest.trigger.trim_start_matches('/'));
    assert_eq!(entries.len(), all - 1);
    let compress = initrd::compressor().stdin(formats::newc::write(&entries).unwrap());
    let packed = env().shell.check(&compress, Class::Host).unwrap().stdout;
    workdir::write_atomic(&image.dir.stage("initrd").join("base.cpio.lz4"), &packed).unwrap();
    let run = run(&image, &options(What::Both(args(&["42"]))));
    assert_eq!(run.ends, [Outcome::Exited(42), Outcome::Exited(42)], "{}", text(&run));
}

#[test]
fn a_signal_ends_the_program_and_not_the_guest() {
    let (image, _turn) = image();
    let run = run(&image, &options(What::Both(args(&["abort"]))));
    assert_eq!(run.ends, [Outcome::Signaled(6), Outcome::Signaled(6)], "{}", text(&run));
    assert_eq!(run.outcome.exit_code(), Some(134));
}

#[test]
fn what_is_written_last_is_not_lost() {
    let (image, _turn) = image();
    let run = run(&image, &options(What::Both(args(&["many"]))));
    let lines: String = (0..20000).map(|i| format!("line {i}\n")).collect();
    assert!(text(&run) == format!("cpus 1 args 1\n{lines}").repeat(2), "{} bytes", run.console.len());
}

#[test]
fn two_processors_on_a_pc() {
    let (image, _turn) = image();
    let mut options = options(What::Both(None));
    options.cpus = Some(2);
    let run = run(&image, &options);
    assert_eq!(text(&run), "cpus 2 args 0\n".repeat(2));
    assert_eq!(run.outcome, Outcome::Exited(0));
    assert!(std::fs::read_to_string(image.dir.qemu_line()).unwrap().contains("q35"));
}

#[test]
fn one_processor_on_a_pc() {
    let (image, _turn) = image();
    let run = run(&image, &Request { machine: Some(MachineKind::Q35), ..options(What::Twin(None)) });
    assert_eq!((text(&run).as_str(), run.outcome), ("cpus 1 args 0\n", Outcome::Exited(0)));
}

#[test]
fn the_program_as_process_1() {
    let (image, _turn) = image();
    let run = run(&image, &options(What::Pid1(args(&["7", "two words"]))));
    assert_eq!(run.outcome, Outcome::Exited(7), "{}", text(&run));
    assert!(text(&run).contains("cpus 1 args 2"), "{}", text(&run));
}

#[test]
fn a_panic_is_told_in_its_own_words() {
    let (image, _turn) = image();
    let mut options = options(What::Program(None));
    options.words = vec!["rdinit=/no/such/program".into()];
    let run = run(&image, &options);
    let Outcome::Panic(why) = &run.outcome else { panic!("{:?}: {}", run.outcome, text(&run)) };
    assert!(why.contains("unable to mount root") || why.contains("No working init"), "{why}");
    assert_eq!(run.outcome.exit_code(), Some(255));
}

/// `examples/kernel_calls`, whose argument `wild` lets a function of the kernel use a wild pointer.
fn wild(what: What) -> BootRun {
    boots(&ukl::manifest::load(&world::example("kernel_calls")).unwrap(), &options(what))
}

/// One boot of a manifest's image.
fn boots(manifest: &Manifest, options: &Request) -> BootRun {
    let _turn = world::turn();
    run(&world::image(manifest).unwrap_or_else(|error| panic!("{error}")), options)
}

#[test]
fn a_fault_in_a_called_function_ends_the_program_alone_and_is_told_with_its_place() {
    let wild = wild(What::Both(args(&["wild"])));
    assert_eq!(wild.ends, [Outcome::Signaled(11), Outcome::Signaled(11)], "{}", text(&wild));
    let oops = wild.oops.unwrap();
    assert!(oops.starts_with("UKL call: ") && oops.contains("ends by trap 14, address 10"), "{oops}");
    assert!(oops.contains("at      rot13 (kernel.c:18) in the kernel"), "{oops}");
}

#[test]
fn a_fault_in_a_called_function_that_ends_process_1_is_told_by_its_signal() {
    let wild = wild(What::Pid1(args(&["wild"])));
    assert_eq!(wild.outcome, Outcome::Signaled(11), "{}", text(&wild));
    let said = String::from_utf8_lossy(&wild.console).into_owned();
    assert!(said.contains("UKL call: ") && said.contains("ends by trap 14, address 10"), "{said}");
    assert!(said.contains("Attempted to kill init! exitcode=0x0000000b"), "{said}");
}

#[test]
#[ignore = "builds the debug kernel: another kernel says nothing of where it panicked"]
fn a_panic_inside_the_program_is_told_with_function_and_line() {
    let mut manifest = manifest_of("spin.c");
    manifest.kernel.debug = true;
    let nmi = Some(Duration::from_secs(1));
    let panicked = boots(&manifest, &Request { memory_mib: Some(512), nmi, ..options(What::Program(None)) });
    let Outcome::Panic(told) = &panicked.outcome else { panic!("{:?}\n{}", panicked.outcome, text(&panicked)) };
    assert!(told.starts_with("NMI: Not continuing") && told.contains("at      spin ("), "{told}\n{}", text(&panicked));
    assert!(told.contains("spin.c:7) in the program"), "{told}");
    assert_eq!(panicked.outcome.exit_code(), Some(255));
}

/// A project of `tests/programs`, booted in both modes.
fn both_modes(name: &str, memory_mib: u32) -> BootRun {
    boots(&manifest_of(name), &Request { memory_mib: Some(memory_mib), ..options(What::Both(None)) })
}

#[test]
fn a_program_that_the_kernel_cannot_return_to_ends_by_a_signal() {
    let both = both_modes("no_return", 64);
    assert_eq!(both.ends, [Outcome::Exited(0), Outcome::Exited(0)], "{}", text(&both));
    assert_eq!(text(&both), "child: signal 11\n".repeat(2));
    assert!(both.oops.is_none(), "{:?}", both.oops);
}

#[test]
#[ignore = "builds the debug kernel, whose stacks have guard pages"]
fn a_kernel_stack_that_overflows_takes_one_process_with_it() {
    let both = both_modes("bottomless", 512);
    assert_eq!(both.ends, [Outcome::Exited(0), Outcome::Exited(0)], "{}", text(&both));
    assert_eq!(text(&both).matches("child: signal 11; parent: 0\n").count(), 2, "{}", text(&both));
    assert!(both.oops.as_ref().unwrap().contains("stack guard page was hit"), "{:?}", both.oops);
}

#[test]
fn a_time_limit_ends_the_guest() {
    let (image, _turn) = image();
    let said = [4, 16, 64].into_iter().any(|seconds| {
        let timeout = Some(Duration::from_secs(seconds));
        let run = run(&image, &Request { timeout, ..options(What::Twin(args(&["hang"]))) });
        assert_eq!(run.outcome, Outcome::Timeout);
        text(&run).contains("args 1")
    });
    assert!(said, "what was said before is kept");
}

#[test]
fn a_command_that_does_not_exist_is_reported_as_a_shell_does() {
    let (image, _turn) = image();
    let missing = Command { path: "/none".into(), argv: vec!["none".into()], env: BTreeMap::new() };
    let run = run(&image, &options(What::Commands(vec![missing])));
    assert_eq!(run.outcome, Outcome::Exited(127));
    assert!(text(&run).contains("cannot run `/none`: No such file"), "{}", text(&run));
}

#[test]
fn thirty_two_mebibytes_are_enough() {
    let (image, _turn) = image();
    let run = run(&image, &Request { memory_mib: Some(32), ..options(What::Program(None)) });
    assert_eq!(run.outcome, Outcome::Exited(0), "{}", text(&run));
}

#[test]
fn building_again_changes_nothing() {
    let manifest = manifest_of("arguments.c");
    let first = built(&manifest).unwrap();
    let modified = |image: &Image| std::fs::metadata(image.dir.vmlinux()).unwrap().modified().unwrap();
    let before = modified(&first);
    let again = built(&manifest).unwrap();
    assert_eq!(again.info, first.info);
    assert_eq!(modified(&again), before);
}

/// What `ukl run` prints and ends with when its standard input is `input`.
fn with_input(image: &Image, args: &[&str], input: &[u8]) -> (Vec<u8>, Option<i32>) {
    let cmd = Cmd::new(UKL).args(["run", "--timeout", "300", "--accel", "tcg", "--out"]);
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
    let (output, code) = with_input(&image, &["--", "upper"], &input);
    assert_eq!((output.len(), code), (want.len(), Some(0)));
    assert!(output == want, "the same bytes");
}

#[test]
fn no_input_is_an_end_of_file_at_once() {
    let (image, _turn) = image();
    let run = run(&image, &options(What::Both(args(&["upper"]))));
    assert_eq!(text(&run), "cpus 1 args 1\n0 bytes\n".repeat(2));
}

#[test]
fn a_shell_runs_the_program_by_its_name() {
    let (image, _turn) = image();
    if !Path::new("/bin/busybox").exists() {
        eprintln!("skip: busybox-static is not installed");
        return;
    }
    let mut shell = start(&image, &["--shell"], Stdio::piped());
    let (mut keys, mut screen) = (shell.stdin.take().unwrap(), shell.stdout.take().unwrap());
    let mut said = says(&mut screen, "# ");
    // The console echoes what is typed: the program's own line stands behind it.
    keys.write_all(b"/UKL 5; echo code $?; exit 3\n").unwrap();
    screen.read_to_string(&mut said).unwrap();
    assert!(said.contains("cpus 1 args 1\r\ncode 5\r\n"), "{said}");
    assert_eq!(shell.wait().unwrap().code(), Some(3), "{said}");
}

/// Starts `ukl run` of the image; what it prints is for the caller to read.
fn start(image: &Image, words: &[&str], input: Stdio) -> std::process::Child {
    let mut run = Process::new(UKL);
    run.args(["run", "--timeout", "300", "--accel", "tcg", "--out"]).arg(image.dir.root()).args(words);
    run.stdin(input).stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn the_acceleration_that_is_chosen_by_itself_works() {
    let (image, _turn) = image();
    let cache = tempfile::tempdir().unwrap();
    let options = Request { accel: Accel::Auto, ..options(What::Program(args(&["9"]))) };
    let first = boot::run(&Env { shell: SHELL, cache: Cache::at(cache.path()) }, &image, &options).unwrap();
    assert_eq!(first.outcome, Outcome::Exited(9), "{}", text(&first));
    let facts = std::fs::read_dir(cache.path().join("facts")).unwrap().count();
    assert!(facts > 0 || Path::new("/dev/kvm").exists(), "what was found out is remembered");
}

#[test]
fn a_guest_without_enough_memory_is_a_failed_boot() {
    let (image, _turn) = image();
    let options = Request { memory_mib: Some(16), ..options(What::Program(None)) };
    let result = boot::run(&env(), &image, &options);
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
    let mut guest = start(&image, &["--", "hang"], Stdio::null());
    says(guest.stdout.as_mut().unwrap(), "args 1");
    assert!(kill("-INT", &guest.id().to_string()));
    assert_eq!(guest.wait().unwrap().code(), Some(130));
    assert!(std::fs::read_to_string(image.dir.console()).unwrap().contains("args 1"), "what it said is kept");
    // QEMU's command line names the image's files.
    let left = processes_with(&format!("path={}", image.dir.control().display()));
    assert!(left.is_empty(), "{left:?}");
}

/// The image of `output.c`, and the turn to boot it.
fn output_image() -> (Own, MutexGuard<'static, ()>) {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    let turn = world::turn();
    let image = IMAGE.get_or_init(|| built(&manifest_of("output.c")).unwrap_or_else(|error| panic!("{error}")));
    (own(image), turn)
}

/// `ukl run` of that image, with its output in pipes.
fn piped(image: &Image, options: &[&str], args: &[&str]) -> std::process::Child {
    let mut ukl = Process::new(UKL);
    ukl.args(["run", "--accel", "tcg"]).args(options).arg("--out").arg(image.dir.root()).arg("--").args(args);
    ukl.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_reader_that_pauses_longer_than_the_time_limit_gets_every_byte() {
    let (image, _turn) = output_image();
    let mut ukl = piped(&image, &["--timeout", "60"], &["2"]);
    // Nothing is read before the limit is long over; the pipe holds a thirtieth of it.
    std::thread::sleep(Duration::from_secs(65));
    let mut got = Vec::new();
    ukl.stdout.take().unwrap().read_to_end(&mut got).unwrap();
    let code = ukl.wait().unwrap().code();
    let block: Vec<u8> = (0..1 << 20).map(|i: u32| ((i * 7 + i / 256) & 255) as u8).collect();
    assert_eq!((got.len(), code), (2 << 20, Some(0)));
    assert!(got == block.repeat(2), "the same bytes");
}

#[test]
fn a_timer_that_interrupts_every_call_costs_no_output() {
    let (image, _turn) = output_image();
    let done = piped(&image, &["--timeout", "300"], &["timer"]).wait_with_output().unwrap();
    let want: String = (0..30000).map(|i| format!("line {i}\n")).collect();
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(done.stdout == want.as_bytes(), "{} of {} bytes", done.stdout.len(), want.len());
}

#[test]
fn the_program_sees_a_pipe_where_we_have_one_and_a_terminal_where_nobody_reads_at_once() {
    let (image, _turn) = output_image();
    let done = piped(&image, &["--timeout", "300"], &["streams"]).wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert_eq!(text, "terminals 0 0 0\nopened again\nan error\n", "{}", String::from_utf8_lossy(&done.stderr));
    let alone = run(&image, &options(What::Both(args(&["streams"]))));
    assert_eq!(self::text(&alone), "terminals 0 1 1\nopened again\nan error\n".repeat(2));
    assert_eq!(alone.ends, [Outcome::Exited(0), Outcome::Exited(0)]);
}

#[test]
fn process_1_gets_whole_arguments_or_does_not_start_and_says_no_farewell() {
    let (image, _turn) = image();
    let long = "x".repeat(3000);
    let (output, code) = with_input(&image, &["--pid1", "--", &long], b"");
    assert_eq!((output.len(), code), (0, Some(2)));
    let many: Vec<&str> = ["--pid1", "--"].into_iter().chain(["0"; 33]).collect();
    assert_eq!(with_input(&image, &many, b"").1, Some(2));
    let (output, code) = with_input(&image, &["--pid1", "--", "0"], b"");
    assert_eq!((String::from_utf8_lossy(&output).trim_end(), code), ("cpus 1 args 1", Some(0)));
    // The log has all of it.
    assert!(std::fs::read_to_string(image.dir.console()).unwrap().contains("exitcode=0x00000000"));
}

#[test]
fn a_shell_leaves_the_terminal_as_it_was_and_a_reset_is_no_success() {
    let (image, _turn) = image();
    if !Path::new("/bin/busybox").exists() {
        eprintln!("skip: busybox-static is not installed");
        return;
    }
    let (mut master, slave) = terminal();
    let facts = |slave: &std::fs::File| {
        use std::os::fd::AsRawFd;
        // SAFETY: an all-zero termios is a valid value; both calls only look.
        unsafe {
            let mut settings: libc::termios = std::mem::zeroed();
            libc::tcgetattr(slave.as_raw_fd(), &mut settings);
            (settings.c_lflag, settings.c_iflag, settings.c_oflag, libc::fcntl(slave.as_raw_fd(), libc::F_GETFL))
        }
    };
    let before = facts(&slave);
    let mut shell = |limit: &str, typed: &[u8]| {
        let mut ukl = Process::new(UKL);
        ukl.args(["run", "--accel", "tcg", "--shell", "--timeout", limit, "--out"]).arg(image.dir.root());
        ukl.stdin(slave.try_clone().unwrap()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = ukl.spawn().unwrap();
        master.write_all(typed).unwrap();
        let done = child.wait_with_output().unwrap();
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    assert_eq!(shell("6", b"").0, Some(124));
    assert_eq!(facts(&slave), before, "O_NONBLOCK and the modes of the terminal");
    let (code, said) = shell("240", b"sleep 1; reboot -f\n");
    assert_eq!(code, Some(123), "{said}");
    assert!(said.contains("no exit status") && said.contains("`exit` ends a shell"), "{said}");
    assert_eq!(facts(&slave), before);
}

/// Both ends of a new pseudo terminal.
fn terminal() -> (std::fs::File, std::fs::File) {
    use std::os::fd::FromRawFd;
    let (mut master, mut slave) = (0, 0);
    let null = std::ptr::null_mut();
    // SAFETY: openpty fills both numbers, which nobody else owns.
    unsafe {
        assert_eq!(libc::openpty(&mut master, &mut slave, null, null.cast(), null.cast()), 0);
        (std::fs::File::from_raw_fd(master), std::fs::File::from_raw_fd(slave))
    }
}

#[test]
fn a_build_that_fails_late_leaves_the_last_image_and_run_says_that_it_is_old() {
    let world = world::World::booting();
    let good = "#include <stdio.h>\nint main(void) { puts(\"good\"); return 0; }\n";
    world.write("ukl.toml", "name = \"late\"\nsources = [\"a.c\"]\n");
    world.write("a.c", good);
    let build = |want| assert_eq!(world.ukl(&["build"]).code, Some(want));
    let run = || world.ukl(&["run", "--accel", "tcg", "--timeout", "300"]);
    build(0);
    let done = run();
    assert_eq!((done.code, done.out.as_str()), (Some(0), "good\n"), "{done:?}");
    assert!(!done.err.contains("older than"), "{done:?}");
    // The RAM disk comes after the kernel.
    world.write("ukl.toml", "name = \"late\"\nsources = [\"a.c\"]\n[[files]]\nsrc = \"gone\"\ndst = \"/gone\"\n");
    world.write("a.c", &good.replace("good", "bad"));
    assert_ne!(world.ukl(&["build"]).code, Some(0));
    world.write("ukl.toml", "name = \"late\"\nsources = [\"a.c\"]\nmachine.memory = \"96M\"\n");
    let done = run();
    assert_eq!((done.code, done.out.as_str()), (Some(0), "good\n"), "{done:?}");
    assert!(done.err.contains("the image is older than its sources (ukl.toml: memory changed, and "), "{done:?}");
    build(0);
    let done = run();
    assert!(done.out == "bad\n" && !done.err.contains("older than"), "{done:?}");
}
