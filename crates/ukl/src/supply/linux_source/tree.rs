//! A user's own kernel tree: copied into the cache without what earlier builds left in it, never written to.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use walkdir::{DirEntry, WalkDir};

use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::plan::Made;
use crate::base::target::TARGET;
use crate::base::workdir;

use super::entry;

/// Endings of files that only a build makes.
const BUILT: [&str; 10] = ["o", "a", "ko", "cmd", "mod", "order", "symvers", "dtb", "rej", "orig"];

/// Files and folders that only a build, an editor or git makes, from the tree's top folder.
const GENERATED: [&str; 14] = [
    ".git",
    ".config",
    ".config.old",
    ".version",
    ".tmp_vmlinux.kallsyms.S",
    "System.map",
    "vmlinux",
    "include/config",
    "include/generated",
    TARGET.generated,
    TARGET.boot_image,
    TARGET.boot_unpacker,
    "scripts/kconfig/conf",
    "tools/objtool/objtool",
];

/// The cache's copy of the tree `from`, made again when a file of it changed.
pub(super) fn copy(env: &Env, from: &Path) -> Result<Made<PathBuf>> {
    if !from.join("Makefile").is_file() {
        let text = format!("`{}` holds no kernel source", from.display());
        return Err(fail(Class::Kernel, text).hint("its top folder must have the kernel's Makefile").into());
    }
    let files = list(from)?;
    let hash = fingerprint(from, &files)?;
    entry(env, &hash, |_| Ok(Vec::new()), |work, _| copy_files(from, &files, &work.out))
}

/// Everything that belongs to the source, sorted, relative to `tree`; folders before what is in them.
fn list(tree: &Path) -> Result<Vec<PathBuf>> {
    let keep = |entry: &DirEntry| {
        let path = entry.path().strip_prefix(tree).unwrap_or(entry.path());
        let built = entry.file_type().is_file()
            && path.extension().is_some_and(|ending| BUILT.iter().any(|built| ending == *built));
        !built && !GENERATED.iter().any(|generated| path == Path::new(generated)) && !is_unused(path)
    };
    let mut files = Vec::new();
    for entry in WalkDir::new(tree).min_depth(1).sort_by_file_name().into_iter().filter_entry(keep) {
        let entry = entry.with_context(|| format!("failed to read the kernel tree `{}`", tree.display()))?;
        files.push(entry.path().strip_prefix(tree).unwrap_or(entry.path()).to_owned());
    }
    Ok(files)
}

/// What [`super::UNUSED`] says of tarballs, for paths.
fn is_unused(path: &Path) -> bool {
    let parts: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
    matches!(
        parts.as_slice(),
        ["Documentation", _, _, ..]
            | ["tools", "perf" | "testing", _, ..]
            | ["arch", _, "boot", "dts", _, ..]
            | ["drivers", "gpu", "drm", "amd", "include", _, _, ..]
    )
}

/// Names, sizes and times of change: reading a million kilobytes for each build would take too long.
fn fingerprint(tree: &Path, files: &[PathBuf]) -> Result<String> {
    use std::os::unix::fs::MetadataExt;
    let mut lines = Vec::with_capacity(files.len());
    for file in files {
        let meta = fs::symlink_metadata(tree.join(file))?;
        let time = if meta.is_dir() { 0 } else { meta.mtime() * 1_000_000_000 + meta.mtime_nsec() };
        let size = if meta.is_dir() { 0 } else { meta.len() };
        lines.push(format!("{} {:o} {size} {time}", file.display(), meta.mode()));
    }
    Ok(workdir::hash(lines))
}

fn copy_files(from: &Path, files: &[PathBuf], to: &Path) -> Result<()> {
    for file in files {
        let (source, target) = (from.join(file), to.join(file));
        let context = || format!("failed to copy `{}`", source.display());
        let kind = fs::symlink_metadata(&source).with_context(context)?.file_type();
        if kind.is_dir() {
            fs::create_dir(&target).with_context(context)?;
        } else if kind.is_symlink() {
            let link = fs::read_link(&source).with_context(context)?;
            std::os::unix::fs::symlink(link, &target).with_context(context)?;
        } else if kind.is_file() {
            fs::copy(&source, &target).with_context(context)?;
        }
        anyhow::ensure!(!crate::base::run::interrupted(), "interrupted");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::run::Shell;
    use crate::base::workdir::Cache;

    fn tree(dir: &Path) {
        let files = [
            ("Makefile", "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 1\n"),
            ("fs/exec.c", "int x;\n"),
            ("fs/exec.o", "object"),
            (".config", "CONFIG_X=y\n"),
            ("include/config/X", ""),
            (".git/HEAD", "ref"),
            ("arch/x86/Kconfig", "config X\n"),
            ("arch/arm/boot/dts/a.dts", "x\n"),
            ("arch/Kconfig", "config Y\n"),
            ("Documentation/Kconfig", "config Z\n"),
            ("Documentation/x86/long.rst", "text"),
        ];
        for (name, text) in files {
            workdir::write_atomic(&dir.join(name), text.as_bytes()).unwrap();
        }
    }

    #[test]
    fn a_copy_has_the_source_and_no_build_products() {
        let dir = tempfile::tempdir().unwrap();
        let user = dir.path().join("linux");
        tree(&user);
        let env = Env { shell: Shell::plain(), cache: Cache::at(dir.path().join("cache")) };
        let copied = copy(&env, &user).unwrap().value;
        let files = list(&copied).unwrap().into_iter().filter(|file| copied.join(file).is_file());
        let files: Vec<String> = files.map(|file| file.display().to_string()).collect();
        assert_eq!(files, ["Documentation/Kconfig", "Makefile", "arch/Kconfig", "arch/x86/Kconfig", "fs/exec.c"]);
        assert_eq!(copy(&env, &user).unwrap().value, copied, "made once");
    }

    #[test]
    fn an_edited_file_makes_another_copy() {
        let dir = tempfile::tempdir().unwrap();
        let user = dir.path().join("linux");
        tree(&user);
        let env = Env { shell: Shell::plain(), cache: Cache::at(dir.path().join("cache")) };
        let first = copy(&env, &user).unwrap().value;
        fs::write(user.join("fs/exec.c"), "int changed;\n").unwrap();
        let second = copy(&env, &user).unwrap().value;
        assert_ne!(first, second);
        assert_eq!(fs::read_to_string(second.join("fs/exec.c")).unwrap(), "int changed;\n");
        assert_eq!(fs::read_to_string(first.join("fs/exec.c")).unwrap(), "int x;\n");
    }
}
