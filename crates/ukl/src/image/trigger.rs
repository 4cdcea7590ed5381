//! [`Kernel`] → the file that starts its program in the guest, in the image folder.

use std::path::{Path, PathBuf};

use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::plan::{Made, Plan};
use crate::base::workdir::{self, ImageDir};
use crate::kernel::vmlinux::Kernel;
use crate::program::prefix::PREFIX;

/// Makes the file for the program in `kernel`.
pub fn build(env: &Env, kernel: &Made<Kernel>, image: &ImageDir) -> Result<Made<PathBuf>> {
    let path = image.trigger();
    if kernel.pending {
        return Ok(Made::later(path, kernel));
    }
    let bytes = bytes(&kernel.vmlinux)?;
    let same = std::fs::read(&path).is_ok_and(|old| old == bytes);
    let why = if same { Vec::new() } else { vec!["trigger: not made of this kernel yet".to_owned()] };
    Plan { output: path, why, commands: Vec::new() }.carry_out(&env.shell, |path, _| {
        write_bytes(&bytes, &path)?;
        Ok(path)
    })
}

/// Writes the file for the program in `vmlinux` to `path`, and returns its size.
///
/// Error (class `Usage`): no program is in there.
pub fn write(vmlinux: &Path, path: &Path) -> Result<usize> {
    let bytes = bytes(vmlinux)?;
    write_bytes(&bytes, path)?;
    Ok(bytes.len())
}

fn bytes(vmlinux: &Path) -> Result<Vec<u8>> {
    let bad = |error: formats::Error| fail(Class::Usage, format!("`{}`: {error}", vmlinux.display()));
    Ok(formats::trigger::write(&workdir::read(vmlinux)?, PREFIX).map_err(bad)?)
}

fn write_bytes(bytes: &[u8], path: &Path) -> Result<()> {
    workdir::write_atomic(path, bytes)?;
    workdir::set_mode(path, 0o755)
}
