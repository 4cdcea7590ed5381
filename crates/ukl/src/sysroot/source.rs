//! musl's source from the distribution's source package, through a private apt configuration.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::error::{fail, Class, Result};
use crate::run::{Cmd, Shell};
use crate::workdir::{self, Cache};

/// musl's unpacked, unmodified source.
pub struct Source {
    /// The tree, never written to after unpacking.
    pub tree: PathBuf,
    /// SHA-256 over the checksums that the package's `.dsc` lists.
    pub sha256: String,
}

/// Fetches the source package `musl` of this host's distribution, or finds it in the cache.
pub fn fetch(shell: &Shell, cache: &Cache) -> Result<Source> {
    let lists = source_lists(Path::new("/etc/apt"))?;
    // Another distribution, or another release of this one, is another source.
    let key = workdir::hash(lists.iter().flat_map(|(name, text)| [name, text]))[..24].to_owned();
    let entry = cache.entry("musl-source", &key);
    let done = |entry: &Path| -> Result<Source> {
        let sha256 = String::from_utf8(workdir::read(&entry.join("sha256"))?)?;
        Ok(Source { tree: entry.join("tree"), sha256 })
    };
    if entry.exists() {
        return done(&entry);
    }
    let _lock = cache.lock("musl-source", &key)?;
    if entry.exists() {
        return done(&entry);
    }
    let work = workdir::staging(&entry)?;
    let sha256 = download(shell, &lists, work.path())?;
    if shell.dry_run {
        return Ok(Source { tree: entry.join("tree"), sha256 });
    }
    workdir::write_atomic(&work.path().join("out/sha256"), sha256.as_bytes())?;
    workdir::commit(&work.path().join("out"), &entry)?;
    done(&entry)
}

/// Downloads, verifies and unpacks into `work/out/tree`; the answer is [`Source::sha256`].
fn download(shell: &Shell, lists: &[(String, String)], work: &Path) -> Result<String> {
    let parts = work.join("sources.list.d");
    for (name, text) in lists {
        workdir::write_atomic(&parts.join(name), text.as_bytes())?;
    }
    let package = work.join("package");
    for dir in [&package, &work.join("lists/partial"), &work.join("cache/archives/partial"), &work.join("out")] {
        workdir::create_dir(dir)?;
    }
    let apt = |verb: &[&str]| {
        let options = [
            "Dir::Etc::sourcelist=/dev/null".to_owned(),
            format!("Dir::Etc::sourceparts={}", parts.display()),
            format!("Dir::State::lists={}", work.join("lists").display()),
            format!("Dir::Cache={}", work.join("cache").display()),
            // Our folder is private; apt's own user could not enter it.
            "APT::Sandbox::User=root".to_owned(),
        ];
        let options = options.into_iter().flat_map(|option| ["-o".to_owned(), option]);
        Cmd::new("apt-get").arg("-q").args(options).args(verb).cwd(&package).env("LC_ALL", "C")
    };
    // One unreachable third-party archive fails `update`, yet the package may still be there.
    shell.run(&apt(&["update"]))?;
    let cmd = apt(&["source", "--download-only", "musl"]);
    let output = shell.run(&cmd)?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
        let failure = fail(Class::Host, format!("cannot fetch the source package `musl`: {text}"));
        return Err(failure.command(cmd.display()).hint("is the network up?").into());
    }
    if shell.dry_run {
        return Ok(String::new());
    }
    let dsc = find_dsc(&package)?;
    let text = String::from_utf8(workdir::read(&dsc)?)?;
    let files = checksums(&text);
    verify(&package, &files)?;
    let unpack = Cmd::new("dpkg-source").args(["--no-check", "-x"]).arg(&dsc).arg(work.join("out/tree"));
    shell.check(&unpack, Class::Host).context("unpacking musl needs `apt-get install --yes dpkg-dev`")?;
    Ok(workdir::hash(files.iter().map(|(sha256, _)| sha256)))
}

/// This host's package archives, each file rewritten to offer source packages only.
fn source_lists(etc: &Path) -> Result<Vec<(String, String)>> {
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
            lists.push((name, deb822_sources(&text)));
        } else if name.ends_with(".list") {
            lists.push((name, line_sources(&text)));
        }
    }
    if lists.is_empty() {
        let failure = fail(Class::Host, "no package archives are configured in /etc/apt");
        return Err(failure.hint("the C library is built from Debian's source package").into());
    }
    Ok(lists)
}

fn deb822_sources(text: &str) -> String {
    let is_types = |line: &str| line.to_ascii_lowercase().starts_with("types:");
    text.lines().map(|line| if is_types(line) { "Types: deb-src\n".to_owned() } else { format!("{line}\n") }).collect()
}

fn line_sources(text: &str) -> String {
    let deb = text.lines().filter_map(|line| line.trim().strip_prefix("deb"));
    deb.filter(|rest| rest.starts_with([' ', '\t', '['])).map(|rest| format!("deb-src{rest}\n")).collect()
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
        return Err(fail(Class::Host, "the .dsc of musl lists no SHA-256 checksums").into());
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
    fn both_forms_of_source_lists_offer_sources_only() {
        let deb822 = "Types: deb deb-src\nURIs: mirror:/m\nSuites: s\n";
        assert_eq!(deb822_sources(deb822), "Types: deb-src\nURIs: mirror:/m\nSuites: s\n");
        let lines = "# deb x\ndeb [signed-by=/k] file:/m s main\ndeb-src file:/m s main\n deb\tfile:/n s main\n";
        assert_eq!(line_sources(lines), "deb-src [signed-by=/k] file:/m s main\ndeb-src\tfile:/n s main\n");
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
