//! How fast a KVM runs code at privilege level 0: a guest of one page, a loop, the processor time of this thread.

use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Turns of the loop. Enough that entering and leaving the guest does not count, even inside of another guest.
const TURNS: u32 = 3000;
/// The best of so many: whatever else the machine does can only make one slower.
const TRIES: usize = 5;
/// Hardware takes about a nanosecond for a turn, and interpreters microseconds.
const SLOW: Duration = Duration::from_nanos(300);

// <linux/kvm.h>
const KVM_CREATE_VM: libc::Ioctl = 0xae01;
const KVM_GET_VCPU_MMAP_SIZE: libc::Ioctl = 0xae04;
const KVM_CREATE_VCPU: libc::Ioctl = 0xae41;
const KVM_SET_USER_MEMORY_REGION: libc::Ioctl = 0x4020_ae46;
const KVM_RUN: libc::Ioctl = 0xae80;
const KVM_SET_REGS: libc::Ioctl = 0x4090_ae82;
const KVM_GET_SREGS: libc::Ioctl = 0x8138_ae83;
const KVM_SET_SREGS: libc::Ioctl = 0x4138_ae84;
const KVM_EXIT_HLT: u32 = 5;
/// Where `struct kvm_run` has its exit reason.
const EXIT_REASON: usize = 8;

#[repr(C)]
struct MemoryRegion {
    slot: u32,
    flags: u32,
    guest: u64,
    size: u64,
    host: u64,
}

#[repr(C)]
#[derive(Default)]
struct Registers {
    /// rax rbx rcx rdx rsi rdi rsp rbp r8–r15
    general: [u64; 16],
    rip: u64,
    rflags: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Segment {
    base: u64,
    limit: u32,
    selector: u16,
    kind: u8,
    present: u8,
    dpl: u8,
    db: u8,
    s: u8,
    l: u8,
    g: u8,
    avl: u8,
    unusable: u8,
    padding: u8,
}

#[repr(C)]
#[derive(Default)]
struct SystemRegisters {
    /// cs ds es fs gs ss tr ldt
    segments: [Segment; 8],
    /// gdt, idt: base and limit
    tables: [[u64; 2]; 2],
    cr0: u64,
    cr2: u64,
    cr3: u64,
    cr4: u64,
    cr8: u64,
    efer: u64,
    apic_base: u64,
    interrupts: [u64; 4],
}

/// Is a turn of a loop at level 0 so slow that something interprets it? With the time that a turn took at best.
///
/// Error: no guest could be made, or it did not end as it should.
pub(super) fn interprets(device: &File) -> Result<(bool, Duration)> {
    let guest = Guest::new(device)?;
    let mut best = Duration::MAX;
    for _ in 0..TRIES {
        best = best.min(guest.turns()?);
    }
    Ok((best / TURNS > SLOW, best / TURNS))
}

/// Pages of the host, unmapped at the end.
struct Mapping {
    at: *mut u8,
    size: usize,
}

impl Mapping {
    fn new(size: usize, file: Option<&OwnedFd>) -> Result<Self> {
        let fd = file.map_or(-1, AsRawFd::as_raw_fd);
        let flags = libc::MAP_SHARED | if file.is_none() { libc::MAP_ANONYMOUS } else { 0 };
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), size, libc::PROT_READ | libc::PROT_WRITE, flags, fd, 0) };
        if at == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
        Ok(Mapping { at: at.cast(), size })
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.size);
        // SAFETY: inside of the mapping, which nothing else refers to while no guest runs.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.at.add(offset), bytes.len()) };
    }

    fn word(&self, offset: usize) -> u32 {
        assert!(offset + 4 <= self.size && offset.is_multiple_of(4));
        // SAFETY: inside of the mapping, and aligned; the kernel writes there only during an ioctl.
        unsafe { self.at.add(offset).cast::<u32>().read_volatile() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nobody has a reference into it.
        unsafe { libc::munmap(self.at.cast(), self.size) };
    }
}

struct Guest {
    vcpu: OwnedFd,
    run: Mapping,
    // The guest's memory and its machine live as long as its processor.
    _memory: Mapping,
    _machine: OwnedFd,
}

/// Where the guest's memory has what: the code at 0, then the page tables.
const TABLES: [usize; 3] = [0x1000, 0x2000, 0x3000];
const MEMORY: usize = 0x4000;

impl Guest {
    fn new(device: &File) -> Result<Self> {
        let size = number(device, KVM_GET_VCPU_MMAP_SIZE)?;
        let machine = descriptor(device, KVM_CREATE_VM)?;
        let memory = Mapping::new(MEMORY, None)?;
        memory.write(0, &code());
        // Present and writable, each level names the next, the last a page of 2 MiB from 0 on.
        for (table, entry) in TABLES.into_iter().zip([0x2003_u64, 0x3003, 0x83]) {
            memory.write(table, &entry.to_le_bytes());
        }
        let region = MemoryRegion { slot: 0, flags: 0, guest: 0, size: MEMORY as u64, host: memory.at as u64 };
        pass(&machine, KVM_SET_USER_MEMORY_REGION, &region)?;
        let vcpu = descriptor(&machine, KVM_CREATE_VCPU)?;
        let run = Mapping::new(size as usize, Some(&vcpu))?;
        let mut system = SystemRegisters::default();
        fetch(&vcpu, KVM_GET_SREGS, &mut system)?;
        enter_64_bit_mode(&mut system);
        pass(&vcpu, KVM_SET_SREGS, &system)?;
        Ok(Guest { vcpu, run, _memory: memory, _machine: machine })
    }

    /// The processor time of the whole loop.
    fn turns(&self) -> Result<Duration> {
        pass(&self.vcpu, KVM_SET_REGS, &Registers { rflags: 2, ..Registers::default() })?;
        let start = processor_time()?;
        number(&self.vcpu, KVM_RUN)?;
        let time = processor_time()?.saturating_sub(start);
        match self.run.word(EXIT_REASON) {
            KVM_EXIT_HLT => Ok(time),
            reason => Err(Error::other(format!("the guest of the probe ended with reason {reason}"))),
        }
    }
}

/// `mov $TURNS, %ecx; 1: dec %ecx; jnz 1b; hlt`
fn code() -> Vec<u8> {
    [&[0xb9][..], &TURNS.to_le_bytes(), &[0xff, 0xc9, 0x75, 0xfc, 0xf4]].concat()
}

fn enter_64_bit_mode(system: &mut SystemRegisters) {
    let flat = Segment { limit: u32::MAX, present: 1, s: 1, g: 1, ..Segment::default() };
    let data = Segment { selector: 0x10, kind: 3, db: 1, ..flat };
    for segment in &mut system.segments[1..6] {
        *segment = data;
    }
    system.segments[0] = Segment { selector: 8, kind: 11, l: 1, ..flat };
    system.cr0 = 0x8000_0033; // PG, NE, ET, MP, PE
    system.cr3 = TABLES[0] as u64;
    system.cr4 = 0x20; // PAE
    system.efer = 0x500; // LME, LMA
}

fn processor_time() -> Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live `timespec`.
    check(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) })?;
    Ok(Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0)))
}

fn check(result: i32) -> Result<i32> {
    if result < 0 {
        Err(Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// An ioctl without an argument.
fn number(of: &impl AsRawFd, request: libc::Ioctl) -> Result<i32> {
    // SAFETY: these requests take a number.
    check(unsafe { libc::ioctl(of.as_raw_fd(), request, 0) })
}

/// An ioctl that answers with a new file descriptor.
fn descriptor(of: &impl AsRawFd, request: libc::Ioctl) -> Result<OwnedFd> {
    let fd = number(of, request)?;
    // SAFETY: a new descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// An ioctl that reads `value`, whose type is the request's.
fn pass<T>(of: &impl AsRawFd, request: libc::Ioctl, value: &T) -> Result<()> {
    // SAFETY: the size is part of the request, and it is that of `T` (see the test).
    check(unsafe { libc::ioctl(of.as_raw_fd(), request, std::ptr::from_ref(value)) }).map(drop)
}

/// An ioctl that writes `value`, whose type is the request's.
fn fetch<T>(of: &impl AsRawFd, request: libc::Ioctl, value: &mut T) -> Result<()> {
    // SAFETY: as in `pass`.
    check(unsafe { libc::ioctl(of.as_raw_fd(), request, std::ptr::from_mut(value)) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_has_the_size_that_its_request_names() {
        let size = |request: libc::Ioctl| (request as usize >> 16) & 0x3fff;
        assert_eq!(size(KVM_SET_USER_MEMORY_REGION), size_of::<MemoryRegion>());
        assert_eq!(size(KVM_SET_REGS), size_of::<Registers>());
        assert_eq!(size(KVM_GET_SREGS), size_of::<SystemRegisters>());
        assert_eq!(size(KVM_SET_SREGS), size_of::<SystemRegisters>());
    }

    #[test]
    fn the_sign_of_a_software_kvm_and_the_measurement_agree() {
        let Ok(device) = File::options().read(true).write(true).open(super::super::KVM) else {
            return eprintln!("skip: this machine has no /dev/kvm that may be opened");
        };
        match interprets(&device) {
            Ok((slow, turn)) => {
                eprintln!("a turn of the loop takes {turn:?}");
                assert!(slow || !super::super::has_software_module(std::path::Path::new("/")), "{turn:?}");
            }
            Err(error) => eprintln!("skip: this /dev/kvm makes no guest: {error}"),
        }
    }

    #[test]
    fn a_device_that_is_no_kvm_is_an_error() {
        assert!(interprets(&File::open("/dev/null").unwrap()).is_err());
    }
}
