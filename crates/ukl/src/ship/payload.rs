//! The files of an image that travel, and whether they are still what `image.json` says.

use std::path::PathBuf;

use crate::base::error::{fail, Class, Result};
use crate::base::workdir;
use crate::image::folder::Image;
use crate::image::initrd;

/// One file of an image folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its name, relative to the image folder.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Its permission bits, the same on every machine.
    pub mode: u32,
}

/// What starts: the kernel in both forms, and its configuration.
pub fn kernel(image: &Image) -> Vec<Item> {
    let dir = &image.dir;
    items(image, [dir.vmlinux(), dir.bzimage(), dir.kernel_config()])
}

/// What a boot reads beside the kernel: the RAM disk and its parts (for other arguments), the twin, `image.json`.
pub fn rest(image: &Image) -> Vec<Item> {
    let dir = &image.dir;
    let [init, base] = initrd::parts(dir);
    let mut all = items(image, [dir.manifest(), dir.initrd(), dir.twin(), init, base, signature(image)]);
    all.retain(|item| item.path != signature(image) || item.path.is_file());
    all
}

/// Where the image's signature lies, if it has one.
pub fn signature(image: &Image) -> PathBuf {
    image.dir.manifest().with_extension("json.minisig")
}

/// The names of all that travel. What is linked into the kernel or lies in the RAM disk does not travel a second time.
pub fn names(image: &Image) -> Vec<String> {
    kernel(image).into_iter().chain(rest(image)).map(|item| item.name).collect()
}

fn items<const N: usize>(image: &Image, paths: [PathBuf; N]) -> Vec<Item> {
    let root = image.dir.root();
    let item = |path: PathBuf| {
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        let mode = if path == image.dir.twin() || name.ends_with("/init") { 0o755 } else { 0o644 };
        Item { name, path, mode }
    };
    paths.into_iter().map(item).collect()
}

/// Fails (class `Host`) unless every file is what `image.json` says of it.
pub fn check(image: &Image) -> Result<()> {
    check_travelled(image, false)
}

/// As [`check`]; of an image that was packed, only what travelled.
pub fn check_travelled(image: &Image, packed: bool) -> Result<()> {
    let travelled = names(image);
    let is_here = |name: &String| !packed || travelled.contains(name);
    for (name, info) in image.info.files.iter().filter(|(name, _)| is_here(name)) {
        let path = image.dir.root().join(name);
        let found = workdir::hash_file(&path)?;
        if found != info.sha256 {
            let text = format!("`{}` is not what `image.json` says: it has the SHA-256 {found}", path.display());
            return Err(fail(Class::Host, text).hint("`ukl build` makes the image again").into());
        }
    }
    Ok(())
}
