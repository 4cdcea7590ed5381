//! [`Toolchain`] → [`Sysroot`]: the unmodified C library, built once from its source package.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::base::cached::{self, Work};
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::plan::Made;
use crate::base::quote;
use crate::base::run::{Cmd, Shell};
use crate::base::target::TARGET;
use crate::base::workdir;
use crate::program::toolchain::Toolchain;
use crate::supply::debian;

/// Headers, start files and archives to compile and link against.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sysroot {
    /// The folder: `include/`, `lib/`, `hook/` (the `as` wrapper for `-B`).
    pub dir: PathBuf,
    /// Content key of the cache entry.
    pub key: String,
}

impl Sysroot {
    /// A file of `lib/`.
    pub fn lib(&self, name: &str) -> PathBuf {
        self.dir.join("lib").join(name)
    }

    /// The flags of every compilation against this sysroot; no host header is in reach.
    pub fn cflags(&self, toolchain: &Toolchain) -> Vec<String> {
        let mut flags: Vec<String> = toolchain.kernel_flags().into_iter().map(str::to_owned).collect();
        flags.push(format!("-B{}/", self.dir.join("hook").display()));
        flags.extend(["-nostdinc".to_owned()]);
        for include in [self.dir.join("include"), toolchain.include.clone()] {
            flags.extend(["-isystem".to_owned(), include.display().to_string()]);
        }
        flags
    }
}

const SITES: &str = include_str!("../../data/sites.s");
const AS: &str = include_str!("../../data/as.sh");
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

/// Builds musl for `toolchain`, or finds it in the cache.
///
/// Errors: class `Host` when the source package cannot be had or a tool is missing; an
/// interrupted build leaves nothing that a later one would take for an entry.
pub fn build(env: &Env, toolchain: &Toolchain) -> Result<Made<Sysroot>> {
    let source = debian::fetch(env, "musl", &[])?;
    let headers = kernel_headers()?;
    let flags = toolchain.kernel_flags().join(" ");
    let parts = [SITES, AS, CFLAGS, RECIPE, &flags, &source.sha256, &toolchain.id, &headers.version];
    let key = workdir::hash(parts)[..24].to_owned();
    let place = |work: &Work| work.dir.join("build");
    let commands = |work: &Work| Ok(commands(toolchain, &source.tree, &place(work), &work.out).into());
    let dir = cached::entry(env, "musl", &key, commands, |work, commands| {
        make(&env.shell, toolchain, commands, &place(work), &work.out)?;
        add_kernel_headers(&headers, &work.out.join("include"))?;
        add_queue_header(&work.out.join("include"))
    })?;
    Ok(dir.map(|dir| Sysroot { dir, key }).behind(&source))
}

/// Builds out of tree in `build` and leaves the sysroot's files in `out`.
fn make(shell: &Shell, toolchain: &Toolchain, commands: &[Cmd], build: &Path, out: &Path) -> Result<()> {
    write_hook(toolchain, out)?;
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
    let flags = toolchain.kernel_flags().join(" ");
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

fn write_hook(toolchain: &Toolchain, out: &Path) -> Result<()> {
    for (name, text) in hook(toolchain) {
        workdir::write_atomic(&out.join("hook").join(name), text.as_bytes())?;
    }
    workdir::set_mode(&out.join("hook/as"), 0o755)
}

/// The hook's files: what compilers take for the assembler (executable), and what it reads first.
pub fn hook(toolchain: &Toolchain) -> [(&'static str, String); 2] {
    let assembler = quote::in_quotes(&toolchain.assembler.display().to_string());
    [("as", AS.replace("@AS@", &assembler)), ("sites.s", SITES.to_owned())]
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
