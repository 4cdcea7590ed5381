//! The hardware as a QEMU command line: a pure function, and the kernel's words with a reason each.

use std::path::PathBuf;
use std::time::Duration;

use crate::base::error::{fail, Class, Result};
use crate::base::quote;
use crate::base::run::Cmd;
use crate::base::target::TARGET;

use super::kind::{Engine, MachineKind};
use super::net::card::Card;

/// (option, kHz) of [`Engine::Counted`]: an instruction takes 2^1 ns, and the time stamp counter counts nanoseconds.
const COUNTED: (&str, u64) = ("shift=1,sleep=off", 1_000_000);
/// With a seed: 2^0 ns, so that the counter is the number of instructions, and timers are a smaller part of them.
const COUNTED_EXACTLY: &str = "shift=0,sleep=off";

/// The file descriptor of QEMU's that takes the program's output, when that has a port of its own. A shell can name it.
pub const OUTPUT: i32 = 9;

/// Everything that decides the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hardware {
    /// Which machine.
    pub kind: MachineKind,
    /// How fast.
    pub engine: Engine,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Virtual CPUs.
    pub cpus: u32,
    /// The network card.
    pub card: Option<Card>,
    /// The kernel: an ELF file is started as it is, without boot loader and decompression.
    pub kernel: PathBuf,
    /// The RAM disk.
    pub initrd: PathBuf,
    /// The file that receives the second serial port.
    pub control: PathBuf,
    /// The pipe from which the second serial port reads, if it does: the name without `.in`.
    pub control_pipe: Option<PathBuf>,
    /// Standard input has a port of its own, which loses nothing; otherwise the console takes it.
    pub input_port: bool,
    /// The program's output has a port of its own, which goes to the file descriptor [`OUTPUT`]; otherwise it is on the
    /// console.
    pub output_port: bool,
    /// Options for disks and shares.
    pub storage: Vec<String>,
    /// A daemon beside QEMU reads and writes the guest's memory.
    pub shared_memory: bool,
    /// The socket at which QEMU's monitor listens.
    pub monitor: Option<PathBuf>,
    /// The socket at which QEMU listens for a debugger; whether the guest waits for it.
    pub debugger: Option<(PathBuf, bool)>,
    /// Words for the kernel beyond those that the machine needs.
    pub words: Vec<String>,
    /// Words for QEMU beyond those that we need.
    pub more: Vec<String>,
}

/// (word, why). For every machine, behind the console, which shows what the program writes and the kernel's last words.
pub(super) const ALWAYS: [(&str, &str); 3] = [
    ("loglevel=3", "messages cost more than the work that they tell of; what kills a guest is still shown"),
    ("panic=-1", "a dead kernel resets at once, which ends QEMU"),
    ("reboot=t", "microvm has no keyboard controller to reset by: a triple fault works everywhere"),
];

/// For TCG, which is slow where hardware is fast, and whose devices behave as documented.
const TCG: [(&str, &str); 3] = [
    ("no_timer_check", "the timer interrupt works: saves 50 ms of waiting for ten ticks"),
    ("noreplace-smp", "4000 lock prefixes are not worth patching out: each write makes TCG translate anew"),
    ("lapic_timer_hz=1000000000", "QEMU's local APIC counts at 1 GHz: saves 200 ms of measuring it"),
];

/// The kernel's command line; the time is init's, which corrects the clock of the machine with it.
fn append(hardware: &Hardware, now: Option<Duration>) -> String {
    let mut words = vec![format!("console={}", TARGET.console)];
    words.extend(ALWAYS.iter().map(|(word, _)| word.to_string()));
    if hardware.kind == MachineKind::Microvm {
        // There is no PCI: saves the search for it and its complaint.
        words.push("pci=off".into());
    }
    let tsc_khz = match hardware.engine {
        Engine::Kvm => None,
        Engine::Tcg { tsc_khz } => Some(tsc_khz),
        Engine::Counted { .. } => Some(Some(COUNTED.1)),
    };
    if let Some(tsc_khz) = tsc_khz {
        words.extend(TCG.iter().map(|(word, _)| word.to_string()));
        if let Some(khz) = tsc_khz {
            // microvm has no port to gate the timer that calibration needs; without a calibrated
            // counter the guest's clock would step by 10 ms.
            words.push(format!("tsc_early_khz={khz}"));
            words.push("tsc=reliable".into());
        }
    }
    words.extend(hardware.words.iter().cloned());
    words.extend(now.map(|now| format!("ukl.clock={}", now.as_millis())));
    words.join(" ")
}

/// What x86 keeps of its command line; the rest would be cut off without a word.
const WORDS_MAX: usize = 2047;
/// microvm tells of each device by a further word of at most this length.
const DEVICE_WORD: usize = 48;

/// Whether the kernel takes all of its words. Error (class `Usage`): they are too many.
pub(super) fn check_words(hardware: &Hardware) -> Result<()> {
    let sometime = Duration::from_millis(9_999_999_999_999);
    let ports = usize::from(hardware.input_port || hardware.output_port);
    let devices = match hardware.kind {
        MachineKind::Microvm => hardware.storage.len() + ports + usize::from(hardware.card.is_some()),
        MachineKind::Q35 => 0,
    };
    let length = append(hardware, Some(sometime)).len() + devices * DEVICE_WORD;
    if length <= WORDS_MAX {
        return Ok(());
    }
    let text = format!("the kernel's command line would have {length} bytes, and it takes {WORDS_MAX}");
    let hint = "arguments of a program that is process 1 are on it: without `--pid1`, init passes on 256 KiB";
    Err(fail(Class::Usage, text).hint(hint).into())
}

/// QEMU's command line; the console is its standard input and output. `now` is what init is told of the time since 1970.
pub fn command(hardware: &Hardware, now: Option<Duration>) -> Cmd {
    let mut cmd = Cmd::new(TARGET.qemu).args(["-nodefaults", "-no-user-config", "-display", "none"]);
    let memory = if hardware.shared_memory { ",memory-backend=memory" } else { "" };
    cmd = cmd.arg("-no-reboot").args(["-machine", &format!("{}{memory}", machine_word(hardware.kind))]);
    cmd = match hardware.engine {
        Engine::Kvm => cmd.args(["-accel", "kvm", "-cpu", "host"]),
        Engine::Tcg { .. } => cmd.args(["-accel", "tcg", "-cpu", "max"]),
        Engine::Counted { seed } => {
            let counted = if seed.is_some() { COUNTED_EXACTLY } else { COUNTED.0 };
            cmd.args(["-accel", "tcg", "-cpu", "max", "-icount", counted])
        }
    };
    if let Engine::Counted { seed: Some(seed) } = hardware.engine {
        cmd = cmd.args(["-seed", &seed.to_string(), "-rtc", "base=2000-01-01,clock=vm"]);
    }
    cmd = cmd.args(["-m", &format!("{}M", hardware.memory_mib)]);
    if hardware.shared_memory {
        let memory = format!("memory-backend-memfd,id=memory,size={}M,share=on", hardware.memory_mib);
        cmd = cmd.args(["-object", &memory]);
    }
    // The firmware's tables name one processor of each package.
    cmd = cmd.args(["-smp", &format!("{0},sockets={0}", hardware.cpus)]);
    cmd = cmd.arg("-kernel").arg(&hardware.kernel).arg("-initrd").arg(&hardware.initrd);
    cmd = cmd.args(["-append", &append(hardware, now)]);
    // Ctrl-C is ours: QEMU must not end before we have told why.
    let standard = |id: &str| format!("stdio,id={id},signal=off");
    if hardware.input_port || hardware.output_port {
        let bus = if hardware.kind == MachineKind::Microvm { "virtio-serial-device" } else { "virtio-serial-pci" };
        cmd = cmd.args(["-device", bus]);
    }
    cmd = if hardware.input_port {
        cmd.args(["-chardev", &standard("input"), "-device", "virtserialport,chardev=input,nr=1"])
            .args(["-chardev", "file,id=console,path=/dev/stdout"])
    } else {
        cmd.args(["-chardev", &standard("console")])
    };
    if hardware.output_port {
        let output = format!("file,id=output,path=/dev/fd/{OUTPUT}");
        cmd = cmd.args(["-chardev", &output, "-device", "virtserialport,chardev=output,nr=2"]).output(OUTPUT);
    }
    cmd = cmd.args(["-serial", "chardev:console"]);
    let control = match &hardware.control_pipe {
        // What goes into the pipe is read from the log.
        Some(pipe) => format!("pipe,id=control,path={},logfile={}", quote::qemu(pipe), quote::qemu(&hardware.control)),
        None => format!("file,id=control,path={}", quote::qemu(&hardware.control)),
    };
    cmd = cmd.args(["-chardev", &control]);
    cmd = match hardware.kind {
        // microvm makes one serial port of its own.
        MachineKind::Microvm => cmd.args(["-device", "isa-serial,chardev=control,index=1,iobase=0x2f8,irq=3"]),
        MachineKind::Q35 => cmd.args(["-serial", "chardev:control"]),
    };
    if let Some(monitor) = &hardware.monitor {
        cmd = cmd.args(["-qmp", &format!("unix:{},server=on,wait=off", quote::qemu(monitor))]);
    }
    if let Some((socket, waits)) = &hardware.debugger {
        cmd = cmd.args(["-gdb", &format!("unix:{},server=on,wait=off", quote::qemu(socket))]);
        cmd = if *waits { cmd.arg("-S") } else { cmd };
    }
    cmd = cmd.args(&hardware.storage);
    cmd = match &hardware.card {
        Some(card) => cmd.args(card.args(hardware.kind)),
        None => cmd,
    };
    cmd.args(&hardware.more)
}

fn machine_word(kind: MachineKind) -> &'static str {
    match kind {
        MachineKind::Microvm => TARGET.small_machine,
        MachineKind::Q35 => TARGET.pci_machine,
    }
}

#[cfg(test)]
mod tests {
    use super::super::net::card::Backend;
    use super::*;
    use crate::manifest::port;

    fn machine(kind: MachineKind, engine: Engine) -> Hardware {
        Hardware {
            kind,
            engine,
            memory_mib: 64,
            cpus: 1,
            card: None,
            kernel: "/i/vmlinux".into(),
            initrd: "/i/initrd".into(),
            control: "/i/control.log".into(),
            control_pipe: None,
            input_port: false,
            output_port: false,
            storage: Vec::new(),
            shared_memory: false,
            monitor: None,
            debugger: None,
            words: vec!["rdinit=/UKL".into()],
            more: Vec::new(),
        }
    }

    #[test]
    fn microvm_under_tcg() {
        let line = command(&machine(MachineKind::Microvm, Engine::Tcg { tsc_khz: Some(2_300_000) }), None).display();
        assert_eq!(
            line,
            "qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot \
             -machine microvm,acpi=off,x-option-roms=off,isa-serial=on,rtc=on,pit=on,pic=on -accel tcg -cpu max \
             -m 64M -smp 1,sockets=1 -kernel /i/vmlinux -initrd /i/initrd \
             -append 'console=ttyS0 loglevel=3 panic=-1 reboot=t pci=off no_timer_check noreplace-smp \
             lapic_timer_hz=1000000000 tsc_early_khz=2300000 tsc=reliable rdinit=/UKL' \
             -chardev stdio,id=console,signal=off -serial chardev:console \
             -chardev file,id=control,path=/i/control.log \
             -device isa-serial,chardev=control,index=1,iobase=0x2f8,irq=3"
        );
    }

    #[test]
    fn q35_under_kvm_with_a_port() {
        let mut machine = machine(MachineKind::Q35, Engine::Kvm);
        let ports = ["8080:80", "0.0.0.0:53-54:5-6/udp"].map(|text| port(text).unwrap()).to_vec();
        machine.card = Some(Card { backend: Backend::User(ports), queues: 1, mac: None });
        machine.cpus = 2;
        let line = command(&machine, None).display();
        for words in [
            "-accel kvm -cpu host",
            "-smp 2,sockets=2",
            "-append 'console=ttyS0 loglevel=3 panic=-1 reboot=t rdinit=/UKL'",
            "-netdev user,id=net0,hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=udp:0.0.0.0:53-:5,hostfwd=udp:0.0.0.0:54-:6",
            "-device virtio-net-pci,netdev=net0,romfile=",
            "-serial chardev:control",
        ] {
            assert!(line.contains(words), "`{words}` is not in: {line}");
        }
    }

    #[test]
    fn a_seeded_guest_gets_nothing_from_the_host() {
        let line = |seed| command(&machine(MachineKind::Microvm, Engine::Counted { seed }), None).display();
        let seeded = line(Some(7));
        let words = "-accel tcg -cpu max -icount shift=0,sleep=off -seed 7 -rtc base=2000-01-01,clock=vm -m 64M";
        assert!(seeded.contains(words) && seeded.contains(" tsc_early_khz=1000000 tsc=reliable"), "{seeded}");
        assert!(line(None).contains("-icount shift=1,sleep=off -m 64M"));
    }

    #[test]
    fn words_that_the_kernel_would_cut_off_are_refused() {
        let with = |length| {
            let words = vec!["x".repeat(length)];
            check_words(&Hardware { words, ..machine(MachineKind::Q35, Engine::Kvm) })
        };
        let fixed = append(&Hardware { words: vec![String::new()], ..machine(MachineKind::Q35, Engine::Kvm) }, None);
        let room = WORDS_MAX - fixed.len() - " ukl.clock=9999999999999".len();
        with(room).unwrap();
        let error = crate::base::error::render(&with(room + 1).unwrap_err());
        assert!(error.0.contains("would have 2048 bytes") && error.0.contains("without `--pid1`"), "{}", error.0);
        assert_eq!(error.1, 2);
    }

    #[test]
    fn a_monitor_listens_where_it_is_told() {
        let machine = Hardware { monitor: Some("/t/a,b".into()), ..machine(MachineKind::Q35, Engine::Kvm) };
        assert!(command(&machine, None).display().contains("-qmp unix:/t/a,,b,server=on,wait=off"));
    }

    #[test]
    fn a_debugger_finds_qemu_and_the_guest_may_wait_for_it() {
        let with =
            |waits| Hardware { debugger: Some(("/t/gdb".into(), waits)), ..machine(MachineKind::Q35, Engine::Kvm) };
        let line = |waits| command(&with(waits), None).display();
        assert!(line(true).contains("-gdb unix:/t/gdb,server=on,wait=off -S"), "{}", line(true));
        assert!(!line(false).contains(" -S"));
    }

    #[test]
    fn memory_can_be_shared() {
        let machine =
            Hardware { shared_memory: true, storage: vec!["-x".into()], ..machine(MachineKind::Microvm, Engine::Kvm) };
        let line = command(&machine, None).display();
        for words in
            ["pic=on,memory-backend=memory ", "-m 64M -object memory-backend-memfd,id=memory,size=64M,share=on", " -x"]
        {
            assert!(line.contains(words), "`{words}` is not in: {line}");
        }
    }

    #[test]
    fn a_guest_in_the_background_listens_to_a_pipe() {
        let machine =
            Hardware { control_pipe: Some("/g/control".into()), ..machine(MachineKind::Microvm, Engine::Kvm) };
        let line = command(&machine, None).display();
        assert!(line.contains("-chardev pipe,id=control,path=/g/control,logfile=/i/control.log"), "{line}");
    }

    #[test]
    fn input_may_have_a_port_of_its_own() {
        for (kind, bus) in [(MachineKind::Microvm, "virtio-serial-device"), (MachineKind::Q35, "virtio-serial-pci")] {
            let line = command(&Hardware { input_port: true, ..machine(kind, Engine::Kvm) }, None).display();
            for words in [bus, "-chardev stdio,id=input,signal=off", "-chardev file,id=console,path=/dev/stdout"] {
                assert!(line.contains(words), "`{words}` is not in: {line}");
            }
        }
    }

    #[test]
    fn output_may_have_a_port_of_its_own() {
        let machine = Hardware { output_port: true, ..machine(MachineKind::Microvm, Engine::Kvm) };
        let line = command(&machine, None).display();
        assert!(
            line.contains(
                "-device virtio-serial-device -chardev stdio,id=console,signal=off \
                 -chardev file,id=output,path=/dev/fd/9 -device virtserialport,chardev=output,nr=2 -serial chardev:console"
            ),
            "{line}"
        );
    }

    #[test]
    fn a_comma_in_a_path_stays_in_the_path() {
        let mut machine = machine(MachineKind::Q35, Engine::Kvm);
        machine.control = "/a,b/control.log".into();
        assert!(command(&machine, None).display().contains("path=/a,,b/control.log"));
    }
}
