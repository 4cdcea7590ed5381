//! A manifest → one plain shell script with every command of its build and boot, to read and to run without ukl.
//!
//! The commands are the stages' own: each stage says what it would run, with placeholders for folders, and here
//! they get comments, an order and variables. No flag is written down twice.

mod text;
mod library;
mod linux;
mod program;
mod ramdisk;

use std::path::{Path, PathBuf};

use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::workdir::ImageDir;
use crate::image::folder::{self, Image, Parts};
use crate::image::initrd::Initrd;
use crate::kernel::config::{self, Configured};
use crate::kernel::patch::PatchedSource;
use crate::kernel::vmlinux::Kernel;
use crate::machine::{self, Input, Output, Request, What};
use crate::manifest::storage::ShareKind;
use crate::manifest::{KernelSource, Libc, Malloc, Manifest};
use crate::program::archive::AppArchive;
use crate::program::libc::musl;
use crate::program::toolchain::{self, Toolchain};
use crate::program::userland::Userland;
use crate::tools::pins::Pin;

use text::{placeholder, Text};

/// What the parts of the script share.
struct Shared<'a> {
    manifest: &'a Manifest,
    userland: Userland,
    /// The image folder.
    dir: ImageDir,
    configured: Configured,
    pins: &'a [Pin],
    objcopy: bool,
}

/// Writes the script; `pins` are the versions that the project is locked to, `ukl` is how to call this program.
///
/// With `objcopy`, GNU objcopy renames the symbols. Errors (class `Usage`): the manifest has what takes more than
/// plain commands; (class `Host`): no compiler.
pub fn script(env: &Env, manifest: &Manifest, pins: &[Pin], ukl: &str, objcopy: bool) -> Result<String> {
    check(manifest)?;
    let looking = env.shell.looking();
    let toolchain = toolchain::find(&looking, &manifest.compiler)?;
    let place = |name: &str| PathBuf::from(placeholder(name));
    let patched = PatchedSource {
        tree: place("LINUX"),
        version: manifest.kernel.version.clone(),
        patches: vec![],
        hash: "".into(),
    };
    let shared = Shared {
        manifest,
        dir: ImageDir::at(place("OUT")),
        configured: config::in_folder(&looking, &patched, place("KBUILD"), &toolchain),
        userland: Userland { sysroot: musl::at(&toolchain, &place("SYSROOT"), ""), toolchain },
        pins,
        objcopy,
    };
    let mut text = Text::new(names(&shared));
    library::write(&mut text, &shared)?;
    program::write(&mut text, &shared)?;
    linux::write(&mut text, &shared)?;
    ramdisk::write(&mut text, &shared)?;
    machine(&mut text, env, &shared, &patched)?;
    let head = head(&text, &shared, ukl);
    let (body, payload) = text.end();
    Ok(format!("{head}{body}{PAYLOAD}{payload}"))
}

/// What stands between the commands and the files.
const PAYLOAD: &str = "\n# ---- Files: each begins with a line `#= NAME`, each line of it with `#|`\n";

/// Fails on what a script of plain commands cannot do.
fn check(manifest: &Manifest) -> Result<()> {
    let virtiofs = manifest.storage.shares.iter().any(|share| share.kind == ShareKind::Virtiofs);
    let local = matches!(&manifest.kernel.source, KernelSource::Local(path) if path.is_dir());
    let reasons = [
        (manifest.malloc != Malloc::Libc, "has an allocator of its own", "leave out `malloc`"),
        (!manifest.build.is_empty() || manifest.program.is_some(), "has its own build", "`ukl env` is for those"),
        (
            crate::kernel::exports::wanted(manifest),
            "calls functions of the kernel",
            "`ukl build --dry-run` shows the commands",
        ),
        (manifest.libc != Libc::Musl, "is linked with glibc", "`ukl build --dry-run` shows the commands"),
        (!manifest.storage.disks.is_empty(), "has disks", "`ukl run` makes and formats them"),
        (virtiofs, "has a share of the kind virtiofs", "a share of the kind 9p needs no daemon"),
        (local, "takes its kernel from a folder", "name a tarball as `source` in `[kernel]`"),
    ];
    match reasons.iter().find(|(is, _, _)| *is) {
        None => Ok(()),
        Some((_, what, hint)) => {
            let text = format!("`{}` {what}: that is more than a script of plain commands", manifest.name);
            Err(fail(Class::Usage, text).hint(*hint).into())
        }
    }
}

/// Everything that is a variable in the script, but for what every script sets itself.
fn names(shared: &Shared) -> Vec<(String, &'static str)> {
    let path = |path: &Path| path.display().to_string();
    let Toolchain { cc, ld, ar, include, libgcc, .. } = &shared.userland.toolchain;
    let mut names: Vec<(String, &'static str)> = PLACES.iter().map(|(name, _, _)| (placeholder(name), *name)).collect();
    names.extend(["new", "apt", "dsc", "patch"].map(|name| (placeholder(name), name)));
    names.push((path(&shared.manifest.dir), "APP"));
    let own = [(cc, "CC"), (ld, "LD"), (ar, "AR"), (include, "INCLUDE"), (libgcc, "LIBGCC")];
    names.extend(own.map(|(file, name)| (path(file), name)));
    if shared.configured.cc != *cc {
        names.push((path(&shared.configured.cc), "KERNEL_CC"));
    }
    names
}

/// (variable, where it is unless the user says otherwise, what it is).
const PLACES: [(&str, &str, &str); 6] = [
    ("OUT", "", "the image folder: everything else is below it unless you say otherwise"),
    ("MUSL", "$OUT/musl-source", "the C library's source"),
    ("SYSROOT", "$OUT/sysroot", "the C library, compiled"),
    ("TARBALL", "", "the kernel's source as it comes"),
    ("LINUX", "$OUT/linux", "the kernel's source, unpacked and patched"),
    ("KBUILD", "$OUT/kernel", "the folder in which the kernel is built"),
];

/// The beginning: what the script is, its variables, its few functions.
fn head(text: &Text, shared: &Shared, ukl: &str) -> String {
    let Shared { manifest, .. } = shared;
    let name = &manifest.name;
    let mut head = Text::default();
    head.line("#!/bin/sh");
    head.say(&format!(
        "Builds the image of `{name}` and boots it: what `ukl build` and `ukl run` do, command by command.\n\n\
         \x20   sh SCRIPT             build, then boot\n\
         \x20   BOOT=no sh SCRIPT     only build\n\n\
         A C program becomes a part of Linux: compiled and linked into one object in user space, its system calls\n\
         turned into jumps, then joined to the kernel at the kernel's last link. What was made before is not made\n\
         again; remove it, and it is. Needs what `ukl doctor` lists, and `ukl prefix`.\n"
    ));
    head.line("set -eu");
    head.line("export LC_ALL=C");
    head.say("What would change the kernel's build if your shell had it:");
    head.line(&format!("unset {}", config::CLEARED.join(" ")));
    head.part("Names");
    head.line(&format!("APP=${{APP:-{}}}", head.word(&manifest.dir.to_string_lossy())));
    head.line(&format!("OUT=${{OUT:-$PWD/{name}.image}}"));
    head.say("Where these are is up to you; make can have no blanks or colons in folders.");
    for (variable, place, what) in PLACES {
        let place = match (variable, &manifest.kernel.source) {
            ("TARBALL", KernelSource::Local(path)) => path.display().to_string(),
            ("TARBALL", KernelSource::Url { .. }) => "$OUT/linux.tar".to_owned(),
            ("TARBALL", KernelSource::Debian) => linux::debian_tarball(&manifest.kernel.version),
            _ => place.to_owned(),
        };
        if variable != "OUT" {
            head.line(&format!("{:<60}# {what}", format!("{variable}=${{{variable}:-{place}}}")));
        }
    }
    head.line(&format!("UKL=${{UKL:-{}}}", head.word(ukl)));
    let Toolchain { cc, ld, ar, include, libgcc, .. } = &shared.userland.toolchain;
    let own = [
        ("CC", cc),
        ("KERNEL_CC", &shared.configured.cc),
        ("LD", ld),
        ("AR", ar),
        ("INCLUDE", include),
        ("LIBGCC", libgcc),
    ];
    for (variable, file) in own.into_iter().filter(|(variable, _)| text.uses(variable)) {
        head.line(&format!("{variable}={}", head.word(&file.to_string_lossy())));
    }
    head.line(FUNCTIONS);
    head.end().0
}

const FUNCTIONS: &str = r#"
# Says what happens.
step() { echo "== $1" >&2; }
# A path from the root.
absolute() { case $1 in /*) echo "$1" ;; *) echo "$PWD/$1" ;; esac; }
# Prints a file that this script carries behind its commands.
payload() { sed -n "/^#= $1\$/,/^#= /s/^#|//p" "$SCRIPT"; }

SCRIPT=$(absolute "$0")
APP=$(absolute "$APP")
OUT=$(absolute "$OUT")
MUSL=$(absolute "$MUSL")
SYSROOT=$(absolute "$SYSROOT")
LINUX=$(absolute "$LINUX")
KBUILD=$(absolute "$KBUILD")
case $OUT$MUSL$SYSROOT$LINUX$KBUILD in
*[[:space:]:]*) echo "make cannot have folders with blanks or colons" >&2 && exit 2 ;;
esac
mkdir -p "$OUT""#;

/// QEMU.
fn machine(text: &mut Text, env: &Env, shared: &Shared, patched: &PatchedSource) -> Result<()> {
    let Shared { manifest, dir, configured, .. } = shared;
    let toolchain = &shared.userland.toolchain;
    let archive = &AppArchive { path: dir.archive(), sha256: String::new() };
    let kernel = &Kernel { bzimage: dir.bzimage(), vmlinux: dir.vmlinux(), config: dir.kernel_config() };
    let initrd = &Initrd { path: dir.initrd() };
    let parts = Parts { manifest, toolchain, archive, patched, configured, kernel, initrd };
    let image = Image { dir: dir.clone(), info: folder::describe(&parts, Default::default()) };
    let planned = Env { shell: env.shell.looking(), cache: env.cache.clone() };
    // A person sits at the console of what the script boots.
    let request = Request::new(What::Program(None));
    let cmd = machine::resolve(&planned, &image, &request, (Input::Lines, Output::Console), &dir.run())?.command(None);
    let control = text.word(&dir.control().to_string_lossy());
    text.part("Boot");
    text.say(
        "QEMU takes the ELF file itself: no boot loader, nothing to decompress. With a /dev/kvm that works, write\n\
         `-accel kvm -cpu host`. The first serial port is the console; on the second, init reports how the program ended.",
    );
    text.line(&format!(
        "if [ \"${{BOOT:-yes}}\" = no ]; then\n    echo \"$OUT\"\n    exit 0\nfi\nstep 'QEMU'\n: > {control}"
    ));
    text.cmd(&cmd);
    text.line(&format!(
        "status=$(sed -n -e 's/^exit //p' -e 's/^signal /128 + /p' {control} | tail -n 1)\n\
         [ -n \"$status\" ] || {{ echo 'the guest did not come up' >&2; exit 123; }}\n\
         exit $((status))"
    ));
    Ok(())
}
