//! Kernel tarballs: Debian's package, a local file, a URL with its checksum; unpacked into the cache.

use std::fs;
use std::path::{Path, PathBuf};

use crate::base::cached::{self, Work};
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::plan::{Made, Plan, NOT_CACHED};
use crate::base::run::Cmd;
use crate::base::workdir;
use crate::supply::download;

use super::{entry, remembered_hash, UNUSED};

/// The tree of Debian's package `linux-source-<version>`: the installed one, or the archive's.
pub(super) fn debian(env: &Env, version: &str) -> Result<Made<PathBuf>> {
    let package = format!("linux-source-{version}");
    let installed = Path::new("/usr/src").join(format!("{package}.tar.xz"));
    if installed.exists() {
        return local(env, &installed);
    }
    // Which entry an earlier download became: the archive is asked once.
    let known = fs::read_to_string(env.cache.fact(&format!("debian-{package}"))).ok();
    if let Some(entry) = known.map(|key| env.cache.entry("source", &key)).filter(|entry| entry.exists()) {
        return Ok(Made::found(entry));
    }
    let place = env.cache.entry("source", &package);
    let unpack = unpack_command(&inside(&place, &package), &place);
    let commands = vec![get_command(&package, &place), open_command(&place.join("linux-source.deb"), &place), unpack];
    Plan::always(NOT_CACHED, place, commands).carry_out(&env.shell, |_, _| download(env, &package))
}

/// Downloads the archive's package, and makes its tarball's tree an entry that is found again.
fn download(env: &Env, package: &str) -> Result<PathBuf> {
    let Env { shell, cache } = env;
    let download = cached::scratch(cache, "source", package)?;
    let hint = || format!("sudo apt-get install {package}, or set `source` in the manifest's [kernel]");
    let get = get_command(package, download.path());
    let output = shell.run(&get)?;
    if !output.status.success() {
        let failure = crate::base::run::exit_failure(&get, &output, Class::Host);
        return Err(failure.hint(hint()).into());
    }
    let mut files = fs::read_dir(download.path())?.flatten().map(|entry| entry.path());
    let deb = files.find(|path| path.extension() == Some("deb".as_ref()));
    let none = || fail(Class::Host, format!("no package `{package}` was downloaded")).hint(hint());
    shell.check(&open_command(&deb.ok_or_else(none)?, download.path()), Class::Host)?;
    let tarball = inside(download.path(), package);
    let sha256 = workdir::hash_file(&tarball)?;
    let tree = unpacked(env, &sha256, &tarball)?.value;
    workdir::write_atomic(&cache.fact(&format!("sha256-{package}")), sha256.as_bytes())?;
    workdir::write_atomic(&cache.fact(&format!("debian-{package}")), super::key_of(&tree).as_bytes())?;
    Ok(tree)
}

/// The tarball in an opened package.
fn inside(opened: &Path, package: &str) -> PathBuf {
    opened.join("usr/src").join(format!("{package}.tar.xz"))
}

/// The download of a package to the folder `to`.
pub fn get_command(package: &str, to: &Path) -> Cmd {
    Cmd::new("apt-get").args(["-o", "APT::Sandbox::User=root", "download", package]).cwd(to)
}

/// The unpacking of the package `deb` to the folder `to`.
pub fn open_command(deb: &Path, to: &Path) -> Cmd {
    Cmd::new("dpkg-deb").arg("-x").arg(deb).arg(to)
}

/// The tree in the tarball `path`.
pub(super) fn local(env: &Env, path: &Path) -> Result<Made<PathBuf>> {
    if !path.is_file() {
        return Err(fail(Class::Host, format!("no kernel source at `{}`", path.display())).into());
    }
    unpacked(env, &remembered_hash(&env.cache, path)?, path)
}

/// The tree in `tarball`, which hashes to `hash`.
fn unpacked(env: &Env, hash: &str, tarball: &Path) -> Result<Made<PathBuf>> {
    let commands = |work: &Work| Ok(vec![unpack_command(tarball, &work.out)]);
    entry(env, hash, commands, |_, commands| env.shell.check_all(commands, Class::Host))
}

/// The tree in the tarball at `url`, which must hash to `sha256`.
pub(super) fn url(env: &Env, url: &str, sha256: &str) -> Result<Made<PathBuf>> {
    let tarball = |work: &Work| work.dir.join("linux.tar");
    let commands = |work: &Work| {
        let tarball = tarball(work);
        Ok(vec![download::command(url, &tarball)?, unpack_command(&tarball, &work.out)])
    };
    entry(env, sha256, commands, |work, commands| {
        env.shell.check_all(&commands[..1], Class::Host)?;
        download::verify(url, &tarball(work), sha256)?;
        env.shell.check_all(&commands[1..], Class::Host)
    })
}

/// The call of tar: without the tarball's top folder and without what nobody needs.
pub fn unpack_command(tarball: &Path, to: &Path) -> Cmd {
    let mut cmd = Cmd::new("tar").arg("--extract").arg("--file").arg(tarball).arg("--directory").arg(to);
    cmd = cmd.args(["--strip-components=1", "--no-same-owner", "--anchored", "--no-wildcards-match-slash"]);
    cmd = cmd.args(UNUSED.iter().map(|pattern| format!("--exclude=*/{pattern}")));
    // Several threads, where the tarball's blocks allow it.
    cmd.env("XZ_DEFAULTS", "-T0").env("LC_ALL", "C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::run::Shell;
    use crate::base::workdir::Cache;

    const SHELL: Shell = Shell::plain();

    fn env(dir: &Path) -> Env {
        Env { shell: SHELL, cache: Cache::at(dir.join("cache")) }
    }

    /// A tarball as kernel.org makes them, of a kernel that is very small.
    fn kernel(dir: &Path) -> PathBuf {
        let makefile = b"VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 3\n";
        for (name, text) in
            [("Makefile", makefile.as_slice()), ("Documentation/Kconfig", b"x"), ("Documentation/a/long.rst", b"y")]
        {
            workdir::write_atomic(&dir.join("linux-6.12.3").join(name), text).unwrap();
        }
        let tarball = dir.join("linux.tar.xz");
        let tar = Cmd::new("tar").arg("-cJf").arg(&tarball).arg("linux-6.12.3").cwd(dir);
        SHELL.check(&tar, Class::Host).unwrap();
        tarball
    }

    #[test]
    fn a_tarball_is_unpacked_without_its_top_folder_and_what_nobody_needs() {
        let dir = tempfile::tempdir().unwrap();
        let env = env(dir.path());
        let tree = local(&env, &kernel(dir.path())).unwrap();
        assert!(tree.join("Makefile").is_file() && tree.join("Documentation/Kconfig").is_file());
        assert!(!tree.join("Documentation/a/long.rst").exists());
    }

    #[test]
    fn a_url_with_the_right_checksum_is_the_same_kernel() {
        let dir = tempfile::tempdir().unwrap();
        let env = env(dir.path());
        let tarball = kernel(dir.path());
        let hash = workdir::hash_file(&tarball).unwrap();
        let tree = url(&env, &format!("file://{}", tarball.display()), &hash).unwrap();
        assert_eq!(tree.value, local(&env, &tarball).unwrap().value);
    }

    #[test]
    fn a_wrong_checksum_is_the_hosts_fault_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let env = env(dir.path());
        let address = format!("file://{}", kernel(dir.path()).display());
        let (text, code) = crate::base::error::render(&url(&env, &address, &"0".repeat(64)).unwrap_err());
        assert!(text.contains("checksum of") && text.contains(&address), "{text}");
        assert_eq!(code, Class::Host.exit_code());
        assert_eq!(fs::read_dir(env.cache.root().join("source")).unwrap().count(), 0);
    }

    #[test]
    fn a_tarball_of_something_else_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let env = env(dir.path());
        workdir::write_atomic(&dir.path().join("top/README"), b"no kernel").unwrap();
        let tarball = dir.path().join("x.tar");
        SHELL.check(&Cmd::new("tar").arg("-cf").arg(&tarball).arg("top").cwd(dir.path()), Class::Host).unwrap();
        let (text, code) = crate::base::error::render(&local(&env, &tarball).unwrap_err());
        assert!(text.contains("no Makefile"), "{text}");
        assert_eq!(code, Class::Kernel.exit_code());
        assert_eq!(fs::read_dir(env.cache.root().join("source")).unwrap().count(), 0);
    }
}
