//! What tests of examples share: images, disks and shares outside of the repository, into which no test writes.

#![allow(clippy::unwrap_used)] // Helpers of tests.
#![allow(dead_code)] // Not every test uses everything.

use std::fs;
use std::path::{Path, PathBuf};

use ukl::base::env::Env;
use ukl::base::error::render;
use ukl::base::run::Shell;
use ukl::base::workdir::{Cache, ImageDir};
use ukl::image::folder::Image;
use ukl::manifest::{Disk, Manifest, Share, Storage};
use ukl::pipeline::{self, Clock};

/// The image of `manifest`, built when it must be; later tests find it again. The error is what users see.
pub fn image(manifest: &Manifest) -> Result<Image, String> {
    // A compiler of its own is a build of its own.
    let name = format!("{}-{}", manifest.name, manifest.compiler);
    let dir = ImageDir::at(Path::new(env!("CARGO_TARGET_TMPDIR")).join("images").join(name));
    let build = || {
        let env = Env { shell: Shell::default(), cache: Cache::from_env()? };
        let _lock = dir.lock(false)?;
        pipeline::image(&env, manifest, &dir, &mut Clock::silent(), &mut |_| ())
    };
    build().map_err(|error| render(&error).0)
}

/// The status with which a server ends by itself after its client: the line `# ends: N` of `client.sh`.
pub fn own_end(folder: &Path) -> Option<i32> {
    let script = fs::read_to_string(folder.join("client.sh")).unwrap();
    script.lines().find_map(|line| line.strip_prefix("# ends: ")?.parse().ok())
}

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
pub fn options(storage: &Storage) -> Vec<String> {
    let shares = storage.shares.iter().map(|share| format!("--share={}:{}", share.path.display(), share.mount));
    let size = |disk: &Disk| disk.size_mib.map(|mib| format!(":{mib}M")).unwrap_or_default();
    let disks = storage.disks.iter();
    let disks = disks.map(|disk| format!("--disk={}{}:{}", disk.path.display(), size(disk), disk.mount));
    shares.chain(disks).collect()
}
