//! `ukl cc` in the hands of real build systems: make, configure and cmake, with both compilers.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests.

use std::path::Path;

use ukl::error::render;
use ukl::manifest;
use ukl::pipeline::{self, Clock, Env, Program};
use ukl::run::{Cmd, Output, Shell};
use ukl::toolchain;
use ukl::workdir::{self, Cache, ImageDir};

const UKL: &str = env!("CARGO_BIN_EXE_ukl");
const SHELL: Shell = Shell { verbose: false, dry_run: false };

/// Runs `check` with each compiler that is installed.
fn with_each(check: impl Fn(&str)) {
    for compiler in ["gcc", "clang"] {
        match toolchain::which(compiler) {
            Some(_) => check(compiler),
            None => eprintln!("skip: {compiler} is not installed"),
        }
    }
}

fn write(dir: &Path, name: &str, text: &str) {
    workdir::write_atomic(&dir.join(name), text.as_bytes()).unwrap();
}

/// Runs `script` in `dir` as a person would, after `eval "$(ukl env)"`.
fn shell(compiler: &str, dir: &Path, script: &str) -> Output {
    let script = format!("set -e\neval \"$('{UKL}' env --compiler {compiler} --prefix \"$PWD/root\")\"\n{script}");
    SHELL.run(&Cmd::new("sh").args(["-c", &script]).cwd(dir)).unwrap()
}

fn succeed(compiler: &str, dir: &Path, script: &str) -> String {
    let output = shell(compiler, dir, script);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}\n{}{errors}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap()
}

fn fail(compiler: &str, dir: &Path, script: &str) -> String {
    let output = shell(compiler, dir, script);
    assert!(!output.status.success(), "{script}");
    String::from_utf8(output.stderr).unwrap()
}

/// The program that `ukl cc` linked, on its way into the kernel.
fn program(path: &Path, out: &Path) -> Program {
    let env = Env { shell: SHELL, cache: Cache::from_env().unwrap() };
    let manifest = manifest::from_program(path).unwrap();
    let program = pipeline::program(&env, &manifest, &ImageDir::at(out), &mut Clock::default(), &mut |_| ());
    program.unwrap_or_else(|error| panic!("{}", render(&error).0))
}

const MAIN: &str = "#include <pthread.h>\n#include <stdio.h>\n#include <math.h>\nint f(int);\n\
    static void *work(void *p) { return p; }\n\
    int main(int argc, char **argv) {\n\tpthread_t t; void *p;\n\
    \tpthread_create(&t, 0, work, argv); pthread_join(t, &p);\n\
    \tprintf(\"%d %d %s\\n\", f(argc), p == argv, argv[argc - 1]);\n\treturn (int)sqrt(argc * argc);\n}\n";

#[test]
fn one_call_links_for_ring_3_and_for_the_kernel() {
    with_each(|compiler| {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        write(dir, "main.c", MAIN);
        write(dir, "f.c", "int f(int n) { return n * 7; }\n");
        let said = succeed(
            compiler,
            dir,
            "$CC -fPIC -pie -flto main.c f.c -o prog -lm -lpthread -ldl -lrt\n./prog one || test $? = 2\n",
        );
        assert_eq!(said, "14 1 one\n");
        let first = program(&dir.join("prog"), &dir.join("out"));
        assert!(first.prefixed.sites > 20, "{}", first.prefixed.sites);
        // What was installed is the same program still.
        succeed(compiler, dir, "mkdir bin\ninstall -s prog bin/renamed\nrm main.c f.c\n");
        let second = program(&dir.join("bin/renamed"), &dir.join("out2"));
        assert_eq!(second.archive.sha256, first.archive.sha256);
        assert!(second.linked.twin.metadata().unwrap().len() < first.linked.twin.metadata().unwrap().len());
    });
}

#[test]
fn objects_come_from_pipes_response_files_and_thin_archives() {
    with_each(|compiler| {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        write(dir, "main.c", MAIN);
        write(dir, "sub dir/f.c", "int f(int n) { return n * X; }\n");
        write(dir, "words", "-c \"sub dir/f.c\"\n-DX=3 -o f.o\n");
        let script = "$CC -pipe -x c - -c -o main.o < main.c\n$CC @words\n$AR rcsT libf.a f.o\n\
            $CC -o prog main.o -L. -lf -L/usr/lib/x86_64-linux-gnu\n./prog || test $? = 1\n";
        assert_eq!(succeed(compiler, dir, script), "3 1 ./prog\n");
        program(&dir.join("prog"), &dir.join("out"));
    });
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    write(dir, "main.c", "int main(void) { return 0; }\n");
    let text = fail("gcc", dir, "$CC -shared -o libmain.so main.c");
    assert!(text.contains("`ukl cc` cannot do `-shared`"), "{text}");
    let text = fail("gcc", dir, "touch libx.so.1\n$CC main.c libx.so.1");
    assert!(text.contains("`libx.so.1` is a shared library"), "{text}");
    let text = fail("gcc", dir, "gcc main.c -o foreign\n${CC% cc} build foreign");
    assert!(text.contains("foreign` was not linked by `ukl cc`"), "{text}");
}

#[test]
fn configure_and_cmake_need_no_flags() {
    with_each(|compiler| {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        write(dir, "f.c", "int f(int n) { return n + 1; }\n");
        write(dir, "main.c", MAIN);
        let lists = "cmake_minimum_required(VERSION 3.18)\nproject(p C)\nfind_package(Threads REQUIRED)\n\
            add_library(f f.c)\nset_property(TARGET f PROPERTY POSITION_INDEPENDENT_CODE ON)\n\
            add_executable(prog main.c)\ntarget_link_libraries(prog f m Threads::Threads)\n";
        write(dir, "CMakeLists.txt", lists);
        if toolchain::which("cmake").is_some() {
            succeed(compiler, dir, "cmake -B b .\ncmake --build b\n./b/prog || test $? = 1\n");
            program(&dir.join("b/prog"), &dir.join("out"));
        } else {
            eprintln!("skip: cmake is not installed");
        }
        let site = "enable_static= enable_shared=\nunset enable_shared enable_static\nprefix=NONE\n. $CONFIG_SITE\n\
            echo $enable_shared $enable_static $with_pic $prefix\n";
        assert_eq!(succeed(compiler, dir, site), format!("no yes no {}/root\n", dir.display()));
        let site = "enable_shared=yes prefix=/usr\n. $CONFIG_SITE\necho $enable_shared $prefix\n";
        assert_eq!(succeed(compiler, dir, site), "yes /usr\n", "the user's own options win");
    });
}

#[test]
fn a_manifest_builds_libraries_and_a_program_of_fetched_sources() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    write(dir, "lib/f.c", "int f(int n) { return n * 5; }\n");
    let makefile = "install: f.o\n\tmkdir -p $(UKL_PREFIX)/lib $(UKL_PREFIX)/include\n\
        \t$(AR) rcs $(UKL_PREFIX)/lib/libf.a f.o\n\techo 'int f(int);' > $(UKL_PREFIX)/include/f.h\n";
    write(dir, "lib/Makefile", makefile);
    write(dir, "app/main.c", "#include <f.h>\nint main(int c, char **v) { return f(c); }\n");
    write(dir, "app/Makefile", "prog: main.o\n\t$(CC) -o $@ $< -lf\n");
    let text = "name = \"prog\"\nprogram = \"app/prog\"\nsource = [{ path = \"lib\" }, { path = \"app\" }]\n\
        build = [{ dir = \"lib\", run = \"make install\" }, { dir = \"app\", run = \"make\" }]\n";
    write(dir, "ukl.toml", text);
    std::env::set_var("UKL_PROGRAM", UKL);
    let env = Env { shell: SHELL, cache: Cache::from_env().unwrap() };
    let image = ImageDir::at(dir.join("out"));
    let build = || {
        let manifest = manifest::load(dir).unwrap();
        let program = pipeline::program(&env, &manifest, &image, &mut Clock::default(), &mut |_| ());
        program.unwrap_or_else(|error| panic!("{}", render(&error).0))
    };
    let first = build();
    let status = |program: &Program| SHELL.run(&Cmd::new(&program.linked.twin)).unwrap().status.code();
    assert_eq!(status(&first), Some(5));
    assert!(!dir.join("lib/f.o").exists(), "a user's folder is not written to");
    let log = || std::fs::metadata(image.log("build")).unwrap().modified().unwrap();
    let before = log();
    build();
    assert_eq!(log(), before, "nothing changed, nothing is built");
    write(dir, "lib/f.c", "int f(int n) { return n * 6; }\n");
    assert_eq!(status(&build()), Some(6));
}
