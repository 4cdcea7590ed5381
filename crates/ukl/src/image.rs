//! Kernel + initrd + manifest → [`Image`]: a folder that holds everything that made it.

use crate::workdir::ImageDir;

/// A complete image folder.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its paths.
    pub dir: ImageDir,
}
