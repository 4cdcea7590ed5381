//! `ukl.toml` → [`Manifest`]: what the file says is checked and resolved here, once.

mod raw;
mod fields;
pub mod storage;
mod net;
mod port;
mod check;
mod load;
pub mod edit;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

pub use fields::{kernel_source, memory_mib, name};
pub use load::{from_files, from_folder, from_program, load, set_libc};
pub use net::{ip, net, Address, Ip, Net, Network, QUEUES_MAX};
pub use port::{beside, port, Port, Protocol};
pub use raw::schema;
pub use storage::{Disk, Share, Storage};

/// One condition on a package's version: a relation as dpkg writes it, and a version.
pub type Condition = (String, String);

/// Which C library the program is linked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Libc {
    /// musl from the distribution's source package, unmodified.
    Musl,
    /// glibc as the distribution built it, with its C++ library.
    Glibc,
}

impl Libc {
    /// As manifests and options name it.
    pub fn name(self) -> &'static str {
        match self {
            Libc::Musl => "musl",
            Libc::Glibc => "glibc",
        }
    }

    /// The one of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Libc::Musl, Libc::Glibc].into_iter().find(|libc| libc.name() == name)
    }
}

/// Whose `malloc` the program is linked with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Malloc {
    /// The C library's own
    #[default]
    Libc,
    /// mimalloc, from the distribution's source package
    Mimalloc,
}

/// Where the program runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Platform {
    /// Linked into a kernel, on a machine of QEMU's.
    #[default]
    Qemu,
    /// Its ring-3 twin, as an ordinary process of this machine.
    Linuxu,
}

/// Where the kernel's source comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelSource {
    /// Debian's `linux-source-<version>` package.
    Debian,
    /// A source tree or a tarball on this machine; never modified.
    Local(PathBuf),
    /// A tarball on the network, with its SHA-256 (lower-case hex).
    Url {
        /// Where it is.
        url: String,
        /// What it must hash to.
        sha256: String,
    },
}

/// The kernel to link into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelSpec {
    /// Version line, e.g. `6.12`: selects the folder of `linux-patches/`.
    pub version: String,
    /// Its source.
    pub source: KernelSource,
    /// Extra configuration lines, e.g. `CONFIG_NET=y`, merged last.
    pub config: Vec<String>,
    /// Merge `storage.config` as well: disks and shares of the host.
    pub storage: bool,
    /// Merge `debug.config` as well.
    pub debug: bool,
}

/// One extra file of the initial RAM disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestFile {
    /// File or folder on this machine (absolute).
    pub src: PathBuf,
    /// Absolute path in the guest.
    pub dst: String,
    /// Permission bits; `None` keeps the source's.
    pub mode: Option<u32>,
}

/// The machine that `ukl run` asks QEMU for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineSettings {
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Number of virtual CPUs.
    pub cpus: u32,
    /// Forwarded ports.
    pub ports: Vec<Port>,
    /// The network card.
    pub network: Network,
}

/// Where a source tree of the program comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A source package of the distribution.
    Debian {
        /// Its name.
        package: String,
        /// What its version must satisfy.
        version: Vec<Condition>,
    },
    /// A tarball on the network, with its SHA-256 (lower-case hex).
    Url {
        /// Where it is.
        url: String,
        /// What it must hash to.
        sha256: String,
    },
    /// A folder on this machine; never modified.
    Local(PathBuf),
}

/// One source tree of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Name of its folder, as build commands see it.
    pub name: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// One command of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildCommand {
    /// The folder to run it in, below the one that all commands start from.
    pub dir: Option<String>,
    /// Program and arguments.
    pub words: Vec<String>,
}

/// A checked manifest; every path is absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Name of the image: `[a-z0-9][a-z0-9_-]*`.
    pub name: String,
    /// The project's folder.
    pub dir: PathBuf,
    /// C or assembler sources to compile, or objects and archives to take as they are.
    pub sources: Vec<PathBuf>,
    /// C sources and headers to compile with the kernel: functions that the program calls by name.
    pub kernel_sources: Vec<PathBuf>,
    /// Functions of the kernel that the program calls by name.
    pub imports: Vec<String>,
    /// Source trees that are fetched for `build`.
    pub upstream: Vec<Upstream>,
    /// Commands that make `sources` or `program` first; run in `dir`, or above the source trees.
    pub build: Vec<BuildCommand>,
    /// The executable that `build` links with `ukl cc`; then there are no `sources`.
    pub program: Option<PathBuf>,
    /// TCP port of the guest that answers once the program is ready.
    pub ready: Option<u16>,
    /// Where `ukl run` and `ukl up` run it.
    pub platform: Platform,
    /// `gcc`, `clang` or a path.
    pub compiler: String,
    /// Extra compiler flags.
    pub cflags: Vec<String>,
    /// Libraries by name (`m`; with glibc any static one of the host) or paths of archives.
    pub libs: Vec<String>,
    /// The C library.
    pub libc: Libc,
    /// The allocator.
    pub malloc: Malloc,
    /// The program's default arguments (without argv[0]).
    pub args: Vec<String>,
    /// The program's environment.
    pub env: BTreeMap<String, String>,
    /// Extra files for the initial RAM disk.
    pub files: Vec<GuestFile>,
    /// Disks, and folders of this machine, in the guest.
    pub storage: Storage,
    /// The path that starts the program, `/UKL` by default.
    pub trigger: String,
    /// The kernel.
    pub kernel: KernelSpec,
    /// The machine.
    pub machine: MachineSettings,
}
