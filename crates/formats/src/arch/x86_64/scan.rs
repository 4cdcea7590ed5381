//! A scan of x86-64 code for what behaves differently inside the kernel: raw system calls, `int`, `hlt`, red zones.
//!
//! It walks instruction by instruction, so that bytes within an instruction are never taken for one.

use super::code::{self, Instruction, Map};

/// Something that the scan looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Address of the instruction.
    pub address: u64,
    /// What it is.
    pub suspect: Suspect,
}

/// What the scan looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspect {
    /// `syscall`.
    Syscall,
    /// `sysenter`.
    Sysenter,
    /// `int N`; 0x80 is the 32-bit system call.
    Int(u8),
    /// `hlt`, which stops the processor where a program expects SIGSEGV.
    Halt,
    /// An access below the stack pointer: a negative displacement from %rsp without an index.
    RedZone,
    /// Bytes that are no instruction: data within code. The scan goes on at the next byte.
    Unknown,
}

/// Scans code that is loaded at `address`; findings are in the order of their addresses.
pub fn scan(bytes: &[u8], address: u64) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (length, suspect) = match code::decode(&bytes[at..]) {
            Some(instruction) => (instruction.length, suspect(&instruction)),
            None => (1, Some(Suspect::Unknown)),
        };
        findings.extend(suspect.map(|suspect| Finding { address: address.wrapping_add(at as u64), suspect }));
        at += length;
    }
    findings
}

fn suspect(instruction: &Instruction) -> Option<Suspect> {
    match (instruction.map, instruction.opcode) {
        (Map::Escape, 0x05) => Some(Suspect::Syscall),
        (Map::Escape, 0x34) => Some(Suspect::Sysenter),
        (Map::Primary, 0xcd) => Some(Suspect::Int(instruction.last)),
        (Map::Primary, 0xf4) => Some(Suspect::Halt),
        // `lea`, long nops and prefetches only look like accesses.
        (Map::Primary, 0x8d) | (Map::Escape, 0x0d | 0x18..=0x1f) => None,
        _ => instruction.below_stack.then_some(Suspect::RedZone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suspects(code: &[u8]) -> Vec<(u64, Suspect)> {
        scan(code, 0x1000).into_iter().map(|f| (f.address - 0x1000, f.suspect)).collect()
    }

    #[test]
    fn system_calls_of_all_kinds() {
        let code = [0x90, 0x0f, 0x05, 0xcd, 0x80, 0x0f, 0x34, 0xcd, 0x03, 0xf4, 0xc3];
        let found = [
            (1, Suspect::Syscall),
            (3, Suspect::Int(0x80)),
            (5, Suspect::Sysenter),
            (7, Suspect::Int(3)),
            (9, Suspect::Halt),
        ];
        assert_eq!(suspects(&code), found);
    }

    #[test]
    fn bytes_within_instructions_are_not_instructions() {
        // mov $0x0080cd050f,%eax-ish operands: mov imm32, movabs imm64, a displacement.
        assert_eq!(suspects(&[0xb8, 0x0f, 0x05, 0xcd, 0x80]), []);
        assert_eq!(suspects(&[0x48, 0xb8, 0x0f, 0x05, 0x0f, 0x05, 0xcd, 0x80, 0xf4, 0xf4]), []);
        assert_eq!(suspects(&[0x8b, 0x80, 0x0f, 0x05, 0x0f, 0x34]), []);
    }

    #[test]
    fn red_zones() {
        let below: &[&[u8]] = &[
            &[0x48, 0x89, 0x44, 0x24, 0xf8],                   // mov %rax,-8(%rsp)
            &[0xc7, 0x44, 0x24, 0xfc, 1, 0, 0, 0],             // movl $1,-4(%rsp)
            &[0x48, 0x8b, 0x84, 0x24, 0x80, 0xff, 0xff, 0xff], // mov -128(%rsp),%rax
            &[0xd9, 0x7c, 0x24, 0xf8],                         // fnstcw -8(%rsp)
            &[0x0f, 0xae, 0x5c, 0x24, 0xf8],                   // stmxcsr -8(%rsp)
            &[0xc5, 0xf8, 0x29, 0x44, 0x24, 0xf0],             // vmovaps %xmm0,-16(%rsp)
            &[0xc4, 0xe2, 0x79, 0x18, 0x44, 0x24, 0xfc],       // vbroadcastss -4(%rsp),%xmm0
            &[0x62, 0xf1, 0x7c, 0x48, 0x29, 0x44, 0x24, 0xff], // vmovaps %zmm0,-64(%rsp)
        ];
        for code in below {
            assert_eq!(suspects(code), [(0, Suspect::RedZone)], "{code:02x?}");
        }
        let fine: &[&[u8]] = &[
            &[0x48, 0x89, 0x44, 0x24, 0x08],             // mov %rax,8(%rsp)
            &[0x48, 0x8d, 0x64, 0x24, 0xf8],             // lea -8(%rsp),%rsp
            &[0x48, 0x89, 0x44, 0xcc, 0xf8],             // mov %rax,-8(%rsp,%rcx,8)
            &[0x49, 0x89, 0x44, 0x24, 0xf8],             // mov %rax,-8(%r12)
            &[0x4a, 0x89, 0x44, 0x24, 0xf8],             // mov %rax,-8(%rsp,%r12,1)
            &[0x48, 0x89, 0x45, 0xf8],                   // mov %rax,-8(%rbp)
            &[0x0f, 0x1f, 0x44, 0x24, 0xf8],             // nopl -8(%rsp)
            &[0xc4, 0xc2, 0x79, 0x18, 0x44, 0x24, 0xfc], // vbroadcastss -4(%r12),%xmm0
        ];
        for code in fine {
            assert_eq!(suspects(code), [], "{code:02x?}");
        }
    }

    #[test]
    fn what_is_no_instruction_is_reported_and_skipped() {
        assert_eq!(
            suspects(&[0x06, 0x0f, 0x05, 0x0f]),
            [(0, Suspect::Unknown), (1, Suspect::Syscall), (3, Suspect::Unknown)]
        );
        assert_eq!(suspects(&[]), []);
        assert_eq!(suspects(&[0x66; 20])[0], (0, Suspect::Unknown));
    }
}
