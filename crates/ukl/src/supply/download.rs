//! One file from the network, with whatever this host has for that.

use std::path::Path;

use crate::base::error::{fail, Class, Result};
use crate::base::run::Cmd;
use crate::base::workdir;

/// The call that downloads `url` to `file`; `file://` is a copy. Error (class `Host`): there is no such program.
pub fn command(url: &str, file: &Path) -> Result<Cmd> {
    let curl = ["--fail", "--location", "--silent", "--show-error", "--output"];
    // The first that is there; both take the rest from their environment (proxies, certificates).
    let there = |name: &str| std::env::var_os("PATH").is_some_and(|path| has(&path, name));
    let cmd = match url.strip_prefix("file://") {
        Some(path) => Cmd::new("cp").arg("--").arg(path).arg(file),
        None if there("curl") => Cmd::new("curl").args(curl).arg(file).arg(url),
        None if there("wget") => Cmd::new("wget").args(["--no-verbose", "-O"]).arg(file).arg(url),
        None => {
            let failure = fail(Class::Host, "neither curl nor wget is installed");
            return Err(failure.hint("sudo apt-get install curl").into());
        }
    };
    Ok(cmd)
}

fn has(path: &std::ffi::OsStr, name: &str) -> bool {
    std::env::split_paths(path).any(|dir| dir.join(name).is_file())
}

/// Compares the SHA-256 of `file`, which came from `url`. Error (class `Host`): it is another.
pub fn verify(url: &str, file: &Path, sha256: &str) -> Result<()> {
    let got = workdir::hash_file(file)?;
    if got == sha256 {
        return Ok(());
    }
    let text = format!("checksum of `{url}` is wrong: expected {sha256}, got {got}");
    Err(fail(Class::Host, text).hint("nothing was kept; compare with the checksum that the publisher names").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::run::Shell;

    #[test]
    fn a_file_with_another_checksum_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::write(&from, "abc").unwrap();
        let url = format!("file://{}", from.display());
        Shell::plain().check(&command(&url, &to).unwrap(), Class::Host).unwrap();
        verify(&url, &to, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad").unwrap();
        assert!(verify(&url, &to, "00").unwrap_err().to_string().starts_with("checksum of `file://"));
    }
}
