//! The instruction decoder against objdump.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{compile, file, have, run, scratch, GLIBC, MUSL};
use formats::elf::Facts;
use formats::scan::{scan, Finding, Suspect};
use std::collections::BTreeMap;

/// What objdump says of the same code: the findings by its text, instruction by instruction.
fn objdump(folder: &std::path::Path, name: &str) -> BTreeMap<(String, String), Vec<Finding>> {
    let text = run(folder, &["objdump", "-d", "-w", "--no-show-raw-insn", "-z", name]);
    let (mut member, mut section) = (String::new(), String::new());
    let mut all = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, _)) = line.split_once(":     file format") {
            member = name.to_string();
        } else if let Some(name) = line.strip_prefix("Disassembly of section ") {
            section = name.trim_end_matches(':').to_string();
        } else if let Some((address, instruction)) = line.split_once(":\t") {
            let found: &mut Vec<Finding> = all.entry((member.clone(), section.clone())).or_default();
            let address = u64::from_str_radix(address.trim(), 16).unwrap();
            found.extend(suspect(instruction).map(|suspect| Finding { address, suspect }));
        }
    }
    all
}

fn suspect(instruction: &str) -> Option<Suspect> {
    let instruction = instruction.split('#').next().unwrap().trim();
    let (name, operands) = instruction.rsplit_once(' ').unwrap_or((instruction, ""));
    let name = name.trim();
    if let Some(number) = operands.strip_prefix("$0x").filter(|_| name == "int") {
        return Some(Suspect::Int(u8::from_str_radix(number, 16).unwrap()));
    }
    match instruction {
        "syscall" => Some(Suspect::Syscall),
        "sysenter" => Some(Suspect::Sysenter),
        "hlt" => Some(Suspect::Halt),
        _ if instruction.contains("(bad)") => Some(Suspect::Unknown),
        _ if ["lea", "nop", "prefetch"].iter().any(|look| name.contains(look)) => None,
        _ if operands.split(',').any(|o| o.contains("-0x") && o.ends_with("(%rsp)")) => Some(Suspect::RedZone),
        _ => None,
    }
}

fn same_as_objdump(archive: &str, scratch_name: &str) {
    let Some(bytes) = file(archive) else { return };
    if !have(&["objdump"]) {
        return;
    }
    let scratch = scratch(scratch_name);
    let folder = scratch.path();
    // Unique member names.
    let entries = formats::ar::read(&bytes).unwrap();
    let names: Vec<_> = (0..entries.len()).map(|n| format!("{n}.o")).collect();
    let members: Vec<_> = entries
        .iter()
        .zip(&names)
        .map(|(e, name)| formats::ar::Member { name, data: &bytes[e.range.clone()], mode: 0o644 })
        .collect();
    std::fs::write(folder.join("lib.a"), formats::ar::write(&members).unwrap()).unwrap();
    let theirs = objdump(folder, "lib.a");
    let mut sections = 0;
    for member in &members {
        for section in Facts::read(member.data).unwrap().sections.iter().filter(|s| s.is_code() && s.size > 0) {
            let ours = scan(section.data(member.data), 0);
            let expected = &theirs[&(member.name.to_string(), section.name.clone())];
            assert_eq!(&ours, expected, "{} {}", member.name, section.name);
            sections += 1;
        }
    }
    assert!(sections > 1000);
}

#[test]
fn musl_scans_as_objdump_reads_it() {
    same_as_objdump(MUSL, "scan-musl");
}

#[test]
fn glibc_scans_as_objdump_reads_it() {
    same_as_objdump(GLIBC, "scan-glibc");
}

#[test]
fn compiled_red_zones_are_found() {
    if !have(&["gcc"]) {
        return;
    }
    let scratch = scratch("scan-red");
    let folder = scratch.path();
    let source = "int f(int x) { volatile int y = x; return y; }";
    for (flag, expected) in [("-mred-zone", true), ("-mno-red-zone", false)] {
        let object = compile(folder, "f.c", source, &["gcc", "-O2", "-fcf-protection=none", flag]);
        let facts = Facts::read(&object).unwrap();
        let found = scan(facts.section(".text").unwrap().data(&object), 0);
        assert_eq!(found.iter().any(|f| f.suspect == Suspect::RedZone), expected, "{found:?}");
    }
}
