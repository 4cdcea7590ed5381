//! `ukl pkg`: an image in the forms that others take.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::answer::Answer;
use super::options::Target;
use super::project;
use crate::base::cached;
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::term;
use crate::base::workdir::{self, ImageDir};
use crate::image::folder::{self, Image};
use crate::manifest;
use crate::ship::disk::{self, Form};
use crate::ship::{hypervisor, layout, source, sources};
use crate::tools::{pins, script};

/// `ukl pkg`.
#[derive(Debug, Clone, Args)]
pub struct PkgArgs {
    /// The form.
    #[command(subcommand)]
    pub command: PkgCommand,
}

/// The form.
#[derive(Debug, Clone, Subcommand)]
pub enum PkgCommand {
    /// An OCI image layout, as registries and urunc take it
    Oci(OciArgs),
    /// A disk that a PC's BIOS starts
    Disk(DiskArgs),
    /// A CD, or USB stick, that a PC's BIOS starts
    Iso(FileArgs),
    /// A layout that holds the image as a disk, as KubeVirt takes it
    ContainerDisk(FolderArgs),
    /// A domain for libvirt
    Libvirt(FileArgs),
    /// A configuration for Firecracker
    Firecracker(TapArgs),
    /// A call of cloud-hypervisor
    CloudHypervisor(TapArgs),
    /// The complete corresponding source of the image, as the GPL wants it given
    Source(SourceArgs),
}

/// Whose image, and where its other form goes.
#[derive(Debug, Clone, Args)]
pub struct FileArgs {
    /// A folder with ukl.toml, or an image folder [default: the current folder]
    #[arg(value_name = "DIR")]
    pub target: Option<PathBuf>,
    /// The file [default: NAME.iso; text: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `ukl pkg container-disk`.
#[derive(Debug, Clone, Args)]
pub struct FolderArgs {
    /// A folder with ukl.toml, or an image folder [default: the current folder]
    #[arg(value_name = "DIR")]
    pub target: Option<PathBuf>,
    /// The layout's folder [default: NAME-disk]
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `ukl pkg disk`.
#[derive(Debug, Clone, Args)]
pub struct DiskArgs {
    /// Whose image, and the disk.
    #[command(flatten)]
    pub file: FileArgs,
    /// raw or qcow2 [default: as the file's name ends, otherwise raw]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<DiskFormat>,
}

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DiskFormat {
    /// Byte for byte.
    Raw,
    /// QEMU's own.
    Qcow2,
}

/// What is said of a network card.
#[derive(Debug, Clone, Args)]
pub struct TapArgs {
    /// Whose image, and the file.
    #[command(flatten)]
    pub file: FileArgs,
    /// The tap device that the guest's network card is connected to
    #[arg(long, value_name = "NAME", default_value = "tap0", value_parser = manifest::name)]
    pub tap: String,
}

/// `ukl pkg source`.
#[derive(Debug, Clone, Args)]
pub struct SourceArgs {
    /// A folder with ukl.toml, or C files [default: the current folder]
    #[arg(value_name = "DIR|FILE")]
    pub target: Vec<PathBuf>,
    /// The archive [default: NAME-source.tar.gz]
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `ukl pkg oci`.
#[derive(Debug, Clone, Args)]
pub struct OciArgs {
    /// Folders with ukl.toml, or image folders; several make one index [default: the current folder]
    #[arg(value_name = "DIR")]
    pub targets: Vec<PathBuf>,
    /// The layout's folder [default: oci in the first image's folder]
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Fail unless the licences of all sources are known to allow giving the image to others
    #[arg(long)]
    pub strict: bool,
}

/// The image that was built last of what `target` names.
pub(super) fn image(target: Option<&Path>) -> Result<Image> {
    let target = Target { target: target.into_iter().map(Path::to_owned).collect(), out: None };
    folder::load(&project::existing_image(&target)?)
}

/// Packs.
pub(super) fn pkg(env: &Env, command: PkgCommand) -> Result<Answer> {
    match command {
        PkgCommand::Oci(args) => oci(env, &args),
        PkgCommand::Disk(args) => {
            let by_name = args.file.out.as_ref().is_some_and(|out| out.extension().is_some_and(|e| e == "qcow2"));
            let qcow2 = args.format.map_or(by_name, |format| format == DiskFormat::Qcow2);
            let (form, end) = if qcow2 { (Form::Qcow2, "qcow2") } else { (Form::Raw, "img") };
            disk(env, &args.file, form, end)
        }
        PkgCommand::Iso(args) => disk(env, &args, Form::Iso, "iso"),
        PkgCommand::ContainerDisk(args) => container_disk(env, &args),
        PkgCommand::Libvirt(args) => text(env, &args, |image| Ok(hypervisor::libvirt(image))),
        PkgCommand::Firecracker(args) => text(env, &args.file, |image| hypervisor::firecracker(image, &args.tap)),
        PkgCommand::CloudHypervisor(args) => {
            text(env, &args.file, |image| hypervisor::cloud_hypervisor(image, &args.tap))
        }
        PkgCommand::Source(args) => source(env, &args),
    }
}

fn oci(env: &Env, args: &OciArgs) -> Result<Answer> {
    let images = match args.targets.as_slice() {
        [] => vec![image(None)?],
        targets => targets.iter().map(|target| image(Some(target))).collect::<Result<_>>()?,
    };
    licences(env, &args.targets, args.strict)?;
    let out = args.out.clone().unwrap_or_else(|| place(&images[0].dir, "oci"));
    if env.shell.dry_run {
        return Ok(Answer::new("", json!({ "layout": out, "images": [] })));
    }
    packed(layout::pack(&images, &out)?, &out)
}

fn disk(env: &Env, args: &FileArgs, form: Form, end: &str) -> Result<Answer> {
    let image = image(args.target.as_deref())?;
    let out = args.out.clone().unwrap_or_else(|| format!("{}.{end}", image.info.name).into());
    disk::check_tools(form)?;
    licences(env, args.target.as_slice(), false)?;
    if !env.shell.dry_run {
        disk::write(env, &image, form, &out)?;
    }
    Ok(Answer::new(format!("{}\n", out.display()), json!({ "file": out })))
}

fn container_disk(env: &Env, args: &FolderArgs) -> Result<Answer> {
    let image = image(args.target.as_deref())?;
    let name = &image.info.name;
    let out = args.out.clone().unwrap_or_else(|| format!("{name}-disk").into());
    disk::check_tools(Form::Qcow2)?;
    layout::replaceable(&out)?;
    licences(env, args.target.as_slice(), false)?;
    if env.shell.dry_run {
        return Ok(Answer::new("", json!({ "layout": out, "images": [] })));
    }
    let scratch = cached::scratch(&env.cache, "container-disk", name)?;
    let file = scratch.path().join("disk.qcow2");
    disk::write(env, &image, Form::Qcow2, &file)?;
    packed(layout::container_disk(name, &file, &out)?, &out)
}

/// A form that is a text: printed, or written where the user says.
fn text(env: &Env, args: &FileArgs, make: impl FnOnce(&Image) -> Result<String>) -> Result<Answer> {
    let text = make(&image(args.target.as_deref())?)?;
    let Some(out) = &args.out else { return Ok(Answer::new(text.clone(), json!({ "text": text }))) };
    if !env.shell.dry_run {
        workdir::write_atomic(out, text.as_bytes())?;
    }
    Ok(Answer::new(format!("{}\n", out.display()), json!({ "text": text, "file": out })))
}

fn packed(packed: Vec<layout::Packed>, out: &Path) -> Result<Answer> {
    let line = |one: &layout::Packed| format!("oci:{}:{} {}\n", out.display(), one.name, one.digest);
    Ok(Answer::new(packed.iter().map(line).collect::<String>(), json!({ "layout": out, "images": packed })))
}

fn source(env: &Env, args: &SourceArgs) -> Result<Answer> {
    let target = Target { target: args.target.clone(), out: None };
    let manifest = project::manifest(&target)?;
    let image = folder::load(&project::existing_image(&target)?)?;
    let out = args.out.clone().unwrap_or_else(|| format!("{}-source.tar.gz", image.info.name).into());
    let sources = sources::all(env, &manifest)?;
    if !env.shell.dry_run {
        let pins = pins::read(&manifest.dir)?.unwrap_or_default();
        // Not every build can be a script of plain commands; then the manifest has to do.
        let script = script::script(env, &manifest, &pins, "ukl", false).ok();
        source::write(&image, &manifest, &sources, script, &out)?;
    }
    let names: Vec<&String> = sources.iter().map(|source| &source.name).collect();
    Ok(Answer::new(format!("{}\n", out.display()), json!({ "archive": out, "sources": names })))
}

/// Says, or with `strict` insists on, what stands in the way of giving the images of `targets` to others.
fn licences(env: &Env, targets: &[PathBuf], strict: bool) -> Result<()> {
    let here = [PathBuf::from(".")];
    for target in if targets.is_empty() { &here } else { targets } {
        let target = Target { target: vec![target.clone()], out: None };
        if !project::has_manifest(&target) {
            if strict {
                let failure = fail(Class::Usage, "licences are checked where there is a project with ukl.toml");
                return Err(failure.hint("name the project instead of its image folder").into());
            }
            continue;
        }
        let obstacles = sources::obstacles(&sources::all(env, &project::manifest(&target)?)?);
        if strict {
            sources::strict(&obstacles)?;
        } else if let Some(words) = sources::words(&obstacles) {
            term::say(&format!("{} {words}", term::paint("1;33", "warning:")));
        }
    }
    Ok(())
}

/// Where a packed form lies unless told otherwise.
fn place(image: &ImageDir, name: &str) -> PathBuf {
    image.root().join(name)
}
