//! What `ukl.toml` may say, word for word; nothing outside `manifest` sees these types.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// Description of one program and the image to build from it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(title = "ukl.toml")]
pub(super) struct RawManifest {
    /// Name of the image: lower-case letters, digits, `-` and `_`. Default: the folder's name.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9_-]*$"))]
    pub name: Option<String>,
    /// C and assembler files to compile, objects and archives to take as they are.
    /// Either this or `program` is required.
    #[serde(default)]
    pub sources: Vec<String>,
    /// C files (and their headers) to compile with the kernel: the program calls their functions by name.
    #[serde(default)]
    pub kernel_sources: Vec<String>,
    /// Functions of the kernel that the program calls by name.
    #[serde(default)]
    pub imports: Vec<String>,
    /// Source trees to fetch for `build`: one table or a list of tables.
    pub source: Option<RawUpstreams>,
    /// The executable that the build commands link with our compiler.
    pub program: Option<String>,
    /// When the program is ready.
    pub ready: Option<RawReady>,
    /// Commands that make some of `sources`, or `program`, first. They run in the project's folder,
    /// or above the folders of `source`.
    #[serde(default)]
    pub build: Vec<RawCommand>,
    /// Where `ukl run` and `ukl up` run the program. Default: `qemu`.
    pub platform: Option<RawPlatform>,
    /// `gcc`, `clang` or the path of one of them. Default: `gcc`.
    pub compiler: Option<String>,
    /// Further flags for the compiler.
    #[serde(default)]
    pub cflags: Vec<String>,
    /// Libraries: `m` for libm, with glibc any static library of the host, or the path of an archive.
    #[serde(default)]
    pub libs: Vec<String>,
    /// The C library. Default: `musl`, with C++ sources `glibc`.
    pub libc: Option<RawLibc>,
    /// Whose `malloc` the program gets. Default: the C library's own.
    pub malloc: Option<RawMalloc>,
    /// The program's arguments, without its own name.
    #[serde(default)]
    pub args: Vec<String>,
    /// The program's environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Path in the guest that starts the program. Default: `/UKL`.
    pub trigger: Option<String>,
    /// Further files for the initial RAM disk.
    #[serde(default)]
    pub files: Vec<RawFile>,
    /// Disk images: what a program writes there is still there at the next boot.
    #[serde(default)]
    pub disks: Vec<RawDisk>,
    /// Folders of this machine in the guest.
    #[serde(default)]
    pub shares: Vec<RawShare>,
    /// The kernel to link into.
    #[serde(default)]
    pub kernel: RawKernel,
    /// The machine that `ukl run` asks QEMU for.
    #[serde(default)]
    pub machine: RawMachine,
}

/// One command: its words, or one string that is split at blanks. No shell is involved.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a string or a list of words")]
#[schemars(rename = "Command")]
pub(super) enum RawCommand {
    /// The words.
    Words(Vec<String>),
    /// Words between blanks, without quotes or other characters that a shell would interpret.
    Line(String),
    /// A command in a folder.
    In(RawCommandIn),
}

/// One command in a folder.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "CommandIn")]
pub(super) struct RawCommandIn {
    /// The folder, relative to where commands run otherwise.
    pub dir: String,
    /// The command.
    pub run: RawWords,
}

/// The words of a command, or one string that is split at blanks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a string or a list of words")]
#[schemars(rename = "Words")]
pub(super) enum RawWords {
    /// The words.
    Words(Vec<String>),
    /// Words between blanks.
    Line(String),
}

/// One source tree, or several.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected tables with `debian`, `url` or `path` (files to compile belong into `sources`)"
)]
#[schemars(rename = "Upstreams")]
pub(super) enum RawUpstreams {
    /// One.
    One(RawUpstream),
    /// Several.
    Many(Vec<RawUpstream>),
}

/// A source tree: exactly one of `debian`, `url` and `path`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Upstream")]
pub(super) struct RawUpstream {
    /// Name of a source package of the distribution.
    pub debian: Option<String>,
    /// Conditions on the package's version as dpkg writes them, e.g. `>= 1.6, << 2`.
    pub version: Option<String>,
    /// A tarball on the network.
    pub url: Option<String>,
    /// SHA-256 of the tarball, in hex.
    #[schemars(regex(pattern = r"^[0-9a-fA-F]{64}$"))]
    pub sha256: Option<String>,
    /// A folder, relative to the manifest; it is copied, not written to.
    pub path: Option<String>,
    /// Name of the folder that build commands find it in. Default: the package's or folder's name.
    pub name: Option<String>,
}

/// When the program is ready.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Ready")]
pub(super) struct RawReady {
    /// TCP port of the guest that answers then.
    #[schemars(range(min = 1))]
    pub port: u16,
}

/// Where a program runs.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "Platform")]
pub(super) enum RawPlatform {
    /// Linked into a kernel, on a machine of QEMU's.
    Qemu,
    /// Its ring-3 twin, as an ordinary process of this machine.
    Linuxu,
}

/// An allocator that programs can be linked with.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "Malloc")]
pub(super) enum RawMalloc {
    /// The C library's own.
    Libc,
    /// mimalloc, from the distribution's source package.
    Mimalloc,
}

/// A C library that programs can be linked with.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "Libc")]
pub(super) enum RawLibc {
    /// musl, unmodified, compiled for the kernel.
    Musl,
    /// glibc and the C++ library as the distribution compiled them.
    Glibc,
}

/// One file or folder for the initial RAM disk.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "File")]
pub(super) struct RawFile {
    /// File or folder on this machine, relative to the manifest.
    pub src: String,
    /// Absolute path in the guest.
    pub dst: String,
    /// Permission bits in octal, e.g. `"0644"`. Default: those of `src`.
    #[schemars(regex(pattern = r"^0?[0-7]{3,4}$"))]
    pub mode: Option<String>,
}

/// A disk of the guest.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Disk")]
pub(super) struct RawDisk {
    /// The image file, relative to the manifest; made when it does not exist.
    pub path: String,
    /// Its size with a unit, e.g. `64M` or `2G`; an image that is smaller grows. Default: the file's size.
    #[schemars(regex(pattern = r"^[0-9]+[MGT]$"))]
    pub size: Option<String>,
    /// What it holds. Default: `ext4`.
    pub format: Option<RawFormat>,
    /// Mount point in the guest, or the path of a raw disk's device, e.g. `/dev/data`.
    pub mount: String,
    /// The guest cannot write to it.
    #[serde(default)]
    pub read_only: bool,
}

/// What a disk holds.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "Format")]
pub(super) enum RawFormat {
    /// The file system ext4.
    Ext4,
    /// Whatever the program keeps there: it finds a block device.
    Raw,
}

/// A folder of this machine in the guest.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Share")]
pub(super) struct RawShare {
    /// The folder, relative to the manifest.
    pub path: String,
    /// Mount point in the guest.
    pub mount: String,
    /// How it gets there. Default: `9p`.
    pub kind: Option<RawKind>,
    /// The guest cannot write to it.
    #[serde(default)]
    pub read_only: bool,
}

/// How a folder gets into the guest.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[schemars(rename = "Kind")]
pub(super) enum RawKind {
    /// QEMU itself serves it.
    #[serde(rename = "9p")]
    NineP,
    /// The daemon virtiofsd serves it, as root.
    #[serde(rename = "virtiofs")]
    Virtiofs,
}

/// The kernel to link into.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Kernel")]
pub(super) struct RawKernel {
    /// Version line. Default: `6.12`.
    #[schemars(regex(pattern = r"^[0-9]+\.[0-9]+$"))]
    pub version: Option<String>,
    /// `debian`, the path of a source tree or tarball, or a URL. Default: `debian`.
    pub source: Option<String>,
    /// SHA-256 of the tarball behind a URL, in hex.
    #[schemars(regex(pattern = r"^[0-9a-fA-F]{64}$"))]
    pub sha256: Option<String>,
    /// Further lines of kernel configuration, e.g. `CONFIG_NET=y`.
    #[serde(default)]
    pub config: Vec<String>,
    /// Build disks and shares into the kernel although the manifest names none, for `--disk` and `--share`.
    #[serde(default)]
    pub storage: bool,
    /// Build a kernel with debugging aids switched on.
    #[serde(default)]
    pub debug: bool,
}

/// The machine that `ukl run` asks QEMU for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Machine")]
pub(super) struct RawMachine {
    /// Memory in MiB or with a unit, e.g. `128M` or `1G`. Default: `128M`.
    #[schemars(regex(pattern = r"^[0-9]+[MG]$"))]
    pub memory: Option<String>,
    /// Number of virtual CPUs. Default: 1.
    #[schemars(range(min = 1, max = 64))]
    pub cpus: Option<u32>,
    /// Ports to forward: `[ADDRESS:]HOST:GUEST[/udp]`, or one number for both; each may be a range.
    #[serde(default)]
    pub ports: Vec<RawPort>,
    /// What the network card is connected to: `user`, `none`, `tap=NAME` or `bridge=NAME`.
    /// Default: `user` when ports are forwarded, else `none`.
    #[schemars(regex(pattern = r"^(user|none|(tap|bridge)=[A-Za-z0-9][A-Za-z0-9._-]{0,14})$"))]
    pub net: Option<String>,
    /// The guest's address: `dhcp`, or `ADDRESS/BITS[,gw=ADDRESS][,dns=ADDRESS]`.
    pub ip: Option<String>,
    /// Queues of the network card. Default: 1.
    #[schemars(range(min = 1, max = 8))]
    pub queues: Option<u32>,
}

/// A port to forward.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a port such as `8080:80`")]
#[schemars(rename = "Port")]
pub(super) enum RawPort {
    /// The same TCP port of this machine and of the guest.
    Number(#[schemars(range(min = 1))] u16),
    /// As `8080:80`, `53:53/udp`, `0.0.0.0:8080:80` or `8000-8003:9000-9003`.
    Text(String),
}

/// The JSON schema of `ukl.toml`, as `docs/ukl.schema.json` holds it.
pub fn schema() -> crate::base::error::Result<String> {
    let schema = schemars::schema_for!(RawManifest);
    Ok(serde_json::to_string_pretty(&schema)? + "\n")
}
