//! `ukl cc` in the hands of real build systems: make, configure and cmake, with both compilers.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests.

mod world;

use std::path::Path;

use ukl::base::error::render;
use ukl::base::run::{Cmd, Output};
use ukl::base::workdir::{self, ImageDir};
use ukl::manifest;
use ukl::pipeline::{self, Clock, Program};
use ukl::program::toolchain;
use world::{env, SHELL, UKL};

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

/// [`succeed`], with glibc.
fn with_glibc(dir: &Path, script: &str) -> String {
    let env = format!("eval \"$('{UKL}' env --libc glibc --prefix \"$PWD/root\")\"\n{script}");
    succeed("gcc", dir, &env)
}

/// The program that `ukl cc` linked, on its way into the kernel.
fn program(path: &Path, out: &Path) -> Program {
    let env = env();
    let manifest = manifest::from_program(path).unwrap();
    let program = pipeline::program(&env, &manifest, &ImageDir::at(out), &mut Clock::default(), &mut |_| ());
    program.unwrap_or_else(|error| panic!("{}", render(&error).0))
}

/// A thread, a square root and f(), which each test has of its own.
const MAIN: &str = include_str!("programs/threads.c");

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
fn a_probe_says_what_the_build_will_find() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    write(dir, "main.c", "int main(void) { return 0; }\n");
    // The host has it, for glibc.
    for output in ["conftest", "prog"] {
        let text = fail("gcc", dir, &format!("$CC -o {output} main.c -lanl -L/usr/lib/x86_64-linux-gnu"));
        assert!(text.contains("cannot find -lanl") && text.contains("`libc = \"glibc\"` takes it"), "{text}");
    }
    let clones = "__attribute__((target_clones(\"avx2\", \"default\"))) int g(int x) { return x * 3; }\n\
        int main(int c, char **v) { return g(c) - 3; }\n";
    write(dir, "clones.c", clones);
    write(dir, "nested.c", "int main(int c, char **v) {\n\tint f(int x) { return x + c; }\n\tint (*volatile p)(int) = f;\n\treturn p(1);\n}\n");
    for output in ["conftest", "prog"] {
        let text = fail("gcc", dir, &format!("$CC -c clones.c\n$CC -o {output} clones.o"));
        let parts = ["`g` is chosen by a resolver (IFUNC), in `clones.o`", "blame   app"];
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        let text = fail("gcc", dir, &format!("$CC -c nested.c\n$CC -o {output} nested.o"));
        assert!(text.contains("`nested.o` needs an executable stack"), "{text}");
        assert!(!dir.join(output).exists());
    }
    let text = fail("gcc", dir, "$CC -fopenmp -c main.c");
    assert!(text.contains("libgomp, is made for glibc") && text.contains("blame   usage"), "{text}");
    let said = succeed("gcc", dir, "$CC -dumpmachine\n$CC --print-multiarch\n$CC -print-file-name=libanl.a\n");
    assert_eq!(said, "x86_64-linux-musl\nx86_64-linux-musl\nlibanl.a\n");
}

#[test]
fn with_glibc_languages_and_libraries_of_the_host_are_at_hand() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let parallel = "#include <omp.h>\n#include <stdio.h>\nint main(void) {\n\tlong sum = 0;\n\
        #pragma omp parallel for reduction(+ : sum) num_threads(4)\n\tfor (int i = 0; i < 1000; i++) sum += i;\n\
        \tprintf(\"%ld\\n\", sum);\n}\n";
    write(dir, "parallel.c", parallel);
    assert_eq!(
        with_glibc(dir, "$CC -fopenmp -c parallel.c\n$CC -fopenmp -o parallel parallel.o\n./parallel\n"),
        "499500\n"
    );
    program(&dir.join("parallel"), &dir.join("out1"));
    assert_eq!(with_glibc(dir, "$CC -dumpmachine\n"), "x86_64-linux-gnu\n");
    let thrower =
        "#include <stdexcept>\n#include <cstdio>\nint main() {\n\ttry { throw std::runtime_error(\"thrown\"); }\n\
        \tcatch (const std::exception &e) { std::puts(e.what()); }\n}\n";
    write(dir, "thrower.cc", thrower);
    for (tool, script, out) in [
        ("g++", "$CXX -c thrower.cc\n$CXX -o thrower thrower.o\n./thrower\n", "thrown\n"),
        ("gfortran", "echo \"print '(I0)', 6\nend\" > six.f90\n$FC -o thrower six.f90\n./thrower\n", "6\n"),
    ] {
        if toolchain::which(tool).is_none() {
            eprintln!("skip: {tool} is not installed");
            continue;
        }
        assert_eq!(with_glibc(dir, script), out);
        program(&dir.join("thrower"), &dir.join(tool));
    }
    if toolchain::which("pkg-config").is_none() || !Path::new("/usr/include/zlib.h").exists() {
        eprintln!("skip: pkg-config or zlib1g-dev is not installed");
        return;
    }
    write(dir, "z.c", "#include <stdio.h>\n#include <zlib.h>\nint main(void) { return puts(zlibVersion()) == EOF; }\n");
    let said =
        with_glibc(dir, "$CC -o z z.c $($PKG_CONFIG --cflags --libs zlib)\n./z\n$PKG_CONFIG --modversion zlib\n");
    let (first, second) = said.split_once('\n').unwrap();
    assert_eq!(first, second.trim_end());
    program(&dir.join("z"), &dir.join("out2"));
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
    let env = env();
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

/// A tarball `NAME-1.0.tar.gz` of a program that ends with `status`; its checksum is no other's.
fn tarball(dir: &Path, name: &str, status: u8) -> (std::path::PathBuf, String) {
    let tree = dir.join(format!("{name}-1.0"));
    write(&tree, "main.c", &format!("/* {} */\nint main(void) {{ return {status}; }}\n", dir.display()));
    write(&tree, "Makefile", "prog: main.o\n\t$(CC) -o $@ $<\n");
    let file = dir.join(format!("{name}-1.0.tar.gz"));
    let cmd = Cmd::new("tar").arg("--create").arg("--gzip").arg("--file").arg(&file).arg("--directory").arg(dir);
    assert!(SHELL.run(&cmd.arg(format!("{name}-1.0"))).unwrap().status.success());
    let sum = workdir::hash_file(&file).unwrap();
    (file, sum)
}

/// A web server for `files` of one folder, as long as the test runs; its address.
fn web_server(files: std::path::PathBuf) -> String {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let request = lines.next().unwrap_or_default();
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let name = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
            let (status, body) = match std::fs::read(files.join(name)) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    address
}

#[test]
fn a_tarball_behind_a_url_is_fetched_checked_and_built() {
    std::env::set_var("UKL_PROGRAM", UKL);
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let env = env();
    let build = |out: &str, url: &str, sum: &str| {
        let source = format!("source = {{ url = \"{url}\", sha256 = \"{sum}\", name = \"tree\" }}\n");
        let rest = "build = [{ dir = \"tree\", run = \"make\" }]\nprogram = \"tree/prog\"\n";
        write(&dir.join("project"), "ukl.toml", &format!("name = \"prog\"\n{source}{rest}"));
        let manifest = manifest::load(&dir.join("project")).unwrap();
        pipeline::program(&env, &manifest, &ImageDir::at(dir.join(out)), &mut Clock::default(), &mut |_| ())
    };
    let server = web_server(dir.to_owned());
    let (here, here_sum) = tarball(dir, "here", 5);
    let (there, there_sum) = tarball(dir, "there", 6);
    let cases =
        [(format!("file://{}", here.display()), &here_sum, 5), (format!("{server}/there-1.0.tar.gz"), &there_sum, 6)];
    for (i, (url, sum, status)) in cases.iter().enumerate() {
        let program = build(&format!("out{i}"), url, sum).unwrap_or_else(|error| panic!("{}", render(&error).0));
        let ended = SHELL.run(&Cmd::new(&program.linked.twin)).unwrap().status.code();
        assert_eq!(ended, Some(*status), "{url}");
    }
    // The second build needs neither file nor network.
    std::fs::remove_file(&there).unwrap();
    build("again", &cases[1].0, &there_sum).unwrap();

    let refused = |url: &str, sum: &str, parts: &[&str]| {
        let (text, code) = render(&build("refused", url, sum).unwrap_err());
        assert_eq!(code, ukl::base::error::Class::Host.exit_code(), "{text}");
        parts.iter().for_each(|part| assert!(text.contains(part), "no `{part}` in\n{text}"));
        assert!(!dir.join("refused/stages/make/tree").exists(), "nothing was unpacked");
    };
    let wrong = "0".repeat(64);
    let url = format!("{server}/here-1.0.tar.gz");
    let expected = format!("checksum of `{url}` is wrong: expected {wrong}, got {here_sum}");
    refused(&url, &wrong, &[&expected, "nothing was kept"]);
    refused(&format!("{server}/gone-1.0.tar.gz"), &wrong, &["404", "gone-1.0.tar.gz"]);
    refused(&format!("file://{}/gone.tar", dir.display()), &wrong, &["gone.tar"]);
    write(dir, "text.tar", &format!("no tarball: {}\n", dir.display()));
    let sum = workdir::hash_file(&dir.join("text.tar")).unwrap();
    refused(&format!("{server}/text.tar"), &sum, &["tar"]);

    // What has this test's checksums is of no use to anybody.
    for sum in [here_sum, there_sum] {
        let key = &workdir::hash(["tarball-1", &sum])[..24];
        std::fs::remove_dir_all(env.cache.entry("upstream", key)).unwrap();
    }
}
