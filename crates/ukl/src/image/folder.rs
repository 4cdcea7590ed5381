//! Kernel + initrd + manifest → [`Image`]: a folder that holds everything that made it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::base::error::{fail, Class, Result};
use crate::base::workdir::{self, ImageDir};
use crate::image::initrd::{self, Initrd};
use crate::kernel::config::Configured;
use crate::kernel::patch::PatchedSource;
use crate::kernel::vmlinux::Kernel;
use crate::manifest::{Manifest, Network, Port, Storage};
use crate::program::archive::AppArchive;
use crate::program::toolchain::Toolchain;

/// A complete image folder.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its paths.
    pub dir: ImageDir,
    /// What `image.json` says.
    pub info: Info,
}

/// `image.json`: what was built from what. A field is added at will; a changed meaning changes `format`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Version of this structure.
    pub format: u32,
    /// Version of ukl that built the image.
    pub ukl: String,
    /// The image's name.
    pub name: String,
    /// The path that starts the program.
    pub trigger: String,
    /// The program's default arguments, without its name.
    pub args: Vec<String>,
    /// The program's environment.
    pub env: BTreeMap<String, String>,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Number of virtual CPUs.
    pub cpus: u32,
    /// Forwarded ports.
    pub ports: Vec<Port>,
    /// The network card.
    #[serde(default)]
    pub network: Network,
    /// TCP port of the guest that answers once the program is ready.
    #[serde(default)]
    pub ready: Option<u16>,
    /// Disks, and folders of this machine, in the guest.
    #[serde(flatten)]
    pub storage: Storage,
    /// What its init can do: from 1 on it takes a port for output.
    #[serde(default)]
    pub init: u32,
    /// The kernel.
    pub kernel: KernelInfo,
    /// The compiler of the program, as it names itself.
    pub compiler: String,
    /// The image's files by name.
    pub files: BTreeMap<String, FileInfo>,
}

/// The kernel of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelInfo {
    /// Full version.
    pub version: String,
    /// Hash over source and patches.
    pub source: String,
    /// The patches, in order.
    pub patches: Vec<String>,
    /// Key of the build: source, patches, configuration, compiler.
    pub key: String,
}

/// One file of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileInfo {
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
}

const FORMAT: u32 = 1;
/// See [`Info::init`].
const INIT: u32 = 1;

/// Everything that an image is made of.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The manifest.
    pub manifest: &'a Manifest,
    /// The program's compiler.
    pub toolchain: &'a Toolchain,
    /// The program.
    pub archive: &'a AppArchive,
    /// The kernel's source.
    pub patched: &'a PatchedSource,
    /// The kernel's build.
    pub configured: &'a Configured,
    /// The kernel.
    pub kernel: &'a Kernel,
    /// The RAM disk.
    pub initrd: &'a Initrd,
}

/// Describes the finished image in `image.json`, and puts all of it in the place of the last one; `image.json` comes
/// last, so that it marks a complete image.
pub fn assemble(parts: &Parts, dir: &ImageDir) -> Result<Image> {
    let mut files = BTreeMap::new();
    let Parts { kernel, initrd, archive, .. } = parts;
    let next = dir.next();
    let (trigger, twin) = (&next.trigger(), &next.twin());
    let taken = [&kernel.bzimage, &kernel.vmlinux, &kernel.config, &initrd.path, trigger, &archive.path, twin];
    let kept = initrd::parts(&next);
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let within = |path: &PathBuf| path.strip_prefix(dir.root()).unwrap_or(path).to_string_lossy().into_owned();
    let all = taken.into_iter().map(|path| (name(path), path)).chain(kept.iter().map(|path| (within(path), path)));
    for (name, path) in all {
        let bytes = std::fs::metadata(path).with_context(|| format!("failed to read `{}`", path.display()))?.len();
        files.insert(name, FileInfo { bytes, sha256: workdir::hash_file(path)? });
    }
    let info = describe(parts, files);
    let mut text = serde_json::to_string_pretty(&info)?;
    text.push('\n');
    workdir::write_atomic(&next.manifest(), text.as_bytes())?;
    let published = taken.into_iter().cloned().chain([next.manifest()]);
    dir.publish(&published.collect::<Vec<_>>())?;
    Ok(Image { dir: dir.clone(), info })
}

/// What `image.json` says of an image with these files.
pub fn describe(parts: &Parts, files: BTreeMap<String, FileInfo>) -> Info {
    let Parts { manifest, patched, .. } = parts;
    let kernel = KernelInfo {
        version: patched.version.clone(),
        source: patched.hash.clone(),
        patches: patched.patches.clone(),
        key: parts.configured.key.clone(),
    };
    Info {
        format: FORMAT,
        ukl: env!("CARGO_PKG_VERSION").into(),
        name: manifest.name.clone(),
        trigger: manifest.trigger.clone(),
        args: manifest.args.clone(),
        env: manifest.env.clone(),
        memory_mib: manifest.machine.memory_mib,
        cpus: manifest.machine.cpus,
        ports: manifest.machine.ports.clone(),
        network: manifest.machine.network.clone(),
        ready: manifest.ready,
        storage: manifest.storage.clone(),
        init: INIT,
        kernel,
        compiler: parts.toolchain.version.clone(),
        files,
    }
}

/// What the manifest says otherwise than the image, in words.
pub fn differences(manifest: &Manifest, info: &Info) -> Vec<String> {
    let Manifest { machine, .. } = manifest;
    let values = [
        ("trigger", manifest.trigger == info.trigger),
        ("args", manifest.args == info.args),
        ("env", manifest.env == info.env),
        ("memory", machine.memory_mib == info.memory_mib),
        ("cpus", machine.cpus == info.cpus),
        ("ports", machine.ports == info.ports),
        ("network", machine.network == info.network),
        ("ready", manifest.ready == info.ready),
        ("disks or shares", manifest.storage == info.storage),
    ];
    values.into_iter().filter(|(_, same)| !same).map(|(name, _)| format!("ukl.toml: {name} changed")).collect()
}

/// Opens an image folder. Error (class `Usage`): it holds no complete image, or one of another ukl.
pub fn load(dir: &ImageDir) -> Result<Image> {
    let path = dir.manifest();
    let none = |text: String| fail(Class::Usage, text).hint("`ukl build` makes the image, `ukl up` makes and runs it");
    let text = std::fs::read_to_string(&path).map_err(|_| none(format!("no image in `{}`", dir.root().display())))?;
    let info: Info = serde_json::from_str(&text)
        .map_err(|error| none(format!("`{}` is not understood: {error}", path.display())))?;
    if info.format != FORMAT {
        return Err(none(format!("`{}` has format {}, this ukl knows {FORMAT}", path.display(), info.format)).into());
    }
    Ok(Image { dir: dir.clone(), info })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::storage;

    #[test]
    fn an_empty_folder_is_no_image_and_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let (text, code) = crate::base::error::render(&load(&ImageDir::at(dir.path())).unwrap_err());
        assert!(text.contains("no image in") && text.contains("ukl build"), "{text}");
        assert_eq!(code, 2);
    }

    #[test]
    fn an_image_of_another_format_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let image = ImageDir::at(dir.path());
        let kernel = KernelInfo { version: "6.12.1".into(), source: "s".into(), patches: vec![], key: "k".into() };
        let mut info = Info {
            format: FORMAT,
            ukl: "0".into(),
            name: "hello".into(),
            trigger: "/UKL".into(),
            args: vec!["a".into()],
            env: BTreeMap::new(),
            memory_mib: 128,
            cpus: 1,
            ports: vec![Port::tcp(8080, 80)],
            network: Network::default(),
            ready: None,
            storage: Storage { shares: vec![storage::share_option("/a:/b").unwrap()], ..Storage::default() },
            init: INIT,
            kernel,
            compiler: "gcc".into(),
            files: BTreeMap::new(),
        };
        workdir::write_atomic(&image.manifest(), serde_json::to_string(&info).unwrap().as_bytes()).unwrap();
        assert_eq!(load(&image).unwrap().info, info);
        info.format = 99;
        workdir::write_atomic(&image.manifest(), serde_json::to_string(&info).unwrap().as_bytes()).unwrap();
        assert!(load(&image).unwrap_err().to_string().contains("format 99"));
    }
}
