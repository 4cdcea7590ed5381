//! An image of an OCI layout → an image folder in the cache; every digest on the way is checked.

use std::fmt::Display;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;
use oci_spec::image::{Arch, Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType};

use crate::base::cached;
use crate::base::env::Env;
use crate::base::error::{fail, Class, Failure, Result};
use crate::base::run::Shell;
use crate::base::target::TARGET;
use crate::base::workdir::{self, ImageDir};
use crate::image::folder;
use crate::ship::layout::{INSIDE, REF_NAME};
use crate::ship::payload;

/// A bound on what one layer may unpack to: a kernel with symbols has some tens of MiB.
const LAYER_MAX: u64 = 4 << 30;

/// A layout, and which of its images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The folder.
    pub dir: PathBuf,
    /// The image's name in the index; the only one where there is none.
    pub name: Option<String>,
}

/// Reads `oci:DIR` or `oci:DIR:NAME`; nothing for other words.
pub fn reference(word: &Path) -> Option<Reference> {
    let word = word.to_str()?.strip_prefix("oci:")?;
    Some(match word.rsplit_once(':') {
        Some((dir, name)) if !name.is_empty() && !name.contains('/') => {
            Reference { dir: dir.into(), name: Some(name.to_owned()) }
        }
        _ => Reference { dir: word.into(), name: None },
    })
}

/// The image folder of one image of a layout.
///
/// Errors: no layout, no such image, an image of another architecture or of no ukl, a media type that we do not know
/// (class `Usage`); a blob that is not what its digest says (class `Host`).
pub fn unpack(env: &Env, reference: &Reference) -> Result<ImageDir> {
    let manifest = choose(reference)?;
    let key = manifest.digest().digest().to_owned();
    // What a dry run would boot has to be known; nothing but the cache changes.
    let env = &Env { shell: Shell::plain(), ..env.clone() };
    let entry = cached::entry(env, "image", &key, |_| Ok(Vec::new()), |work, _| fill(reference, &manifest, &work.out))?;
    Ok(ImageDir::at(entry.value))
}

/// Checks one image of a layout, its digests included, and keeps nothing.
pub fn check(reference: &Reference) -> Result<()> {
    let dir = tempfile::tempdir()?;
    fill(reference, &choose(reference)?, dir.path())
}

fn bad(reference: &Reference, what: impl Display) -> Failure {
    fail(Class::Usage, format!("`{}`: {what}", reference.dir.display()))
}

/// The descriptor of the wanted image's manifest.
fn choose(reference: &Reference) -> Result<Descriptor> {
    let path = reference.dir.join("index.json");
    let text = std::fs::read(&path)
        .map_err(|_| bad(reference, "not an OCI image layout").hint("`ukl pkg oci` and `ukl pull` make one"))?;
    let index: ImageIndex =
        serde_json::from_slice(&text).map_err(|error| bad(reference, format!("`index.json`: {error}")))?;
    let named = |descriptor: &Descriptor| {
        let name = descriptor.annotations().as_ref().and_then(|all| all.get(REF_NAME)).cloned();
        name.unwrap_or_default()
    };
    let names: Vec<String> = index.manifests().iter().map(named).collect();
    let mut found =
        index.manifests().iter().filter(|one| reference.name.as_ref().is_none_or(|name| named(one) == *name));
    match (found.next(), found.next()) {
        (Some(one), None) if *one.media_type() == MediaType::ImageManifest => Ok(one.clone()),
        (Some(one), None) => Err(bad(reference, format!("unknown media type `{}`", one.media_type())).into()),
        (None, _) => {
            let wanted = reference.name.as_deref().unwrap_or_default();
            Err(bad(reference, format!("no image `{wanted}`, only {}", names.join(", "))).into())
        }
        (Some(_), Some(_)) => {
            let failure = bad(reference, format!("several images: {}", names.join(", ")));
            Err(failure.hint(format!("oci:{}:{}", reference.dir.display(), names[0])).into())
        }
    }
}

/// Unpacks into `out`, and makes sure that it is a whole image of ours.
fn fill(reference: &Reference, manifest: &Descriptor, out: &Path) -> Result<()> {
    let manifest: ImageManifest = document(reference, manifest)?;
    let config: ImageConfiguration = document(reference, manifest.config())?;
    if *config.architecture() != Arch::from(TARGET.oci) {
        let text = format!("the image is for {}, this ukl runs those for {}", config.architecture(), TARGET.oci);
        return Err(bad(reference, text).into());
    }
    for layer in manifest.layers() {
        let bytes = blob(reference, layer)?;
        match layer.media_type() {
            MediaType::ImageLayerGzip => files(reference, GzDecoder::new(bytes.as_slice()).take(LAYER_MAX), out)?,
            MediaType::ImageLayer => files(reference, bytes.as_slice(), out)?,
            other => return Err(bad(reference, format!("unknown media type `{other}` of a layer")).into()),
        }
    }
    let dir = ImageDir::at(out);
    if !dir.manifest().is_file() {
        return Err(bad(reference, "the image was not made by `ukl pkg oci`").into());
    }
    payload::check_travelled(&folder::load(&dir)?, true)
}

fn document<T: serde::de::DeserializeOwned>(reference: &Reference, descriptor: &Descriptor) -> Result<T> {
    let bytes = blob(reference, descriptor)?;
    serde_json::from_slice(&bytes).map_err(|error| bad(reference, format!("{}: {error}", descriptor.digest())).into())
}

/// The bytes of a blob, which are what its digest says.
fn blob(reference: &Reference, descriptor: &Descriptor) -> Result<Vec<u8>> {
    let digest = descriptor.digest();
    if digest.algorithm().as_ref() != "sha256" {
        return Err(bad(reference, format!("unknown kind of digest `{digest}`")).into());
    }
    let bytes = workdir::read(&reference.dir.join("blobs/sha256").join(digest.digest()))?;
    if workdir::hash_bytes(&bytes) != digest.digest() {
        let text = format!("`{}`: the blob {digest} has other contents than its digest says", reference.dir.display());
        return Err(fail(Class::Host, text).hint("fetch or pack the image again").into());
    }
    Ok(bytes)
}

/// The regular files below our folder; whatever else engines may read is not ours to unpack.
fn files(reference: &Reference, tar: impl Read, out: &Path) -> Result<()> {
    for entry in tar::Archive::new(tar).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let Ok(inside) = path.strip_prefix(INSIDE) else { continue };
        let plain = inside.components().all(|part| matches!(part, Component::Normal(_)));
        if !plain || entry.header().entry_type() != tar::EntryType::Regular {
            return Err(
                bad(reference, format!("a layer holds `{}`, which is not a regular file", path.display())).into()
            );
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        let to = out.join(inside);
        workdir::write_atomic(&to, &bytes)?;
        workdir::set_mode(&to, entry.header().mode()?)?;
    }
    Ok(())
}
