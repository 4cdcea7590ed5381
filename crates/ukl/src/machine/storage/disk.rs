//! One disk image: made when it is not there, grown when it is too small, locked while it is used.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use anyhow::Context;
use formats::ext4;

use crate::base::error::{fail, Class, Failure, Result};
use crate::base::run::{exit_failure, Cmd, Shell};
use crate::manifest::storage::{Disk, Format};
use crate::program::toolchain;

/// Blocks as big as pages; nothing set aside for root, who the program is; everything written now, not by the guest.
const MKFS: [&str; 7] = ["-q", "-F", "-b", "4096", "-m", "0", "-Elazy_itable_init=0,lazy_journal_init=0"];

/// Fails for what no preparation can mend.
pub(super) fn check(disk: &Disk) -> Result<()> {
    let path = disk.path.display();
    let refuse = |text: String, hint: String| Err(fail(Class::Usage, text).hint(hint).into());
    match disk.path.metadata() {
        Ok(facts) if facts.is_dir() => {
            refuse(format!("the disk image `{path}` is a folder"), format!("name a file in it: `{path}/data.img`"))
        }
        Ok(facts) if !facts.is_file() => refuse(
            format!("the disk image `{path}` is not a regular file"),
            "disks of this machine are not handed on".into(),
        ),
        Ok(facts) => match disk.size_mib.map(|mib| mib << 20) {
            Some(wanted) if wanted < facts.len() && !disk.read_only => {
                let hint = format!("name a size of {} or more, or remove the image", human(facts.len()));
                refuse(format!("the disk image `{path}` has {}: it is never made smaller", human(facts.len())), hint)
            }
            _ => Ok(()),
        },
        Err(_) if disk.read_only => {
            refuse(format!("there is no disk image `{path}`"), "the guest could not fill it: it is read-only".into())
        }
        Err(_) if disk.size_mib.is_none() => {
            let hint = "say how big it shall be: `size = \"64M\"`, or `--disk FILE:64M:/mount/point`";
            refuse(format!("there is no disk image `{path}`"), hint.into())
        }
        Err(_) => match folder(&disk.path) {
            dir if dir.is_dir() => Ok(()),
            dir => {
                refuse(format!("there is no folder for the disk image `{path}`"), format!("mkdir -p {}", dir.display()))
            }
        },
    }
}

/// Makes the image ready; its lock. In a dry run the commands are only shown.
pub(super) fn prepare(shell: &Shell, disk: &Disk) -> Result<Option<File>> {
    if !disk.path.exists() {
        create(shell, disk)?;
    }
    if shell.dry_run {
        return Ok(None);
    }
    let lock = lock(disk)?;
    if disk.format == Format::Ext4 {
        let inside = file_system(&lock, disk)?;
        grow(shell, disk, &lock, inside)?;
    } else if let Some(wanted) = missing_bytes(disk, &lock)? {
        extend(disk, wanted)?;
    }
    Ok(Some(lock))
}

/// Makes a new image, under its name only when it is complete.
fn create(shell: &Shell, disk: &Disk) -> Result<()> {
    let context = || format!("failed to make the disk image `{}`", disk.path.display());
    let bytes = disk.size_mib.unwrap_or_default() << 20;
    let mkfs = |image: &Path| Cmd::new(tool("mkfs.ext4")).args(MKFS).arg(image);
    if shell.dry_run {
        if disk.format == Format::Ext4 {
            shell.run(&mkfs(&disk.path))?;
        }
        return Ok(());
    }
    let name = disk.path.file_name().unwrap_or_default().to_string_lossy();
    let image = tempfile::Builder::new().prefix(&format!(".{name}.")).suffix(".new").tempfile_in(folder(&disk.path));
    let image = image.with_context(context)?;
    // Holes until somebody writes.
    image.as_file().set_len(bytes).with_context(context)?;
    if disk.format == Format::Ext4 {
        make_file_system(shell, &mkfs(image.path()))?;
    }
    image.as_file().sync_all().with_context(context)?;
    match image.persist_noclobber(&disk.path) {
        Err(error) if error.error.kind() != ErrorKind::AlreadyExists => Err(error.error).with_context(context),
        // Another guest's start was faster: its image is as good.
        _ => crate::base::workdir::set_mode(&disk.path, 0o644),
    }
}

fn make_file_system(shell: &Shell, cmd: &Cmd) -> Result<()> {
    installed("mkfs.ext4")?;
    shell.check(cmd, Class::Host).map(drop)
}

/// Locks the image for us alone, or with other readers when it is read-only.
fn lock(disk: &Disk) -> Result<File> {
    let path = disk.path.display();
    let file = File::options().read(true).write(!disk.read_only).open(&disk.path);
    let file = file.with_context(|| format!("failed to open the disk image `{path}`"))?;
    let locked = if disk.read_only { file.try_lock_shared() } else { file.try_lock() };
    if locked.is_err() || used_by_qemu(&file, disk.read_only) {
        let failure = fail(Class::Host, format!("the disk image `{path}` is used by another guest"));
        return Err(failure
            .hint("stop that one first; guests can share a disk that is read-only for all of them")
            .into());
    }
    Ok(file)
}

/// Whether a QEMU that we did not start holds the image: it locks bytes from 100 on, for reading what it does.
fn used_by_qemu(file: &File, read_only: bool) -> bool {
    const WRITES: i64 = 101;
    // A writer is in anybody's way; a reader only in a writer's.
    let (start, length) = if read_only { (WRITES, 1) } else { (100, 64) };
    // SAFETY: an all-zero flock is a valid value.
    let mut range: libc::flock = unsafe { std::mem::zeroed() };
    range.l_type = libc::F_WRLCK as libc::c_short;
    range.l_whence = libc::SEEK_SET as libc::c_short;
    (range.l_start, range.l_len) = (start, length);
    // SAFETY: the descriptor is open, and the call writes to `range` only.
    let asked = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &mut range) };
    asked == 0 && range.l_type != libc::F_UNLCK as libc::c_short
}

/// The size of the file system in an image that must have one.
fn file_system(mut file: &File, disk: &Disk) -> Result<u64> {
    let mut head = Vec::new();
    let read = file.by_ref().take(ext4::HEAD as u64).read_to_end(&mut head);
    read.with_context(|| format!("failed to read `{}`", disk.path.display()))?;
    ext4::size(&head).ok_or_else(|| {
        let failure = fail(Class::Usage, format!("`{}` holds no ext4 file system", disk.path.display()));
        failure.hint("only new images are formatted: name a file that does not exist, or the format `raw`").into()
    })
}

/// The size that the image must get, when it is smaller.
fn missing_bytes(disk: &Disk, file: &File) -> Result<Option<u64>> {
    let length = file.metadata()?.len();
    Ok(disk.size_mib.map(|mib| mib << 20).filter(|wanted| *wanted > length && !disk.read_only))
}

fn extend(disk: &Disk, bytes: u64) -> Result<()> {
    let open = File::options().write(true).open(&disk.path);
    open.and_then(|file| file.set_len(bytes)).with_context(|| format!("failed to grow `{}`", disk.path.display()))
}

/// Grows image and file system to the wanted size; goes on where an interrupted one ended.
fn grow(shell: &Shell, disk: &Disk, file: &File, inside: u64) -> Result<()> {
    let missing = missing_bytes(disk, file)?;
    let unfinished = disk.size_mib.is_some_and(|mib| inside < mib << 20);
    if disk.read_only || (missing.is_none() && !unfinished) {
        return Ok(());
    }
    for name in ["e2fsck", "resize2fs"] {
        installed(name)?;
    }
    let fsck = Cmd::new(tool("e2fsck")).args(["-f", "-p"]).arg(&disk.path);
    let output = shell.run(&fsck)?;
    // 1: errors were found and mended.
    if !matches!(output.status.code(), Some(0 | 1)) {
        let failure = exit_failure(&fsck, &output, Class::Host);
        let hint = format!("the image was not grown; `e2fsck -f {}` repairs its file system", disk.path.display());
        return Err(failure.hint(hint).into());
    }
    if let Some(bytes) = missing {
        extend(disk, bytes)?;
    }
    shell.check(&Cmd::new(tool("resize2fs")).arg(&disk.path), Class::Host).map(drop)
}

/// The program's path: Debian keeps these where only root's PATH leads.
fn tool(name: &str) -> PathBuf {
    toolchain::which(name).unwrap_or_else(|| Path::new("/usr/sbin").join(name))
}

fn installed(name: &str) -> std::result::Result<(), Failure> {
    if tool(name).exists() {
        return Ok(());
    }
    Err(fail(Class::Host, format!("`{name}` is not installed")).hint("sudo apt-get install --yes e2fsprogs"))
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// In the unit in which sizes are written, when that is exact.
fn human(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 20) {
        format!("{}M", bytes >> 20)
    } else {
        format!("{bytes} bytes")
    }
}

#[cfg(test)]
mod tests;
