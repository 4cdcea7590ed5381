//! Disks and shares of the host: what a manifest and `--disk`, `--share` say of them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::fields;
use crate::base::units;

/// What a disk image holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// The file system ext4, mounted before the program starts.
    Ext4,
    /// Whatever the program keeps there: it finds a block device.
    Raw,
}

/// A disk of the guest: an image file on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// The image (absolute); made when it does not exist.
    pub path: PathBuf,
    /// Its size in MiB; `None` takes that of the file.
    pub size_mib: Option<u64>,
    /// What it holds.
    pub format: Format,
    /// Where the guest finds it: a mount point, or the path of a raw disk's device.
    pub mount: String,
    /// The guest cannot write to it.
    pub read_only: bool,
}

/// How a folder of this machine gets into the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShareKind {
    /// QEMU itself serves it.
    #[serde(rename = "9p")]
    NineP,
    /// The daemon virtiofsd serves it, through shared memory.
    #[serde(rename = "virtiofs")]
    Virtiofs,
}

/// A folder of this machine in the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The folder (absolute).
    pub path: PathBuf,
    /// Its mount point in the guest.
    pub mount: String,
    /// How it gets there.
    pub kind: ShareKind,
    /// The guest cannot write to it.
    pub read_only: bool,
}

/// Everything of this machine that a guest keeps data in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storage {
    /// Disk images.
    #[serde(default)]
    pub disks: Vec<Disk>,
    /// Folders.
    #[serde(default)]
    pub shares: Vec<Share>,
}

/// The most disks and shares together: a PC has slots for more, and nobody for so many.
const MAX: usize = 16;
/// The smallest image that ext4 gives a journal, in MiB.
const SIZE_MIN_MIB: u64 = 8;
/// The biggest image: 16 TiB.
const SIZE_MAX_MIB: u64 = 16 << 20;
/// The longest mount point, so that init can read all of them.
const PLACE_MAX: usize = 1024;
/// Nothing can be mounted at or above these: the image needs what lies there.
const SYSTEM: [&str; 6] = ["/dev", "/etc", "/etc/ukl", "/init", "/proc", "/sys"];

impl Storage {
    /// Neither disks nor shares.
    pub fn is_empty(&self) -> bool {
        self.disks.is_empty() && self.shares.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.disks.len() + self.shares.len()
    }

    /// Mount points, and device paths of raw disks.
    pub fn places(&self) -> impl Iterator<Item = &str> {
        self.disks.iter().map(|disk| disk.mount.as_str()).chain(self.shares.iter().map(|share| share.mount.as_str()))
    }

    /// With `other` beside it; what is at the same place in the guest is replaced.
    pub fn with(&self, other: &Storage) -> Storage {
        let mut all = self.clone();
        all.disks.retain(|disk| !other.places().any(|place| place == disk.mount));
        all.shares.retain(|share| !other.places().any(|place| place == share.mount));
        all.disks.extend(other.disks.iter().cloned());
        all.shares.extend(other.shares.iter().cloned());
        all
    }

    /// Fails when two want the same place or the same image, or when there are too many.
    pub fn check(&self) -> Result<(), String> {
        let places: Vec<&str> = self.places().collect();
        if let Some(twice) = repeated(&places) {
            return Err(format!("two disks or shares are at `{twice}` in the guest"));
        }
        let images: Vec<&Path> = self.disks.iter().map(|disk| disk.path.as_path()).collect();
        if let Some(twice) = repeated(&images) {
            return Err(format!("the disk image `{}` is used twice", twice.display()));
        }
        if self.len() > MAX {
            return Err(format!("{} disks and shares: a guest has {MAX} at most", self.len()));
        }
        Ok(())
    }
}

fn repeated<T: PartialEq + Copy>(list: &[T]) -> Option<T> {
    (1..list.len()).find(|&i| list[..i].contains(&list[i])).map(|i| list[i])
}

/// A disk's size ([`units::size_mib`]) → MiB. The error is a lower-case fragment.
pub(super) fn size_mib(text: &str) -> Result<u64, String> {
    let mib = units::size_mib(text)?;
    if !(SIZE_MIN_MIB..=SIZE_MAX_MIB).contains(&mib) {
        return Err(format!("a disk of `{text}`: from {SIZE_MIN_MIB}M to {}T are possible", SIZE_MAX_MIB >> 20));
    }
    Ok(mib)
}

/// A mount point that hides nothing which the image needs.
pub(super) fn mount_point(text: &str) -> Result<String, String> {
    let path = fields::guest_path(text)?;
    if path.len() > PLACE_MAX {
        return Err(format!("a mount point of {} bytes: {PLACE_MAX} at most", path.len()));
    }
    let inside = |dir: &str| path.starts_with(&format!("{dir}/"));
    if SYSTEM.contains(&path.as_str()) || ["/dev", "/etc/ukl", "/proc", "/sys"].iter().any(|dir| inside(dir)) {
        return Err(format!("nothing can be mounted at `{path}`: the image needs what lies there"));
    }
    Ok(path)
}

/// The path of a raw disk's device.
pub(super) fn device(text: &str) -> Result<String, String> {
    let name = text.strip_prefix("/dev/").filter(|name| !name.is_empty() && !name.contains('/'));
    let name = name.ok_or_else(|| format!("a raw disk is a device: `{text}` is not a name such as `/dev/data`"))?;
    fields::guest_path(text).map_err(|_| format!("`{name}` is not the name of a device"))
}

/// True when something mounted at `place` covers `path`.
pub(super) fn covers(place: &str, path: &str) -> bool {
    path == place || path.strip_prefix(place).is_some_and(|rest| rest.starts_with('/'))
}

/// `FILE[:SIZE]:PLACE[:ro,raw]` → a disk.
pub fn disk_option(text: &str) -> Result<Disk, String> {
    let bad = || format!("`{text}` is not a disk: write `FILE:SIZE:/mount/point`, such as `data.img:64M:/data`");
    let mut words: Vec<&str> = text.split(':').collect();
    let options = options(&mut words, &["ro", "rw", "raw"])?;
    let (file, size, place) = match words.as_slice() {
        [file, place] => (*file, None, *place),
        [file, size, place] => (*file, Some(size_mib(size)?), *place),
        _ => return Err(bad()),
    };
    if file.is_empty() {
        return Err(bad());
    }
    let format = if options.contains(&"raw") { Format::Raw } else { Format::Ext4 };
    let mount = if format == Format::Raw { device(place)? } else { mount_point(place)? };
    Ok(Disk { path: here(file)?, size_mib: size, format, mount, read_only: options.contains(&"ro") })
}

/// `DIR:MOUNT[:ro,virtiofs]` → a share.
pub fn share_option(text: &str) -> Result<Share, String> {
    let bad = || format!("`{text}` is not a share: write `DIR:/mount/point`, such as `./www:/www` or `./www:/www:ro`");
    let mut words: Vec<&str> = text.split(':').collect();
    let options = options(&mut words, &["ro", "rw", "9p", "virtiofs"])?;
    let (dir, mount) = match words.as_slice() {
        [dir, mount] if !dir.is_empty() => (*dir, mount_point(mount)?),
        _ => return Err(bad()),
    };
    let kind = if options.contains(&"virtiofs") { ShareKind::Virtiofs } else { ShareKind::NineP };
    let share = Share { path: here(dir)?, mount, kind, read_only: options.contains(&"ro") };
    possible(&share).map(|()| share)
}

/// Fails for what the kind of share cannot do.
pub(super) fn possible(share: &Share) -> Result<(), String> {
    if share.kind == ShareKind::Virtiofs && share.read_only {
        return Err("virtiofsd cannot keep a guest from writing: a share that is read-only is of the kind `9p`".into());
    }
    Ok(())
}

/// The last word's options, when it is not a path; the word is taken away then.
fn options<'a>(words: &mut Vec<&'a str>, known: &[&str]) -> Result<Vec<&'a str>, String> {
    let last = words.last().copied().unwrap_or_default();
    if words.len() < 3 || last.starts_with('/') {
        return Ok(Vec::new());
    }
    let options: Vec<&str> = last.split(',').collect();
    if let Some(other) = options.iter().find(|option| !known.contains(option)) {
        return Err(format!("`{other}` is none of {}, and no absolute path in the guest", known.join(", ")));
    }
    words.pop();
    Ok(options)
}

/// A path relative to the current folder → absolute.
fn here(text: &str) -> Result<PathBuf, String> {
    let dir = std::env::current_dir().map_err(|error| format!("the current folder is gone: {error}"))?;
    Ok(fields::absolute(&dir, text))
}

/// Disks and shares of each sort, for tests of what is made of them.
#[cfg(test)]
pub(crate) fn one_of_each() -> Storage {
    let disk = |text| disk_option(text).unwrap_or_else(|why| panic!("{why}"));
    let share = |text| share_option(text).unwrap_or_else(|why| panic!("{why}"));
    Storage {
        disks: vec![disk("/i/a,b.img:64M:/data/deep"), disk("/i/r:/dev/x:raw,ro")],
        shares: vec![share("/www:/data:ro"), share("/s:/s:virtiofs")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_disks() {
        assert_eq!((size_mib("8M"), size_mib("2G"), size_mib("16T")), (Ok(8), Ok(2048), Ok(16 << 20)));
        for bad in ["", "M", "-1M", "+64M", "1.5G", "7M", "17T", "99999999999999999999T"] {
            assert!(size_mib(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn disks_of_the_command_line() {
        let disk = disk_option("/a/b.img:64M:/data").unwrap();
        let want = Disk {
            path: "/a/b.img".into(),
            size_mib: Some(64),
            format: Format::Ext4,
            mount: "/data".into(),
            read_only: false,
        };
        assert_eq!(disk, want);
        let disk = disk_option("b.img:/dev/data:raw,ro").unwrap();
        assert_eq!((disk.format, disk.size_mib, disk.read_only), (Format::Raw, None, true));
        assert!(disk.path.is_absolute());
        for bad in ["", "a.img", ":/data", "a.img:64M", "a:64M:data", "a:/data:rx", "a:1M:/data", "a:/x:raw", "a:/b:/c"]
        {
            assert!(disk_option(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shares_of_the_command_line() {
        let share = share_option("/srv/www:/www:ro").unwrap();
        assert_eq!((share.path, share.mount.as_str(), share.read_only), ("/srv/www".into(), "/www", true));
        assert_eq!((share.kind, share_option("/a:/b:virtiofs").unwrap().kind), (ShareKind::NineP, ShareKind::Virtiofs));
        for bad in ["", "/a", "/a:b", "/a:", ":/b", "/a:/b:wo", "/a:/dev/x", "/a:/etc", "/a:/proc", "/a:/b:ro,virtiofs"]
        {
            assert!(share_option(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_command_line_replaces_what_is_at_the_same_place() {
        let disk = |text| disk_option(text).unwrap();
        let share = |text| share_option(text).unwrap();
        let manifest = Storage { disks: vec![disk("/a:/data")], shares: vec![share("/b:/www"), share("/c:/logs")] };
        let line = Storage { disks: vec![disk("/d:64M:/logs")], shares: vec![share("/e:/data")] };
        let all = manifest.with(&line);
        assert_eq!(all.places().collect::<Vec<_>>(), ["/logs", "/www", "/data"]);
        assert_eq!(all.check(), Ok(()));
    }

    #[test]
    fn nothing_is_used_twice() {
        let disk = |text| disk_option(text).unwrap();
        let two = |a, b| Storage { disks: vec![disk(a), disk(b)], shares: Vec::new() }.check().unwrap_err();
        assert!(two("/a:/x", "/b:/x").contains("`/x`"));
        assert!(two("/a:/x", "/a:/y").contains("`/a` is used twice"));
        let many = (0..17).map(|i| disk_option(&format!("/{i}:/{i}")).unwrap()).collect();
        let many = Storage { disks: many, shares: Vec::new() };
        assert!(many.check().unwrap_err().contains("16 at most"));
    }

    #[test]
    fn what_is_mounted_above_covers() {
        assert!(mount_point(&format!("/{}", "a".repeat(PLACE_MAX))).is_err());
        assert!(covers("/a", "/a/b") && covers("/a", "/a") && !covers("/a", "/ab") && !covers("/a/b", "/a"));
    }
}
