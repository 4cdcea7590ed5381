//! Disks and shares of a boot: what must hold before it, and what QEMU and init are told.

mod disk;
mod virtiofs;

use std::fs::File;
use std::path::PathBuf;

use formats::kconfig;

use crate::base::error::{fail, Class, Failure, Result};
use crate::base::quote;
use crate::base::run::Shell;
use crate::base::workdir::{self, ImageDir};
use crate::image::folder::Image;
use crate::image::initrd::Mount;
use crate::manifest::storage::{Format, Kind, Share, Storage};

use super::{kind, qemu};
use virtiofs::Daemon;

/// What runs and is held while the guest has its disks and shares; the end of it is theirs.
pub(super) struct Prepared {
    /// Image files, locked.
    _locks: Vec<File>,
    /// For each share, what serves it.
    daemons: Vec<Option<Daemon>>,
}

/// Options of the 9p client: the protocol for Linux, and no cache, so that guest and host see what the other one wrote
/// at once, and a guest that is killed has lost nothing.
const NINEP_OPTIONS: &str = "trans=virtio,version=9p2000.L,cache=none";

/// What init mounts, parents before what lies in them.
pub(super) fn mounts(storage: &Storage) -> Vec<Mount> {
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
        Kind::NineP => mount("9p", share_name(i), &share.mount, NINEP_OPTIONS, share.read_only),
        Kind::Virtiofs => mount("virtiofs", share_name(i), &share.mount, "", share.read_only),
    });
    let mut mounts: Vec<Mount> = disks.chain(shares).collect();
    mounts.sort_by(|a, b| a.place.cmp(&b.place));
    mounts
}

/// The serial number by which init knows a disk.
fn disk_name(i: usize) -> String {
    format!("disk{i}")
}

/// The tag by which init knows a share.
fn share_name(i: usize) -> String {
    format!("share{i}")
}

/// Fails unless disks and shares agree with each other and with this machine: what is found out before a build.
pub fn check(storage: &Storage) -> Result<()> {
    storage.check().map_err(|text| fail(Class::Usage, text))?;
    for share in &storage.shares {
        let path = share.path.display();
        if share.path.is_dir() {
            continue;
        }
        let failure = match share.path.exists() {
            true => fail(Class::Usage, format!("`{path}` is no folder: only folders are shared")),
            false => {
                fail(Class::Usage, format!("there is no folder `{path}` to share")).hint(format!("mkdir -p {path}"))
            }
        };
        return Err(failure.into());
    }
    storage.disks.iter().try_for_each(disk::check)
}

/// Fails when the kernel of `image` cannot mount what `storage` names.
pub(super) fn check_kernel(image: &Image, storage: &Storage) -> Result<()> {
    let kinds = |kind: Kind| storage.shares.iter().any(|share| share.kind == kind);
    let wanted = [
        (!storage.disks.is_empty(), "CONFIG_VIRTIO_BLK"),
        (storage.disks.iter().any(|disk| disk.format == Format::Ext4), "CONFIG_EXT4_FS"),
        (kinds(Kind::NineP), "CONFIG_NET_9P_VIRTIO"),
        (kinds(Kind::NineP), "CONFIG_9P_FS"),
        (kinds(Kind::Virtiofs), "CONFIG_VIRTIO_FS"),
    ];
    let path = image.dir.kernel_config();
    let config = kconfig::parse(&String::from_utf8_lossy(&workdir::read(&path)?))?;
    let Some((_, option)) = wanted.iter().find(|(used, option)| *used && !config.is_on(option)) else {
        return Ok(());
    };
    let failure = fail(Class::Usage, format!("the image's kernel was built without disks and shares: no `{option}`"));
    Err(failure
        .hint("`ukl up` with the same options builds one that has them; so does `storage = true` in `[kernel]`")
        .into())
}

/// Whether a microvm can have all of them: two slots are for the network card and for standard input, and
/// virtio-fs by memory-mapped slots never answers.
pub(super) fn fits_microvm(storage: &Storage) -> bool {
    let virtiofs = storage.shares.iter().any(|share| share.kind == Kind::Virtiofs);
    !virtiofs && storage.len() <= qemu::MICROVM_SLOTS - 2
}

/// Makes, grows and locks images, and starts daemons.
pub(super) fn prepare(shell: &Shell, image: &ImageDir, storage: &Storage) -> Result<Prepared> {
    check(storage)?;
    let mut locks = Vec::new();
    for disk in &storage.disks {
        locks.extend(disk::prepare(shell, disk)?);
    }
    let daemon = |share: &Share| match share.kind {
        Kind::NineP => Ok(None),
        Kind::Virtiofs => Daemon::start(shell, image, share).map(Some),
    };
    Ok(Prepared { _locks: locks, daemons: storage.shares.iter().map(daemon).collect::<Result<_>>()? })
}

impl Prepared {
    /// Why a guest did not come up, when a daemon of its is to blame.
    pub(super) fn failure(&mut self) -> Option<Failure> {
        self.daemons.iter_mut().flatten().find_map(Daemon::failure)
    }

    /// What QEMU is told on this kind of machine.
    pub(super) fn qemu_words(&self, storage: &Storage, kind: kind::Kind) -> Vec<String> {
        let sockets: Vec<Option<PathBuf>> = self.daemons.iter().map(|d| d.as_ref().map(Daemon::socket)).collect();
        qemu_words(storage, &sockets, kind)
    }

    /// What runs beside QEMU, as a person would type it.
    pub(super) fn commands(&self) -> impl Iterator<Item = &str> {
        self.daemons.iter().flatten().map(Daemon::command)
    }
}

/// Options for disks and shares; `sockets` has those of the daemons, in the order of the shares.
fn qemu_words(storage: &Storage, sockets: &[Option<PathBuf>], kind: kind::Kind) -> Vec<String> {
    let bus = if kind == kind::Kind::Microvm { "device" } else { "pci" };
    let mut words = Vec::new();
    let mut pair = |option: &str, value: String| words.extend([option.to_owned(), value]);
    for (i, disk) in storage.disks.iter().enumerate() {
        let (name, path) = (disk_name(i), quote::qemu(&disk.path));
        let read_only = if disk.read_only { "on" } else { "off" };
        // What the guest discards becomes a hole in the file again.
        let node = format!("driver=raw,node-name={name},read-only={read_only},discard=unmap");
        pair("-blockdev", format!("{node},file.driver=file,file.filename={path}"));
        pair("-device", format!("virtio-blk-{bus},drive={name},serial={name}"));
    }
    for (i, (share, socket)) in storage.shares.iter().zip(sockets).enumerate() {
        let name = share_name(i);
        match socket {
            None => {
                let read_only = if share.read_only { ",readonly=on" } else { "" };
                let path = quote::qemu(&share.path);
                // New files belong to whoever runs QEMU when that one may not give them away.
                let model = "security_model=none,multidevs=remap";
                pair("-fsdev", format!("local,id={name},path={path},{model}{read_only}"));
                pair("-device", format!("virtio-9p-{bus},fsdev={name},mount_tag={name}"));
            }
            Some(socket) => {
                pair("-chardev", format!("socket,id={name},path={}", quote::qemu(socket)));
                pair("-device", format!("vhost-user-fs-{bus},chardev={name},tag={name}"));
            }
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::manifest::storage::{disk_option, share_option};

    fn storage() -> Storage {
        Storage {
            disks: vec![disk_option("/i/a,b.img:64M:/data/deep").unwrap(), disk_option("/i/r:/dev/x:raw,ro").unwrap()],
            shares: vec![share_option("/www:/data:ro").unwrap(), share_option("/s:/s:virtiofs").unwrap()],
        }
    }

    #[test]
    fn init_mounts_parents_first() {
        let mounts = mounts(&storage());
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
    fn qemus_options_on_both_machines() {
        let sockets = [None, Some("/t/socket".into())];
        let line = qemu_words(&storage(), &sockets, kind::Kind::Microvm).join(" ");
        assert_eq!(
            line,
            "-blockdev driver=raw,node-name=disk0,read-only=off,discard=unmap,file.driver=file,\
             file.filename=/i/a,,b.img -device virtio-blk-device,drive=disk0,serial=disk0 \
             -blockdev driver=raw,node-name=disk1,read-only=on,discard=unmap,file.driver=file,file.filename=/i/r \
             -device virtio-blk-device,drive=disk1,serial=disk1 \
             -fsdev local,id=share0,path=/www,security_model=none,multidevs=remap,readonly=on \
             -device virtio-9p-device,fsdev=share0,mount_tag=share0 \
             -chardev socket,id=share1,path=/t/socket -device vhost-user-fs-device,chardev=share1,tag=share1"
        );
        let line = qemu_words(&storage(), &sockets, kind::Kind::Q35).join(" ");
        for device in ["virtio-blk-pci,", "virtio-9p-pci,", "vhost-user-fs-pci,"] {
            assert!(line.contains(device), "`{device}` is not in: {line}");
        }
    }

    #[test]
    fn a_share_must_be_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let share = |path: &Path| Storage {
            disks: Vec::new(),
            shares: vec![share_option(&format!("{}:/mnt", path.display())).unwrap()],
        };
        assert!(check(&share(dir.path())).is_ok());
        let (text, code) = crate::base::error::render(&check(&share(&file)).unwrap_err());
        assert!(text.contains("is no folder") && code == 2, "{text}");
        let missing = dir.path().join("missing");
        let (text, _) = crate::base::error::render(&check(&share(&missing)).unwrap_err());
        assert!(text.contains(&format!("hint    mkdir -p {}", missing.display())), "{text}");
    }
}
