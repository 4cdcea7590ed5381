//! What the GPL calls the complete corresponding source of an image, as one archive.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};

use crate::base::error::Result;
use crate::base::workdir;
use crate::image::folder::Image;
use crate::image::initrd;
use crate::kernel::patch;
use crate::manifest::Manifest;
use crate::ship::sources::{Owner, Source};

type Archive = tar::Builder<GzEncoder<File>>;

const README: &str =
    "The source of the image `NAME`: the kernel (`linux` or its tarball), the patches in `patches` in the order of
`series`, the kernel's configuration, the C library, the program, init, and `build.sh`, which is every command of the
build. `ukl build` with the same ukl makes the same bytes.\n";

/// Writes the archive to `out`, whole or not at all; `script` is the build as a plain shell script, if it can be one.
pub fn write(image: &Image, manifest: &Manifest, sources: &[Source], script: Option<String>, out: &Path) -> Result<()> {
    workdir::create_parent(out)?;
    let parent = out.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let context = || format!("failed to write `{}`", out.display());
    let file = tempfile::NamedTempFile::new_in(parent).with_context(context)?;
    let zipped = GzBuilder::new().mtime(0).write(file.reopen()?, Compression::fast());
    let mut archive = tar::Builder::new(zipped);
    let top = PathBuf::from(format!("{}-source", image.info.name));
    text(&mut archive, &top.join("README"), &README.replace("NAME", &image.info.name))?;
    for path in [image.dir.manifest(), image.dir.kernel_config()] {
        one(&mut archive, &top.join(path.file_name().unwrap_or_default()), &path)?;
    }
    if let Some(script) = script {
        text(&mut archive, &top.join("build.sh"), &script)?;
    }
    let patches = patch::series(&manifest.kernel.version)?;
    let names: String = patches.iter().map(|(name, _)| format!("{name}\n")).collect();
    text(&mut archive, &top.join("patches/series"), &names)?;
    for (name, patch) in &patches {
        text(&mut archive, &top.join("patches").join(name), patch)?;
    }
    for (name, source) in initrd::SOURCES.iter().chain(&initrd::FILES) {
        text(&mut archive, &top.join("init").join(name), source)?;
    }
    for source in sources {
        add(&mut archive, &top, manifest, source)?;
    }
    archive.into_inner()?.finish()?.flush().with_context(context)?;
    workdir::set_mode(file.path(), 0o644)?;
    file.persist(out).map_err(|error| error.error).with_context(context)?;
    Ok(())
}

fn add(archive: &mut Archive, top: &Path, manifest: &Manifest, source: &Source) -> Result<()> {
    match source.owner {
        Owner::Kernel => {
            let tarball = Path::new("/usr/src").join(format!("{}.tar.xz", source.name));
            // The package's own file, if it is the one that was used; the cache's tree lacks what no build looks at.
            match &source.sha256 {
                Some(sha256) if tarball.is_file() && workdir::hash_file(&tarball)? == *sha256 => {
                    one(archive, &top.join(format!("{}.tar.xz", source.name)), &tarball)
                }
                _ => tree(archive, &top.join("linux"), &source.tree),
            }
        }
        Owner::Libc | Owner::Upstream => tree(archive, &top.join(&source.name), &source.tree),
        Owner::Project => {
            let own = [workdir::lock_of(&manifest.dir), manifest.dir.join("ukl.toml")];
            let files =
                manifest.sources.iter().chain(&manifest.kernel_sources).chain(own.iter().filter(|file| file.is_file()));
            for file in files {
                let inside = file.strip_prefix(&manifest.dir).map(Path::to_owned);
                let inside = inside.unwrap_or_else(|_| file.file_name().unwrap_or_default().into());
                one(archive, &top.join("program").join(inside), file)?;
            }
            Ok(())
        }
    }
}

fn header(size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn text(archive: &mut Archive, name: &Path, text: &str) -> Result<()> {
    archive.append_data(&mut header(text.len() as u64, 0o644), name, text.as_bytes())?;
    Ok(())
}

fn one(archive: &mut Archive, name: &Path, path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let file = File::open(path).with_context(|| format!("failed to read `{}`", path.display()))?;
    let meta = file.metadata()?;
    let mode = if meta.permissions().mode() & 0o111 != 0 { 0o755 } else { 0o644 };
    archive.append_data(&mut header(meta.len(), mode), name, file)?;
    Ok(())
}

/// Every file and link of a tree, sorted.
fn tree(archive: &mut Archive, name: &Path, root: &Path) -> Result<()> {
    for entry in walkdir::WalkDir::new(root).sort_by_file_name() {
        let entry = entry?;
        let to = name.join(entry.path().strip_prefix(root)?);
        if entry.path_is_symlink() {
            let mut header = header(0, 0o777);
            header.set_entry_type(tar::EntryType::Symlink);
            archive.append_link(&mut header, &to, std::fs::read_link(entry.path())?)?;
        } else if entry.file_type().is_file() {
            one(archive, &to, entry.path())?;
        }
    }
    Ok(())
}
