//! Where a C library's files are, and the hook that compilers find their assembler through.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::error::Result;
use crate::base::quote;
use crate::base::workdir;
use crate::manifest::Libc;
use crate::program::toolchain::Toolchain;

/// Headers, start files and archives to compile and link against.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sysroot {
    /// Which C library it is.
    pub libc: Libc,
    /// The folder: `hook/` (the `as` wrapper for `-B`); with musl also `include/` and `lib/`.
    pub dir: PathBuf,
    /// Content key of the cache entry.
    pub key: String,
    /// What is linked before the program's own objects.
    pub start: Vec<PathBuf>,
    /// The C library and what it needs of the compiler's, in any order.
    pub archives: Vec<PathBuf>,
    /// What is linked last.
    pub end: Vec<PathBuf>,
    /// Where libraries are found by name.
    pub folders: Vec<PathBuf>,
}

impl Sysroot {
    /// The flags of every compilation against this sysroot; with musl no host header is in reach.
    pub fn cflags(&self, toolchain: &Toolchain) -> Vec<String> {
        let mut flags: Vec<String> = toolchain.kernel_flags().into_iter().map(str::to_owned).collect();
        flags.push(format!("-B{}/", self.dir.join("hook").display()));
        match self.libc {
            Libc::Musl => {
                // Nothing unwinds through these sections, and the partial link drops them.
                flags.extend(["-fno-asynchronous-unwind-tables", "-nostdinc"].map(str::to_owned));
                for include in [self.dir.join("include"), toolchain.include.clone()] {
                    flags.extend(["-isystem".to_owned(), include.display().to_string()]);
                }
            }
            // Exceptions and cancelled threads unwind through C functions as well.
            Libc::Glibc => flags.push("-fasynchronous-unwind-tables".to_owned()),
        }
        flags
    }

    /// The archive of a library, if it has that.
    pub fn library(&self, name: &str) -> Option<PathBuf> {
        let file = format!("lib{name}.a");
        self.folders.iter().map(|folder| folder.join(&file)).find(|path| path.is_file())
    }
}

pub(super) const SITES: &str = include_str!("../../../data/sites.s");
pub(super) const AS: &str = include_str!("../../../data/as.sh");

/// The hook's files: what compilers take for the assembler (executable), and what it reads first.
pub fn hook(toolchain: &Toolchain) -> [(&'static str, String); 2] {
    let assembler = quote::in_quotes(&toolchain.assembler.display().to_string());
    [("as", AS.replace("@AS@", &assembler)), ("sites.s", SITES.to_owned())]
}

/// Writes the hook into the sysroot that is made in `out`.
pub(super) fn write_hook(toolchain: &Toolchain, out: &Path) -> Result<()> {
    for (name, text) in hook(toolchain) {
        workdir::write_atomic(&out.join("hook").join(name), text.as_bytes())?;
    }
    workdir::set_mode(&out.join("hook/as"), 0o755)
}
