//! Files, init and trigger → [`Initrd`]: a deterministic, compressed newc archive.
//!
//! Two archives, one behind the other: what changes with each run (commands, twin, shell) as it
//! is, and what an image always has, compressed. The kernel unpacks both.

mod files;
mod base;
mod mounts;
mod overlay;

use std::path::PathBuf;

use crate::base::env::Env;
use crate::base::error::{Class, Result};
use crate::base::plan::{Made, Plan};
use crate::base::run::Shell;
use crate::base::stamp::{self, Inputs};
use crate::base::workdir::{self, ImageDir};
use crate::manifest::Manifest;
use crate::program::userland::Userland;

pub use base::{compressor, entries, init_commands, program, FILES, SOURCES};
pub use mounts::{disk_name, mount_strings, share_name, Mount};
pub use overlay::{busybox, command, command_strings, environment, Command, Console, Startup, TWIN};

/// The initial RAM disk.
#[derive(Debug, Clone)]
pub struct Initrd {
    /// The archive.
    pub path: PathBuf,
}

/// Builds init and the image's own files, and the RAM disk that starts the program as `startup` says, by the file
/// `trigger`.
///
/// Errors: a file of the manifest cannot be read or its path is listed twice (class `App`), no
/// static busybox for a shell, no lz4 (class `Host`).
pub fn build(
    env: &Env,
    userland: &Userland,
    trigger: &Made<PathBuf>,
    manifest: &Manifest,
    image: &ImageDir,
    startup: &Startup,
) -> Result<Made<Initrd>> {
    let init = base::init(env, userland)?;
    let stage = image.stage("initrd");
    // In a dry run, that file may be an older one, or not there.
    let archive = base::archive(manifest, std::fs::read(&trigger.value).unwrap_or_default())?;
    let mut inputs = Inputs::default().with("the archive's format", "gen_init_cpio");
    for entry in formats::newc::read(&archive)? {
        inputs = inputs.with(&format!("/{}", entry.path), format!("{entry:?}"));
    }
    let base = stage.join("base.cpio.lz4");
    let why = stamp::stale(&inputs, &[&base]);
    let commands = vec![base::compressor().stdin(archive)];
    let base = Plan { output: base, why, commands }.carry_out(&env.shell, |base, commands| {
        stamp::renew(&inputs, &[&base], || {
            let compress = |cmd| workdir::write_atomic(&base, &env.shell.check(cmd, Class::Host)?.stdout);
            commands.iter().try_for_each(compress)
        })?;
        Ok(base)
    })?;
    let base = base.behind(&init).behind(&Made::later((), trigger));
    if !env.shell.dry_run {
        workdir::copy_atomic(&init, &stage.join("init"))?;
    }
    let initrd = compose(&env.shell, image, startup, image.initrd())?;
    Ok(base.map(|_| initrd))
}

/// What [`compose`] reads: init, and what every RAM disk of the image has.
pub fn parts(image: &ImageDir) -> [PathBuf; 2] {
    ["init", "base.cpio.lz4"].map(|name| image.stage("initrd").join(name))
}

/// Writes the RAM disk for `startup` to `path`, from what [`build`] left in the image folder.
pub fn compose(shell: &Shell, image: &ImageDir, startup: &Startup, path: PathBuf) -> Result<Initrd> {
    if shell.dry_run {
        return Ok(Initrd { path });
    }
    let mut bytes = overlay::archive(shell, image, startup)?;
    // The kernel looks for the next archive at a multiple of four.
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(workdir::read(&image.stage("initrd").join("base.cpio.lz4"))?);
    workdir::write_atomic(&path, &bytes)?;
    Ok(Initrd { path })
}
