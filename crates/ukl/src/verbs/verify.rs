//! `ukl verify`: is an image what it says, from the sources that its project is locked to, and by whom?

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::answer::Answer;
use super::options::Target;
use super::project;
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::image::folder;
use crate::ship::{payload, sign, sources, unpack};

/// `ukl verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// Whose image; also oci:DIR[:NAME].
    #[command(flatten)]
    pub target: Target,
    /// A public key of minisign: the image must be signed with its secret half
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
}

/// Checks the files, the sources where there is a project, and the signature where there is a key.
pub(super) fn verify(env: &Env, args: &VerifyArgs) -> Result<Answer> {
    let reference = args.target.target.first().and_then(|word| unpack::reference(word));
    let dir = match &reference {
        Some(reference) => unpack::unpack(env, reference)?,
        None => project::existing_image(&args.target)?,
    };
    let image = folder::load(&dir)?;
    payload::check_travelled(&image, reference.is_some())?;
    let mut said = vec![format!("files: {} are what `image.json` says\n", image.info.files.len())];
    let mut locked = None;
    if reference.is_none() && project::has_manifest(&args.target) {
        let sources = sources::all(env, &project::manifest(&args.target)?)?;
        let kernel = sources.first().and_then(|kernel| kernel.version.clone()).unwrap_or_default();
        if kernel != image.info.kernel.version {
            let text =
                format!("the image has Linux {}, the project's sources are Linux {kernel}", image.info.kernel.version);
            return Err(fail(Class::Host, text).hint("`ukl build` makes the image again").into());
        }
        said.push(format!("sources: {} are what `ukl.lock` says\n", sources.len()));
        locked = Some(sources.len());
    }
    if let Some(key) = &args.key {
        sign::verify(env, &image, key)?;
        said.push("signature: made with this key\n".into());
    }
    let json =
        json!({ "folder": dir.root(), "files": image.info.files, "sources": locked, "signed": args.key.is_some() });
    Ok(Answer::new(said.concat(), json))
}
