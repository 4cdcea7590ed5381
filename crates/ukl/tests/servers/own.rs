//! The servers' own tests, as their sources have them, against a server in the kernel and against its twin.
//!
//! `tests/servers/NAME/` has a recipe and scripts, which write a line for each case: its name, a blank, how it went.
//! `outside.sh` runs on this machine, with the forwarded port and a folder as arguments. `inside.sh` runs in the
//! guest, on this machine's own files, for tests that start their servers themselves: the file `server` is then what
//! starts the program in the kernel, or the twin.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libtest_mimic::Failed;
use ukl::base::workdir::ImageDir;
use ukl::manifest;

use crate::talk;
use crate::world::{built, UKL};

/// Case → how it went.
type Results = BTreeMap<String, String>;

/// Where tests run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On this machine, through the forwarded port.
    Outside,
    /// In the guest.
    Inside,
}

impl Place {
    fn word(self) -> &'static str {
        match self {
            Place::Outside => "outside",
            Place::Inside => "inside",
        }
    }
}

/// The servers that have such tests, and where; with a name for each.
pub fn all() -> Vec<(String, PathBuf, Place)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/servers");
    let mut folders: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let mut all = Vec::new();
    for folder in folders {
        for place in [Place::Outside, Place::Inside] {
            if folder.join(format!("{}.sh", place.word())).is_file() {
                let server = folder.file_name().unwrap().to_string_lossy().into_owned();
                all.push((format!("own_tests_of_{server}_{}", place.word()), folder.clone(), place));
            }
        }
    }
    all
}

/// Runs them in both modes, prints what is not the same, and wants a reason for it in `known.txt`.
pub fn test(folder: &Path, place: Place) -> Result<(), Failed> {
    let manifest = manifest::load(folder)?;
    // Built and booted in one place: its results are there to be read.
    let image = built(&manifest)?.dir;
    let run = |twin: bool| -> Result<Results, Failed> {
        let work = prepare(&image, folder, place, twin)?;
        match place {
            Place::Outside => outside(
                &image,
                folder,
                &work,
                manifest.ready.ok_or("a server says in `ready` which port answers")?,
                twin,
            ),
            Place::Inside => inside(&image, &work),
        }?;
        results(&work)
    };
    let (app, twin) = (run(false)?, run(true)?);
    let names: std::collections::BTreeSet<&String> = app.keys().chain(twin.keys()).collect();
    let table: String = names.iter().map(|name| line(name, &app, &twin)).collect();
    let file = image.root().join(format!("results-{}.txt", place.word()));
    fs::write(&file, &table)?;
    let known = known(folder)?;
    let differ: Vec<&&String> = names.iter().filter(|name| app.get(**name) != twin.get(**name)).collect();
    let unexplained: String =
        differ.iter().filter(|name| !known.contains_key(name.as_str())).map(|name| line(name, &app, &twin)).collect();
    println!("{} cases, {} differ; all: {}", names.len(), differ.len(), file.display());
    match unexplained.is_empty() {
        true => Ok(()),
        false => Err(format!("app mode | twin\n{unexplained}").into()),
    }
}

fn line(name: &str, app: &Results, twin: &Results) -> String {
    let of = |results: &Results| results.get(name).cloned().unwrap_or("-".into());
    format!("{name} {} | {}\n", of(app), of(twin))
}

/// A fresh folder with the tree as it was built, the tests' scripts, and what starts the server.
fn prepare(image: &ImageDir, folder: &Path, place: Place, twin: bool) -> Result<PathBuf, Failed> {
    let work = image.root().join(format!("{}-{}", place.word(), if twin { "twin" } else { "app" }));
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&work)?;
    let tree = image.stage("make").join("tree");
    let copied = Command::new("cp").arg("-a").arg(tree).arg(work.join("tree")).status()?;
    if !copied.success() {
        return Err("the tree was not copied".into());
    }
    for script in [folder.join("inside.sh"), folder.join("../enter.sh")].iter().filter(|script| script.is_file()) {
        fs::copy(script, work.join(script.file_name().unwrap()))?;
    }
    let server = work.join("server");
    fs::copy(if twin { image.twin() } else { image.trigger() }, &server)?;
    ukl::base::workdir::set_mode(&server, 0o755)?;
    // Scripts ask the server for its options; on this machine only the twin can answer.
    if let Some(program) = manifest::load(folder)?.program {
        fs::copy(image.twin(), work.join("tree").join(program))?;
    }
    Ok(work)
}

/// Boots the server and runs the tests on this machine.
fn outside(image: &ImageDir, folder: &Path, work: &Path, port: u16, twin: bool) -> Result<(), Failed> {
    let options: &[&str] = if twin { &["--twin"] } else { &[] };
    let (_guest, host) = talk::serve(image, port, options)?;
    let script = folder.join("outside.sh");
    let client = Command::new("bash").arg(script).arg(host.to_string()).arg(work).status()?;
    talk::quiet(&image.console())?;
    match client.success() {
        true => Ok(()),
        false => Err(format!("outside.sh: {client}").into()),
    }
}

/// Runs the tests in the guest.
fn inside(image: &ImageDir, work: &Path) -> Result<(), Failed> {
    let mut run = Command::new(UKL);
    run.arg("run").arg(image.root()).args(["--shell", "--timeout", "14400", "--share", "/:/host:ro"]);
    run.args(talk::LOUD)
        .args(["--share", &format!("{}:/srv", work.display())])
        .stdin(Stdio::piped())
        .stdout(fs::File::create(work.join("console"))?);
    let mut guest = run.spawn()?;
    let mut input = guest.stdin.take().ok_or("no input")?;
    input.write_all(b"sh /srv/enter.sh\nexit\n")?;
    let status = guest.wait()?;
    talk::quiet(&image.console())?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("the guest: {status}").into()),
    }
}

fn results(work: &Path) -> Result<Results, Failed> {
    let text = fs::read_to_string(work.join("results"))?;
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    let results: Results = pairs.map(|(name, how)| (name.to_owned(), how.to_owned())).collect();
    match results.is_empty() {
        true => Err(format!("no results; see `{}`", work.display()).into()),
        false => Ok(results),
    }
}

/// Cases that differ, and why: `NAME: reason`.
fn known(folder: &Path) -> Result<BTreeMap<String, String>, Failed> {
    let path = folder.join("known.txt");
    let text = if path.exists() { fs::read_to_string(path)? } else { String::new() };
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    Ok(lines.filter_map(|line| line.split_once(": ")).map(|(a, b)| (a.to_owned(), b.to_owned())).collect())
}
