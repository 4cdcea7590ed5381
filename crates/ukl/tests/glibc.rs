//! glibc, C++ and what is prebuilt, linked for ring 3 and for the kernel: facts of the objects, and what is refused.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests.

mod world;

use std::path::{Path, PathBuf};

use formats::scan::{scan, Suspect};
use object::elf;
use object::read::elf::{ElfFile64, FileHeader};
use object::{Object, ObjectSection, ObjectSymbol};
use ukl::base::error::{render, Result};
use ukl::base::run::Cmd;
use ukl::base::workdir::{self, ImageDir};
use ukl::manifest::{self, Libc};
use ukl::program::link::{self, Linked};
use ukl::program::prefix::{self, Prefixed};
use ukl::program::{compile, toolchain, userland};
use world::{env, SHELL};

/// Compiles and links `files` in `dir`; nothing when the host has no gcc.
fn link(dir: &Path, files: &[(&str, &str)], libc: Libc, libs: &[&str]) -> Result<Linked> {
    let paths: Vec<PathBuf> = files.iter().map(|(name, text)| write(dir, name, text)).collect();
    let mut manifest = manifest::from_files(&paths)?;
    manifest.dir = dir.to_owned();
    manifest.libc = libc;
    manifest.libs = libs.iter().map(|lib| (*lib).to_owned()).collect();
    let env = env();
    let userland = userland::find(&env, "gcc", libc)?;
    let out = ImageDir::at(dir.join("out"));
    let objects = compile::compile(&env, &userland, &manifest, &out)?;
    Ok(link::link(&env, &userland, &manifest, &objects, &out)?.value)
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    if !text.is_empty() {
        workdir::write_atomic(&path, text.as_bytes()).unwrap();
    }
    path
}

fn linked(dir: &Path, files: &[(&str, &str)]) -> (Linked, Prefixed) {
    let linked = link(dir, files, Libc::Glibc, &[]).unwrap_or_else(|error| panic!("{}", render(&error).0));
    let prefixed = prefix::prefix(&linked, &ImageDir::at(dir.join("out"))).unwrap();
    (linked, prefixed)
}

fn refused(files: &[(&str, &str)], libc: Libc, libs: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let (text, code) = render(&link(dir.path(), files, libc, libs).map(drop).unwrap_err());
    assert_eq!(code, 121, "{text}");
    text
}

fn run(program: &Path) -> String {
    String::from_utf8(SHELL.run(&Cmd::new(program)).unwrap().stdout).unwrap()
}

/// Plain output of the compiler, as a build of the host's own makes it.
fn host_object(dir: &Path, text: &str, flags: &[&str]) {
    let source = write(dir, "host-made.c", text);
    let cmd = Cmd::new("gcc").args(flags).arg("-c").arg(source).arg("-o").arg(dir.join("made.o"));
    assert!(SHELL.run(&cmd).unwrap().status.success());
}

const HELLO: &str = "#include <stdio.h>\n#include <string.h>\nstatic __thread int own = 40;\n\
    int main(int c, char **v) { own += strlen(v[0]) > 0; printf(\"%d\\n\", own + c); return 0; }\n";

#[test]
fn a_glibc_program_is_one_object_that_the_kernel_can_place() {
    let dir = tempfile::tempdir().unwrap();
    let (linked, prefixed) = linked(dir.path(), &[("hello.c", HELLO)]);
    assert_eq!(run(&linked.twin), "42\n");
    let bytes = workdir::read(&prefixed.object).unwrap();
    let file = ElfFile64::<object::Endianness>::parse(bytes.as_slice()).unwrap();
    let mut placed: Vec<&str> = file.sections().filter(|s| s.size() > 0).filter_map(|s| s.name().ok()).collect();
    placed.retain(|name| [".ukl", ".t", ".eh_", ".got"].iter().any(|start| name.starts_with(start)));
    placed.sort();
    assert_eq!(placed, [".eh_frame", ".tbss", ".tdata", ".ukl.bss", ".ukl.data", ".ukl.rodata", ".ukl.text"]);
    // Resolvers are run by glibc, between two names that the kernel's link defines.
    let undefined: Vec<&str> = file.symbols().filter(|s| s.is_undefined()).filter_map(|s| s.name().ok()).collect();
    assert!(undefined.contains(&"ukl___rela_iplt_start"), "{undefined:?}");
    let endian = file.endian();
    assert!(file.symbols().any(|s| s.elf_symbol().st_type() == elf::STT_GNU_IFUNC));
    assert!(file.elf_header().is_little_endian() && endian == object::Endianness::Little);
}

#[test]
fn no_function_of_a_prebuilt_library_halts_the_processor() {
    let dir = tempfile::tempdir().unwrap();
    let (linked, prefixed) = linked(dir.path(), &[("hello.c", HELLO)]);
    let halts = |path: &Path| {
        let bytes = workdir::read(path).unwrap();
        let file = ElfFile64::<object::Endianness>::parse(bytes.as_slice()).unwrap();
        let text = file.section_by_name(".ukl.text").unwrap();
        let code = text.data().unwrap();
        let functions = file.symbols().filter(|s| s.section_index() == Some(text.index()) && s.size() > 0);
        let found = functions.flat_map(|s| scan(&code[s.address() as usize..(s.address() + s.size()) as usize], 0));
        found.filter(|found| found.suspect == Suspect::Halt).count()
    };
    assert!(halts(&linked.relocatable) > 0, "glibc's abort has one");
    assert_eq!(halts(&prefixed.object), 0);
}

#[test]
fn cxx_sources_bring_glibc_and_exceptions() {
    if toolchain::which("g++").is_none() {
        eprintln!("skip: g++ is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let text =
        "#include <iostream>\n#include <stdexcept>\nint main() {\n\ttry { throw std::runtime_error(\"thrown\"); }\n\
        \tcatch (const std::exception &e) { std::cout << e.what() << std::endl; }\n}\n";
    let paths = [write(dir.path(), "main.cc", text)];
    assert_eq!(manifest::from_files(&paths).unwrap().libc, Libc::Glibc);
    let (linked, _) = linked(dir.path(), &[("main.cc", text)]);
    assert_eq!(run(&linked.twin), "thrown\n");
    let missing = "struct Gone { int count(int); };\nint f();\nint main() { return Gone().count(1) + f(); }\n";
    let text = refused(&[("main.cc", missing)], Libc::Glibc, &[]);
    let parts = ["2 undefined symbols", "`Gone::count(int)`, wanted by `main.cc.o`", "`f()`, wanted by `main.cc.o`"];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
}

#[test]
fn what_was_made_for_glibc_is_refused_under_musl_with_the_key() {
    let main = "int f(void);\nint main(void) { return f(); }\n";
    // Every host with glibc's headers has this one.
    let text = refused(&[("main.c", main)], Libc::Musl, &["anl"]);
    let parts = ["`libanl.a` was made for glibc", "`libc = \"glibc\"`", "blame   app"];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    let dir = tempfile::tempdir().unwrap();
    let object =
        "#include <stdio.h>\nint f(void) { char b[9]; int n = getchar(); fgets(b, n, stdin); return printf(b, n); }\n";
    host_object(dir.path(), object, &["-O2", "-D_FORTIFY_SOURCE=2"]);
    let files = [("main.c", main), ("made.o", "")];
    let (text, code) = render(&link(dir.path(), &files, Libc::Musl, &[]).map(drop).unwrap_err());
    let parts = ["undefined symbols", "`__printf_chk`", "`__fgets_chk`", "made.o", "`libc = \"glibc\"` has it"];
    assert!(code == 121 && parts.iter().all(|part| text.contains(part)), "{text}");
    assert!(link(dir.path(), &files, Libc::Glibc, &[]).is_ok());
}

#[test]
fn a_resolver_is_refused_under_musl_and_works_with_glibc() {
    let text = "static int one(void) { return 1; }\nstatic int (*choose(void))(void) { return one; }\n\
        int chosen(void) __attribute__((ifunc(\"choose\")));\nint main(void) { return chosen() - 1; }\n";
    let said = refused(&[("main.c", text)], Libc::Musl, &[]);
    let parts = ["`chosen` is chosen by a resolver (IFUNC)", "`main.c.o`", "`libc = \"glibc\"`", "blame   app"];
    assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    let dir = tempfile::tempdir().unwrap();
    let (linked, _) = linked(dir.path(), &[("main.c", text)]);
    assert!(SHELL.run(&Cmd::new(&linked.twin)).unwrap().status.success());
}

#[test]
fn code_on_the_stack_and_old_constructors_are_refused_by_name() {
    let nested = "int main(int c, char **v) {\n\tint f(int x) { return x + c; }\n\tint (*volatile p)(int) = f;\n\
        \treturn p(1);\n}\n";
    let old = "static void f(void) {}\nstatic void (*p)(void) __attribute__((section(\".ctors\"), used)) = f;\n\
        int main(void) { return 0; }\n";
    for libc in [Libc::Musl, Libc::Glibc] {
        let text = refused(&[("nested.c", nested)], libc, &[]);
        assert!(text.contains("`nested.c.o` needs an executable stack") && text.contains("blame   app"), "{text}");
        let text = refused(&[("old.c", old)], libc, &[]);
        assert!(text.contains("`old.c.o` has constructors in `.ctors`") && text.contains("blame   app"), "{text}");
    }
}

#[test]
fn an_address_of_32_bits_is_named_with_its_object_and_place() {
    let dir = tempfile::tempdir().unwrap();
    let object = "int target(void) { return 0; }\nvoid *f(void) { return target; }\n";
    host_object(dir.path(), object, &["-O0", "-fno-pie", "-fno-pic"]);
    let main = "void *f(void);\nint main(void) { return !f(); }\n";
    let files = [("main.c", main), ("made.o", "")];
    let (text, code) = render(&link(dir.path(), &files, Libc::Glibc, &[]).map(drop).unwrap_err());
    let parts = ["of `made.o` takes the address of `target` in 32 bits", "R_X86_64_32", "-fPIC", "at offset 0x"];
    assert!(code == 121 && parts.iter().all(|part| text.contains(part)), "{text}");
    host_object(dir.path(), object, &["-O0", "-fPIC"]);
    assert!(link(dir.path(), &files, Libc::Glibc, &[]).is_ok());
}

/// The names that GNU ld's own script for static programs defines: `NAME = .` and `PROVIDE(NAME = .)`.
fn defined_by_the_linker(userland: &userland::Userland) -> Vec<String> {
    let output = SHELL.run(&Cmd::new(&userland.toolchain.ld).args(["-static", "--verbose"])).unwrap();
    let script = String::from_utf8(output.stdout).unwrap();
    let statements = script.split([';', '{', '}', '(', '\n']).map(str::trim);
    let names = statements.filter_map(|statement| Some(statement.split_once(" = ")?.0));
    let is_name = |name: &str| name != "." && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let mut names: Vec<String> = names.filter(|name| is_name(name)).map(str::to_owned).collect();
    names.extend(["__ehdr_start", "__start_named", "__stop_named"].map(str::to_owned));
    names.sort();
    names.dedup();
    names
}

#[test]
fn every_name_that_linkers_define_is_defined() {
    for libc in [Libc::Musl, Libc::Glibc] {
        let userland = userland::find(&env(), "gcc", libc).unwrap();
        let names = defined_by_the_linker(&userland);
        assert!(names.len() >= 20 && names.contains(&"__executable_start".to_owned()), "{names:?}");
        let mut text = "int one __attribute__((section(\"named\"))) = 1;\n__thread int own = 1;\n".to_owned();
        text.extend(names.iter().map(|name| format!("extern char {name}[];\n")));
        let list: Vec<String> = names.iter().map(|name| format!("(unsigned long){name}")).collect();
        text +=
            &format!("unsigned long all[] = {{ {} }};\nint main(void) {{ return all[own] == 0; }}\n", list.join(", "));
        let dir = tempfile::tempdir().unwrap();
        let linked = link(dir.path(), &[("main.c", &text)], libc, &[]).unwrap_or_else(|e| panic!("{}", render(&e).0));
        let bytes = workdir::read(&linked.relocatable).unwrap();
        let file = ElfFile64::<object::Endianness>::parse(bytes.as_slice()).unwrap();
        let missing = file.symbols().filter(|symbol| symbol.is_undefined()).filter_map(|symbol| symbol.name().ok());
        let missing: Vec<&str> = missing.filter(|missing| names.iter().any(|name| name == missing)).collect();
        // Those are the kernel's link's to define: what is in front of the program's data, and the resolvers' table.
        let later = ["__ehdr_start", "__executable_start", "__rela_iplt_end", "__rela_iplt_start"];
        assert!(missing.iter().all(|name| later.contains(name)), "{missing:?}");
    }
}
