//! Prefixing against `cp`, llvm-objcopy and GNU objcopy: `cargo bench -p formats`.
//!
//! Each contender is a process that reads one file and writes another; ours is this program itself.
//! The contenders take turns in each round, so that a busy machine disturbs all alike. Every sample is printed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use formats::prefix;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const ROUNDS: usize = 15;

fn main() {
    let words: Vec<String> = std::env::args().collect();
    if let [_, flag, input, output] = &words[..] {
        if flag == "--prefix" {
            return rename(Path::new(input), Path::new(output));
        }
    }
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench-prefix");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, input) in inputs(&folder) {
        let size = std::fs::metadata(&input).unwrap().len();
        println!("{name}: {size} bytes, milliseconds of {ROUNDS} runs");
        compare(&input, &folder.join("out"));
    }
}

/// What `ukl` does, from file to file.
fn rename(input: &Path, output: &Path) {
    let mut bytes = std::fs::read(input).unwrap();
    let exempt = prefix::default_exempt();
    let exempt = |name: &str| exempt.contains(name);
    if bytes.starts_with(b"!<arch>\n") {
        bytes = prefix::prefix_archive(&bytes, "ukl_", &exempt).unwrap();
    } else {
        prefix::prefix_in_place(&mut bytes, "ukl_", &exempt).unwrap();
    }
    std::fs::write(output, bytes).unwrap();
}

fn inputs(folder: &Path) -> Vec<(&'static str, PathBuf)> {
    let libraries = [
        ("musl's libc.a", "/usr/lib/x86_64-linux-musl/libc.a"),
        ("glibc's libc.a", "/usr/lib/x86_64-linux-gnu/libc.a"),
    ];
    let mut inputs: Vec<_> =
        libraries.map(|(name, path)| (name, PathBuf::from(path))).into_iter().filter(|(_, p)| p.exists()).collect();
    inputs.extend(large_object(folder).map(|path| ("object with debug information", path)));
    inputs
}

/// A generated object of about 13 MB: 15,000 global and 15,000 local symbols, the rest is code and data.
fn large_object(folder: &Path) -> Option<PathBuf> {
    let mut source = String::new();
    for n in 0..15_000 {
        source += &format!(
            ".text\n.globl request_handler_{n}\nrequest_handler_{n}: .fill 40,1,0x90\ncall request_handler_{}\nlea table_{n}(%rip),%rax\nret\n\
             .data\ntable_{n}: .fill 100,1,{}\n.quad request_handler_{n}\n",
            (n * 7919) % 15_000,
            n % 256
        );
    }
    source += ".section .debug_info\n.fill 1000000,8,0x0102030405060708\n";
    let (assembly, object) = (folder.join("large.s"), folder.join("large.o"));
    std::fs::write(&assembly, source).unwrap();
    let status = Command::new("as").arg(&assembly).arg("-o").arg(&object).status();
    status.is_ok_and(|status| status.success()).then_some(object)
}

fn compare(input: &Path, output: &Path) {
    let me = std::env::current_exe().unwrap();
    let me = me.to_str().unwrap();
    let contenders: &[(&str, &[&str])] = &[
        ("cp", &["cp"]),
        ("ukl", &[me, "--prefix"]),
        ("llvm-objcopy", &["llvm-objcopy", "--prefix-symbols=ukl_"]),
        ("objcopy", &["objcopy", "--prefix-symbols=ukl_"]),
    ];
    let mut samples = vec![Vec::new(); contenders.len() + 1];
    for _ in 0..ROUNDS {
        for ((_, words), samples) in contenders.iter().zip(&mut samples) {
            let mut command = Command::new(words[0]);
            command.args(&words[1..]).arg(input).arg(output);
            let start = Instant::now();
            if command.output().is_ok_and(|output| output.status.success()) {
                samples.push(start.elapsed().as_secs_f64() * 1000.0);
            }
        }
        let start = Instant::now();
        rename(input, output);
        samples[contenders.len()].push(start.elapsed().as_secs_f64() * 1000.0);
    }
    let names = contenders.iter().map(|(name, _)| *name).chain(["ukl, in its own process"]);
    for (name, samples) in names.zip(samples) {
        report(name, &samples);
    }
}

fn report(name: &str, samples: &[f64]) {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(median) = sorted.get(sorted.len() / 2) else {
        return println!("  {name:24} not installed");
    };
    let all: Vec<_> = samples.iter().map(|sample| format!("{sample:.1}")).collect();
    let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
    println!("  {name:24} median {median:8.2}   {least:.2} to {most:.2}   [{}]", all.join(" "));
}
