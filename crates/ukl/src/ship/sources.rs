//! A project → what its image is linked from: each source with version, checksum and licences.

use std::path::{Path, PathBuf};

use formats::licence::{self, Paragraph, Verdict};
use serde::Serialize;

use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::manifest::{KernelSource, Malloc, Manifest, Origin};
use crate::program::malloc::MIMALLOC;
use crate::supply::{debian, linux_source, program_source};
use crate::tools::pins;

/// The kernel's own licence, which is that of the whole image.
pub const KERNEL_LICENCE: &str = "GPL-2.0-only WITH Linux-syscall-note";

/// Whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// The kernel.
    Kernel,
    /// The C library, and an allocator that the program has instead of its.
    Libc,
    /// A source tree that the manifest names.
    Upstream,
    /// The project's own files.
    Project,
}

/// One source of an image.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name: a package of the distribution, or the folder's.
    pub name: String,
    /// Its version, where it has one.
    pub version: Option<String>,
    /// SHA-256 of what came, where it came from elsewhere.
    pub sha256: Option<String>,
    /// Whose it is.
    pub owner: Owner,
    /// Where it lies.
    pub tree: PathBuf,
    /// What its copyright file says; nothing where there is none that a machine reads.
    pub licences: Option<Vec<Paragraph>>,
}

/// What stands in the way of giving an image to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Obstacle {
    /// The source.
    pub source: String,
    /// Patterns of its files, or nothing for all of it.
    pub files: Vec<String>,
    /// Their licence.
    pub licence: String,
    /// Known to exclude the GPL, version 2; otherwise nobody knows.
    pub incompatible: bool,
}

/// Every source of the image of `manifest`, the kernel first; each is what `ukl.lock` says, if there is one.
pub fn all(env: &Env, manifest: &Manifest) -> Result<Vec<Source>> {
    let found = pins::observe(env, manifest, true)?;
    if let Some(locked) = pins::read(&manifest.dir)? {
        pins::check(&locked, &found)?;
    }
    let pinned = |name: &str, owner: Owner, tree: &Path| {
        let pin = found.iter().find(|pin| pin.package == name);
        let text = std::fs::read_to_string(tree.join("debian/copyright")).unwrap_or_default();
        Source {
            name: name.to_owned(),
            version: pin.map(|pin| pin.version.clone()),
            sha256: pin.map(|pin| pin.sha256.clone()),
            owner,
            tree: tree.to_owned(),
            licences: licence::paragraphs(&text),
        }
    };
    let linux = linux_source::fetch(env, &manifest.kernel)?.value;
    let name = match manifest.kernel.source {
        KernelSource::Debian => format!("linux-source-{}", manifest.kernel.version),
        _ => "linux".to_owned(),
    };
    let mut kernel = pinned(&name, Owner::Kernel, &linux.tree);
    kernel.version = Some(linux.version);
    kernel.sha256 = kernel.sha256.or(Some(linux.hash).filter(|hash| hash.len() == 64));
    let mut sources = vec![kernel, pinned("musl", Owner::Libc, &debian::fetch(env, "musl", &[])?.tree)];
    if manifest.malloc == Malloc::Mimalloc {
        sources.push(pinned(MIMALLOC, Owner::Libc, &debian::fetch(env, MIMALLOC, &[])?.tree));
    }
    for upstream in &manifest.upstream {
        let tree = program_source::fetch(env, upstream)?.value;
        let name = if let Origin::Debian { package, .. } = &upstream.origin { package } else { &upstream.name };
        let mut source = pinned(name, Owner::Upstream, &tree.tree);
        source.sha256 = source.sha256.or(Some(tree.hash).filter(|hash| hash.len() == 64));
        sources.push(source);
    }
    if !manifest.sources.is_empty() || !manifest.kernel_sources.is_empty() {
        let (name, tree) = (manifest.name.clone(), manifest.dir.clone());
        sources.push(Source { name, version: None, sha256: None, owner: Owner::Project, tree, licences: None });
    }
    Ok(sources)
}

/// What is known to stand, or may stand, in the way of giving the image to others. The project's own files are its author's.
pub fn obstacles(sources: &[Source]) -> Vec<Obstacle> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| matches!(source.owner, Owner::Libc | Owner::Upstream)) {
        let obstacle = |files: Vec<String>, licence: &str, verdict| Obstacle {
            source: source.name.clone(),
            files,
            licence: licence.to_owned(),
            incompatible: verdict == Verdict::Incompatible,
        };
        let Some(paragraphs) = &source.licences else {
            found.push(obstacle(Vec::new(), "unknown", Verdict::Unknown));
            continue;
        };
        for paragraph in paragraphs {
            match licence::verdict(&paragraph.licence) {
                Verdict::Compatible => {}
                verdict => found.push(obstacle(paragraph.files.clone(), &paragraph.licence, verdict)),
            }
        }
    }
    found
}

/// Says in words what stands in the way; nothing when nothing does.
pub fn words(obstacles: &[Obstacle]) -> Option<String> {
    if obstacles.is_empty() {
        return None;
    }
    let line = |one: &Obstacle| {
        let files = match one.files.as_slice() {
            [] => "no copyright file that a machine reads".to_owned(),
            few if few.len() <= 3 => few.join(" "),
            [first, ..] => format!("{first} and {} more", one.files.len() - 1),
        };
        let why = if one.incompatible { "excludes the GPL, version 2" } else { "not known" };
        format!("\n    {}: {} ({files}): {why}", one.source, one.licence)
    };
    let lines: String = obstacles.iter().map(line).collect();
    Some(format!(
        "the image may be run; whether it may be given to others is not certain (the kernel is GPL-2.0-only):{lines}"
    ))
}

/// Fails (class `App`) when something stands in the way.
pub fn strict(obstacles: &[Obstacle]) -> Result<()> {
    match words(obstacles) {
        None => Ok(()),
        Some(words) => {
            let hint = "look whether the program uses these files; without `--strict` this is a warning";
            Err(fail(Class::App, words).hint(hint).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(owner: Owner, licences: Option<Vec<(&str, &str)>>) -> Source {
        let paragraph = |(files, licence): (&str, &str)| Paragraph {
            files: files.split(' ').map(String::from).collect(),
            licence: licence.to_owned(),
        };
        let licences = licences.map(|all| all.into_iter().map(paragraph).collect());
        Source { name: "p".into(), version: None, sha256: None, owner, tree: "/".into(), licences }
    }

    #[test]
    fn what_excludes_the_gpl_is_named_with_its_files() {
        let good = source(Owner::Upstream, Some(vec![("*", "BSD-3-clause"), ("a.c", "GPL-3+ or MIT")]));
        assert!(strict(&obstacles(&[good])).is_ok());
        let bad = source(Owner::Upstream, Some(vec![("*", "Apache-2.0"), ("a b c d", "odd")]));
        let found = obstacles(&[bad, source(Owner::Project, None)]);
        let (text, code) = crate::base::error::render(&strict(&found).unwrap_err());
        assert!(text.contains("p: Apache-2.0 (*): excludes the GPL, version 2"), "{text}");
        assert!(text.contains("p: odd (a and 3 more): not known"), "{text}");
        assert_eq!(code, 121);
        let silent = words(&obstacles(&[source(Owner::Upstream, None)])).unwrap();
        assert!(silent.contains("no copyright file that a machine reads"), "{silent}");
    }
}
