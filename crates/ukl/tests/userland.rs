//! The userland half on the real tools: compile, link, prefix and archive real programs, run their twins.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests.

mod world;

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use ukl::base::env::Env;
use ukl::base::error::{render, Result};
use ukl::base::plan::{Made, INPUTS_ANEW};
use ukl::base::run::{Cmd, Output, Shell};
use ukl::base::workdir::{self, Cache, ImageDir};
use ukl::manifest::{self, BuildCommand, Manifest};
use ukl::pipeline::{self, Clock};
use ukl::program::archive::{self, AppArchive};
use ukl::program::build;
use ukl::program::compile::{self, Objects};
use ukl::program::libc::musl;
use ukl::program::link::{self, Linked};
use ukl::program::prefix::{self, Prefixed};
use ukl::program::toolchain;
use ukl::program::userland::{self, Userland};
use world::{env, example, SHELL};

const EXAMPLES: [&str; 6] = ["hello", "args", "threads", "signals", "faults", "fork"];

/// Toolchain and sysroot of `compiler`; `None` when it is not installed.
fn tools(compiler: &str) -> Option<&'static Made<Userland>> {
    static GCC: OnceLock<Option<Made<Userland>>> = OnceLock::new();
    static CLANG: OnceLock<Option<Made<Userland>>> = OnceLock::new();
    let cell = if compiler == "gcc" { &GCC } else { &CLANG };
    let make = || {
        if toolchain::which(compiler).is_none() {
            eprintln!("skip: {compiler} is not installed");
            return None;
        }
        Some(userland::find(&env(), compiler, ukl::manifest::Libc::Musl).unwrap())
    };
    cell.get_or_init(make).as_ref()
}

/// Runs `check` with each compiler that is installed.
fn with_each(check: impl Fn(&Tools)) {
    for compiler in ["gcc", "clang"] {
        if let Some(userland) = tools(compiler) {
            check(&Tools { userland });
        }
    }
}

struct Tools {
    userland: &'static Made<Userland>,
}

/// A program that went through all of the userland stages.
struct Built {
    objects: Objects,
    linked: Linked,
    prefixed: Prefixed,
    archive: AppArchive,
}

impl Tools {
    fn link(&self, manifest: &Manifest, dir: &ImageDir) -> Result<(Objects, Linked)> {
        // Build systems call `ukl`, which this test is not.
        std::env::set_var("UKL_PROGRAM", env!("CARGO_BIN_EXE_ukl"));
        build::run(&env(), self.userland, manifest, dir)?;
        let objects = compile::compile(&env(), self.userland, manifest, dir)?;
        let linked = link::link(&env(), self.userland, manifest, &objects, dir)?;
        Ok((objects.value, linked.value))
    }

    fn build(&self, manifest: &Manifest, dir: &ImageDir) -> Built {
        let (objects, linked) = self.link(manifest, dir).unwrap_or_else(|error| panic!("{}", render(&error).0));
        let prefixed = prefix::prefix(&linked, dir).unwrap();
        let archive = archive::archive(&prefixed, &[], dir).unwrap();
        Built { objects, linked, prefixed, archive }
    }

    /// The archive linked for ring 3 with a stand-in for the kernel's entry.
    fn link_archive(&self, built: &Built, dir: &Path) -> PathBuf {
        let (entry, output) = (dir.join("entry.o"), dir.join("rewritten"));
        let source = data("entry.S");
        let assemble = Cmd::new(&self.userland.toolchain.cc).arg("-c").arg(source).arg("-o").arg(&entry);
        SHELL.check(&assemble, ukl::base::error::Class::App).unwrap();
        let link = Cmd::new(&self.userland.toolchain.ld)
            .args(["-static", "-z", "noexecstack", "-e", "ukl__start", "-o"])
            .args([&output, &entry])
            .arg("--whole-archive")
            .arg(&built.archive.path);
        SHELL.check(&link, ukl::base::error::Class::App).unwrap();
        output
    }
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/userland").join(name)
}

fn from_data(names: &[&str]) -> Manifest {
    manifest::from_files(&names.iter().map(|name| data(name)).collect::<Vec<_>>()).unwrap()
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    workdir::write_atomic(&path, text.as_bytes()).unwrap();
    path
}

/// A manifest for files in `dir`, as if it lay there.
fn in_dir(dir: &Path, files: &[PathBuf]) -> Manifest {
    Manifest { dir: dir.to_owned(), ..manifest::from_files(files).unwrap() }
}

fn run(program: &Path, manifest: &Manifest) -> Output {
    let cmd = Cmd::new(program).args(&manifest.args).limit(Duration::from_secs(60));
    let cmd = manifest.env.iter().fold(cmd, |cmd, (key, value)| cmd.env(key, value));
    SHELL.run(&cmd).unwrap()
}

/// Standard output as it must be, with the exit status as its last line unless it is 0.
fn said(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let mut text: String =
        text.lines().filter(|line| !line.starts_with("mode:")).map(|line| format!("{line}\n")).collect();
    match output.status.code() {
        Some(0) => (),
        Some(code) => text.push_str(&format!("exit: {code}\n")),
        None => text.push_str(&format!("signal: {}\n", output.status.signal().unwrap())),
    }
    text
}

fn disassemble(file: &Path) -> String {
    let output = SHELL.check(&Cmd::new("objdump").arg("-d").arg(file), ukl::base::error::Class::Host).unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn instructions(text: &str, mnemonic: &str) -> usize {
    text.lines().filter(|line| line.split('\t').nth(2).is_some_and(|text| text.trim() == mnemonic)).count()
}

#[test]
fn the_sysroot_is_complete_and_found_again() {
    with_each(|tools| {
        for file in
            ["lib/libc.a", "lib/crt1.o", "include/stdio.h", "include/linux/futex.h", "include/sys/queue.h", "hook/as"]
        {
            assert!(tools.userland.sysroot.dir.join(file).is_file(), "{}: {file}", tools.userland.toolchain.version);
        }
        let again = musl::build(&env(), &tools.userland.toolchain).unwrap();
        assert_eq!(again.key, tools.userland.sysroot.key);
    });
}

#[test]
fn a_dry_run_of_everything_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let env = Env { shell: Shell::dry(), cache: Cache::at(temp.path().join("cache")) };
    let userland = userland::find(&env, "gcc", ukl::manifest::Libc::Musl).unwrap();
    assert!(userland.pending);
    let manifest = manifest::load(&example("signals")).unwrap();
    let dir = ImageDir::at(temp.path().join("out"));
    let objects = compile::compile(&env, &userland, &manifest, &dir).unwrap();
    assert_eq!(objects.why, [INPUTS_ANEW]);
    assert!(link::link(&env, &userland, &manifest, &objects, &dir).unwrap().pending);
    let commands = env.shell.shown().join("\n");
    for word in ["apt-get", "dpkg-source", "configure", "make", "main.c.o", "partial.lds"] {
        assert!(commands.contains(word), "{word}");
    }
    let left = walkdir::WalkDir::new(temp.path()).into_iter().filter_map(|entry| entry.ok());
    let left: Vec<_> = left.skip(1).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// What the stages said that have something to make, by name.
fn reasons(clock: &Clock) -> Vec<(&'static str, Vec<String>)> {
    let again = clock.stages.iter().filter(|stage| !stage.why.is_empty());
    again.map(|stage| (stage.name, stage.why.clone())).collect()
}

/// The reasons of a dry run for the twin of `manifest`, and the programs that it would call.
fn asked(manifest: &Manifest, dir: &ImageDir) -> (Vec<(&'static str, Vec<String>)>, Vec<String>) {
    let (dry, mut clock) = (Env { shell: Shell::dry().looking(), ..env() }, Clock::silent());
    pipeline::twin(&dry, manifest, dir, &mut clock).unwrap();
    // Behind the folder and the variables.
    let program =
        |line: &str| line.rsplit("&& ").next()?.split(' ').find(|word| !word.contains('=')).map(PathBuf::from);
    let name = |line: String| program(&line).unwrap().file_name().unwrap().to_string_lossy().into_owned();
    (reasons(&clock), dry.shell.shown().into_iter().map(name).collect())
}

#[test]
fn builds_and_dry_runs_in_one_process_know_nothing_of_one_another() {
    let temp = tempfile::tempdir().unwrap();
    let project = |name: &str| {
        let dir = temp.path().join(name);
        let source = write(&dir, "main.c", "#include <stdio.h>\nint main(void) { puts(\"one\"); }\n");
        (in_dir(&dir, &[source]), ImageDir::at(dir.join("out")))
    };
    let twin = |(manifest, dir): &(Manifest, ImageDir)| {
        let mut clock = Clock::silent();
        let twin = pipeline::twin(&env(), manifest, dir, &mut clock).unwrap();
        assert_eq!(said(&run(&twin, manifest)), "one\n");
        reasons(&clock)
    };
    let (fresh, changed) = (project("fresh"), project("changed"));
    // One after the other: what an earlier build or dry run of this process did is no reason for a later one.
    let made = ["main.c.o: not made yet", "program.o: not made yet", "twin: not made yet"].map(str::to_owned);
    for project in [&fresh, &changed] {
        assert_eq!(
            asked(&project.0, &project.1).0,
            [("compile", made[..1].to_vec()), ("link", vec![INPUTS_ANEW.into()])]
        );
        assert_eq!(twin(project), [("compile", made[..1].to_vec()), ("link", made[1..].to_vec())]);
        assert_eq!((twin(project), asked(&project.0, &project.1)), (vec![], (vec![], vec![])));
    }
    write(&changed.0.dir, "main.c", "int main(void) { return 0; }\n");
    // Side by side: builds of others, dry runs that find work, and dry runs that find none.
    std::thread::scope(|scope| {
        for round in 0..4 {
            let (new, twin, made) = (project(&format!("new{round}")), &twin, &made);
            scope.spawn(move || {
                assert_eq!(twin(&new), [("compile", made[..1].to_vec()), ("link", made[1..].to_vec())]);
            });
            scope.spawn(|| {
                let why =
                    [("compile", vec!["main.c.o: main.c changed".to_owned()]), ("link", vec![INPUTS_ANEW.into()])];
                let programs = ["gcc", "ld.bfd", "ld.bfd", "ld.bfd"].map(str::to_owned);
                assert_eq!(asked(&changed.0, &changed.1), (why.to_vec(), programs.to_vec()));
            });
            scope.spawn(|| assert_eq!(asked(&fresh.0, &fresh.1), (vec![], vec![])));
        }
    });
}

#[test]
fn every_system_call_of_musl_is_a_marked_site() {
    with_each(|tools| {
        let libc = workdir::read(&tools.userland.sysroot.library("c").unwrap()).unwrap();
        let members = formats::ar::read(&libc).unwrap();
        let sites = |range: &std::ops::Range<usize>| formats::sites::find(&libc[range.clone()]).unwrap().len();
        let marked: usize = members.iter().map(|member| sites(&member.range)).sum();
        let text = disassemble(&tools.userland.sysroot.library("c").unwrap());
        assert!(marked > 500, "{marked}");
        assert_eq!(instructions(&text, "syscall"), marked);
        assert_eq!(["hlt", "sysenter", "int    $0x80"].map(|name| instructions(&text, name)), [0, 0, 0]);
    });
}

#[test]
fn examples_say_the_same_as_twins_in_ring_3() {
    with_each(|tools| {
        for name in EXAMPLES {
            let manifest = manifest::load(&example(name)).unwrap();
            let temp = tempfile::tempdir().unwrap();
            let built = tools.build(&manifest, &ImageDir::at(temp.path()));
            let mut output = run(&built.linked.twin, &manifest);
            output.stdout.extend(output.stderr.clone());
            let expected = std::fs::read_to_string(example(name).join("expect.txt")).unwrap();
            assert_eq!(said(&output), expected, "{name}, {}", tools.userland.toolchain.version);
            assert!(built.prefixed.sites > 10, "{name}: {}", built.prefixed.sites);
            assert_eq!(built.prefixed.imports, ["__ukl_syscall"], "{name}");
        }
    });
}

#[test]
fn rewritten_calls_work() {
    with_each(|tools| {
        let programs = [
            manifest::load(&example("hello")).unwrap(),
            manifest::load(&example("args")).unwrap(),
            from_data(&["named.c"]),
            from_data(&["sites.c", "preprocessed.S", "plain.s"]),
        ];
        for manifest in programs {
            let temp = tempfile::tempdir().unwrap();
            let built = tools.build(&manifest, &ImageDir::at(temp.path()));
            let rewritten = tools.link_archive(&built, temp.path());
            assert_eq!(instructions(&disassemble(&rewritten), "syscall"), 1, "the stand-in's own");
            let (twin, call) = (run(&built.linked.twin, &manifest), run(&rewritten, &manifest));
            assert_eq!(said(&call), said(&twin), "{}, {}", manifest.name, tools.userland.toolchain.version);
        }
    });
}

#[test]
fn sites_are_found_in_c_and_in_both_kinds_of_assembler() {
    with_each(|tools| {
        for flags in [&[][..], &["-pipe", "-g0"], &["-O0", "-g3"]] {
            let mut manifest = from_data(&["sites.c", "preprocessed.S", "plain.s"]);
            manifest.cflags = flags.iter().map(|flag| flag.to_string()).collect();
            let temp = tempfile::tempdir().unwrap();
            let built = tools.build(&manifest, &ImageDir::at(temp.path()));
            assert_eq!(said(&run(&built.linked.twin, &manifest)), "", "{flags:?}");
            let found = |i: usize| formats::sites::find(&workdir::read(&built.objects.files[i]).unwrap()).unwrap();
            let counts = [0, 1, 2].map(|i| found(i).len());
            assert_eq!((counts[1], counts[2]), (0, 1), "{flags:?}");
            assert!(counts[0] >= 3, "{flags:?}: {counts:?}");
            assert_eq!(instructions(&disassemble(&built.objects.files[2]), "hlt"), 0);
        }
    });
}

#[test]
fn named_sections_constructors_and_linker_symbols_survive_the_partial_link() {
    with_each(|tools| {
        let mut manifest = from_data(&["named.c"]);
        manifest.cflags = ["-fcommon", "-fstack-protector-all"].map(str::to_owned).to_vec();
        let temp = tempfile::tempdir().unwrap();
        let built = tools.build(&manifest, &ImageDir::at(temp.path()));
        let expected = "42 2 5 1 123 1 1\n638 0.667\ndestructor\n";
        assert_eq!(said(&run(&built.linked.twin, &manifest)), expected);
        assert_eq!(said(&run(&tools.link_archive(&built, temp.path()), &manifest)), expected);
        let text = disassemble(&built.objects.files[0]);
        assert!(text.contains("%fs:0x28") && !text.contains("%gs:"), "the canary is the thread's, not the kernel's");
    });
}

#[test]
fn the_archive_passes_an_independent_reader() {
    with_each(|tools| {
        let manifest = manifest::load(&example("threads")).unwrap();
        let temp = tempfile::tempdir().unwrap();
        let built = tools.build(&manifest, &ImageDir::at(temp.path()));
        let bytes = workdir::read(&built.archive.path).unwrap();
        let archive = goblin::archive::Archive::parse(&bytes).unwrap();
        assert_eq!(archive.member_of_symbol("ukl__start"), Some("program.o"));
        let elf = goblin::elf::Elf::parse(archive.extract("program.o", &bytes).unwrap()).unwrap();
        let global = |symbol: &goblin::elf::Sym| symbol.st_bind() != goblin::elf::sym::STB_LOCAL;
        let names: Vec<_> = elf.syms.iter().filter(global).map(|s| elf.strtab.get_at(s.st_name).unwrap()).collect();
        assert!(names.contains(&"ukl_main") && names.contains(&"ukl_pthread_create"));
        let exempt = |name: &&&str| ["__ukl_syscall", "_GLOBAL_OFFSET_TABLE_"].contains(*name);
        let bare: Vec<_> = names.iter().filter(|name| !name.starts_with("ukl_")).filter(|n| !exempt(n)).collect();
        assert!(bare.is_empty(), "{bare:?}");
        let entry = elf.syms.iter().find(|s| elf.strtab.get_at(s.st_name) == Some("__ukl_syscall")).unwrap();
        assert_eq!((entry.st_bind(), entry.st_shndx), (goblin::elf::sym::STB_GLOBAL, 0));
        let alloc = |s: &&goblin::elf::SectionHeader| s.is_alloc() && s.sh_size > 0;
        assert!(elf.section_headers.iter().all(|section| section.sh_addr == 0));
        let mut sections: Vec<_> =
            elf.section_headers.iter().filter(alloc).map(|s| &elf.shdr_strtab[s.sh_name]).collect();
        sections.sort();
        assert_eq!(sections, [".tbss", ".tdata", ".ukl.bss", ".ukl.data", ".ukl.rodata", ".ukl.text"]);
    });
}

#[test]
fn a_second_build_does_nothing_and_a_changed_header_is_seen() {
    let Some(userland) = tools("gcc") else { return };
    let tools = Tools { userland };
    let temp = tempfile::tempdir().unwrap();
    let source = write(temp.path(), "main.c", "#include \"n.h\"\nint main(void) { return N; }\n");
    write(temp.path(), "n.h", "#define N 3\n");
    let dir = ImageDir::at(temp.path().join("out"));
    let manifest = in_dir(temp.path(), &[source]);
    let first = tools.build(&manifest, &dir);
    let times = |built: &Built| {
        let files = [&built.objects.files[0], &built.linked.relocatable, &built.linked.twin, &built.archive.path];
        files.map(|file| file.metadata().unwrap().modified().unwrap())
    };
    let before = times(&first);
    let second = tools.build(&manifest, &dir);
    assert_eq!(times(&second), before);
    assert_eq!(run(&second.linked.twin, &manifest).status.code(), Some(3));
    write(temp.path(), "n.h", "#define N 4\n");
    let third = tools.build(&manifest, &dir);
    assert_ne!(times(&third), before);
    assert_eq!(run(&third.linked.twin, &manifest).status.code(), Some(4));
    assert_ne!(third.archive.sha256, first.archive.sha256);
}

#[test]
fn the_same_sources_give_the_same_archive_in_another_folder() {
    with_each(|tools| {
        let build = || {
            let temp = tempfile::tempdir().unwrap();
            let text = "#include <assert.h>\nint main(int c, char **v) { assert(v); return c - 1; }\n";
            let source = write(temp.path(), "sub/main.c", text);
            let assembler = write(temp.path(), "sub/more.S", "\t.globl more\nmore:\tret\n");
            let manifest = manifest::from_files(&[source, assembler]).unwrap();
            tools.build(&manifest, &ImageDir::at(temp.path().join("out"))).archive.sha256
        };
        assert_eq!(build(), build(), "{}", tools.userland.toolchain.version);
    });
}

/// Message and exit code of what must not link.
fn refused(tools: &Tools, files: &[(&str, &str)], change: impl Fn(&mut Manifest)) -> (String, u8) {
    let temp = tempfile::tempdir().unwrap();
    let paths: Vec<_> = files.iter().map(|(name, text)| write(temp.path(), name, text)).collect();
    let mut manifest = in_dir(temp.path(), &paths);
    change(&mut manifest);
    let dir = ImageDir::at(temp.path().join("out"));
    let error = tools.link(&manifest, &dir).map(|_| ()).unwrap_err();
    assert!(!dir.twin().exists() && !dir.archive().exists(), "nothing half-written");
    render(&error)
}

#[test]
fn bad_programs_are_refused_with_the_reason() {
    let Some(userland) = tools("gcc") else { return };
    let tools = Tools { userland };
    let main = ("main.c", "int f(void);\nint main(void) { return f(); }\n");
    let expect = |files: &[(&str, &str)], parts: &[&str]| {
        let (text, code) = refused(&tools, files, |_| ());
        assert_eq!(code, 121, "{text}");
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    };
    expect(&[("main.c", "int main(void) {\n\treturn x;\n}\n")], &["main.c:2:16: error: 'x' undeclared", "compile.log"]);
    expect(&[("a.S", "\tnonsense\n")], &["Error: no such instruction"]);
    expect(&[main], &["undefined symbol `f`, wanted by `main.c.o`", "link.log", "`libs`"]);
    let twice = ("b.c", "int f(void) { return 1; }\n");
    expect(&[main, twice, ("c.c", twice.1)], &["`f` is defined more than once: in `b.c.o`, `c.c.o`"]);
    expect(&[("only.c", "int f;\n")], &["undefined symbol `main`, wanted by `crt1.o`"]);
    let (text, _) = refused(&tools, &[main], |manifest| manifest.libs.push("no-such".to_owned()));
    assert!(text.contains("library `no-such` is not part of the C library"), "{text}");
    let (text, _) = refused(&tools, &[main], |manifest| manifest.sources.push(manifest.dir.join("gone.o")));
    assert!(text.contains("gone.o` does not exist"), "{text}");
}

#[test]
fn build_commands_get_our_compiler_for_objects_and_for_programs() {
    with_each(|tools| {
        let temp = tempfile::tempdir().unwrap();
        let makefile = "all: part.a tool\npart.a: part.o\n\t$(AR) rcD $@ $<\n\
            part.o: part.c\n\t$(CC) $(CFLAGS) -fPIC -c $< -o $@\ntool: tool.c\n\t$(CC) -pie -o $@ $< -lm\n\
            \t./tool\n";
        write(temp.path(), "Makefile", makefile);
        write(temp.path(), "part.c", "#include <unistd.h>\nint f(void) { return getpid() > 0 ? 21 : 0; }\n");
        write(temp.path(), "tool.c", "#include <stdio.h>\nint main(void) { puts(\"tool ran\"); }\n");
        let main = write(temp.path(), "main.c", "int f(void);\nint main(void) { return f(); }\n");
        let mut manifest = in_dir(temp.path(), &[main]);
        manifest.sources.push(temp.path().join("part.a"));
        manifest.build = vec![BuildCommand { dir: None, words: vec!["make".to_owned(), "-s".to_owned()] }];
        let dir = ImageDir::at(temp.path().join("out"));
        let built = tools.build(&manifest, &dir);
        assert_eq!(run(&built.linked.twin, &manifest).status.code(), Some(21));
        assert!(std::fs::read_to_string(dir.log("build")).unwrap().contains("tool ran"));
        write(temp.path(), "part.c", "int f(void) { return 21 }\n");
        let (text, code) = render(&tools.link(&manifest, &dir).map(|_| ()).unwrap_err());
        assert_eq!(code, 121);
        assert!(text.contains("`make -s` failed\n") && text.contains("part.c:1:"), "{text}");
    });
}

#[test]
fn hlt_kills_like_a_wild_read() {
    with_each(|tools| {
        let temp = tempfile::tempdir().unwrap();
        let source = write(temp.path(), "main.c", "int main(void) { __asm__ volatile(\"hlt\"); return 0; }\n");
        let manifest = in_dir(temp.path(), &[source]);
        let built = tools.build(&manifest, &ImageDir::at(temp.path().join("out")));
        assert_eq!(run(&built.linked.twin, &manifest).status.signal(), Some(libc::SIGSEGV));
    });
}
