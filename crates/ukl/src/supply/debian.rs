//! Source packages of the distribution, through a private apt configuration.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::base::cached::{self, Work};
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::plan::Made;
use crate::base::run::{Cmd, Shell};
use crate::base::workdir;
use crate::manifest::Condition;

/// A package's unpacked, unmodified source.
#[derive(Debug, Clone)]
pub struct Package {
    /// The tree, never written to after unpacking.
    pub tree: PathBuf,
    /// SHA-256 over the checksums that the package's `.dsc` lists.
    pub sha256: String,
}

/// What such an entry of the cache is called.
const KIND: &str = "debian-source";

/// Fetches the newest source package `name` of this host's distribution that meets all of `wanted`,
/// or finds it in the cache.
///
/// Errors (class `Host`): no such package or version, the archives cannot be reached.
pub fn fetch(env: &Env, name: &str, wanted: &[Condition]) -> Result<Made<Package>> {
    let lists = source_lists(Path::new("/etc/apt"))?;
    // Which version there is, only the archives know.
    let commands = |work: &Work| {
        let dsc = work.dir.join(PACKAGE).join(format!("{name}_VERSION.dsc"));
        let (update, get) = (update_command(&work.dir), get_command(&work.dir, &format!("{name}=VERSION")));
        Ok(vec![update, get, unpack_command(&dsc, &tree(&work.out))])
    };
    let fill = |work: &Work, _: &[Cmd]| download(&env.shell, &lists, name, wanted, work);
    let entry = cached::entry(env, KIND, &key(&lists, name, wanted), commands, fill)?;
    // Of what is not there yet, nobody knows the content.
    let sha256 = if entry.pending { String::new() } else { String::from_utf8(workdir::read(&sum(&entry))?)? };
    Ok(entry.map(|entry| Package { tree: tree(&entry), sha256 }))
}

/// Asks the archives although the cache has an answer; that stays when they cannot be reached.
pub fn renew(env: &Env, name: &str, wanted: &[Condition]) -> Result<()> {
    let lists = source_lists(Path::new("/etc/apt"))?;
    let fill = |work: &Work| download(&env.shell, &lists, name, wanted, work);
    cached::renewed(&env.cache, KIND, &key(&lists, name, wanted), fill).map(drop)
}

/// Another distribution, or another release of this one, is another source.
pub(super) fn key(lists: &[(String, String)], name: &str, wanted: &[Condition]) -> String {
    let parts = lists.iter().chain(wanted).flat_map(|(first, second)| [first.as_str(), second.as_str()]);
    workdir::hash(parts.chain([name]))[..24].to_owned()
}

fn tree(entry: &Path) -> PathBuf {
    entry.join("tree")
}

fn sum(entry: &Path) -> PathBuf {
    entry.join("sha256")
}

/// What the archives have for a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The newest version that is wanted.
    pub version: String,
    /// It is in the archive of security updates.
    pub security: bool,
}

/// What the archives offer now of each of these source packages; nothing is taken.
pub fn offers(env: &Env, asked: &[(&str, &[Condition])]) -> Result<Vec<Offer>> {
    let lists = source_lists(Path::new("/etc/apt"))?;
    let scratch = cached::scratch(&env.cache, KIND, "offers")?;
    let work = scratch.path();
    begin(&env.shell, &lists, &Work { dir: work.to_owned(), out: work.join("out") })?;
    let apt = |program: &str| apt(program, work);
    let offer = |(name, wanted): &(&str, &[Condition])| {
        let version = versions(&env.shell, &apt, name, wanted)?.swap_remove(0);
        let table = env.shell.run(&apt("apt-cache").args(["madison", name]))?;
        let table = String::from_utf8_lossy(&table.stdout).into_owned();
        let security = table.lines().any(|line| line.contains(&version) && line.contains("-security"));
        Ok(Offer { version, security })
    };
    asked.iter().map(offer).collect()
}

/// Downloads, verifies and unpacks; what [`Package::sha256`] says stands beside the tree.
fn download(
    shell: &Shell,
    lists: &[(String, String)],
    name: &str,
    wanted: &[Condition],
    all @ Work { dir: work, out }: &Work,
) -> Result<()> {
    begin(shell, lists, all)?;
    let package = work.join(PACKAGE);
    let apt = |program: &str| apt(program, work);
    get(shell, work, name, &versions(shell, &apt, name, wanted)?)?;
    let dsc = find_dsc(&package)?;
    let text = String::from_utf8(workdir::read(&dsc)?)?;
    let files = checksums(&text);
    verify(&package, &files)?;
    let unpack = unpack_command(&dsc, &tree(out));
    let context = || format!("unpacking `{name}` needs `apt-get install --yes dpkg-dev`");
    shell.check(&unpack, Class::Host).with_context(context)?;
    workdir::write_atomic(&sum(out), workdir::hash(files.iter().map(|(sha256, _)| sha256)).as_bytes())
}

/// Readies the private folder, and asks the archives what there is.
pub(super) fn begin(shell: &Shell, lists: &[(String, String)], Work { dir, .. }: &Work) -> Result<()> {
    for (name, text) in lists {
        workdir::write_atomic(&dir.join(LISTS).join(name), text.as_bytes())?;
    }
    for folder in FOLDERS {
        workdir::create_dir(&dir.join(folder))?;
    }
    // One unreachable third-party archive fails `update`, yet the package may still be there.
    shell.run(&update_command(dir)).map(drop)
}

/// Where apt reads the names of archives, below the private folder.
pub const LISTS: &str = "sources.list.d";
/// Where the package's files come to lie, below the private folder.
pub const PACKAGE: &str = "package";
/// What the private folder must have before apt runs.
pub const FOLDERS: [&str; 4] = [LISTS, PACKAGE, "lists/partial", "cache/archives/partial"];

/// A program of apt's that reads and writes nothing but the private folder `work`.
pub(super) fn apt(program: &str, work: &Path) -> Cmd {
    let options = [
        "Dir::Etc::sourcelist=/dev/null".to_owned(),
        format!("Dir::Etc::sourceparts={}", work.join(LISTS).display()),
        format!("Dir::State::lists={}", work.join("lists").display()),
        format!("Dir::Cache={}", work.join("cache").display()),
        // Our folder is private; apt's own user could not enter it.
        "APT::Sandbox::User=root".to_owned(),
    ];
    let options = options.into_iter().flat_map(|option| ["-o".to_owned(), option]);
    Cmd::new(program).arg("-q").args(options).cwd(work.join(PACKAGE)).env("LC_ALL", "C")
}

/// Asks the archives what there is.
pub fn update_command(work: &Path) -> Cmd {
    apt("apt-get", work).arg("update")
}

/// Downloads a source package: `name` or `name=version`.
pub fn get_command(work: &Path, what: &str) -> Cmd {
    apt("apt-get", work).args(["source", "--download-only", "--only-source", what])
}

/// Unpacks a source package, which somebody else has checked.
pub fn unpack_command(dsc: &Path, tree: &Path) -> Cmd {
    Cmd::new("dpkg-source").args(["--no-check", "-x"]).arg(dsc).arg(tree)
}

/// The versions that the archives offer and `wanted` admits, newest first.
fn versions(shell: &Shell, apt: &dyn Fn(&str) -> Cmd, name: &str, wanted: &[Condition]) -> Result<Vec<String>> {
    let output = shell.run(&apt("apt-cache").args(["showsrc", "--only-source", name]))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let offered: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("Version: ")).collect();
    if offered.is_empty() {
        let text = format!("the distribution has no source package `{name}`");
        return Err(fail(Class::Host, text).hint("is the network up, and the name that of a source package?").into());
    }
    let compare = |left: &str, relation: &str, right: &str| compares(shell, left, relation, right);
    let mut versions: Vec<String> = Vec::new();
    for version in &offered {
        let mut good = true;
        for (relation, other) in wanted {
            good &= compare(version, relation, other)?;
        }
        if good {
            let mut at = 0;
            while at < versions.len() && compare(version, "<<", &versions[at])? {
                at += 1;
            }
            versions.insert(at, version.to_string());
        }
    }
    versions.dedup();
    if versions.is_empty() {
        let wanted: Vec<String> = wanted.iter().map(|(relation, version)| format!("{relation} {version}")).collect();
        let text = format!("no version of `{name}` is {}: there is {}", wanted.join(", "), offered.join(", "));
        return Err(fail(Class::Host, text).into());
    }
    Ok(versions)
}

/// Is `left RELATION right` true of two versions?
pub(super) fn compares(shell: &Shell, left: &str, relation: &str, right: &str) -> Result<bool> {
    let cmd = Cmd::new("dpkg").args(["--compare-versions", left, relation, right]).probe();
    Ok(shell.run(&cmd)?.status.success())
}

/// Downloads the first of `versions` that can be had: a mirror's list may be newer than its files.
fn get(shell: &Shell, work: &Path, name: &str, versions: &[String]) -> Result<()> {
    let mut failure = None;
    for version in versions {
        let cmd = get_command(work, &format!("{name}={version}"));
        let output = shell.run(&cmd)?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
        let text = format!("cannot fetch the source package `{name}`: {text}");
        failure.get_or_insert(fail(Class::Host, text).command(cmd.display()).hint("is the network up?"));
    }
    Err(failure.unwrap_or_else(|| fail(Class::Host, format!("no version of `{name}`"))).into())
}

/// This host's package archives, each file rewritten to offer source packages only.
fn source_lists(etc: &Path) -> Result<Vec<(String, String)>> {
    lists(etc, "deb-src")
}

/// This host's package archives, each file rewritten to offer binary packages only.
pub(super) fn binary_lists(etc: &Path) -> Result<Vec<(String, String)>> {
    lists(etc, "deb")
}

fn lists(etc: &Path, offer: &str) -> Result<Vec<(String, String)>> {
    let mut files = vec![etc.join("sources.list")];
    if let Ok(dir) = std::fs::read_dir(etc.join("sources.list.d")) {
        files.extend(dir.filter_map(|entry| entry.ok().map(|entry| entry.path())));
    }
    files.sort();
    let mut lists = Vec::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        if name.ends_with(".sources") {
            lists.push((name, deb822(&text, offer)));
        } else if name.ends_with(".list") {
            lists.push((name, one_line(&text, offer)));
        }
    }
    if lists.is_empty() {
        let failure = fail(Class::Host, "no package archives are configured in /etc/apt");
        return Err(failure.hint("packages are fetched from the archives of this host's distribution").into());
    }
    Ok(lists)
}

fn deb822(text: &str, offer: &str) -> String {
    let is_types = |line: &str| line.to_ascii_lowercase().starts_with("types:");
    text.lines().map(|line| if is_types(line) { format!("Types: {offer}\n") } else { format!("{line}\n") }).collect()
}

fn one_line(text: &str, offer: &str) -> String {
    let deb = text.lines().filter_map(|line| line.trim().strip_prefix("deb"));
    deb.filter(|rest| rest.starts_with([' ', '\t', '['])).map(|rest| format!("{offer}{rest}\n")).collect()
}

fn find_dsc(package: &Path) -> Result<PathBuf> {
    let entries = std::fs::read_dir(package)?.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let dsc = entries.into_iter().find(|path| path.extension().is_some_and(|e| e == "dsc"));
    dsc.ok_or_else(|| fail(Class::Host, "apt-get downloaded no .dsc file").into())
}

/// The `Checksums-Sha256` field of a `.dsc`: (hash, file name).
fn checksums(dsc: &str) -> Vec<(String, String)> {
    let field = dsc.lines().skip_while(|line| !line.starts_with("Checksums-Sha256:")).skip(1);
    let lines = field.take_while(|line| line.starts_with(' ')).map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.filter(|words| words.len() == 3).map(|words| (words[0].to_owned(), words[2].to_owned())).collect()
}

fn verify(package: &Path, files: &[(String, String)]) -> Result<()> {
    if files.is_empty() {
        return Err(fail(Class::Host, "the .dsc lists no SHA-256 checksums").into());
    }
    for (sha256, name) in files {
        let found = workdir::hash_file(&package.join(name))?;
        if &found != sha256 {
            return Err(fail(Class::Host, format!("`{name}` hashes to {found}, not to {sha256}")).into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_lists_offer_what_is_asked_for() {
        let deb822 = "Types: deb deb-src\nURIs: mirror:/m\nSuites: s\n";
        assert_eq!(super::deb822(deb822, "deb-src"), "Types: deb-src\nURIs: mirror:/m\nSuites: s\n");
        let lines = "# deb x\ndeb [signed-by=/k] file:/m s main\ndeb-src file:/m s main\n deb\tfile:/n s main\n";
        assert_eq!(one_line(lines, "deb-src"), "deb-src [signed-by=/k] file:/m s main\ndeb-src\tfile:/n s main\n");
        assert_eq!(super::deb822(deb822, "deb"), "Types: deb\nURIs: mirror:/m\nSuites: s\n");
        assert_eq!(one_line("deb file:/m s main\ndeb-src file:/m s main\n", "deb"), "deb file:/m s main\n");
    }

    #[test]
    fn a_file_that_differs_from_its_checksum_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let sha256 = workdir::hash_file(Path::new("/dev/null")).unwrap();
        let dsc = format!("Format: 3.0\nChecksums-Sha256:\n {sha256} 0 a.tar\nFiles:\n 0 0 b\n");
        let files = checksums(&dsc);
        assert_eq!(files, [(sha256, "a.tar".to_owned())]);
        workdir::write_atomic(&dir.path().join("a.tar"), b"").unwrap();
        verify(dir.path(), &files).unwrap();
        workdir::write_atomic(&dir.path().join("a.tar"), b"x").unwrap();
        assert!(verify(dir.path(), &files).unwrap_err().to_string().contains("`a.tar` hashes to"));
    }
}
