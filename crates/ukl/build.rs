//! Embeds `linux-patches/`, `tests/conformance/`, `tests/suites/` and `examples/`: one installed binary must do.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
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
    let top = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("../..");
    let tests = top.join("tests").canonicalize()?;
    fs::write(Path::new(&out).join("suite.rs"), format!("&[\n{}]\n", folder(&tests.join("conformance"))?))?;
    fs::write(Path::new(&out).join("suites.rs"), public(&tests.join("suites"))?)?;
    templates(&top.join("examples"), Path::new(&out))
}

/// The examples' files, as templates for projects: (example, [(path, executable, contents)]).
///
/// Only files are watched: an image that is built in an example's folder is no reason to compile ukl again.
fn templates(folder: &Path, out: &Path) -> Result<()> {
    let folder = folder.canonicalize()?;
    let mut table = String::from("&[\n");
    for example in sorted(&folder)?.iter().filter(|path| path.join("ukl.toml").is_file()) {
        writeln!(table, "    ({:?}, &[", name(example))?;
        let mut files = Vec::new();
        collect(example, &mut files)?;
        for file in files {
            println!("cargo:rerun-if-changed={}", file.display());
            let below = file.strip_prefix(example)?.display().to_string();
            let executable = file.metadata()?.permissions().mode() & 0o100 != 0;
            let place = file.display().to_string();
            writeln!(table, "        ({below:?}, {executable}, include_bytes!({place:?})),")?;
        }
        table.push_str("    ]),\n");
    }
    table.push_str("]\n");
    fs::write(out.join("templates.rs"), table)?;
    Ok(())
}

/// What a user of an example wants: neither what builds leave nor what only our tests read.
fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    // What an example's program leaves in its shared folder.
    let ignored = fs::read_to_string(dir.join(".gitignore")).unwrap_or_default();
    for path in sorted(dir)? {
        let name = name(&path);
        let tests_only = ["build", "ukl.lock", "expect.txt", "after"].contains(&name.as_str());
        if name.starts_with('.') || tests_only || ignored.lines().any(|line| line == name) {
            continue;
        }
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// The public suites: (name, files), the first without a name for what they share.
fn public(suites: &Path) -> Result<String> {
    let mut table = format!("&[\n    (\"\", &[\n{}    ]),\n", folder(suites)?);
    for suite in sorted(suites)?.iter().filter(|path| path.is_dir()) {
        writeln!(table, "    ({:?}, &[\n{}    ]),", name(suite), folder(suite)?)?;
    }
    Ok(table + "]\n")
}

/// The files of a folder, without what a build may have left beside them.
fn folder(folder: &Path) -> Result<String> {
    println!("cargo:rerun-if-changed={}", folder.display());
    let mut table = String::new();
    for file in sorted(folder)?.iter().filter(|path| path.is_file()) {
        println!("cargo:rerun-if-changed={}", file.display());
        writeln!(table, "    ({:?}, include_str!({:?})),", name(file), file.display().to_string())?;
    }
    Ok(table)
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
