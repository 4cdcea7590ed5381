//! Binary packages of the distribution, unpacked and not installed: what people run today, to compare with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use formats::bzimage;

use super::debian::{self, PACKAGE};
use crate::base::cached::{self, Work};
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::plan::Made;
use crate::base::run::{Cmd, Shell};
use crate::base::workdir;

/// Unpacked packages.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// What they would install below `/`.
    pub tree: PathBuf,
    /// Each package and its version.
    pub versions: BTreeMap<String, String>,
}

/// What such an entry of the cache is called.
const KIND: &str = "debian-binary";
/// The file beside a tree with its packages: name and version in a line.
const VERSIONS: &str = "versions";
/// The kernel as an ELF file, which QEMU starts without firmware.
const VMLINUX: &str = "vmlinux";

/// The package `name` with everything that it depends on. Errors (class `Host`): no such package, no archives.
pub fn program(env: &Env, name: &str) -> Result<Made<Binaries>> {
    let commands = |work: &Work| Ok(vec![debian::update_command(&work.dir), install_command(&work.dir, name)]);
    entry(env, name, commands, |shell, work| {
        // An empty machine: apt names every package that the program needs.
        workdir::write_atomic(&work.dir.join(STATUS), b"")?;
        shell.check(&install_command(&work.dir, name), Class::Host).map(drop)
    })
}

/// The newest kernel of the `line` (`6.12`) and the `flavour` that the distribution has, and its ELF file.
pub fn kernel(env: &Env, line: &str, flavour: &str) -> Result<Made<(Binaries, PathBuf)>> {
    let commands = |work: &Work| {
        let name = format!("linux-image-{line}.VERSION-{flavour}");
        Ok(vec![debian::update_command(&work.dir), download_command(&work.dir, &name)])
    };
    let made = entry(env, &format!("linux-{line}-{flavour}"), commands, |shell, work| {
        let name = newest_kernel(shell, work, line, flavour)?;
        shell.check(&download_command(&work.dir, &name), Class::Host).map(drop)
    })?;
    let (pending, tree) = (made.pending, made.tree.clone());
    let vmlinux = tree.with_file_name(VMLINUX);
    if !pending && !vmlinux.exists() {
        unpack_kernel(&env.shell, &tree, &vmlinux)?;
    }
    Ok(made.map(|binaries| (binaries, vmlinux)))
}

/// Where apt looks for what is installed, below the private folder.
const STATUS: &str = "status";

fn install_command(work: &Path, name: &str) -> Cmd {
    let status = format!("Dir::State::status={}", work.join(STATUS).display());
    let words = ["-o", &status, "-o", "Debug::NoLocking=1", "--yes", "--no-install-recommends", "--download-only"];
    debian::apt("apt-get", work).args(words).args(["install", name])
}

fn download_command(work: &Path, name: &str) -> Cmd {
    debian::apt("apt-get", work).args(["download", name])
}

/// The packages that `get` downloads, unpacked into one tree.
fn entry(
    env: &Env,
    name: &str,
    commands: impl Fn(&Work) -> Result<Vec<Cmd>>,
    get: impl FnOnce(&Shell, &Work) -> Result<()>,
) -> Result<Made<Binaries>> {
    let lists = debian::binary_lists(Path::new("/etc/apt"))?;
    let key = debian::key(&lists, name, &[]);
    let made = cached::entry(env, KIND, &key, commands, |work, _| {
        debian::begin(&env.shell, &lists, work)?;
        get(&env.shell, work)?;
        unpack(&env.shell, work)
    })?;
    let text = if made.pending { Vec::new() } else { workdir::read(&made.join(VERSIONS))? };
    let text = String::from_utf8_lossy(&text).into_owned();
    let pair = |line: &str| line.split_once(' ').map(|(name, version)| (name.to_owned(), version.to_owned()));
    let versions = text.lines().filter_map(pair).collect();
    Ok(made.map(|entry| Binaries { tree: entry.join("tree"), versions }))
}

/// Unpacks what was downloaded, and writes down what it is.
fn unpack(shell: &Shell, Work { dir, out }: &Work) -> Result<()> {
    let mut archives = Vec::new();
    for folder in [dir.join(PACKAGE), dir.join("cache/archives")] {
        archives
            .extend(workdir::list(&folder)?.into_iter().filter(|path| path.extension().is_some_and(|e| e == "deb")));
    }
    archives.sort();
    let mut versions = String::new();
    for archive in &archives {
        let fields = Cmd::new("dpkg-deb").args(["--show", "--showformat", "${Package} ${Version}\n"]).arg(archive);
        versions += &String::from_utf8_lossy(&shell.check(&fields, Class::Host)?.stdout);
        shell.check(&Cmd::new("dpkg-deb").arg("-x").arg(archive).arg(out.join("tree")), Class::Host)?;
    }
    if archives.is_empty() {
        return Err(fail(Class::Host, "apt-get downloaded no package").into());
    }
    workdir::write_atomic(&out.join(VERSIONS), versions.as_bytes())
}

/// The name of the newest kernel package.
fn newest_kernel(shell: &Shell, work: &Work, line: &str, flavour: &str) -> Result<String> {
    let (begin, end) = (format!("linux-image-{line}."), format!("-{flavour}"));
    let names = shell.run(&debian::apt("apt-cache", &work.dir).args(["pkgnames", &begin]))?;
    let names = String::from_utf8_lossy(&names.stdout).into_owned();
    let mut newest: Option<&str> = None;
    for name in names.lines().filter(|name| name.starts_with(&begin) && name.ends_with(&end)) {
        let newer = match newest {
            Some(other) => debian::compares(shell, name, ">>", other)?,
            None => true,
        };
        newest = if newer { Some(name) } else { newest };
    }
    let none = || fail(Class::Host, format!("the distribution has no kernel {line} of the flavour `{flavour}`"));
    Ok(newest.ok_or_else(none)?.to_owned())
}

/// Writes the ELF file inside the only kernel below `tree`.
fn unpack_kernel(shell: &Shell, tree: &Path, vmlinux: &Path) -> Result<()> {
    let kernels = workdir::list(&tree.join("boot"))?;
    let is_kernel =
        |path: &&PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"));
    let kernel = kernels.iter().find(is_kernel).context("the kernel's package has no kernel")?;
    let bytes = workdir::read(kernel)?;
    let payload = bzimage::payload(&bytes).map_err(|error| error.of(kernel.display()))?;
    let unpack = Cmd::new(payload.packer).args(["-d", "-c", "-q"]).stdin(&bytes[payload.range]);
    let context = || format!("unpacking Debian's kernel needs `apt-get install --yes {}`", payload.packer);
    let text = shell.check(&unpack, Class::Host).with_context(context)?.stdout;
    workdir::write_atomic(vmlinux, &text)
}
