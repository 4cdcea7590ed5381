//! `[[disks]]` and `[[shares]]`: each value checked, then all of them together.

use std::path::Path;

use super::super::raw::{RawDisk, RawFormat, RawKind, RawManifest, RawShare};
use super::super::storage::{self, Disk, Format, Share, ShareKind, Storage};
use super::super::{fields, GuestFile};
use super::{at, bad, Checked, RESERVED};

/// Disks and shares; none of them may hide `trigger`, `files` or what the image itself needs.
pub(super) fn all(raw: &RawManifest, dir: &Path, trigger: &str, files: &[GuestFile]) -> Checked<Storage> {
    let mut all = Storage::default();
    for (i, raw) in raw.disks.iter().enumerate() {
        let here = ["disks", &i.to_string()];
        all.disks.push(disk(raw, dir, here)?);
        at(&here, all.check())?;
    }
    for (i, raw) in raw.shares.iter().enumerate() {
        let here = ["shares", &i.to_string()];
        all.shares.push(share(raw, dir, here)?);
        at(&here, all.check())?;
    }
    let list = |i: usize| if i < all.disks.len() { ("disks", i) } else { ("shares", i - all.disks.len()) };
    for (i, place) in all.places().enumerate() {
        let needed = RESERVED.into_iter().chain([trigger]).chain(files.iter().map(|file| file.dst.as_str()));
        if let Some(hidden) = needed.into_iter().find(|path| storage::covers(place, path)) {
            let (list, i) = list(i);
            return bad(
                &[list, &i.to_string(), "mount"],
                format!("what is mounted at `{place}` would hide `{hidden}`"),
            );
        }
    }
    Ok(all)
}

fn disk(raw: &RawDisk, dir: &Path, [list, i]: [&str; 2]) -> Checked<Disk> {
    let format = match raw.format {
        None | Some(RawFormat::Ext4) => Format::Ext4,
        Some(RawFormat::Raw) => Format::Raw,
    };
    let place = if format == Format::Raw { storage::device(&raw.mount) } else { storage::mount_point(&raw.mount) };
    Ok(Disk {
        path: path(&raw.path, dir, [list, i])?,
        size_mib: at(&[list, i, "size"], raw.size.as_deref().map(storage::size_mib).transpose())?,
        format,
        mount: at(&[list, i, "mount"], place)?,
        read_only: raw.read_only,
    })
}

fn share(raw: &RawShare, dir: &Path, [list, i]: [&str; 2]) -> Checked<Share> {
    let kind = match raw.kind {
        None | Some(RawKind::NineP) => ShareKind::NineP,
        Some(RawKind::Virtiofs) => ShareKind::Virtiofs,
    };
    let mount = at(&[list, i, "mount"], storage::mount_point(&raw.mount))?;
    let share = Share { path: path(&raw.path, dir, [list, i])?, mount, kind, read_only: raw.read_only };
    at(&[list, i, "read-only"], storage::possible(&share))?;
    Ok(share)
}

fn path(text: &str, dir: &Path, [list, i]: [&str; 2]) -> Checked<std::path::PathBuf> {
    if text.is_empty() || text.contains('\0') {
        return bad(&[list, i, "path"], "`path` is empty");
    }
    Ok(fields::absolute(dir, text))
}
