//! [`Kernel`] → the file that starts its program in the guest, in the image folder.

use std::path::Path;

use crate::base::error::{fail, Class, Result};
use crate::base::run::Shell;
use crate::base::workdir::{self, ImageDir};
use crate::kernel::vmlinux::Kernel;
use crate::program::prefix::PREFIX;

/// Writes the file for the program in `kernel`.
pub fn build(shell: &Shell, kernel: &Kernel, image: &ImageDir) -> Result<()> {
    if shell.dry_run {
        return Ok(());
    }
    write(&kernel.vmlinux, &image.trigger())?;
    Ok(())
}

/// Writes the file for the program in `vmlinux` to `path`, and returns its size.
///
/// Error (class `Usage`): no program is in there.
pub fn write(vmlinux: &Path, path: &Path) -> Result<usize> {
    let bad = |error: formats::Error| fail(Class::Usage, format!("`{}`: {error}", vmlinux.display()));
    let bytes = formats::trigger::write(&workdir::read(vmlinux)?, PREFIX).map_err(bad)?;
    workdir::write_atomic(path, &bytes)?;
    workdir::set_mode(path, 0o755)?;
    Ok(bytes.len())
}
