//! `ukl script`: the shell script makes the same bytes as `ukl build`, and boots.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests.

mod world;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use ukl::program::{toolchain, userland};
use world::{env, example, program, UKL};

const FILES: [&str; 5] = ["UKL.a", "initrd.cpio.lz4", "kernel.config", "vmlinux", "bzImage"];

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn ukl(args: &[&str], dir: &Path) -> Output {
    let output = Command::new(UKL).args(args).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "ukl {args:?}: {}", text(&output.stderr));
    output
}

/// A copy of an example, or of another project, in `dir`.
fn copy(project: &Path, dir: &Path) -> PathBuf {
    let to = dir.join(project.file_name().unwrap());
    for entry in walkdir::WalkDir::new(project).into_iter().filter_entry(|entry| entry.file_name() != "build") {
        let entry = entry.unwrap();
        let path = to.join(entry.path().strip_prefix(project).unwrap());
        match entry.file_type().is_dir() {
            true => fs::create_dir(path).unwrap(),
            // Nobody's lock file.
            false if entry.file_name() == "ukl.lock" => {}
            false => drop(fs::copy(entry.path(), path).unwrap()),
        }
    }
    to
}

/// What `image.json` says of the kernel.
fn kernel(image: &Path, name: &str) -> String {
    let info: serde_json::Value = serde_json::from_str(&fs::read_to_string(image.join("image.json")).unwrap()).unwrap();
    info["kernel"][name].as_str().unwrap().to_owned()
}

/// The kernel's patched tree in the cache, whose tool makes RAM disks.
fn linux(image: &Path) -> PathBuf {
    env().cache.entry("patched", &kernel(image, "source")[..16])
}

/// What a script takes from the cache: a copy of the kernel's build folder in `dir`, the rest as it is.
fn reused(image: &Path, dir: &Path) -> Vec<(&'static str, PathBuf)> {
    let cache = env().cache;
    let key = &kernel(image, "key");
    let kbuild = dir.join(key);
    if !kbuild.exists() {
        // Others link in there.
        let _lock = cache.lock("kernel", key).unwrap();
        let copy = Command::new("cp").arg("-a").arg(cache.entry("kernel", key)).arg(dir).status().unwrap();
        assert!(copy.success());
    }
    vec![("KBUILD", kbuild), ("LINUX", linux(image)), ("SYSROOT", c_library())]
}

fn c_library() -> PathBuf {
    userland::find(&env(), "gcc", ukl::manifest::Libc::Musl).unwrap().value.sysroot.dir
}

/// Runs the script in `dir`; what it makes is below `out` there.
fn run(script: &Path, out: &Path, variables: &[(&str, PathBuf)]) -> Output {
    let mut sh = Command::new("sh");
    sh.arg(script).env("OUT", out).env("UKL", UKL).stdin(Stdio::null());
    // Another shell's variables must make no difference.
    sh.env("KCFLAGS", "-DWRONG").env("CFLAGS", "-DWRONG").envs(variables.iter().map(|(name, path)| (name, path)));
    sh.output().unwrap()
}

#[track_caller]
fn good(output: &Output) {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
}

#[track_caller]
fn same(names: &[&str], one: &Path, other: &Path) {
    let differ: Vec<&&str> =
        names.iter().filter(|name| fs::read(one.join(name)).unwrap() != fs::read(other.join(name)).unwrap()).collect();
    assert!(differ.is_empty(), "these differ: {differ:?}");
}

/// Writes the script of `project` and looks at it as shells do.
fn script(project: &Path, options: &[&str]) -> PathBuf {
    let file = project.join("by-hand.sh");
    let words = [&["script", ".", "-o", "by-hand.sh"], options].concat();
    ukl(&words, project);
    for shell in ["sh", "bash"] {
        assert!(Command::new(shell).arg("-n").arg(&file).status().unwrap().success(), "{shell}");
    }
    if toolchain::which("shellcheck").is_some() {
        let found = Command::new("shellcheck").arg(&file).output().unwrap();
        assert!(found.status.success(), "{}", text(&found.stdout));
    } else {
        eprintln!("skip: no shellcheck to look at the script of `ukl script`");
    }
    file
}

#[test]
fn the_script_makes_the_same_bytes_and_boots() {
    let dir = tempfile::tempdir().unwrap();
    for (name, boot) in [("hello", "yes"), ("tcp_server", "no")] {
        let project = copy(&example(name), dir.path());
        ukl(&["build"], &project);
        let image = project.join("build").join(name);
        let file = script(&project, &[]);
        let mut variables = reused(&image, dir.path());
        variables.push(("BOOT", boot.into()));
        let out = dir.path().join(format!("{name}.out"));
        let output = run(&file, &out, &variables);
        good(&output);
        // What the cache has is not made again.
        let steps = text(&output.stderr);
        for step in ["the C library", "the source of the kernel", "the configuration", "the objects of the kernel"] {
            assert!(!steps.contains(step), "{steps}");
        }
        same(&FILES, &out, &image);
        same(&["twin"], &out, &image);
        if boot == "yes" {
            assert!(text(&output.stdout).contains("hello, world"), "{}", text(&output.stdout));
        }
    }
}

/// The script up to the kernel, and its files: what runs in a second beside [`with_kernel`].
fn first_half(file: &Path) -> PathBuf {
    let whole = fs::read_to_string(file).unwrap();
    let (before, rest) = whole.split_once("\n# ---- The kernel's source").unwrap();
    let (_, disk) = rest.split_once("\n# ---- The initial RAM disk").unwrap();
    let (disk, files) = disk.split_once("\n# ---- Boot").unwrap();
    let files = files.split_once("\n# ---- Files").unwrap().1;
    let half = file.with_extension("half.sh");
    fs::write(&half, format!("{before}\n#{disk}\nexit 0\n#{files}")).unwrap();
    half
}

/// Lets the first half find the build's kernel, of which the file that starts the program is made.
fn with_kernel(image: &Path, out: &Path) {
    fs::create_dir_all(out).unwrap();
    fs::copy(image.join("vmlinux"), out.join("vmlinux")).unwrap();
}

#[test]
fn sections_arguments_and_files_are_those_of_the_build() {
    let dir = tempfile::tempdir().unwrap();
    let project = copy(&program("odd"), dir.path());
    ukl(&["build"], &project);
    let (image, out) = (project.join("build/odd"), dir.path().join("out"));
    with_kernel(&image, &out);
    good(&run(&first_half(&script(&project, &[])), &out, &[("SYSROOT", c_library()), ("LINUX", linux(&image))]));
    same(&["UKL.a", "twin", "initrd.cpio.lz4"], &out, &image);
    assert!(text(&fs::read(out.join("stages/link/partial.lds")).unwrap()).contains("__stop_set_of_mine"));
}

#[test]
fn with_objcopy_the_symbols_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let project = copy(&example("hello"), dir.path());
    ukl(&["build"], &project);
    let (image, out) = (project.join("build/hello"), dir.path().join("out"));
    with_kernel(&image, &out);
    good(&run(
        &first_half(&script(&project, &["--objcopy"])),
        &out,
        &[("SYSROOT", c_library()), ("LINUX", linux(&image))],
    ));
    let tool = |words: &[&str], folder: &Path| {
        let output = Command::new(words[0]).args(&words[1..]).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "{words:?}");
        text(&output.stdout)
    };
    for words in [&["nm", "UKL.a"][..], &["objdump", "-d", "-r", "-s", "UKL.a"]] {
        assert!(tool(words, &out) == tool(words, &image), "{words:?}");
    }
}

#[test]
#[ignore = "links a kernel twice more: half a minute"]
fn with_objcopy_the_kernel_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let project = copy(&example("tcp_server"), dir.path());
    ukl(&["build"], &project);
    let (image, out) = (project.join("build/tcp_server"), dir.path().join("out"));
    let mut variables = reused(&image, dir.path());
    variables.push(("BOOT", "no".into()));
    good(&run(&script(&project, &["--objcopy"]), &out, &variables));
    same(&FILES[1..], &out, &image);
}

#[test]
#[ignore = "builds the C library and a kernel from nothing: about ten minutes of both processors"]
fn from_nothing_the_script_makes_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let project = copy(&example("hello"), dir.path());
    ukl(&["build"], &project);
    let out = dir.path().join("out");
    let output = run(&script(&project, &[]), &out, &[]);
    good(&output);
    assert!(text(&output.stdout).contains("hello, world"), "{}", text(&output.stdout));
    same(&FILES, &out, &project.join("build/hello"));
}

#[test]
fn what_is_more_than_plain_commands_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (name, what) in [("redis", "has its own build"), ("kernel_calls", "calls functions of the kernel")] {
        let project = copy(&example(name), dir.path());
        let mut ukl = Command::new(UKL);
        let output = ukl.arg("script").current_dir(&project).output().unwrap();
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(what) && said.contains("hint"), "{said}");
    }
}
