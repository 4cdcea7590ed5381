//! What tests of examples share: disks and shares in a scratch folder, so that no test writes into the repository.

#![allow(clippy::unwrap_used)] // Helpers of tests.

use std::fs;
use std::path::{Path, PathBuf};

use ukl::manifest::{Disk, Share, Storage};

/// The disks and shares of `storage` anew in `scratch`: shares are copied, disks begin empty.
pub fn scratch(storage: &Storage, scratch: &Path) -> Storage {
    let _ = fs::remove_dir_all(scratch);
    let place = |kind: &str, i: usize| -> PathBuf { scratch.join(format!("{kind}{i}")) };
    let share = |(i, share): (usize, &Share)| {
        let path = place("share", i);
        fs::create_dir_all(&path).unwrap();
        for file in fs::read_dir(&share.path).unwrap().map(|file| file.unwrap().path()) {
            fs::copy(&file, path.join(file.file_name().unwrap())).unwrap();
        }
        Share { path, ..share.clone() }
    };
    let disk = |(i, disk): (usize, &Disk)| {
        fs::create_dir_all(scratch).unwrap();
        Disk { path: place("disk", i), ..disk.clone() }
    };
    Storage {
        disks: storage.disks.iter().enumerate().map(disk).collect(),
        shares: storage.shares.iter().enumerate().map(share).collect(),
    }
}

/// The same as options of `ukl run`.
#[allow(dead_code)] // Not every test runs it.
pub fn options(storage: &Storage) -> Vec<String> {
    let shares = storage.shares.iter().map(|share| format!("--share={}:{}", share.path.display(), share.mount));
    let size = |disk: &Disk| disk.size_mib.map(|mib| format!(":{mib}M")).unwrap_or_default();
    let disks = storage.disks.iter();
    let disks = disks.map(|disk| format!("--disk={}{}:{}", disk.path.display(), size(disk), disk.mount));
    shares.chain(disks).collect()
}
