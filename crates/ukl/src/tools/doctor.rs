//! `ukl doctor`: what this machine needs to build and boot images, and how to get it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::base::error::{fail, Class, Result};
use crate::base::run::{Cmd, Shell};
use crate::base::target::TARGET;
use crate::base::term;
use crate::base::workdir::Cache;

/// How to tell that something is there.
#[derive(Debug, Clone, Copy)]
enum Probe {
    /// A program in PATH.
    Program(&'static str),
    /// A file.
    File(&'static str),
}

/// One thing that a build or a boot needs.
struct Need {
    probe: Probe,
    package: &'static str,
    purpose: &'static str,
}

const fn program(name: &'static str, package: &'static str, purpose: &'static str) -> Need {
    Need { probe: Probe::Program(name), package, purpose }
}

const fn file(path: &'static str, package: &'static str, purpose: &'static str) -> Need {
    Need { probe: Probe::File(path), package, purpose }
}

/// In the order in which a build needs them.
const NEEDS: &[Need] = &[
    program("gcc", "gcc", "compiles the program, the C library and the kernel"),
    program("ld", "binutils", "links them"),
    file("/usr/include/stdio.h", "libc6-dev", "the kernel's build tools are C programs"),
    file("/usr/include/linux/limits.h", "linux-libc-dev", "kernel headers for programs"),
    program("make", "make", "builds the C library and the kernel"),
    program("dpkg-source", "dpkg-dev", "unpacks the C library's source package"),
    program("xz", "xz-utils", "unpacks the kernel's source, compresses the kernel"),
    program("patch", "patch", "applies the patch series to the kernel"),
    program("flex", "flex", "the kernel's configuration and build"),
    program("bison", "bison", "the kernel's configuration and build"),
    program("bc", "bc", "the kernel's build computes its time constants"),
    file("/usr/include/gelf.h", "libelf-dev", "the kernel's objtool"),
    file("/usr/include/ncurses.h", "libncurses-dev", "the kernel's screens in `ukl menuconfig`"),
    program("lz4", "lz4", "compresses the initial RAM disk"),
    file(
        "/usr/src/linux-source-6.12.tar.xz",
        "linux-source-6.12",
        "the kernel's source, unless the manifest names another",
    ),
    program(TARGET.qemu, TARGET.qemu_package, "boots images"),
    program("ip", "iproute2", "taps and bridges: `ukl run --net`"),
    file("/usr/sbin/mkfs.ext4", "e2fsprogs", "makes and grows disk images (`--disk`)"),
    file("/bin/busybox", "busybox-static", "the shell of `ukl run --shell`"),
    program("curl", "curl", "fetches upstream sources; asks servers in the tutorials and tests"),
    program("wget", "wget", "asks servers in the tutorials and tests"),
    program("nc", "netcat-openbsd", "talks to servers in the tutorials and tests"),
    program("tmux", "tmux", "a terminal for `ukl menuconfig` in the tutorials and tests"),
];

/// One line of what is printed.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// The program or file.
    pub name: String,
    /// Where it is; nothing when it is missing.
    pub path: Option<PathBuf>,
    /// The Debian package that has it.
    pub package: &'static str,
    /// What it is for.
    pub purpose: &'static str,
}

/// What `ukl doctor` found.
#[derive(Debug, Clone, Serialize)]
pub struct Examination {
    /// Every need, met or not.
    pub findings: Vec<Finding>,
    /// `works` is not claimed here: only whether `/dev/kvm` can be opened, and is the processor's own.
    pub kvm: &'static str,
    /// Why `kvm` is `software`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kvm_reason: Option<String>,
    /// Packages to install.
    pub missing: Vec<&'static str>,
    /// The command that installs them.
    pub install: Option<String>,
}

/// Looks for everything that builds and boots need.
pub fn examine() -> Examination {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    examined(&folders, Path::new("/"))
}

/// As [`examine`], with programs in `folders` and files below `root`.
fn examined(folders: &[PathBuf], root: &Path) -> Examination {
    let mut findings = Vec::new();
    let mut missing: Vec<&'static str> = Vec::new();
    for need in NEEDS {
        let (name, path) = match need.probe {
            Probe::Program(name) => (name, find_program(name, folders)),
            Probe::File(name) => (name, Some(root.join(&name[1..])).filter(|path| path.exists())),
        };
        if path.is_none() && !missing.contains(&need.package) {
            missing.push(need.package);
        }
        findings.push(Finding { name: name.into(), path, package: need.package, purpose: need.purpose });
    }
    let install =
        (!missing.is_empty()).then(|| format!("apt-get install --no-install-recommends {}", missing.join(" ")));
    let (kvm, kvm_reason) = kvm(root);
    Examination { findings, kvm, kvm_reason, missing, install }
}

/// The first file called `name` in `folders` that may be executed.
fn find_program(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let executable = |path: &PathBuf| path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    folders.iter().map(|folder| folder.join(name)).find(executable)
}

fn kvm(root: &Path) -> (&'static str, Option<String>) {
    let device = root.join("dev/kvm");
    if !device.exists() {
        return ("absent", None);
    }
    match std::fs::File::options().read(true).write(true).open(device) {
        Ok(_) => match crate::machine::software_kvm(root) {
            Some(why) => ("software", Some(why)),
            None => ("opens", None),
        },
        Err(_) => ("denied", None),
    }
}

impl Examination {
    /// What `ukl doctor` prints.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            let mark = if finding.path.is_some() { "ok     " } else { "missing" };
            text.push_str(&format!("{mark}  {:<36} {}\n", finding.name, finding.purpose));
        }
        let reason = self.kvm_reason.as_deref().unwrap_or_default();
        let software = format!("/dev/kvm is no hardware: {reason}; boots are emulated, slower");
        let kvm = match self.kvm {
            "software" => &software,
            "opens" => "/dev/kvm opens; the first boot finds out whether it works",
            "denied" => "/dev/kvm cannot be opened (is your user in the group `kvm`?): boots are emulated, slower",
            _ => "no /dev/kvm: boots are emulated, slower",
        };
        text.push_str(&format!("note     {kvm}\n"));
        match &self.install {
            Some(command) => text.push_str(&format!("\ninstall what is missing:\n  {command}\n")),
            None => text.push_str("\nnothing is missing\n"),
        }
        text
    }
}

/// Installs `packages` with apt-get, as root or through `sudo -n`.
pub fn install(shell: &Shell, cache: &Cache, packages: &[&str]) -> Result<()> {
    let log = cache.log("doctor");
    // SAFETY: geteuid takes nothing and cannot fail.
    let root = unsafe { libc::geteuid() } == 0;
    let apt = |args: &[&str]| {
        let cmd = if root { Cmd::new("apt-get") } else { Cmd::new("sudo").args(["-n", "apt-get"]) };
        let cmd = cmd.args(args).env("DEBIAN_FRONTEND", "noninteractive").limit(Duration::from_secs(1800)).log(&log);
        term::say(&format!("apt-get {}", args.join(" ")));
        let output = shell.run(&cmd)?;
        if output.status.success() {
            return Ok(());
        }
        let failure = fail(Class::Host, format!("`apt-get {}` failed ({})", args[0], output.status));
        let hint = if root { "the log says why" } else { "run `ukl doctor --install` as root" };
        Err(anyhow::Error::from(failure.command(cmd.display()).log(&log).hint(hint)))
    };
    apt(&["update"])?;
    let mut args = vec!["install", "-y", "--no-install-recommends"];
    args.extend(packages);
    apt(&args)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(without: &str) -> (tempfile::TempDir, Vec<PathBuf>) {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        for need in NEEDS.iter().filter(|need| need.package != without) {
            let path = match need.probe {
                Probe::Program(name) => bin.join(name),
                Probe::File(name) => dir.path().join(&name[1..]),
            };
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        (dir, vec![bin])
    }

    #[test]
    fn a_complete_machine_lacks_nothing() {
        let (dir, path) = machine("");
        let found = examined(&path, dir.path());
        assert_eq!((found.missing.len(), found.kvm, found.install.is_none()), (0, "absent", true));
        assert!(found.text().ends_with("nothing is missing\n"));
    }

    #[test]
    fn each_missing_package_is_named_with_the_command() {
        for need in NEEDS {
            let (dir, path) = machine(need.package);
            let found = examined(&path, dir.path());
            assert_eq!(found.missing, [need.package]);
            let command = format!("apt-get install --no-install-recommends {}", need.package);
            assert!(found.text().contains(&command), "{}", found.text());
        }
    }

    #[test]
    fn a_file_that_is_not_executable_is_no_program() {
        let (dir, path) = machine("");
        crate::base::workdir::set_mode(&path[0].join("gcc"), 0o644).unwrap();
        assert_eq!(examined(&path, dir.path()).missing, ["gcc"]);
    }
}
