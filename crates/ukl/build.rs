//! Embeds `linux-patches/` and `tests/guest/`: the tool must work from one installed binary.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let patches = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("../../linux-patches");
    let patches = patches.canonicalize()?;
    println!("cargo:rerun-if-changed={}", patches.display());
    let mut table = String::from("&[\n");
    for version in sorted(&patches)?.iter().filter(|path| path.is_dir()) {
        println!("cargo:rerun-if-changed={}", version.display());
        writeln!(table, "    ({:?}, &[", name(version))?;
        for file in sorted(version)? {
            println!("cargo:rerun-if-changed={}", file.display());
            writeln!(table, "        ({:?}, include_str!({:?})),", name(&file), file.display().to_string())?;
        }
        table.push_str("    ]),\n");
    }
    table.push_str("]\n");
    let out = std::env::var("OUT_DIR")?;
    fs::write(Path::new(&out).join("linux_patches.rs"), table)?;
    suite(&Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("../../tests/guest"), Path::new(&out))
}

/// The conformance suite's sources, without what a build may have left beside them.
fn suite(folder: &Path, out: &Path) -> Result<()> {
    let folder = folder.canonicalize()?;
    println!("cargo:rerun-if-changed={}", folder.display());
    let mut table = String::from("&[\n");
    for file in sorted(&folder)?.iter().filter(|path| path.is_file()) {
        println!("cargo:rerun-if-changed={}", file.display());
        writeln!(table, "    ({:?}, include_str!({:?})),", name(file), file.display().to_string())?;
    }
    table.push_str("]\n");
    fs::write(out.join("suite.rs"), table)?;
    Ok(())
}

fn sorted(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries: std::io::Result<Vec<PathBuf>> = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect();
    let mut paths = entries?;
    paths.sort();
    Ok(paths)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
