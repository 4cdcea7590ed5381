//! The facts about an architecture, in one place: nothing else asks what the machine is.

/// What differs between architectures, as others name it.
#[derive(Debug)]
pub struct Target {
    /// The compiler's word for it.
    pub triple: &'static str,
    /// musl's word for it.
    pub musl: &'static str,
    /// Where the distribution keeps headers that are not the same everywhere.
    pub headers: &'static str,
    /// Where it keeps libraries.
    pub libraries: &'static str,
    /// The flags of every compilation; each is a condition of running inside the kernel, not an optimisation.
    pub flags: [&'static str; 8],
    /// The word for the kernel's `make`.
    pub kernel_word: &'static str,
    /// The kernel's folder for it below `arch`.
    pub kernel_folder: &'static str,
    /// What a kernel build makes for boot loaders: the goal of `make`.
    pub boot_goal: &'static str,
    /// Where it lies in the build folder.
    pub boot_image: &'static str,
    /// The program that unpacks itself in it.
    pub boot_unpacker: &'static str,
    /// What a build writes into a tree beside what every architecture's does.
    pub generated: &'static str,
    /// Where a patched kernel takes sources of a program from.
    pub kernel_sources: &'static str,
    /// The program that emulates it.
    pub qemu: &'static str,
    /// The distribution's package with that.
    pub qemu_package: &'static str,
    /// QEMU's machine that boots fastest.
    pub small_machine: &'static str,
    /// QEMU's machine with PCI and several processors.
    pub pci_machine: &'static str,
    /// The word of OCI images for it.
    pub oci: &'static str,
    /// The kernel's first serial port.
    pub console: &'static str,
}

/// The only architecture there is.
pub const TARGET: Target = Target {
    triple: "x86_64-unknown-linux-gnu",
    musl: "x86_64",
    headers: "/usr/include/x86_64-linux-gnu",
    libraries: "/usr/lib/x86_64-linux-gnu",
    flags: [
        // An interrupt at privilege level 0 pushes its frame right below the stack pointer.
        "-mno-red-zone",
        // Code in the top 2 GB, data in the bottom 2 GB: signed 32-bit relocations reach both.
        "-mcmodel=kernel",
        "-fno-pic",
        "-fno-pie",
        "-fcf-protection=none",
        // The kernel code model would look for the stack canary in the kernel's per-CPU area.
        "-mstack-protector-guard=tls",
        "-mstack-protector-guard-reg=fs",
        "-mstack-protector-guard-offset=40",
    ],
    kernel_word: "ARCH=x86_64",
    kernel_folder: "x86",
    boot_goal: "bzImage",
    boot_image: "arch/x86/boot/bzImage",
    boot_unpacker: "arch/x86/boot/compressed/vmlinux",
    generated: "arch/x86/include/generated",
    kernel_sources: "arch/x86/ukl",
    qemu: "qemu-system-x86_64",
    qemu_package: "qemu-system-x86",
    // Option ROMs and ACPI tables are what a boot waits for longest, and nothing here uses them.
    small_machine: "microvm,acpi=off,x-option-roms=off,isa-serial=on,rtc=on,pit=on,pic=on",
    pci_machine: "q35,smm=off,vmport=off,hpet=off,sata=off,smbus=off",
    oci: "amd64",
    console: "ttyS0",
};
