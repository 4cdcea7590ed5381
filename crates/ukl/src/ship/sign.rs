//! Signatures by minisign over `image.json`, which names every file of the image with its SHA-256.

use std::path::{Path, PathBuf};

use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::run::Cmd;
use crate::image::folder::Image;
use crate::ship::payload::{self, signature};

/// Signs the image with the secret key in `key`; minisign asks for its password where it has one.
pub fn sign(env: &Env, image: &Image, key: &Path) -> Result<PathBuf> {
    payload::check(image)?;
    let to = signature(image);
    let cmd = Cmd::new("minisign").arg("-S").arg("-s").arg(key).arg("-m").arg(image.dir.manifest()).arg("-x").arg(&to);
    // Nobody reads a clock into a signature: the same image and key make the same one.
    let cmd = cmd.args(["-t", &format!("image {}", image.info.name), "-l"]);
    match env.shell.attend(&cmd, false, None)? {
        Some((Some(status), _)) if !status.success() => {
            let failure = fail(Class::Host, format!("minisign made no signature ({status})"));
            Err(failure.command(cmd.display()).hint("`minisign -G` makes a pair of keys").into())
        }
        _ => Ok(to),
    }
}

/// Fails (class `Host`) unless the image's signature was made with the secret half of the public key in `key`.
pub fn verify(env: &Env, image: &Image, key: &Path) -> Result<()> {
    let from = signature(image);
    if !from.is_file() {
        let failure = fail(Class::Host, format!("`{}` is not signed", image.dir.root().display()));
        return Err(failure.hint("`ukl sign --key FILE` signs it").into());
    }
    let cmd =
        Cmd::new("minisign").args(["-V", "-q", "-p"]).arg(key).arg("-m").arg(image.dir.manifest()).arg("-x").arg(from);
    if !env.shell.run(&cmd)?.status.success() {
        let text = format!("the signature of `{}` was not made for it with this key", image.dir.root().display());
        return Err(fail(Class::Host, text).command(cmd.display()).into());
    }
    Ok(())
}
