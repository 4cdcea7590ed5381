//! Images for tests: built where later tests find them again, booted from a folder of the test's own.

use std::fs;
use std::path::{Path, PathBuf};

use ukl::base::env::Env;
use ukl::base::error::render;
use ukl::base::run::Shell;
use ukl::base::workdir::{self, Cache, ImageDir};
use ukl::boot::{self, BootRun};
use ukl::image::folder::Image;
use ukl::machine::Request;
use ukl::manifest::{self, Disk, Manifest, Share, Storage};
use ukl::pipeline::{self, Clock};

pub const SHELL: Shell = Shell::plain();

pub fn env() -> Env {
    Env { shell: SHELL, cache: Cache::from_env().unwrap() }
}

/// A file or project in `tests/programs`.
pub fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(name)
}

/// An example's folder.
pub fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name).canonicalize().unwrap()
}

/// The manifest of a project in `tests/programs`, or of a C file there.
pub fn manifest_of(name: &str) -> Manifest {
    let path = program(name);
    if path.is_dir() {
        return manifest::load(&path).unwrap();
    }
    Manifest { dir: path.parent().unwrap().to_owned(), ..manifest::from_files(&[path]).unwrap() }
}

/// The image of `manifest`, built when it must be; later tests find it again. The error is what users see.
///
/// Nobody boots it where it lies, since a boot leaves its files beside the image: see [`own`].
pub fn built(manifest: &Manifest) -> Result<Image, String> {
    // What builds in one place would be built again for the other.
    let place = manifest.dir.display().to_string()
        + &manifest.sources.iter().map(|s| s.display().to_string()).collect::<String>();
    let kernel = format!("{} {}", manifest.kernel.storage, manifest.kernel.debug);
    let key = workdir::hash([place.as_str(), &manifest.compiler, &kernel]);
    let dir = shared().join("images").join(format!("{}-{}", manifest.name, &key[..8]));
    let dir = ImageDir::at(dir);
    let build = || {
        let _lock = dir.lock(false)?;
        pipeline::image(&env(), manifest, &dir, &mut Clock::silent(), &mut |_| ())
    };
    build().map_err(|error| render(&error).0)
}

/// What tests leave for later ones.
fn shared() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// An image in a folder that vanishes with the test.
pub struct Own {
    image: Image,
    dir: tempfile::TempDir,
}

impl std::ops::Deref for Own {
    type Target = Image;

    fn deref(&self) -> &Image {
        &self.image
    }
}

impl Own {
    /// A place beside the image's files.
    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// The image in a folder of the caller's own, with what a boot reads.
pub fn own(image: &Image) -> Own {
    // Links are as good as copies: builds replace files, and do not write into them.
    let _lock = image.dir.lock(false).unwrap();
    let dir = tempfile::tempdir_in(shared()).unwrap();
    let to = ImageDir::at(dir.path().join(image.dir.root().file_name().unwrap()));
    for (from, to) in [(image.dir.root(), to.root()), (&image.dir.stage("initrd"), &to.stage("initrd"))] {
        fs::create_dir_all(to).unwrap();
        for file in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
            fs::hard_link(&file, to.join(file.file_name().unwrap())).unwrap();
        }
    }
    Own { image: Image { dir: to, info: image.info.clone() }, dir }
}

/// The image of `manifest` to boot.
pub fn image(manifest: &Manifest) -> Result<Own, String> {
    built(manifest).map(|image| own(&image))
}

/// Boots the image; a failure is a panic with what users see.
#[track_caller]
pub fn run(image: &Image, options: &Request) -> BootRun {
    boot::run(&env(), image, options).unwrap_or_else(|error| panic!("{}", render(&error).0))
}

/// What the guest printed.
pub fn text(run: &BootRun) -> String {
    String::from_utf8_lossy(&run.console).into_owned()
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
pub fn storage_options(storage: &Storage) -> Vec<String> {
    let shares = storage.shares.iter().map(|share| format!("--share={}:{}", share.path.display(), share.mount));
    let size = |disk: &Disk| disk.size_mib.map(|mib| format!(":{mib}M")).unwrap_or_default();
    let disks = storage.disks.iter();
    let disks = disks.map(|disk| format!("--disk={}{}:{}", disk.path.display(), size(disk), disk.mount));
    shares.chain(disks).collect()
}
