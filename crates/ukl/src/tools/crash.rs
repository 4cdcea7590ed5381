//! The core file of a program that crashed → the functions that it was in, with file and line.

use std::path::Path;

use anyhow::Context;
use goblin::elf::note::NT_PRSTATUS;
use goblin::elf::program_header::PT_LOAD;
use goblin::elf::Elf;

use crate::base::error::{Class, Result};
use crate::base::run::{Cmd, Shell};
use crate::image::folder::Image;
use crate::program::prefix::PREFIX;
use crate::program::toolchain;

use super::debug;

/// Where the registers stand in what a core file says of a thread, behind signals, numbers and times; the instruction
/// pointer is the 17th of them.
const REGISTERS: usize = 112;
const RIP: usize = 16 * 8;
/// The 20th.
const RSP: usize = 19 * 8;
/// How many words of the stack a function may have: what the C library's own have is less.
const STACK: u64 = 4096;

/// More frames than that are a recursion.
const FRAMES: usize = 32;

/// Steps out of functions that nothing is known about at most.
const STEPS: usize = 8;

/// The innermost frames of the thread that crashed, as gdb shows them; nothing where there is no gdb.
pub fn frames(shell: &Shell, image: &Image, core: &Path) -> Result<Vec<String>> {
    if toolchain::which("gdb").is_none() {
        return Ok(Vec::new());
    }
    let mut bytes = std::fs::read(core).with_context(|| format!("failed to read `{}`", core.display()))?;
    let Some(at) = registers(&bytes) else { return Ok(Vec::new()) };
    let program = match number(&bytes, at + RIP) {
        // The program in the kernel: the upper half of the addresses.
        Some(address) if address >> 63 == 1 => debug::symbols(image)?.file,
        _ => image.dir.twin(),
    };
    let text = std::fs::read(&program).with_context(|| format!("failed to read `{}`", program.display()))?;
    let mut frames = step_out(shell, &program, &Elf::parse(&text)?, &text, &mut bytes, at)?;
    // gdb begins where it knows the way.
    let dir = tempfile::tempdir()?;
    let from = dir.path().join("core");
    std::fs::write(&from, &bytes)?;
    let cmd = Cmd::new("gdb").args(["-nx", "-q", "-batch", "-iex", "set debuginfod enabled off"]);
    let cmd = cmd.args(["-iex", "set width 0", "-ex", &format!("backtrace {FRAMES}")]).arg(program).arg(from);
    let said = shell.check(&cmd.probe(), Class::Host)?.stdout;
    let said = String::from_utf8_lossy(&said);
    let shown: Vec<&str> = said.lines().filter(|line| line.starts_with('#')).collect();
    // The innermost is shown when the file is opened, too.
    let again = shown.get(1).is_some_and(|line| line.starts_with("#0"));
    frames.extend(shown.into_iter().skip(usize::from(again)).map(frame));
    Ok(frames.into_iter().enumerate().map(|(number, frame)| format!("{:<3} {frame}", format!("#{number}"))).collect())
}

/// Leaves functions without debug information, as the C library's are: each was called by an instruction that names it,
/// and behind which it returns. The registers in `core` become those of the caller.
fn step_out(shell: &Shell, program: &Path, elf: &Elf, text: &[u8], core: &mut [u8], at: usize) -> Result<Vec<String>> {
    let mut frames = Vec::new();
    while frames.len() < STEPS {
        let (Some(rip), Some(rsp)) = (number(core, at + RIP), number(core, at + RSP)) else { break };
        let Some((name, begin)) = function(elf, rip) else { break };
        if has_lines(shell, program, rip)? {
            break;
        }
        let calls = |back: u64| -> Option<bool> {
            let call = bytes_at(elf, text, back.checked_sub(5)?, 5)?;
            let distance = i32::from_le_bytes(call[1..].try_into().ok()?);
            Some(call[0] == 0xe8 && back.wrapping_add_signed(distance.into()) == begin)
        };
        let memory = Elf::parse(core)?;
        let place = (0..STACK).map(|word| rsp + 8 * word).find_map(|place| {
            let back = number(bytes_at(&memory, core, place, 8)?, 0)?;
            calls(back)?.then_some((place, back))
        });
        let Some((place, back)) = place else { break };
        // Where the kernel has a function of this name as well, the program's keeps its prefix.
        frames.push(format!("{} ()", name.strip_prefix(PREFIX).unwrap_or(name)));
        // In the call, whose line it is; behind it may be the next one's.
        core[at + RIP..at + RIP + 8].copy_from_slice(&(back - 1).to_le_bytes());
        core[at + RSP..at + RSP + 8].copy_from_slice(&(place + 8).to_le_bytes());
    }
    Ok(frames)
}

/// Name and beginning of the function at `address`.
fn function<'a>(elf: &'a Elf, address: u64) -> Option<(&'a str, u64)> {
    let functions = elf.syms.iter().filter(|symbol| symbol.is_function() && symbol.st_value <= address);
    let symbol = functions.max_by_key(|symbol| symbol.st_value)?;
    Some((elf.strtab.get_at(symbol.st_name)?, symbol.st_value))
}

/// Whether a debugger knows the line of `address`.
fn has_lines(shell: &Shell, program: &Path, address: u64) -> Result<bool> {
    let cmd = Cmd::new("addr2line").arg("-e").arg(program).arg(format!("{address:#x}")).probe();
    Ok(!shell.check(&cmd, Class::Host)?.stdout.starts_with(b"?"))
}

/// What the file's segments have at an address.
fn bytes_at<'a>(elf: &Elf, file: &'a [u8], address: u64, length: u64) -> Option<&'a [u8]> {
    let mut segments = elf.program_headers.iter().filter(|segment| segment.p_type == PT_LOAD);
    let segment = segments.find(|one| one.p_vaddr <= address && address + length <= one.p_vaddr + one.p_filesz)?;
    let at = (segment.p_offset + (address - segment.p_vaddr)) as usize;
    file.get(at..at + length as usize)
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// A frame without number and address, which tell a person nothing: `deepest (depth=2) at ./a.c:24`.
fn frame(line: &str) -> String {
    let rest = line.split_once(' ').map_or(line, |(_, rest)| rest).trim_start();
    match rest.split_once(" in ") {
        Some((address, rest)) if address.starts_with("0x") => rest.to_owned(),
        _ => rest.to_owned(),
    }
}

/// Where in the core file the registers of its first thread stand.
fn registers(core: &[u8]) -> Option<usize> {
    let elf = Elf::parse(core).ok()?;
    let mut notes = elf.iter_note_headers(core)?;
    let status = notes.find_map(|note| note.ok().filter(|note| note.n_type == NT_PRSTATUS))?;
    let at = status.desc.as_ptr() as usize - core.as_ptr() as usize;
    Some(at + REGISTERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_shown_without_its_address() {
        assert_eq!(frame("#0  deepest (depth=2) at ./a.c:24"), "deepest (depth=2) at ./a.c:24");
        assert_eq!(frame("#12 0xffffffff81 in main () at a.c:3"), "main () at a.c:3");
        assert_eq!(frame("#1  0xffffffff81 in ?? ()"), "?? ()");
    }

    #[test]
    fn what_is_no_core_file_has_no_registers() {
        assert_eq!(registers(b"text"), None);
    }
}
