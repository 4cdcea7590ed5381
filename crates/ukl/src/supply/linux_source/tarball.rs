//! Kernel tarballs: Debian's package, a local file, a URL with its checksum; unpacked into the cache.

use std::fs;
use std::path::{Path, PathBuf};

use crate::base::cached;
use crate::base::error::{fail, Class, Result};
use crate::base::run::{Cmd, Shell};
use crate::base::workdir::{self, Cache};
use crate::supply::download;

use super::{entry, remembered_hash, UNUSED};

/// The tree of Debian's package `linux-source-<version>`: the installed one, or the archive's.
pub(super) fn debian(shell: &Shell, cache: &Cache, version: &str) -> Result<PathBuf> {
    let package = format!("linux-source-{version}");
    let installed = Path::new("/usr/src").join(format!("{package}.tar.xz"));
    if installed.exists() {
        return local(shell, cache, &installed);
    }
    // Which entry an earlier download became: the archive is asked once.
    let fact = cache.fact(&format!("debian-{package}"));
    if let Some(entry) = fs::read_to_string(&fact).ok().map(|key| cache.entry("source", &key)) {
        if entry.exists() {
            return Ok(entry);
        }
    }
    let download = cached::scratch(cache, "source", &package)?;
    let hint = || format!("sudo apt-get install {package}, or set `source` in the manifest's [kernel]");
    let get = get_command(&package, download.path());
    let output = shell.run(&get)?;
    if !output.status.success() {
        let failure = crate::base::run::exit_failure(&get, &output, Class::Host);
        return Err(failure.hint(hint()).into());
    }
    let deb =
        fs::read_dir(download.path())?.flatten().map(|e| e.path()).find(|p| p.extension() == Some("deb".as_ref()));
    let deb = match deb {
        Some(deb) => deb,
        None if shell.dry_run => download.path().join("linux-source.deb"),
        None => return Err(fail(Class::Host, format!("no package `{package}` was downloaded")).hint(hint()).into()),
    };
    shell.check(&open_command(&deb, download.path()), Class::Host)?;
    let tarball = download.path().join("usr/src").join(format!("{package}.tar.xz"));
    if shell.dry_run {
        return entry(shell, cache, &package, &|to| unpack(shell, &tarball, to));
    }
    let sha256 = workdir::hash_file(&tarball)?;
    let tree = entry(shell, cache, &sha256, &|to| unpack(shell, &tarball, to))?;
    workdir::write_atomic(&cache.fact(&format!("sha256-{package}")), sha256.as_bytes())?;
    workdir::write_atomic(&fact, super::key_of(&tree).as_bytes())?;
    Ok(tree)
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
pub(super) fn local(shell: &Shell, cache: &Cache, path: &Path) -> Result<PathBuf> {
    if !path.is_file() {
        return Err(fail(Class::Host, format!("no kernel source at `{}`", path.display())).into());
    }
    let hash = remembered_hash(cache, path)?;
    entry(shell, cache, &hash, &|to| unpack(shell, path, to))
}

/// The tree in the tarball at `url`, which must hash to `sha256`.
pub(super) fn url(shell: &Shell, cache: &Cache, url: &str, sha256: &str) -> Result<PathBuf> {
    entry(shell, cache, sha256, &|to| {
        let download = tempfile::Builder::new().prefix(".download-").tempdir_in(to.parent().unwrap_or(to));
        // In a dry run the cache may not exist; the name is shown, nothing is written.
        let (_keep, tarball) = match download {
            Ok(dir) => {
                let tarball = dir.path().join("linux.tar");
                (Some(dir), tarball)
            }
            Err(_) if shell.dry_run => (None, to.join("linux.tar")),
            Err(error) => return Err(error.into()),
        };
        download::to_file(shell, url, &tarball)?;
        if !shell.dry_run {
            download::verify(url, &tarball, sha256)?;
        }
        unpack(shell, &tarball, to)
    })
}

/// Unpacks without the tarball's top folder and without what nobody needs.
fn unpack(shell: &Shell, tarball: &Path, to: &Path) -> Result<()> {
    shell.check(&unpack_command(tarball, to), Class::Host)?;
    Ok(())
}

/// The call of tar.
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

    const SHELL: Shell = Shell { verbose: false, dry_run: false };

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
        let cache = Cache::at(dir.path().join("cache"));
        let tree = local(&SHELL, &cache, &kernel(dir.path())).unwrap();
        assert!(tree.join("Makefile").is_file() && tree.join("Documentation/Kconfig").is_file());
        assert!(!tree.join("Documentation/a/long.rst").exists());
    }

    #[test]
    fn a_url_with_the_right_checksum_is_the_same_kernel() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("cache"));
        let tarball = kernel(dir.path());
        let hash = workdir::hash_file(&tarball).unwrap();
        let tree = url(&SHELL, &cache, &format!("file://{}", tarball.display()), &hash).unwrap();
        assert_eq!(tree, local(&SHELL, &cache, &tarball).unwrap());
    }

    #[test]
    fn a_wrong_checksum_is_the_hosts_fault_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("cache"));
        let address = format!("file://{}", kernel(dir.path()).display());
        let (text, code) = crate::base::error::render(&url(&SHELL, &cache, &address, &"0".repeat(64)).unwrap_err());
        assert!(text.contains("checksum of") && text.contains(&address), "{text}");
        assert_eq!(code, Class::Host.exit_code());
        assert_eq!(fs::read_dir(cache.root().join("source")).unwrap().count(), 0);
    }

    #[test]
    fn a_tarball_of_something_else_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("cache"));
        workdir::write_atomic(&dir.path().join("top/README"), b"no kernel").unwrap();
        let tarball = dir.path().join("x.tar");
        SHELL.check(&Cmd::new("tar").arg("-cf").arg(&tarball).arg("top").cwd(dir.path()), Class::Host).unwrap();
        let (text, code) = crate::base::error::render(&local(&SHELL, &cache, &tarball).unwrap_err());
        assert!(text.contains("no Makefile"), "{text}");
        assert_eq!(code, Class::Kernel.exit_code());
        assert_eq!(fs::read_dir(cache.root().join("source")).unwrap().count(), 0);
    }
}
