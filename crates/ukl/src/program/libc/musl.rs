//! musl: unmodified, built once from its source package.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::base::cached::{self, Work};
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::plan::Made;
use crate::base::run::{Cmd, Shell};
use crate::base::target::TARGET;
use crate::base::workdir;
use crate::manifest::Libc;
use crate::program::toolchain::Toolchain;
use crate::supply::debian;

use super::sysroot::{self, Sysroot, AS, SITES};

const CFLAGS: &str = "-O2";
/// Counts changes of the recipe in this file that the other parts of the key do not show.
const RECIPE: &str = "2";

/// What musl's build makes besides `libc.a`: `crt1.o` and its kin, and the empty archives.
pub const PARTS: [&str; 12] = [
    "libc.a",
    "crt1.o",
    "crti.o",
    "crtn.o",
    "libm.a",
    "librt.a",
    "libpthread.a",
    "libcrypt.a",
    "libutil.a",
    "libxnet.a",
    "libresolv.a",
    "libdl.a",
];

/// The sysroot in `dir`.
pub fn at(toolchain: &Toolchain, dir: &Path, key: &str) -> Sysroot {
    let lib = |name: &str| dir.join("lib").join(name);
    Sysroot {
        libc: Libc::Musl,
        dir: dir.to_owned(),
        key: key.to_owned(),
        start: vec![lib("crt1.o"), lib("crti.o")],
        archives: vec![lib("libc.a"), toolchain.libgcc.clone()],
        end: vec![lib("crtn.o")],
        folders: vec![dir.join("lib")],
    }
}

/// The flags of its compilation; nothing in it unwinds.
fn flags(toolchain: &Toolchain) -> String {
    format!("{} -fno-asynchronous-unwind-tables", toolchain.kernel_flags().join(" "))
}

/// Builds musl for `toolchain`, or finds it in the cache.
///
/// Errors: class `Host` when the source package cannot be had or a tool is missing; an
/// interrupted build leaves nothing that a later one would take for an entry.
pub fn build(env: &Env, toolchain: &Toolchain) -> Result<Made<Sysroot>> {
    let source = debian::fetch(env, "musl", &[])?;
    let headers = kernel_headers()?;
    let flags = flags(toolchain);
    let parts = [SITES, AS, CFLAGS, RECIPE, &flags, &source.sha256, &toolchain.id, &headers.version];
    let key = workdir::hash(parts)[..24].to_owned();
    let place = |work: &Work| work.dir.join("build");
    let commands = |work: &Work| Ok(commands(toolchain, &source.tree, &place(work), &work.out).into());
    let dir = cached::entry(env, "musl", &key, commands, |work, commands| {
        make(&env.shell, toolchain, commands, &place(work), &work.out)?;
        add_kernel_headers(&headers, &work.out.join("include"))?;
        add_queue_header(&work.out.join("include"))
    })?;
    Ok(dir.map(|dir| at(toolchain, &dir, &key)).behind(&source))
}

/// Builds out of tree in `build` and leaves the sysroot's files in `out`.
fn make(shell: &Shell, toolchain: &Toolchain, commands: &[Cmd], build: &Path, out: &Path) -> Result<()> {
    sysroot::write_hook(toolchain, out)?;
    workdir::create_dir(build)?;
    for cmd in commands {
        run(shell, &cmd.clone().log(build.with_extension("log")))?;
    }
    for part in PARTS {
        workdir::copy_atomic(&build.join("lib").join(part), &out.join("lib").join(part))?;
    }
    Ok(())
}

/// What builds musl of `tree` in the folder `build`: configure, make, and the headers' way to `out`, where the hook is.
pub fn commands(toolchain: &Toolchain, tree: &Path, build: &Path, out: &Path) -> [Cmd; 3] {
    let hook = out.join("hook");
    let flags = flags(toolchain);
    // The cache's place must not show in the bytes of an assertion's message.
    let cflags = format!("{CFLAGS} {flags} -B{}/ -ffile-prefix-map={}=musl", hook.display(), tree.display());
    let configure = Cmd::new(tree.join("configure"))
        .arg(format!("--target={}", TARGET.musl))
        .args(["--disable-shared", "--disable-wrapper"])
        .arg(format!("--srcdir={}", tree.display()))
        .env("CC", &toolchain.cc)
        .env("AR", &toolchain.ar)
        .env("RANLIB", toolchain.ar.with_file_name("ranlib"))
        .env("CFLAGS", cflags)
        .env("LIBCC", &toolchain.libgcc)
        .cwd(build);
    let jobs = std::thread::available_parallelism().map_or(1, |n| n.get());
    let make = Cmd::new("nice").args(["-n", "10", "make", "-s", &format!("-j{jobs}")]);
    let make = make.args(PARTS.map(|part| format!("lib/{part}"))).cwd(build);
    let install = Cmd::new("make").args(["install-headers", "prefix="]);
    [configure, make, install.arg(format!("DESTDIR={}", out.display())).cwd(build)]
}

/// Runs one step of the build; on failure the log outlives the temporary folder in the message.
fn run(shell: &Shell, cmd: &Cmd) -> Result<()> {
    let mut tail = std::collections::VecDeque::new();
    let output = shell.run_with(cmd, &mut |line| {
        tail.push_back(line.chars().take(300).collect::<String>());
        if tail.len() > 10 {
            tail.pop_front();
        }
    })?;
    if output.status.success() {
        return Ok(());
    }
    let tail: Vec<String> = tail.into();
    let text = format!("the C library does not build ({})\n    {}", output.status, tail.join("\n    "));
    Err(fail(Class::Host, text).command(cmd.display()).into())
}

/// The host's copy of the kernel's user-space headers, which every C library borrows.
#[derive(Debug)]
pub struct KernelHeaders {
    /// Folders to copy, with their names in the sysroot.
    pub folders: Vec<(PathBuf, &'static str)>,
    /// Content of `linux/version.h`.
    version: String,
}

/// Finds the kernel's headers. Error (class `Host`): they are not installed.
pub fn kernel_headers() -> Result<KernelHeaders> {
    let missing = || fail(Class::Host, "the kernel's headers are not installed");
    let missing = || missing().hint("apt-get install --yes linux-libc-dev");
    let version = std::fs::read_to_string("/usr/include/linux/version.h").map_err(|_| missing())?;
    let mut folders = Vec::new();
    for name in ["linux", "asm-generic", "asm", "mtd"] {
        // Those of one architecture have a folder of their own on some distributions.
        let mut places = [TARGET.headers, "/usr/include"].into_iter().map(|folder| Path::new(folder).join(name));
        let place = places.find(|place| place.is_dir()).ok_or_else(missing)?;
        folders.push((place, name));
    }
    Ok(KernelHeaders { folders, version })
}

/// The host's copy of the BSD list macros.
pub fn queue_header() -> PathBuf {
    Path::new(TARGET.headers).join("sys/queue.h")
}

/// The BSD list macros: musl leaves them out, many programs want them, and they need nothing else.
fn add_queue_header(include: &Path) -> Result<()> {
    let host = queue_header();
    if host.exists() {
        workdir::copy_atomic(&host, &include.join("sys/queue.h"))?;
    }
    Ok(())
}

fn add_kernel_headers(headers: &KernelHeaders, include: &Path) -> Result<()> {
    for (from, name) in &headers.folders {
        for entry in walkdir::WalkDir::new(from).follow_links(true) {
            let entry = entry.with_context(|| format!("failed to list `{}`", from.display()))?;
            if entry.file_type().is_file() {
                let below = entry.path().strip_prefix(from)?;
                workdir::copy_atomic(entry.path(), &include.join(name).join(below))?;
            }
        }
    }
    Ok(())
}
