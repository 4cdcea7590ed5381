//! Disks and shares of a boot: what must hold before it, what QEMU is told, what is made and started for them.

mod disk;
mod virtiofs;

use std::fs::File;
use std::path::{Path, PathBuf};

use formats::kconfig;

use crate::base::error::{fail, Class, Failure, Result};
use crate::base::quote;
use crate::base::run::Shell;
use crate::base::workdir;
use crate::image::folder::Image;
use crate::image::initrd::{disk_name, share_name};
use crate::manifest::storage::{Format, ShareKind, Storage};

use super::kind::{MachineKind, MICROVM_SLOTS};
use super::Machine;
use virtiofs::Daemon;

/// What runs and is held while the guest has its disks and shares; the end of it is theirs.
pub struct Prepared {
    /// Image files, locked.
    _locks: Vec<File>,
    /// What serves the shares that QEMU does not serve.
    daemons: Vec<Daemon>,
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
            true => fail(Class::Usage, format!("`{path}` is not a folder: only folders are shared")),
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
    let kinds = |kind: ShareKind| storage.shares.iter().any(|share| share.kind == kind);
    let wanted = [
        (!storage.disks.is_empty(), "CONFIG_VIRTIO_BLK"),
        (storage.disks.iter().any(|disk| disk.format == Format::Ext4), "CONFIG_EXT4_FS"),
        (kinds(ShareKind::NineP), "CONFIG_NET_9P_VIRTIO"),
        (kinds(ShareKind::NineP), "CONFIG_9P_FS"),
        (kinds(ShareKind::Virtiofs), "CONFIG_VIRTIO_FS"),
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
    let virtiofs = storage.shares.iter().any(|share| share.kind == ShareKind::Virtiofs);
    !virtiofs && storage.len() <= MICROVM_SLOTS - 2
}

/// Whether somebody beside QEMU serves a share, and reads and writes the guest's memory for that.
pub(super) fn has_daemon(storage: &Storage) -> bool {
    storage.shares.iter().any(|share| share.kind == ShareKind::Virtiofs)
}

/// Where the daemon of a share listens, in the folder for sockets.
pub(super) fn socket(folder: &Path, i: usize) -> PathBuf {
    folder.join(share_name(i))
}

/// Makes, grows and locks images, and starts daemons.
pub fn prepare(shell: &Shell, machine: &Machine) -> Result<Prepared> {
    let mut locks = Vec::new();
    for disk in &machine.storage.disks {
        locks.extend(disk::prepare(shell, disk)?);
    }
    let mut daemons = Vec::new();
    for (i, share) in machine.storage.shares.iter().enumerate() {
        if let (ShareKind::Virtiofs, Some(socket)) = (share.kind, machine.share_socket(i)) {
            daemons.push(Daemon::start(shell, socket, &machine.image, share)?);
        }
    }
    Ok(Prepared { _locks: locks, daemons })
}

impl Prepared {
    /// Why a guest did not come up, when a daemon of its is to blame.
    pub fn failure(&mut self) -> Option<Failure> {
        self.daemons.iter_mut().find_map(Daemon::failure)
    }

    /// What runs beside QEMU, as a person would type it.
    pub fn commands(&self) -> impl Iterator<Item = &str> {
        self.daemons.iter().map(Daemon::command)
    }
}

/// QEMU's options for disks and shares; the sockets of daemons are in `sockets`.
pub(super) fn qemu_words(storage: &Storage, sockets: Option<&Path>, kind: MachineKind) -> Vec<String> {
    let bus = if kind == MachineKind::Microvm { "device" } else { "pci" };
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
    for (i, share) in storage.shares.iter().enumerate() {
        let name = share_name(i);
        match (share.kind, sockets) {
            (ShareKind::Virtiofs, Some(folder)) => {
                pair("-chardev", format!("socket,id={name},path={}", quote::qemu(&socket(folder, i))));
                pair("-device", format!("vhost-user-fs-{bus},chardev={name},tag={name}"));
            }
            _ => {
                let read_only = if share.read_only { ",readonly=on" } else { "" };
                let path = quote::qemu(&share.path);
                // New files belong to whoever runs QEMU when that one may not give them away.
                let model = "security_model=none,multidevs=remap";
                pair("-fsdev", format!("local,id={name},path={path},{model}{read_only}"));
                pair("-device", format!("virtio-9p-{bus},fsdev={name},mount_tag={name}"));
            }
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::manifest::storage::{one_of_each, share_option};

    #[test]
    fn qemus_options_on_both_machines() {
        let sockets = Some(Path::new("/t"));
        let line = qemu_words(&one_of_each(), sockets, MachineKind::Microvm).join(" ");
        assert_eq!(
            line,
            "-blockdev driver=raw,node-name=disk0,read-only=off,discard=unmap,file.driver=file,\
             file.filename=/i/a,,b.img -device virtio-blk-device,drive=disk0,serial=disk0 \
             -blockdev driver=raw,node-name=disk1,read-only=on,discard=unmap,file.driver=file,file.filename=/i/r \
             -device virtio-blk-device,drive=disk1,serial=disk1 \
             -fsdev local,id=share0,path=/www,security_model=none,multidevs=remap,readonly=on \
             -device virtio-9p-device,fsdev=share0,mount_tag=share0 \
             -chardev socket,id=share1,path=/t/share1 -device vhost-user-fs-device,chardev=share1,tag=share1"
        );
        let line = qemu_words(&one_of_each(), sockets, MachineKind::Q35).join(" ");
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
        assert!(text.contains("is not a folder") && code == 2, "{text}");
        let missing = dir.path().join("missing");
        let (text, _) = crate::base::error::render(&check(&share(&missing)).unwrap_err());
        assert!(text.contains(&format!("hint    mkdir -p {}", missing.display())), "{text}");
    }
}
