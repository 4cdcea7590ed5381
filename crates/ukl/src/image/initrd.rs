//! Files, init and trigger → [`Initrd`]: a deterministic, compressed newc archive.
//!
//! Two archives, one behind the other: what changes with each run (commands, twin, shell) as it
//! is, and what an image always has, compressed. The kernel unpacks both.

mod files;
mod base;
mod mounts;
mod overlay;

use std::path::PathBuf;

use crate::base::error::Result;
use crate::base::run::Shell;
use crate::base::stamp::{self, Inputs};
use crate::base::workdir::{self, Cache, ImageDir};
use crate::manifest::Manifest;
use crate::program::musl::Sysroot;
use crate::program::toolchain::Toolchain;

pub use base::{compressor, entries, init_commands, program, FILES, SOURCES};
pub use mounts::{disk_name, mount_strings, share_name, Mount};
pub use overlay::{command, command_strings, environment, Command, Console, Mode};

/// The initial RAM disk.
#[derive(Debug, Clone)]
pub struct Initrd {
    /// The archive.
    pub path: PathBuf,
}

/// Builds init and the image's own files, and the RAM disk that starts the program as `mode` says. The file that
/// starts it is in the image folder.
///
/// Errors: a file of the manifest cannot be read or its path is listed twice (class `App`), no
/// static busybox for a shell, no lz4 (class `Host`).
pub fn build(
    shell: &Shell,
    cache: &Cache,
    toolchain: &Toolchain,
    sysroot: &Sysroot,
    manifest: &Manifest,
    image: &ImageDir,
    mode: &Mode,
) -> Result<Initrd> {
    let init = base::init(shell, cache, toolchain, sysroot)?;
    let stage = image.stage("initrd");
    let base = stage.join("base.cpio.lz4");
    let trigger = if shell.dry_run { Vec::new() } else { workdir::read(&image.trigger())? };
    let archive = base::archive(manifest, trigger)?;
    let mut inputs = Inputs::default().with("the archive's format", "gen_init_cpio");
    for entry in formats::newc::read(&archive)? {
        inputs = inputs.with(&format!("/{}", entry.path), format!("{entry:?}"));
    }
    let key = inputs.key();
    let fresh = stamp::is_fresh(&base, key);
    if shell.dry_run {
        return Ok(Initrd { path: image.initrd() });
    }
    workdir::copy_atomic(&init, &stage.join("init"))?;
    if !fresh {
        stamp::clear(&base)?;
        workdir::write_atomic(&base, &base::compress(shell, archive)?)?;
        stamp::write(&base, key)?;
    }
    compose(shell, image, mode, image.initrd())
}

/// Writes the RAM disk for `mode` to `path`, from what [`build`] left in the image folder.
pub fn compose(shell: &Shell, image: &ImageDir, mode: &Mode, path: PathBuf) -> Result<Initrd> {
    if shell.dry_run {
        return Ok(Initrd { path });
    }
    let mut bytes = overlay::archive(shell, image, mode)?;
    // The kernel looks for the next archive at a multiple of four.
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(workdir::read(&image.stage("initrd").join("base.cpio.lz4"))?);
    workdir::write_atomic(&path, &bytes)?;
    Ok(Initrd { path })
}
