//! `ukl pkg`: an image in the forms that others take.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::answer::Answer;
use super::options::Target;
use super::project;
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::term;
use crate::base::workdir::ImageDir;
use crate::image::folder::{self, Image};
use crate::ship::{layout, source, sources};
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
    /// The complete corresponding source of the image, as the GPL wants it given
    Source(SourceArgs),
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
    let packed = layout::pack(&images, &out)?;
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
