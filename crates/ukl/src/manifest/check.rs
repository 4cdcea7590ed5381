//! [`RawManifest`] → [`Manifest`]: every value checked, every path made absolute.

mod storage;
mod imports;
mod upstream;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::fields;
use super::net::{self, Network};
use super::port;
use super::raw::{
    RawCommand, RawCommandIn, RawFile, RawKernel, RawLibc, RawMachine, RawMalloc, RawManifest, RawPlatform, RawPort,
    RawWords,
};
use super::{BuildCommand, GuestFile, KernelSpec, Libc, MachineSettings, Malloc, Manifest, Platform, Port};

/// The kernel that is used when a manifest names none.
pub(super) const KERNEL_VERSION: &str = "6.12";
/// The memory of a machine whose manifest names none, in MiB.
pub(super) const MEMORY_MIB: u32 = 128;
const CPUS_MAX: u32 = 64;
/// What the image itself puts into the guest.
const RESERVED: [&str; 4] = ["/init", "/twin", "/etc/ukl/command", "/etc/ukl/mounts"];
const EXTENSIONS: [&str; 9] = ["c", "cc", "cpp", "cxx", "C", "s", "S", "o", "a"];

/// A value that cannot be used: where it stands and why.
#[derive(Debug)]
pub(super) struct Bad {
    /// Keys and list positions from the top of the file, e.g. `machine`, `ports`, `1`.
    pub at: Vec<String>,
    /// What is wrong, as a lower-case fragment.
    pub text: String,
}

type Checked<T> = Result<T, Bad>;

/// Names the place of an error that a function of `fields` reports.
fn at<T>(path: &[&str], result: Result<T, String>) -> Checked<T> {
    result.map_err(|text| Bad { at: path.iter().map(|p| p.to_string()).collect(), text })
}

fn bad<T>(path: &[&str], text: impl Into<String>) -> Checked<T> {
    at(path, Err(text.into()))
}

/// Checks everything that `raw` says; `dir` (absolute) is the manifest's folder.
pub(super) fn check(raw: RawManifest, dir: &Path) -> Checked<Manifest> {
    let sources = sources(&raw, dir)?;
    let libc = libc(raw.libc, &sources)?;
    let folder = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = match &raw.name {
        Some(name) => at(&["name"], fields::name(name))?,
        None => at(
            &[],
            fields::name(&folder)
                .map_err(|_| format!("`name` is missing, and the folder's name `{folder}` cannot stand in for it")),
        )?,
    };
    let trigger = at(&["trigger"], fields::guest_path(raw.trigger.as_deref().unwrap_or("/UKL")))?;
    if RESERVED.contains(&trigger.as_str()) {
        return bad(&["trigger"], format!("`{trigger}` belongs to the image itself"));
    }
    check_words("args", &raw.args)?;
    check_words("cflags", &raw.cflags)?;
    check_env(&raw.env)?;
    let files = files(&raw.files, dir, &trigger)?;
    let storage = storage::all(&raw, dir, &trigger, &files)?;
    let mut kernel = kernel(&raw.kernel, dir)?;
    kernel.storage |= !storage.is_empty();
    Ok(Manifest {
        name,
        dir: dir.to_owned(),
        sources,
        kernel_sources: imports::kernel_sources(&raw, dir)?,
        imports: imports::functions(&raw)?,
        program: program(&raw, dir)?,
        upstream: upstream::all(raw.source.as_ref(), dir)?,
        ready: ready(&raw)?,
        build: build(&raw.build)?,
        platform: match raw.platform {
            None | Some(RawPlatform::Qemu) => Platform::Qemu,
            Some(RawPlatform::Linuxu) => Platform::Linuxu,
        },
        compiler: compiler(raw.compiler.as_deref(), dir)?,
        cflags: raw.cflags,
        libs: libs(&raw.libs, dir, raw.build.is_empty())?,
        libc,
        malloc: match raw.malloc {
            None | Some(RawMalloc::Libc) => Malloc::Libc,
            Some(RawMalloc::Mimalloc) => Malloc::Mimalloc,
        },
        args: raw.args,
        env: raw.env,
        files,
        storage,
        trigger,
        kernel,
        machine: machine(&raw.machine)?,
    })
}

fn sources(raw: &RawManifest, dir: &Path) -> Checked<Vec<PathBuf>> {
    let (raw, must_exist) = match (&raw.program, raw.sources.is_empty()) {
        (None, true) => return bad(&["sources"], "there is nothing to link: neither `sources` nor `program`"),
        (Some(_), false) => return bad(&["sources"], "`sources` and `program` exclude each other"),
        _ => (&raw.sources, raw.build.is_empty()),
    };
    let mut seen = BTreeSet::new();
    let mut paths = Vec::new();
    for (i, text) in raw.iter().enumerate() {
        let here = ["sources", &i.to_string()];
        let path = fields::absolute(dir, text);
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        if !EXTENSIONS.contains(&extension) {
            return bad(&here, format!("`{text}` is not a source: it must end in .{}", EXTENSIONS.join(", .")));
        }
        if must_exist && !path.is_file() {
            return bad(&here, format!("no file `{text}`"));
        }
        if !seen.insert(path.clone()) {
            return bad(&here, format!("`{text}` is listed twice"));
        }
        paths.push(path);
    }
    Ok(paths)
}

/// Endings of C++ sources.
const CXX: [&str; 4] = ["cc", "cpp", "cxx", "C"];

/// The C library; that of C++ programs is glibc, for which the C++ library is compiled.
fn libc(raw: Option<RawLibc>, sources: &[PathBuf]) -> Checked<Libc> {
    let asked = raw.map(|raw| match raw {
        RawLibc::Musl => Libc::Musl,
        RawLibc::Glibc => Libc::Glibc,
    });
    at(&["libc"], libc_for(asked, sources))
}

/// The C library for `sources` when `asked` is wanted. The error is a lower-case fragment.
pub(super) fn libc_for(asked: Option<Libc>, sources: &[PathBuf]) -> Result<Libc, String> {
    let is_cxx = |path: &&PathBuf| path.extension().and_then(|e| e.to_str()).is_some_and(|e| CXX.contains(&e));
    match (asked, sources.iter().find(is_cxx)) {
        (Some(Libc::Musl), Some(source)) => {
            let name = source.file_name().unwrap_or_default().to_string_lossy();
            Err(format!("`{name}` is C++, whose library is compiled for glibc: `libc = \"glibc\"`"))
        }
        (asked, source) => Ok(asked.unwrap_or(if source.is_some() { Libc::Glibc } else { Libc::Musl })),
    }
}

/// The executable: in the project's folder, or below the source trees that are fetched.
fn program(raw: &RawManifest, dir: &Path) -> Checked<Option<PathBuf>> {
    let Some(text) = &raw.program else {
        return if raw.source.is_some() && raw.build.is_empty() {
            bad(&["source"], "`source` needs `build`, the commands that make a program of it")
        } else {
            Ok(None)
        };
    };
    if text.is_empty() || text.contains('\0') {
        return bad(&["program"], "`program` is empty");
    }
    if raw.source.is_some() {
        return Ok(Some(at(&["program"], fields::inside(text))?.into()));
    }
    let path = fields::absolute(dir, text);
    if raw.build.is_empty() && !path.is_file() {
        return bad(&["program"], format!("no program `{text}`"));
    }
    Ok(Some(path))
}

fn ready(raw: &RawManifest) -> Checked<Option<u16>> {
    match raw.ready.as_ref().map(|ready| ready.port) {
        Some(0) => bad(&["ready", "port"], "port 0 answers nobody"),
        port => Ok(port),
    }
}

fn build(raw: &[RawCommand]) -> Checked<Vec<BuildCommand>> {
    let mut commands = Vec::new();
    for (i, command) in raw.iter().enumerate() {
        let here = ["build", &i.to_string()];
        let dir = match command {
            RawCommand::In(command) => Some(at(&[here[0], here[1], "dir"], fields::inside(&command.dir))?),
            _ => None,
        };
        let words = match command {
            RawCommand::Words(words) | RawCommand::In(RawCommandIn { run: RawWords::Words(words), .. }) => {
                words.clone()
            }
            RawCommand::Line(line) | RawCommand::In(RawCommandIn { run: RawWords::Line(line), .. }) => {
                at(&here, fields::words(line))?
            }
        };
        if words.first().is_none_or(|program| program.is_empty()) || words.iter().any(|w| w.contains('\0')) {
            return bad(&here, "a command needs a program");
        }
        commands.push(BuildCommand { dir, words });
    }
    Ok(commands)
}

fn compiler(raw: Option<&str>, dir: &Path) -> Checked<String> {
    match raw {
        None => Ok("gcc".into()),
        Some("") => bad(&["compiler"], "`compiler` is empty"),
        // A path is relative to the manifest; a bare name is looked up in PATH.
        Some(path) if path.contains('/') => Ok(fields::absolute(dir, path).to_string_lossy().into_owned()),
        Some(name) => Ok(name.into()),
    }
}

fn libs(raw: &[String], dir: &Path, must_exist: bool) -> Checked<Vec<String>> {
    let mut libs = Vec::new();
    for (i, text) in raw.iter().enumerate() {
        let here = ["libs", &i.to_string()];
        let is_path = text.contains('/') || text.ends_with(".a");
        let path = fields::absolute(dir, text);
        if is_path && must_exist && !path.is_file() {
            return bad(&here, format!("no archive `{text}`"));
        }
        if text.is_empty() || text.starts_with('-') {
            return bad(&here, format!("`{text}` is not a library: write `m` for libm, or the path of an archive"));
        }
        libs.push(if is_path { path.to_string_lossy().into_owned() } else { text.clone() });
    }
    Ok(libs)
}

fn check_words(key: &str, words: &[String]) -> Checked<()> {
    match words.iter().position(|word| word.contains('\0')) {
        Some(i) => bad(&[key, &i.to_string()], "a NUL character cannot be passed to a program"),
        None => Ok(()),
    }
}

fn check_env(env: &BTreeMap<String, String>) -> Checked<()> {
    for (key, value) in env {
        if key.is_empty() || key.contains(['=', '\0']) {
            return bad(&["env", key], format!("`{}` is not a name for an environment variable", key.escape_debug()));
        }
        if value.contains('\0') {
            return bad(&["env", key], "a NUL character cannot be passed to a program");
        }
    }
    Ok(())
}

fn files(raw: &[RawFile], dir: &Path, trigger: &str) -> Checked<Vec<GuestFile>> {
    let mut seen = BTreeSet::new();
    let mut files = Vec::new();
    for (i, file) in raw.iter().enumerate() {
        let i = i.to_string();
        let src = fields::absolute(dir, &file.src);
        let dst = at(&["files", &i, "dst"], fields::guest_path(&file.dst))?;
        let mode = file.mode.as_deref().map(fields::mode).transpose();
        let mode = at(&["files", &i, "mode"], mode)?;
        if !src.exists() {
            return bad(&["files", &i, "src"], format!("no file `{}`", file.src));
        }
        if dst == trigger || RESERVED.contains(&dst.as_str()) {
            return bad(&["files", &i, "dst"], format!("`{dst}` belongs to the image itself"));
        }
        if !seen.insert(dst.clone()) {
            return bad(&["files", &i, "dst"], format!("`{dst}` is listed twice"));
        }
        files.push(GuestFile { src, dst, mode });
    }
    Ok(files)
}

fn kernel(raw: &RawKernel, dir: &Path) -> Checked<KernelSpec> {
    let version = raw.version.as_deref().unwrap_or(KERNEL_VERSION);
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !version.split_once('.').is_some_and(|(major, minor)| digits(major) && digits(minor)) {
        return bad(&["kernel", "version"], format!("`{version}` is not a version line such as `{KERNEL_VERSION}`"));
    }
    let source = fields::kernel_source(raw.source.as_deref().unwrap_or("debian"), raw.sha256.as_deref(), dir);
    let key = if raw.sha256.is_some() { "sha256" } else { "source" };
    let source = at(&["kernel", key], source)?;
    let mut seen = BTreeMap::new();
    for (i, line) in raw.config.iter().enumerate() {
        let here = ["kernel", "config", &i.to_string()];
        let option = at(&here, fields::config_option(line))?;
        if let Some(before) = seen.insert(option, line) {
            return bad(&here, format!("`{option}` is set twice: `{before}` and `{line}`"));
        }
    }
    let (storage, debug) = (raw.storage, raw.debug);
    Ok(KernelSpec { version: version.into(), source, config: raw.config.clone(), storage, debug })
}

fn machine(raw: &RawMachine) -> Checked<MachineSettings> {
    let memory = raw.memory.as_deref().map_or(Ok(MEMORY_MIB), fields::memory_mib);
    let memory_mib = at(&["machine", "memory"], memory)?;
    let cpus = raw.cpus.unwrap_or(1);
    if !(1..=CPUS_MAX).contains(&cpus) {
        return bad(&["machine", "cpus"], format!("{cpus} CPUs: a machine has 1 to {CPUS_MAX}"));
    }
    Ok(MachineSettings { memory_mib, cpus, ports: ports(raw)?, network: network(raw)? })
}

fn ports(raw: &RawMachine) -> Checked<Vec<Port>> {
    let mut ports = Vec::new();
    for (i, text) in raw.ports.iter().enumerate() {
        let here = ["machine", "ports", &i.to_string()];
        let next = match text {
            RawPort::Number(number) => port::port(&number.to_string()),
            RawPort::Text(text) => port::port(text),
        };
        let next = at(&here, next)?;
        at(&here, port::beside(&ports, &next))?;
        ports.push(next);
    }
    Ok(ports)
}

fn network(raw: &RawMachine) -> Checked<Network> {
    let net = at(&["machine", "net"], raw.net.as_deref().map(net::net).transpose())?;
    let ip = at(&["machine", "ip"], raw.ip.as_deref().map(net::ip).transpose())?;
    match raw.queues {
        Some(queues) if !(1..=net::QUEUES_MAX).contains(&queues) => {
            bad(&["machine", "queues"], format!("{queues} queues: a network card has 1 to {}", net::QUEUES_MAX))
        }
        queues => Ok(Network { net, ip, queues }),
    }
}
