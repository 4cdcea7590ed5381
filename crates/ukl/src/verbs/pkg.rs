//! `ukl pkg`: an image in the forms that others take.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::answer::Answer;
use super::options::Target;
use super::project;
use crate::base::env::Env;
use crate::base::error::Result;
use crate::base::workdir::ImageDir;
use crate::image::folder::{self, Image};
use crate::ship::layout;

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
    }
}

fn oci(env: &Env, args: &OciArgs) -> Result<Answer> {
    let images = match args.targets.as_slice() {
        [] => vec![image(None)?],
        targets => targets.iter().map(|target| image(Some(target))).collect::<Result<_>>()?,
    };
    let out = args.out.clone().unwrap_or_else(|| place(&images[0].dir, "oci"));
    if env.shell.dry_run {
        return Ok(Answer::new("", json!({ "layout": out, "images": [] })));
    }
    let packed = layout::pack(&images, &out)?;
    let line = |one: &layout::Packed| format!("oci:{}:{} {}\n", out.display(), one.name, one.digest);
    Ok(Answer::new(packed.iter().map(line).collect::<String>(), json!({ "layout": out, "images": packed })))
}

/// Where a packed form lies unless told otherwise.
fn place(image: &ImageDir, name: &str) -> PathBuf {
    image.root().join(name)
}
