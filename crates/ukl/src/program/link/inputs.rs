//! What is linked: start files, objects, archives, in the linker's order.

use std::path::{Path, PathBuf};

use crate::base::error::{fail, Class, Failure, Result};
use crate::base::run::Cmd;
use crate::base::stamp::Inputs as Stamp;
use crate::base::workdir;
use crate::manifest::Libc;
use crate::program::libc::{glibc, musl, Sysroot};
use crate::program::toolchain::Toolchain;
use crate::program::userland::Userland;

use super::{partial, script};

/// Everything that is linked, in link order.
pub(super) struct Inputs {
    pub libc: Libc,
    ld: PathBuf,
    start: Vec<PathBuf>,
    objects: Vec<PathBuf>,
    archives: Vec<PathBuf>,
    end: Vec<PathBuf>,
}

impl Inputs {
    pub(super) fn new(Userland { toolchain, sysroot }: &Userland, files: &[PathBuf], libs: &[String]) -> Result<Self> {
        let is_archive = |path: &PathBuf| path.extension().is_some_and(|e| e == "a");
        let (mut archives, objects): (Vec<_>, Vec<_>) = files.iter().cloned().partition(is_archive);
        for lib in libs {
            archives.push(library(sysroot, lib)?);
        }
        archives.extend(sysroot.archives.iter().cloned());
        let (start, end) = (sysroot.start.clone(), sysroot.end.clone());
        Ok(Inputs { libc: sysroot.libc, ld: toolchain.ld.clone(), start, objects, archives, end })
    }

    /// One object that has everything in it.
    pub(super) fn finished(toolchain: &Toolchain, libc: Libc, whole: &Path) -> Self {
        let [start, archives, end] = [const { Vec::new() }; 3];
        Inputs { libc, ld: toolchain.ld.clone(), start, objects: vec![whole.to_owned()], archives, end }
    }

    /// All files that the linker reads.
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> + Clone {
        let start = self.start.iter().chain(&self.objects);
        start.chain(&self.archives).chain(&self.end)
    }

    /// `options` and all inputs; archives may need one another in any order.
    fn command(&self, options: &[&str], output: &Path) -> Cmd {
        let cmd = Cmd::new(&self.ld).args(options).arg("-o").arg(output);
        let cmd = cmd.args(&self.start).args(&self.objects);
        cmd.arg("--start-group").args(&self.archives).arg("--end-group").args(&self.end)
    }

    pub(super) fn executable(&self, output: &Path) -> Cmd {
        let mut options = vec!["-static", "--gc-sections", "--build-id=none", "-z", "noexecstack", "--no-demangle"];
        // musl's programs have nothing that unwinds.
        options.extend((self.libc == Libc::Glibc).then_some("--eh-frame-hdr"));
        self.command(&options, output)
    }

    pub(super) fn whole(&self, output: &Path) -> Cmd {
        self.command(&["-r", "-d", "--no-demangle"], output)
    }

    /// [`commands`].
    pub(super) fn commands(&self, userland: &Userland, stage: &Path, twin: &Path) -> [Cmd; 3] {
        [self.executable(twin), self.whole(&stage.join("whole.o")), partial(&userland.toolchain, stage)]
    }

    /// All that decides the outputs.
    pub(super) fn stamp(&self, Userland { toolchain, sysroot }: &Userland) -> Result<Stamp> {
        let mut stamp = Stamp::default().with("the compiler", &toolchain.id).with("the C library", &sysroot.key);
        stamp = stamp.with("the linker script", script::TEMPLATE);
        // The sysroot's own files never change behind its key.
        let own = |file: &&PathBuf| !file.starts_with(&sysroot.dir);
        for file in self.objects.iter().chain(&self.archives).filter(own) {
            if !file.exists() {
                let text = format!("`{}` does not exist", file.display());
                return Err(fail(Class::App, text).into());
            }
            stamp = stamp.hashed(&file.display().to_string(), &workdir::hash_file(file)?);
        }
        Ok(stamp)
    }
}

/// The archive that an entry of `libs` means.
fn library(sysroot: &Sysroot, lib: &str) -> Result<PathBuf> {
    if lib.contains('/') {
        let path = PathBuf::from(lib);
        return match sysroot.libc == Libc::Musl && glibc::is_hosts(&path) {
            true => Err(made_for_glibc(lib).into()),
            false => Ok(path),
        };
    }
    let name = format!("lib{lib}.a");
    match sysroot.libc {
        Libc::Musl if musl::PARTS.contains(&name.as_str()) => Ok(sysroot.dir.join("lib").join(name)),
        Libc::Musl if glibc::has(&name) => Err(made_for_glibc(&name).into()),
        Libc::Musl => {
            let hint = "`libs` takes musl's own libraries by name, any other archive by path";
            Err(fail(Class::App, format!("library `{lib}` is not part of the C library")).hint(hint).into())
        }
        Libc::Glibc => sysroot.library(lib).ok_or_else(|| {
            let failure = fail(Class::App, format!("there is no static library `{name}`"));
            failure
                .hint("static libraries come with packages whose names end in -dev; any other archive goes by path")
                .into()
        }),
    }
}

fn made_for_glibc(name: &str) -> Failure {
    fail(Class::App, format!("`{name}` was made for glibc, and the program is linked with musl"))
        .hint("`libc = \"glibc\"` takes the host's libraries as they are")
}
