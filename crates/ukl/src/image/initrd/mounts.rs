//! What init mounts: disks by serial numbers and shares by tags, so that no order of devices matters.

use crate::manifest::storage::{Format, ShareKind, Storage};

/// A disk or share that init mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The file system, or `raw` for a disk without one.
    pub kind: String,
    /// Serial number of the disk, or tag of the share.
    pub source: String,
    /// The mount point, or the path of a raw disk's device.
    pub place: String,
    /// Options of the file system.
    pub options: String,
    /// The guest cannot write to it.
    pub read_only: bool,
}

/// Options of the 9p client: the protocol for Linux, and no cache, so that guest and host see what the other one wrote
/// at once, and a guest that is killed has lost nothing.
const NINEP_OPTIONS: &str = "trans=virtio,version=9p2000.L,cache=none";

/// What init mounts, parents before what lies in them.
pub(super) fn of(storage: &Storage) -> Vec<Mount> {
    let mount = |kind: &str, source: String, place: &str, options: &str, read_only| Mount {
        kind: kind.into(),
        source,
        place: place.into(),
        options: options.into(),
        read_only,
    };
    let disks = storage.disks.iter().enumerate().map(|(i, disk)| {
        let kind = if disk.format == Format::Raw { "raw" } else { "ext4" };
        mount(kind, disk_name(i), &disk.mount, "", disk.read_only)
    });
    let shares = storage.shares.iter().enumerate().map(|(i, share)| match share.kind {
        ShareKind::NineP => mount("9p", share_name(i), &share.mount, NINEP_OPTIONS, share.read_only),
        ShareKind::Virtiofs => mount("virtiofs", share_name(i), &share.mount, "", share.read_only),
    });
    let mut mounts: Vec<Mount> = disks.chain(shares).collect();
    mounts.sort_by(|a, b| a.place.cmp(&b.place));
    mounts
}

/// The serial number by which init knows a disk.
pub fn disk_name(i: usize) -> String {
    format!("disk{i}")
}

/// The tag by which init knows a share.
pub fn share_name(i: usize) -> String {
    format!("share{i}")
}

/// The file that init reads: see `initrd/storage.c`.
pub(super) fn file(mounts: &[Mount]) -> Vec<u8> {
    mount_strings(mounts).flat_map(|string| [string.as_bytes(), b"\0"].concat()).collect()
}

/// What that file says: strings that each end with a NUL.
pub fn mount_strings(mounts: &[Mount]) -> impl Iterator<Item = &str> {
    let mode = |mount: &Mount| if mount.read_only { "ro" } else { "rw" };
    mounts.iter().flat_map(move |m| [&m.kind, &m.source, &m.place, &m.options, mode(m)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::storage::one_of_each;

    #[test]
    fn init_mounts_parents_first() {
        let mounts = of(&one_of_each());
        let facts: Vec<_> = mounts.iter().map(|m| (m.kind.as_str(), m.source.as_str(), m.place.as_str())).collect();
        let want = [
            ("9p", "share0", "/data"),
            ("ext4", "disk0", "/data/deep"),
            ("raw", "disk1", "/dev/x"),
            ("virtiofs", "share1", "/s"),
        ];
        assert_eq!(facts, want);
        assert_eq!(mounts.iter().map(|m| m.read_only).collect::<Vec<_>>(), [true, false, true, false]);
    }

    #[test]
    fn a_mount_is_five_strings() {
        let mount = Mount {
            kind: "ext4".into(),
            source: "disk0".into(),
            place: "/data".into(),
            options: String::new(),
            read_only: true,
        };
        let want = b"ext4\0disk0\0/data\0\0ro\0".repeat(2);
        assert_eq!(file(&[mount.clone(), mount]), want);
    }
}
