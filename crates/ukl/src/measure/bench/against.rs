//! Instructions for each request with what people run today: the distribution's kernel and its package of the server.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;
use serde::Serialize;

use super::count::{self, CountOptions, Counted};
use super::server::Server;
use super::Measure;
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::run::interrupted;
use crate::base::target::TARGET;
use crate::base::workdir;
use crate::image::folder::Image;
use crate::image::initrd::TWIN;
use crate::machine::Request;
use crate::manifest::{GuestFile, Manifest};
use crate::measure::pair;
use crate::supply::binaries;

/// What an image is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Against {
    /// Debian's cloud kernel, with and without its mitigations, and Debian's package of the server
    Debian,
}

/// The kernel that the distribution offers for guests.
const FLAVOUR: &str = "cloud-amd64";

/// The distribution's kernel and program, here.
#[derive(Debug)]
pub struct Packages {
    kernel: PathBuf,
    /// Where the guest has the program; ours has no package.
    program: Option<String>,
    versions: BTreeMap<String, String>,
}

/// A kernel and a program on it.
#[derive(Debug, Clone, Serialize)]
pub struct Setup {
    /// Its name in `boots`.
    pub name: &'static str,
    /// The kernel and the program in words.
    pub about: &'static str,
    #[serde(skip)]
    kernel: Option<PathBuf>,
    #[serde(skip)]
    words: &'static [&'static str],
    #[serde(skip)]
    path: String,
}

/// Everything that was counted.
#[derive(Debug, Clone, Serialize)]
pub struct AgainstResult {
    /// The server.
    pub server: &'static str,
    /// Boots of each setup.
    pub rounds: u32,
    /// Requests before each load, which are not counted.
    pub warm_up: usize,
    /// The version of our kernel.
    pub kernel: String,
    /// Packages of the distribution that took part, and their versions.
    pub packages: BTreeMap<String, String>,
    /// What was compared; the first is what the others are divided by.
    pub setups: Vec<Setup>,
    /// Every boot, in order.
    pub boots: Vec<AgainstBoot>,
    /// The QEMU command of each setup's last boot.
    pub qemu: BTreeMap<&'static str, String>,
}

/// One boot and its loads.
#[derive(Debug, Clone, Serialize)]
pub struct AgainstBoot {
    /// The setup's name.
    pub setup: &'static str,
    /// The round, from 1.
    pub round: u32,
    /// The loads, in order.
    pub loads: Vec<Counted>,
    /// How the server ended when it was asked to.
    pub end: String,
}

/// Fetches the distribution's packages, and gives the image's guest the program with all libraries that it needs.
pub fn fetch(env: &Env, manifest: &mut Manifest, server: Server) -> Result<Packages> {
    let (kernel, vmlinux) = binaries::kernel(env, &manifest.kernel.version, FLAVOUR)?.value;
    let mut versions = kernel.versions;
    let Some((package, path)) = server.package() else {
        return Ok(Packages { kernel: vmlinux, program: None, versions });
    };
    let program = binaries::program(env, package)?.value;
    manifest.files.extend(with_libraries(&program.tree, path)?);
    versions.extend(program.versions);
    Ok(Packages { kernel: vmlinux, program: Some(path.to_owned()), versions })
}

/// Loads the server in each setup in turn. Errors are those of [`count::count`].
pub fn against(env: &Env, image: &Image, packages: Packages, options: &CountOptions) -> Result<AgainstResult> {
    let (mut boots, mut qemu) = (Vec::new(), BTreeMap::new());
    let setups = setups(image, &packages);
    for round in 1..=options.rounds {
        for setup in &setups {
            let request = count::request(count::client(image, options, &setup.path)?, round);
            let words = setup.words.iter().map(|word| word.to_string()).collect();
            let request = Request { kernel: setup.kernel.clone(), words, ..request };
            let run = pair::boot(env, image, request, super::serve::LIMIT)?;
            let said = count::judge(image, options, &run)?;
            count::say(options, round, setup.name, &said);
            let line = workdir::read(&image.dir.run().qemu_line())?;
            qemu.insert(setup.name, String::from_utf8_lossy(&line).into_owned());
            boots.push(AgainstBoot { setup: setup.name, round, loads: said.loads, end: said.end });
            anyhow::ensure!(!interrupted(), "interrupted");
        }
    }
    let (server, kernel) = (options.server.name(), image.info.kernel.version.clone());
    let (rounds, warm_up, packages) = (options.rounds, count::warm_up(options), packages.versions);
    Ok(AgainstResult { server, rounds, warm_up, kernel, packages, setups, boots, qemu })
}

/// From what people run today to app mode, a step at a time.
fn setups(image: &Image, packages: &Packages) -> Vec<Setup> {
    let setup = |name, about, theirs: bool, words, path: &str| {
        let kernel = theirs.then(|| packages.kernel.clone());
        Setup { name, about, kernel, words, path: path.to_owned() }
    };
    let app = setup("app", "our kernel, app mode", false, &[], &image.info.trigger);
    let twin = setup("twin", "our kernel, our program in ring 3", false, &[], TWIN);
    let Some(program) = &packages.program else {
        return vec![
            setup("debian", "Debian's kernel, our program", true, &[], TWIN),
            setup("unmitigated", "the same, mitigations=off", true, &["mitigations=off"], TWIN),
            twin,
            app,
        ];
    };
    vec![
        setup("debian", "Debian's kernel, Debian's program", true, &[], program),
        setup("unmitigated", "the same, mitigations=off", true, &["mitigations=off"], program),
        setup("kernel", "our kernel, Debian's program", false, &[], program),
        twin,
        app,
    ]
}

/// The program at `path` below `tree`, its loader and its libraries, at their places in the guest.
fn with_libraries(tree: &Path, path: &str) -> Result<Vec<GuestFile>> {
    let folder = Path::new(TARGET.headers).file_name().unwrap_or_default().to_string_lossy();
    let folders = [format!("lib/{folder}"), format!("usr/lib/{folder}"), "lib".to_owned(), "usr/lib".to_owned()];
    let find = |name: &str| {
        let place = folders.iter().map(|folder| tree.join(folder).join(name)).find(|place| place.is_file());
        place.ok_or_else(|| fail(Class::Host, format!("no package of `{path}` has the library `{name}`")))
    };
    let place = |src: &Path, dst: String| -> Result<GuestFile> {
        // Names of libraries are links to files with more of a version.
        let src = src.canonicalize().with_context(|| format!("failed to find `{}`", src.display()))?;
        Ok(GuestFile { src, dst, mode: Some(0o755) })
    };
    let mut files = vec![place(&tree.join(&path[1..]), path.to_owned())?];
    let (mut seen, mut next) = (BTreeSet::new(), 0);
    while next < files.len() {
        let bytes = workdir::read(&files[next].src)?;
        let elf = goblin::elf::Elf::parse(&bytes).with_context(|| files[next].src.display().to_string())?;
        let loader =
            elf.interpreter.map(|loader| (Path::new(loader).file_name().unwrap_or_default(), loader.to_owned()));
        let loader = loader.map(|(name, place)| (name.to_string_lossy().into_owned(), place));
        let library = |name: &&str| ((*name).to_owned(), format!("/lib/{folder}/{name}"));
        for (name, dst) in loader.into_iter().chain(elf.libraries.iter().map(library)) {
            if seen.insert(dst.clone()) {
                files.push(place(&find(&name)?, dst)?);
            }
        }
        next += 1;
    }
    Ok(files)
}

impl AgainstResult {
    /// The setups side by side: median instructions for each request, divided by those of the first.
    pub fn table(&self) -> String {
        let loads: &[Counted] = self.boots.first().map_or(&[], |boot| &boot.loads);
        let requests = loads.iter().map(|load| load.requests).max().unwrap_or_default();
        let mut text = format!(
            "{}: instructions/request of server, client and kernel; {requests} requests after {} to warm up; median of {} boots\n",
            self.server, self.warm_up, self.rounds,
        );
        for setup in &self.setups {
            text += &format!("{}: {}\n", setup.name, setup.about);
        }
        let cells = |cells: Vec<String>| cells.iter().map(|cell| format!(" {cell:>18}")).collect::<String>();
        let head = self.setups.iter().map(|setup| setup.name.to_owned()).collect();
        text += &format!("{:<25}{}\n", "", cells(head));
        for (i, load) in loads.iter().enumerate() {
            let medians: Vec<f64> = self.setups.iter().map(|setup| self.median(setup.name, i)).collect();
            let name = load.name();
            let cell = |median: &f64| format!("{median:.1} ({:.2})", median / medians[0]);
            text += &format!("{name:<25}{}\n", cells(medians.iter().map(cell).collect()));
        }
        text
    }

    fn median(&self, setup: &str, load: usize) -> f64 {
        let boots = self.boots.iter().filter(|boot| boot.setup == setup);
        let samples = boots.filter_map(|boot| Some(boot.loads.get(load)?.instructions_per_request)).collect();
        Measure { name: "", unit: "", samples }.median()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_run_today_is_one() {
        let setup = |name| Setup { name, about: "x", kernel: None, words: &[], path: String::new() };
        let boot = |setup, instructions| {
            let instructions_per_request = instructions as f64 / 10.0;
            let load =
                Counted { connections: 1, depth: 1, requests: 10, instructions, instructions_per_request, idle_ns: 0 };
            AgainstBoot { setup, round: 1, loads: vec![load], end: "exited 0".into() }
        };
        let result = AgainstResult {
            server: "redis",
            rounds: 1,
            warm_up: 1,
            kernel: "6.12".into(),
            packages: BTreeMap::new(),
            setups: vec![setup("debian"), setup("app")],
            boots: vec![boot("debian", 1000), boot("app", 620)],
            qemu: BTreeMap::new(),
        };
        let table = result.table();
        let row: Vec<&str> = table.lines().nth(4).unwrap().split_whitespace().collect();
        assert_eq!(row.join(" "), "1 connection, 1 deep 100.0 (1.00) 62.0 (0.62)");
    }

    #[test]
    fn a_program_comes_with_its_loader_and_libraries() {
        // This machine's own files stand for a package's.
        let program = ["/usr/bin/env", "/bin/ls"].into_iter().find(|path| Path::new(path).is_file()).unwrap();
        let files = with_libraries(Path::new("/"), program).unwrap();
        assert_eq!(files[0].dst, program);
        for part in ["/ld-", "/libc.so."] {
            assert!(files.iter().any(|file| file.dst.contains(part) && file.src.is_file()), "{part}: {files:?}");
        }
        let alone = tempfile::tempdir().unwrap();
        std::fs::copy(program, alone.path().join("program")).unwrap();
        let failure = with_libraries(alone.path(), "/program").unwrap_err().to_string();
        assert!(failure.contains("no package of `/program` has the library `"), "{failure}");
    }
}
