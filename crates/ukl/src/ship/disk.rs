//! An image → a disk or a CD that a PC's firmware starts, by syslinux and the tools that make file systems.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;

use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::run::Cmd;
use crate::base::workdir;
use crate::image::folder::Image;
use crate::machine::elsewhere;
use crate::ship::payload;

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A disk, byte for byte.
    Raw,
    /// A disk in QEMU's format, which has no place for zeros.
    Qcow2,
    /// A CD, which starts from a USB stick too.
    Iso,
}

/// The first time that FAT can tell: 1980.
const EPOCH: u64 = 315_532_800;
const SECTOR: u64 = 512;
/// Where the partition begins, in sectors: the first MiB is the partition table's and the boot loader's.
const START: u64 = 2048;
const MIB: u64 = 1 << 20;
/// The type of an EFI system partition: a FAT file system that boot loaders know.
const PARTITION: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
/// The part of the first sector that is code.
const CODE: usize = 440;
const GPT_CODE: &str = "/usr/lib/syslinux/mbr/gptmbr.bin";
const ISOLINUX: [&str; 2] = ["/usr/lib/ISOLINUX/isolinux.bin", "/usr/lib/syslinux/modules/bios/ldlinux.c32"];
const ISO_CODE: &str = "/usr/lib/ISOLINUX/isohdpfx.bin";

/// Writes `out`, whole or not at all; the same image makes the same bytes.
pub fn write(env: &Env, image: &Image, form: Form, out: &Path) -> Result<()> {
    payload::check(image)?;
    workdir::create_parent(out)?;
    let parent = out.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let staging = tempfile::tempdir_in(parent).with_context(|| format!("failed to write `{}`", out.display()))?;
    let dir = staging.path();
    let files = files(image, dir, form)?;
    let made = match form {
        Form::Raw => raw(env, image, dir, &files)?,
        Form::Qcow2 => {
            let (raw, made) = (raw(env, image, dir, &files)?, dir.join("qcow2"));
            tool(env, Cmd::new("qemu-img").args(["convert", "-f", "raw", "-O", "qcow2"]).arg(raw).arg(&made))?;
            made
        }
        Form::Iso => iso(env, dir, &files)?,
    };
    workdir::set_mode(&made, 0o644)?;
    fs::rename(&made, out).with_context(|| format!("failed to write `{}`", out.display()))
}

/// What the boot loader reads, in a folder.
fn files(image: &Image, dir: &Path, form: Form) -> Result<Vec<PathBuf>> {
    let name = if form == Form::Iso { "isolinux.cfg" } else { "syslinux.cfg" };
    let words = elsewhere::words(&image.info).join(" ");
    let text = format!("DEFAULT ukl\nPROMPT 0\nLABEL ukl\n  LINUX vmlinuz\n  INITRD initrd\n  APPEND {words}\n");
    let boot = dir.join("boot");
    let files = [boot.join("vmlinuz"), boot.join("initrd"), boot.join(name)];
    workdir::copy_atomic(&image.dir.bzimage(), &files[0])?;
    workdir::copy_atomic(&image.dir.initrd(), &files[1])?;
    workdir::write_atomic(&files[2], text.as_bytes())?;
    Ok(files.into())
}

/// A GPT with one FAT partition, which syslinux starts from.
fn raw(env: &Env, image: &Image, dir: &Path, files: &[PathBuf]) -> Result<PathBuf> {
    let disk = dir.join("disk");
    let bytes = files.iter().map(|file| Ok(fs::metadata(file)?.len())).sum::<Result<u64>>()?;
    // Room for the boot loader, the file system's own tables, and a cluster for each file.
    let fat = (bytes.next_multiple_of(MIB) + 4 * MIB).max(16 * MIB);
    // Said, so that no tool chooses FAT12, which another then does not bear at this size.
    let bits = if fat <= 256 * MIB { "16" } else { "32" };
    let file = File::create_new(&disk)?;
    file.set_len(START * SECTOR + fat + MIB)?;
    let hash = workdir::hash_file(&image.dir.manifest())?;
    let table = format!(
        "label: gpt\nlabel-id: {}\nstart={START}, size={}, type={PARTITION}, uuid={}, attrs=LegacyBIOSBootable, name=ukl\n",
        uuid(&hash[..32]),
        fat / SECTOR,
        uuid(&hash[32..])
    );
    tool(env, Cmd::new("/usr/sbin/sfdisk").args(["--quiet", "--no-tell-kernel"]).arg(&disk).stdin(table))?;
    let offset = format!("--offset={START}");
    let fat_blocks = (fat / 1024).to_string();
    let number = hash[..8].to_owned();
    let format = Cmd::new("/usr/sbin/mkfs.vfat").args(["--invariant", "-F", bits, "-n", "UKL", "-i", &number, &offset]);
    tool(env, format.arg(&disk).arg(fat_blocks))?;
    let mut place = disk.clone().into_os_string();
    place.push(format!("@@{}", START * SECTOR));
    tool(env, Cmd::new("mcopy").arg("-i").arg(&place).args(files).arg("::/"))?;
    let bytes = (START * SECTOR).to_string();
    tool(env, Cmd::new("syslinux").args(["--offset", &bytes, "--install"]).arg(&disk))?;
    let code = workdir::read(Path::new(GPT_CODE))?;
    anyhow::ensure!(code.len() <= CODE, "`{GPT_CODE}` has {} bytes of code", code.len());
    file.write_all_at(&code, 0)?;
    Ok(disk)
}

/// An ISO 9660 file system with isolinux, and a partition table for USB sticks.
fn iso(env: &Env, dir: &Path, files: &[PathBuf]) -> Result<PathBuf> {
    let boot = files[0].parent().unwrap_or(dir);
    for file in ISOLINUX {
        let name = Path::new(file).file_name().unwrap_or_default();
        workdir::copy_atomic(Path::new(file), &boot.join(name))?;
    }
    // The times of files are in the file system, and the folder's own is the last to change.
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(EPOCH);
    for entry in walkdir::WalkDir::new(boot).contents_first(true) {
        File::open(entry?.path())?.set_modified(then)?;
    }
    let made = dir.join("iso");
    let cmd = Cmd::new("xorriso").args(["-as", "mkisofs", "-quiet", "-V", "UKL", "-isohybrid-mbr", ISO_CODE]);
    let cmd =
        cmd.args(["-b", "isolinux.bin", "-c", "boot.cat", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"]);
    tool(env, cmd.arg("-o").arg(&made).arg(boot))?;
    Ok(made)
}

/// Runs a tool that must not write the time of day.
fn tool(env: &Env, cmd: Cmd) -> Result<()> {
    let cmd = cmd
        .env("SOURCE_DATE_EPOCH", EPOCH.to_string())
        .env("MTOOLS_SKIP_CHECK", "1")
        .env("TZ", "UTC")
        .env("LC_ALL", "C");
    env.shell.check(&cmd, Class::Host).map(drop)
}

/// 32 digits as an identifier of partitions.
fn uuid(digits: &str) -> String {
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..32]];
    parts.join("-")
}

/// Fails (class `Host`) when a file that the tools need is missing.
pub fn check_tools(form: Form) -> Result<()> {
    let needed: &[(&str, &str)] = match form {
        Form::Raw | Form::Qcow2 => &[(GPT_CODE, "syslinux-common")],
        Form::Iso => &[(ISOLINUX[0], "isolinux"), (ISOLINUX[1], "syslinux-common"), (ISO_CODE, "isolinux")],
    };
    match needed.iter().find(|(file, _)| !Path::new(file).is_file()) {
        None => Ok(()),
        Some((file, package)) => {
            let failure = fail(Class::Host, format!("no `{file}`"));
            Err(failure.hint(format!("apt-get install --no-install-recommends {package}")).into())
        }
    }
}
