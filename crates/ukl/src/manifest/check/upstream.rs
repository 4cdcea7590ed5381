//! The key `source`: which trees are fetched, and under which names.

use std::path::Path;

use super::super::fields;
use super::super::raw::{RawUpstream, RawUpstreams};
use super::super::{Origin, Upstream};
use super::{at, bad, Checked};

/// Checks all of `source`; `dir` is the manifest's folder.
pub(super) fn all(raw: Option<&RawUpstreams>, dir: &Path) -> Checked<Vec<Upstream>> {
    let list = match raw {
        None => return Ok(Vec::new()),
        Some(RawUpstreams::One(raw)) => return Ok(vec![one(raw, dir, &["source"])?]),
        Some(RawUpstreams::Many(list)) => list,
    };
    let mut upstream: Vec<Upstream> = Vec::new();
    for (i, raw) in list.iter().enumerate() {
        let i = i.to_string();
        let next = one(raw, dir, &["source", &i])?;
        if upstream.iter().any(|other| other.name == next.name) {
            return bad(&["source", &i], format!("two sources are named `{}`: give one another `name`", next.name));
        }
        upstream.push(next);
    }
    Ok(upstream)
}

fn one(raw: &RawUpstream, dir: &Path, here: &[&str]) -> Checked<Upstream> {
    let key = |name: &'static str| [here, &[name][..]].concat();
    let (origin, name) = match (&raw.debian, &raw.url, &raw.path) {
        (Some(package), None, None) => {
            let package = at(&key("debian"), fields::package(package))?;
            let version = raw.version.as_deref().map_or(Ok(Vec::new()), fields::conditions);
            let version = at(&key("version"), version)?;
            (Origin::Debian { package: package.clone(), version }, package)
        }
        (None, Some(url), None) => {
            let (url, sha256) = at(&key("url"), fields::tarball(url, raw.sha256.as_deref()))?;
            let file = url.rsplit('/').next().unwrap_or_default();
            let stem = file.split(".tar").next().unwrap_or_default().to_owned();
            (Origin::Url { url, sha256 }, stem)
        }
        (None, None, Some(text)) => {
            let path = fields::absolute(dir, text);
            if !path.is_dir() {
                return bad(&key("path"), format!("no folder `{text}`"));
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (Origin::Local(path), name)
        }
        _ => return bad(here, "a source is exactly one of `debian`, `url` and `path`"),
    };
    if raw.version.is_some() && raw.debian.is_none() {
        return bad(&key("version"), "`version` goes with `debian` only");
    }
    if raw.sha256.is_some() && raw.url.is_none() {
        return bad(&key("sha256"), "`sha256` goes with `url` only");
    }
    let name = at(here, fields::package(raw.name.as_ref().unwrap_or(&name)))?;
    Ok(Upstream { name, origin })
}
