//! What people look at a program with, on a program in the kernel: gdb from outside and on its core dump, strace in the guest.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests.

mod world;

use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, OnceLock};
use std::time::Duration;

use ukl::base::error::Class;
use ukl::base::run::Cmd;
use ukl::base::workdir;
use ukl::boot::{BootRun, Outcome};
use ukl::image::folder::Image;
use ukl::image::initrd::Command;
use ukl::machine::{Accel, Request, What};
use ukl::manifest::{GuestFile, Manifest};
use ukl::program::toolchain;
use world::{built, manifest_of, own, run, text, Own, World, SHELL};

/// The image that the tests boot, and the turn to use it: with busybox, and with strace where this machine has it.
fn image() -> (Own, MutexGuard<'static, ()>) {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    let turn = world::turn();
    let image = IMAGE.get_or_init(|| {
        let mut files = vec![PathBuf::from("/bin/busybox")];
        if let Some(strace) = toolchain::which("strace") {
            let listed = SHELL.check(&Cmd::new("ldd").arg(&strace), Class::Host).unwrap().stdout;
            let listed = String::from_utf8_lossy(&listed).into_owned();
            files.extend(listed.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from));
            files.push(strace);
        }
        let files = files.into_iter().map(in_guest).collect();
        let manifest = Manifest { cflags: vec!["-O0".into()], files, ..manifest_of("tool.c") };
        built(&manifest).unwrap_or_else(|error| panic!("{error}"))
    });
    (own(image), turn)
}

/// A file of this machine at the same place in the guest.
fn in_guest(file: PathBuf) -> GuestFile {
    GuestFile { dst: file.display().to_string(), src: file, mode: None }
}

/// Runs a script with the guest's busybox.
fn script(image: &Image, script: &str) -> (BootRun, String) {
    let argv = ["sh", "-c", script].map(String::from).to_vec();
    let path = "/bin/busybox".to_owned();
    let command = Command { path, argv, env: [("PATH".to_owned(), "/bin:/usr/bin".to_owned())].into() };
    let options = Request {
        attach: false,
        accel: Accel::Tcg,
        timeout: Some(Duration::from_secs(300)),
        ..Request::new(What::Commands(vec![command]))
    };
    let run = run(image, &options);
    let text = text(&run);
    (run, text)
}

/// Where `program` is on this machine; says why a test is left out without it.
fn tool(program: &str) -> Option<PathBuf> {
    let path = toolchain::which(program);
    if path.is_none() {
        eprintln!("skip: {program} is not installed (apt-get install {program})");
    }
    path
}

/// What stands between `BEGIN name` and `END name`.
fn part<'a>(text: &'a str, name: &str) -> &'a str {
    let (begin, end) = (format!("BEGIN {name}\n"), format!("END {name}\n"));
    let from = text.find(&begin).unwrap_or_else(|| panic!("no {name} in:\n{text}")) + begin.len();
    let to = text[from..].find(&end).unwrap_or_else(|| panic!("no end of {name} in:\n{text}"));
    &text[from..from + to]
}

/// gdb's answers to `commands` about the core dump that the guest made of `program`.
fn post_mortem(dir: &Path, gdb: &Path, text: &str, name: &str, program: &Path, commands: &[&str]) -> String {
    let core = dir.join(name);
    let packed = core.with_extension("gz");
    let decode = Cmd::new("base64").arg("-d").stdin(part(text, name).as_bytes());
    workdir::write_atomic(&packed, &SHELL.check(&decode, Class::Host).unwrap().stdout).unwrap();
    let bytes = SHELL.check(&Cmd::new("gzip").arg("-dc").arg(&packed), Class::Host).unwrap().stdout;
    workdir::write_atomic(&core, &bytes).unwrap();
    let mut cmd = Cmd::new(gdb).args(["-nx", "-batch"]);
    for command in commands {
        cmd = cmd.args(["-ex", command]);
    }
    let output = SHELL.run(&cmd.arg(program).arg(&core)).unwrap();
    text_of(&output)
}

fn text_of(output: &ukl::base::run::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn gdb_opens_the_core_dump_of_a_program_in_the_kernel() {
    let Some(gdb) = tool("gdb") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (image, _turn) = image();
    let dump = |mode: &str, path: &str| {
        format!(
            "{path} crash; echo {mode} ended with $?; echo BEGIN {mode}; \
             busybox gzip -c core | busybox base64; echo END {mode}; busybox rm core; "
        )
    };
    let commands = "cd /tmp; ulimit -c unlimited; echo core >/proc/sys/kernel/core_pattern; ".to_owned();
    let (run, text) = script(&image, &(commands + &dump("app", "/UKL")));
    assert_eq!(run.outcome, Outcome::Exited(0), "{text}");
    assert!(text.contains("app ended with 139"), "{text}");
    let ask = ["bt", "print answer", "print kept", "print/x $r12", "print $_siginfo.si_signo", "info threads"];
    let said = post_mortem(dir.path(), &gdb, &text, "app", &image.dir.vmlinux(), &ask);
    for wanted in [
        " in deepest (depth=2) at ./tool.c:27",
        " in middle (depth=1) at ./tool.c:44",
        " in main (argc=2, ",
        "$1 = 4713",
        "$2 = 32",
        "$3 = 0x1122334455667788",
        "$4 = 11",
        "* 1    LWP",
        "  2    LWP",
    ] {
        assert!(said.contains(wanted), "no `{wanted}` in what gdb says:\n{said}");
    }
    // The file that was executed knows its functions and their code. (With the core gdb 13 does not read its text.)
    let ask = ["-nx", "-batch", "-ex", "x/i deepest", "-ex", "info files"];
    let output = SHELL.run(&Cmd::new(&gdb).args(ask).arg(image.dir.trigger())).unwrap();
    let said = text_of(&output);
    for wanted in ["<deepest>:\tpush", " is .data", " is .text"] {
        assert!(said.contains(wanted), "no `{wanted}` in what gdb says:\n{said}");
    }
}

/// The names of the calls in what strace wrote, from the first after exec.
fn calls(log: &str) -> Vec<String> {
    let calls = log.lines().filter(|line| !line.contains("execve("));
    calls.filter_map(|line| Some(line.split_once('(')?.0.split_whitespace().last()?.to_owned())).collect()
}

#[test]
fn strace_shows_the_same_calls_as_in_ring_3() {
    let Some(strace) = tool("strace") else { return };
    let (image, _turn) = image();
    let trace = |mode: &str, path: &str| {
        let strace = strace.display();
        format!(
            "{strace} -f -o /tmp/log {path}; echo {mode} ended with $?; \
             echo BEGIN {mode}; busybox cat /tmp/log; echo END {mode}; "
        )
    };
    let (run, text) = script(&image, &(trace("app", "/UKL") + &trace("ring3", "/twin")));
    assert_eq!(run.outcome, Outcome::Exited(0), "{text}");
    for mode in ["app", "ring3"] {
        assert!(text.contains(&format!("{mode} ended with 7")), "{text}");
        let log = part(&text, mode);
        assert!(log.contains("writev(1, [{iov_base=\"hello\", iov_len=5}"), "{log}");
        assert!(log.contains("exit_group(7)") && log.contains("+++ exited with 7 +++"), "{log}");
    }
    let (app, ring3) = (calls(part(&text, "app")), calls(part(&text, "ring3")));
    assert!(app.len() > 3, "{app:?}");
    assert_eq!(app, ring3, "{text}");
}

/// A world, and the image with the program and its folder, which is there as long as the image is.
fn ready() -> (World, Own, String) {
    let (image, turn) = image();
    // The world takes it, too.
    drop(turn);
    let folder = image.dir.root().display().to_string();
    (World::booting(), image, folder)
}

/// `ukl debug` without questions: what gdb does, on the program of the image, or on a guest that runs.
fn debug(world: &World, target: &[&str], commands: &[&str], args: &[&str]) -> world::Done {
    let mut words = vec!["debug", "--batch"];
    words.extend(commands.iter().flat_map(|command| ["--ex", command]));
    words.extend(target);
    words.extend(args);
    world.ukl(&words)
}

#[test]
fn gdb_stops_in_the_program_and_in_the_kernel_under_the_names_of_the_sources() {
    if tool("gdb").is_none() {
        return;
    }
    let (world, _image, folder) = ready();
    let target = ["--accel", "tcg", "--out", &folder];
    let commands = [
        "info symbol $pc",
        "break middle",
        "continue",
        "backtrace",
        "print depth",
        "print kept",
        "info symbol pthread_create",
        "break do_exit",
        "delete 2",
        "continue",
        "info symbol $pc",
    ];
    let done = debug(&world, &target, &commands, &["--", "crash"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    for wanted in [
        "_start in section .ukl.text",
        "#0  middle (depth=1) at ./tool.c:40",
        "in main (argc=2, ",
        " = 1\n",
        " = 31\n",
        "pthread_create in section .ukl.text",
        "do_exit in section .text",
    ] {
        assert!(done.out.contains(wanted), "no `{wanted}` in {}\n{}", done.out, done.err);
    }
    assert_eq!(world.guest("tool-debug"), serde_json::Value::Null);
    world.nothing_is_left();
}

#[test]
fn gdb_lets_the_program_end_and_its_output_is_shown() {
    if tool("gdb").is_none() {
        return;
    }
    let (world, _image, folder) = ready();
    let done = debug(&world, &["--accel", "tcg", "--out", &folder], &["continue"], &[]);
    assert!(done.code == Some(0) && done.out.contains("hello"), "{done:?}");
    assert!(done.err.contains("`tool`: exited 7"), "{done:?}");
}

#[test]
fn gdb_looks_at_a_guest_that_runs_and_leaves_it_running() {
    if tool("gdb").is_none() {
        return;
    }
    let (world, _image, folder) = ready();
    world.ukl(&["run", "-d", "--name", "still", "--accel", "tcg", "--out", &folder, "--", "wait"]).ends(0, &[]);
    for _ in 0..2 {
        let done = debug(&world, &["still"], &["info symbol do_exit", "info threads"], &[]);
        assert!(done.code == Some(0) && done.out.contains("do_exit in section .text"), "{done:?}");
    }
    assert_eq!(world.guest("still")["state"], "running");
    world.ukl(&["kill", "-s", "TERM", "still"]).ends(0, &[]);
    world.waits_for("still", "signal 15");
    world.ukl(&["debug", "still"]).fails(2, &[]);
}

#[test]
fn an_editor_starts_the_guest_and_attaches() {
    let Some(gdb) = tool("gdb") else { return };
    let (world, _image, folder) = ready();
    let printed = world.ukl(&["debug", "--print-launch", "--out", &folder, "--", "crash"]);
    let launch: serde_json::Value = serde_json::from_str(&printed.out).unwrap();
    let launch = &launch["configurations"][0];
    let word = |key: &str| launch[key].as_str().unwrap_or_else(|| panic!("no {key} in {launch}")).to_owned();
    assert_eq!((word("type"), word("MIMode"), word("debugServerPath")), ("cppdbg".into(), "gdb".into(), "ukl".into()));
    let args = shlex::split(&word("debugServerArgs")).unwrap();
    let mut server = world.command(&args).spawn().unwrap();
    let said = world::says(server.stderr.as_mut().unwrap(), &word("serverStarted"));
    assert!(said.contains(&word("serverStarted")), "{said}");
    let attach = format!("target remote {}", word("miDebuggerServerAddress"));
    let mut cmd = Cmd::new(gdb).args(["-nx", "-batch"]);
    for command in [&attach, "break main", "continue", "backtrace", "kill"] {
        cmd = cmd.args(["-ex", command]);
    }
    let output = SHELL.run(&cmd.arg(word("program"))).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("#0  main (argc=") && said.contains(" at ./tool.c:"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    server.wait().unwrap();
    world.nothing_is_left();
}

#[test]
fn a_crash_says_where_in_both_modes_and_in_the_background() {
    if tool("gdb").is_none() {
        return;
    }
    let (world, image, folder) = ready();
    let crashed = |words: &[&str]| world.ukl(&[&["run", "--accel", "tcg", "--out", &folder], words].concat());
    let deepest = ["#0  deepest (depth=2) at ./tool.c:27", "#1  middle (depth=1) at ./tool.c:44", " main (argc=2, "];
    for mode in [&["--", "crash"][..], &["--twin", "--", "crash"]] {
        let done = crashed(mode);
        done.fails(139, &["`tool` was killed by signal 11", "  core    "]).fails(139, &deepest);
        assert!(image.dir.run().core().metadata().unwrap().len() < 2 << 20);
    }
    crashed(&["--", "abort"]).fails(134, &["killed by signal 6", " abort ", " middle (depth=1) at ./tool.c:41"]);
    let json = crashed(&["--json", "--", "crash"]).json();
    let frames = json["result"]["run"]["frames"].as_array().unwrap().clone();
    assert!(frames.iter().any(|frame| frame.as_str().unwrap().contains("deepest (depth=2)")), "{json}");
    // A good end leaves none, and neither does a signal that dumps nothing.
    crashed(&[]).fails(7, &[]);
    assert!(!image.dir.run().core().exists());
    let told = crashed(&["--memory", "64M", "--", "memory"]);
    told.fails(137, &["killed by signal 9", "the guest's memory was full", "--memory"]);
    world.ukl(&["run", "-d", "--name", "broken", "--accel", "tcg", "--out", &folder, "--", "crash"]);
    world.waits_for("broken", "signal 11");
    let said = world.ukl(&["logs", "broken"]).out;
    assert!(said.contains("crashed:\n") && said.contains("  #0  deepest (depth=2) at ./tool.c:27"), "{said}");
}
