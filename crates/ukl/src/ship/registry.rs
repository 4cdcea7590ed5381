//! Layouts to and from registries, by skopeo: credentials, certificates and protocols are its business.

use std::path::Path;
use std::time::Duration;

use crate::base::env::Env;
use crate::base::error::{fail, Class, Failure, Result};
use crate::base::run::Cmd;
use crate::base::workdir;
use crate::ship::layout;
use crate::ship::unpack::{self, Reference};

/// A slow line may take long, a dead one must not.
const LIMIT: Duration = Duration::from_secs(1800);

/// Copies one image of a layout to the registry's `name`; the digest stays what it is.
pub fn push(env: &Env, from: &Reference, name: &str) -> Result<()> {
    if !env.shell.dry_run {
        unpack::check(from)?;
    }
    let image = from.name.as_ref().map(|name| format!(":{name}")).unwrap_or_default();
    let from = format!("oci:{}{image}", from.dir.display());
    let cmd = skopeo().args(["copy", "--preserve-digests"]);
    let cmd = if is_loopback(name) { cmd.arg("--dest-tls-verify=false") } else { cmd };
    ask(env, cmd.arg(from).arg(format!("docker://{}", valid(name)?)), name)
}

/// Fetches the registry's image `name` as a layout in `out`, whole and checked or not at all.
pub fn pull(env: &Env, name: &str, out: &Path) -> Result<()> {
    valid(name)?;
    layout::replaceable(out)?;
    let copy = |to: &Path, image: &str| {
        let cmd = skopeo().args(["copy", "--preserve-digests"]);
        let cmd = if is_loopback(name) { cmd.arg("--src-tls-verify=false") } else { cmd };
        cmd.arg(format!("docker://{name}")).arg(format!("oci:{}:{image}", to.display()))
    };
    let image = last_part(name);
    if env.shell.dry_run {
        return env.shell.run(&copy(out, image)).map(drop);
    }
    // One pull at a time renames its folder to this place.
    let _lock = env.cache.lock("pull", &workdir::hash([out.as_os_str().as_encoded_bytes()])[..16])?;
    let parent = out.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    workdir::create_dir(parent)?;
    let staging = tempfile::tempdir_in(parent)?;
    ask(env, copy(staging.path(), image), name)?;
    unpack::check(&Reference { dir: staging.path().to_owned(), name: None })?;
    layout::put(staging, out)
}

/// The folder that a pull makes unless told otherwise: the last part of the name, without tag and digest.
pub fn last_part(name: &str) -> &str {
    let name = name.rsplit('/').next().unwrap_or(name);
    name.split(['@', ':']).next().unwrap_or(name)
}

/// The user's own settings are the user's: the environment says where their credentials lie.
fn skopeo() -> Cmd {
    Cmd::new("skopeo").whole_env().limit(LIMIT)
}

/// `REGISTRY/NAME[:TAG|@DIGEST]`.
fn valid(name: &str) -> Result<&str> {
    let registry = name.split('/').next().unwrap_or_default();
    let is_host = registry == "localhost" || registry.contains(['.', ':']);
    let odd = name.contains("://") || name.contains(char::is_whitespace) || last_part(name).is_empty();
    if is_host && name.contains('/') && !odd {
        return Ok(name);
    }
    let failure = fail(Class::Usage, format!("`{name}` is not the name of an image of a registry"));
    Err(failure.hint("REGISTRY/NAME[:TAG], as registry.example/team/hello:1").into())
}

/// A registry on this machine speaks plain HTTP, as for other engines.
fn is_loopback(name: &str) -> bool {
    let host = name.split('/').next().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    let is_v4 = host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback());
    host == "localhost" || is_v4 || host == "[::1]"
}

fn ask(env: &Env, cmd: Cmd, name: &str) -> Result<()> {
    let output = env.shell.run(&cmd)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(explain(&said, name).command(cmd.display()).into())
}

/// What skopeo's words mean.
fn explain(said: &str, name: &str) -> Failure {
    let registry = name.split('/').next().unwrap_or_default();
    let low = said.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| low.contains(word));
    let last = said.trim().lines().last().unwrap_or_default();
    if has(&["no space left on device"]) {
        return fail(Class::Host, format!("`{name}`: No space left on device"));
    }
    if has(&["unauthorized", "authentication required", "denied", "status code 401", "401 (unauthorized)"]) {
        let failure = fail(Class::Host, format!("`{registry}` refuses: it wants other credentials"));
        return failure.hint(format!("skopeo login {registry}"));
    }
    if has(&["connection refused", "no such host", "no route to host", "i/o timeout", "connection reset", "eof"]) {
        return fail(Class::Host, format!("the registry `{registry}` does not answer: {last}"));
    }
    if has(&["manifest unknown", "name unknown", "not found"]) {
        return fail(Class::Usage, format!("`{registry}` has no image `{name}`"));
    }
    if has(&["digest did not match", "does not match", "digest mismatch", "digest invalid"]) {
        return fail(Class::Host, format!("`{name}`: what came has another digest than it should: {last}"));
    }
    fail(Class::Host, format!("skopeo could not copy `{name}`\n    {last}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::render;

    #[test]
    fn names_of_registries_are_whole() {
        for good in ["localhost:5000/hello:1", "registry.example/a/b@sha256:00", "localhost/x"] {
            assert!(valid(good).is_ok(), "{good}");
        }
        for bad in ["hello", "team/hello", "docker://localhost/x", "localhost/", "localhost/a b", ""] {
            assert_eq!(render(&valid(bad).unwrap_err()).1, 2, "{bad}");
        }
        assert_eq!(["a.b/c/d:1", "a.b/c@sha256:0", "a.b:5000/c"].map(last_part), ["d", "c", "c"]);
        assert_eq!(["127.0.0.1:5/x", "localhost/x", "127.example/x"].map(is_loopback), [true, true, false]);
        assert!(!is_loopback("registry.example/localhost"));
    }

    #[test]
    fn each_refusal_has_its_words() {
        let said = |text: &str| render(&explain(text, "r.example/x").into());
        assert!(said("dial tcp: connect: connection refused").0.contains("does not answer"));
        let (text, code) = said("unauthorized: authentication required");
        assert!(text.contains("skopeo login r.example") && code == 120, "{text}");
        assert_eq!(said("manifest unknown").1, 2);
        assert!(said("write /x: no space left on device").0.contains("hint    the disk is full"));
        assert!(said("odd").0.contains("could not copy"));
    }
}
