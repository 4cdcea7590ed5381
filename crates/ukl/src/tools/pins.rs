//! `ukl.lock`: which sources of the distribution a project was built from, by version and checksum.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::workdir;
use crate::manifest::{Condition, KernelSource, Libc, Malloc, Manifest, Origin};
use crate::program::libc::glibc;
use crate::program::malloc::MIMALLOC;
use crate::program::toolchain;
use crate::supply::debian::{self, Offer};
use crate::supply::linux_source;

/// One source package of the distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The package: `musl`, `redis`, `linux-source-6.12`.
    pub package: String,
    /// Its version.
    pub version: String,
    /// SHA-256: of the kernel's tarball, or over the checksums that the package's `.dsc` lists.
    pub sha256: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    source: Vec<Pin>,
}

const FORMAT: u32 = 1;
const HEAD: &str = "# Written by ukl: the sources of the distribution that this project was built from.\n\
    # A build from others is refused; `ukl update` takes what there is now.\n";

/// The sources that `manifest` takes from the distribution, as they are in the cache; fetches what is not.
///
/// With `kernel`, the kernel's is among them.
pub fn observe(env: &Env, manifest: &Manifest, kernel: bool) -> Result<Vec<Pin>> {
    let mut pins = Vec::new();
    let mut add = |package: &str, found: &debian::Package| -> Result<()> {
        let version = version(&found.tree)?;
        pins.push(Pin { package: package.to_owned(), version, sha256: found.sha256.clone() });
        Ok(())
    };
    // The guest's own programs are musl's in any case.
    add("musl", &*debian::fetch(env, "musl", &[])?)?;
    if manifest.malloc == Malloc::Mimalloc {
        add(MIMALLOC, &*debian::fetch(env, MIMALLOC, &[])?)?;
    }
    for upstream in &manifest.upstream {
        if let Origin::Debian { package, version } = &upstream.origin {
            add(package, &*debian::fetch(env, package, version)?)?;
        }
    }
    if manifest.libc == Libc::Glibc {
        pins.extend(installed(env, manifest)?);
    }
    if kernel && manifest.kernel.source == KernelSource::Debian {
        let found = linux_source::fetch(env, &manifest.kernel)?.value;
        let package = format!("linux-source-{}", manifest.kernel.version);
        // An old cache entry does not know its tarball: then its own key has to do.
        let sha256 = linux_source::checksum(&env.cache, &package)?.unwrap_or(found.hash);
        pins.push(Pin { package, version: found.version, sha256 });
    }
    Ok(pins)
}

/// The packages with glibc's static archives, as they are installed; what is pinned is the archive that is linked.
fn installed(env: &Env, manifest: &Manifest) -> Result<Vec<Pin>> {
    let toolchain = toolchain::find(&env.shell, &manifest.compiler)?;
    let mut pins = Vec::new();
    for name in glibc::PINNED {
        // A C program does without the C++ library.
        let Ok(file) = glibc::file(&env.shell, &toolchain, name) else { continue };
        let Some((package, version)) = glibc::package(&env.shell, &file)? else { continue };
        pins.push(Pin { package, version, sha256: workdir::hash_file(&file)? });
    }
    Ok(pins)
}

/// The version in the first line of a source package's changelog.
fn version(tree: &Path) -> Result<String> {
    let text = String::from_utf8_lossy(&workdir::read(&tree.join("debian/changelog"))?).into_owned();
    let first = text.lines().next().unwrap_or_default();
    let version = first.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(version, _)| version);
    version.map(str::to_owned).ok_or_else(|| fail(Class::Host, "a source package has no changelog").into())
}

/// The pins of the project in `dir`; nothing where there is no lock file.
pub fn read(dir: &Path) -> Result<Option<Vec<Pin>>> {
    let path = workdir::lock_of(dir);
    let Ok(text) = fs::read_to_string(&path) else { return Ok(None) };
    let bad = |what: String| {
        let failure = fail(Class::Usage, format!("`{}` is not understood: {what}", path.display()));
        failure.hint("`ukl update` writes it anew")
    };
    let file: File = toml::from_str(&text).map_err(|error| bad(error.message().to_owned()))?;
    match file.format {
        FORMAT => Ok(Some(file.source)),
        other => Err(bad(format!("format {other}")).into()),
    }
}

/// Fails when `found` is not what `locked` says. Packages that the lock does not name are none of its business.
pub fn check(locked: &[Pin], found: &[Pin]) -> Result<()> {
    for pin in found {
        let Some(want) = locked.iter().find(|want| want.package == pin.package) else { continue };
        if want == pin {
            continue;
        }
        let text = match want.version == pin.version {
            true => format!("`{}` {} has other contents than `ukl.lock` says", pin.package, pin.version),
            false => format!("`ukl.lock` says `{}` {}, and there is {}", pin.package, want.version, pin.version),
        };
        let hint = "`ukl update` takes what there is now; `ukl.lock` as it was needs the distribution as it was";
        return Err(fail(Class::Host, text).hint(hint).into());
    }
    Ok(())
}

/// Writes `found`, and keeps pins of packages that it does not name, unless `anew`.
pub fn write(dir: &Path, found: Vec<Pin>, anew: bool) -> Result<()> {
    let old = if anew { Vec::new() } else { read(dir)?.unwrap_or_default() };
    let mut source = found;
    for pin in &old {
        if !source.iter().any(|new| new.package == pin.package) {
            source.push(pin.clone());
        }
    }
    source.sort_by(|a, b| a.package.cmp(&b.package));
    if !anew && old == source {
        return Ok(());
    }
    let text = toml::to_string(&File { format: FORMAT, source })?;
    workdir::write_atomic(&workdir::lock_of(dir), format!("{HEAD}{text}").as_bytes())
}

/// Asks the distribution anew for every source that it offers, and locks what came.
pub fn update(env: &Env, manifest: &Manifest) -> Result<Vec<Pin>> {
    debian::renew(env, "musl", &[])?;
    if manifest.malloc == Malloc::Mimalloc {
        debian::renew(env, MIMALLOC, &[])?;
    }
    for upstream in &manifest.upstream {
        if let Origin::Debian { package, version } = &upstream.origin {
            debian::renew(env, package, version)?;
        }
    }
    if manifest.kernel.source == KernelSource::Debian {
        linux_source::forget(&env.cache, &format!("linux-source-{}", manifest.kernel.version))?;
    }
    let pins = observe(env, manifest, true)?;
    write(&manifest.dir, pins.clone(), true)?;
    Ok(pins)
}

/// What the distribution has now of one source of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct News {
    /// The package.
    pub package: String,
    /// The version that the project is locked to, or was built from last.
    pub version: String,
    /// What there is now, when that is another one.
    pub newer: Option<String>,
    /// The newer one is a security update.
    pub security: bool,
    /// What the next build after `ukl update` makes again.
    pub rebuilds: &'static str,
}

/// Asks the distribution what it has, and takes nothing. Security updates stand first.
pub fn news(env: &Env, manifest: &Manifest) -> Result<Vec<News>> {
    let pins = match read(&manifest.dir)? {
        Some(pins) => pins,
        None => observe(env, manifest, true)?,
    };
    let mut asked: Vec<(&str, &[Condition])> = vec![("musl", &[])];
    if manifest.malloc == Malloc::Mimalloc {
        asked.push((MIMALLOC, &[]));
    }
    for upstream in &manifest.upstream {
        if let Origin::Debian { package, version } = &upstream.origin {
            asked.push((package, version));
        }
    }
    let mut offers: Vec<(String, Offer)> =
        asked.iter().map(|(name, _)| (*name).to_owned()).zip(debian::offers(env, &asked)?).collect();
    if manifest.kernel.source == KernelSource::Debian {
        let package = format!("linux-source-{}", manifest.kernel.version);
        offers.extend(linux_source::offer(&env.shell, &package)?.map(|offer| (package, offer)));
    }
    let mut news: Vec<News> = offers
        .into_iter()
        .map(|(package, offer)| {
            let version = pins.iter().find(|pin| pin.package == package).map(|pin| pin.version.clone());
            let version = version.unwrap_or_default();
            let rebuilds = match package.as_str() {
                "musl" => "the C library, the program, the link of the kernel",
                name if name.starts_with("linux-source-") => "the kernel and its link",
                _ => "the program, the link of the kernel",
            };
            let newer = Some(offer.version).filter(|newest| *newest != version);
            News { security: offer.security && newer.is_some(), package, version, newer, rebuilds }
        })
        .collect();
    news.sort_by_key(|one| (!one.security, one.newer.is_none()));
    Ok(news)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(package: &str, version: &str, sha256: &str) -> Pin {
        Pin { package: package.into(), version: version.into(), sha256: sha256.into() }
    }

    #[test]
    fn what_was_written_is_read_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        write(dir.path(), vec![pin("redis", "7", "b"), pin("musl", "1", "a")], false).unwrap();
        write(dir.path(), vec![pin("musl", "1", "a")], false).unwrap();
        let pins = read(dir.path()).unwrap().unwrap();
        assert_eq!(pins, [pin("musl", "1", "a"), pin("redis", "7", "b")]);
        write(dir.path(), vec![pin("musl", "2", "c")], true).unwrap();
        assert_eq!(read(dir.path()).unwrap().unwrap(), [pin("musl", "2", "c")]);
        fs::write(workdir::lock_of(dir.path()), "format = 9\nsource = []\n").unwrap();
        assert!(read(dir.path()).unwrap_err().to_string().contains("format 9"));
    }

    #[test]
    fn another_version_or_other_contents_are_refused() {
        let locked = [pin("musl", "1", "a")];
        check(&locked, &[pin("musl", "1", "a"), pin("redis", "7", "b")]).unwrap();
        let (text, code) = crate::base::error::render(&check(&locked, &[pin("musl", "2", "c")]).unwrap_err());
        assert!(text.contains("`ukl.lock` says `musl` 1, and there is 2") && text.contains("ukl update"), "{text}");
        assert_eq!(code, 120);
        let text = check(&locked, &[pin("musl", "1", "c")]).unwrap_err().to_string();
        assert!(text.contains("other contents"), "{text}");
    }
}
