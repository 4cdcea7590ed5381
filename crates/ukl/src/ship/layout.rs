//! Images → an OCI image layout: a folder that registries and their tools take. The same images make the same bytes.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use base64::Engine;
use flate2::{Compression, GzBuilder};
use oci_spec::image::{
    ConfigBuilder, Descriptor, DescriptorBuilder, Digest, ImageConfigurationBuilder, ImageIndexBuilder,
    ImageManifestBuilder, MediaType, PlatformBuilder, RootFsBuilder,
};
use serde::Serialize;

use crate::base::error::{fail, Class, Result};
use crate::base::target::TARGET;
use crate::base::workdir;
use crate::image::folder::Image;
use crate::ship::payload::{self, Item};

/// The folder that holds the image folder's files in the container's file system.
pub const INSIDE: &str = "ukl";
/// The annotation that names an image of an index.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Nothing of an image says when it was packed.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// One image of a layout.
#[derive(Debug, Clone, Serialize)]
pub struct Packed {
    /// Its name in the index.
    pub name: String,
    /// The digest of its manifest.
    pub digest: String,
    /// Bytes of its blobs.
    pub bytes: u64,
}

/// A compressed layer: its blob, and the digest of what is in it.
struct Layer {
    descriptor: Descriptor,
    diff_id: String,
}

/// One file of a layer.
pub struct LayerFile {
    /// Its path in the container, without a leading slash.
    pub path: String,
    /// Its permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: u64,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// What is said of an image beside its layers.
#[derive(Debug, Default)]
pub struct Description {
    /// Its name in the index.
    pub name: String,
    /// The program's path and arguments.
    pub command: Vec<String>,
    /// The program's environment.
    pub env: Vec<String>,
    /// Labels of the configuration.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
}

/// Writes a layout with one manifest for each image to `out`, which is nothing yet, or a layout.
///
/// Errors: `out` is something else, or two images have one name (class `Usage`); a file is not what `image.json`
/// says (class `Host`).
pub fn pack(images: &[Image], out: &Path) -> Result<Vec<Packed>> {
    if let Some(twice) = images.iter().enumerate().find_map(|(i, image)| {
        images[..i].iter().find(|other| other.info.name == image.info.name).map(|_| &image.info.name)
    }) {
        return Err(fail(Class::Usage, format!("two images are called `{twice}`")).into());
    }
    written(out, |dir| {
        let one = |image: &Image| {
            payload::check(image)?;
            let annotations = urunc(image);
            let kernel = files(&payload::kernel(image))?;
            let mut rest = files(&payload::rest(image))?;
            rest.push(plain("urunc.json", 0, encoded(&annotations)?));
            add(dir, &describe(image, annotations), &[kernel, rest])
        };
        images.iter().map(one).collect()
    })
}

/// A containerDisk of KubeVirt: a layout of one image that holds nothing but a disk, for the user that reads it there.
pub fn container_disk(name: &str, disk: &Path, out: &Path) -> Result<Vec<Packed>> {
    /// Whom KubeVirt reads disks as.
    const READER: u64 = 107;
    written(out, |dir| {
        let file = LayerFile { mode: 0o440, ..plain(&format!("disk/{name}.qcow2"), READER, workdir::read(disk)?) };
        let what = Description { name: name.to_owned(), ..Description::default() };
        Ok(vec![add(dir, &what, &[vec![file]])?])
    })
}

/// Has `make` write the images of a new layout, which then takes the place of `out`.
pub fn written(out: &Path, make: impl FnOnce(&Path) -> Result<Vec<(Packed, Descriptor)>>) -> Result<Vec<Packed>> {
    replaceable(out)?;
    let parent = out.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    workdir::create_dir(parent)?;
    let staging = tempfile::tempdir_in(parent).with_context(|| format!("failed to write `{}`", out.display()))?;
    let (packed, manifests): (Vec<_>, Vec<_>) = make(staging.path())?.into_iter().unzip();
    let index = ImageIndexBuilder::default().schema_version(2u32).media_type(MediaType::ImageIndex);
    let index = index.manifests(manifests).build()?;
    workdir::write_atomic(&staging.path().join("index.json"), &json(&index)?)?;
    workdir::write_atomic(&staging.path().join("oci-layout"), b"{\"imageLayoutVersion\":\"1.0.0\"}")?;
    put(staging, out)?;
    Ok(packed)
}

/// Fails unless `out` is free, or a layout that may be replaced.
pub fn replaceable(out: &Path) -> Result<()> {
    if out.exists() && !out.join("oci-layout").is_file() {
        let failure = fail(Class::Usage, format!("`{}` exists and is not an OCI image layout", out.display()));
        return Err(failure.hint("`-o DIR` names another place; nothing was written").into());
    }
    Ok(())
}

/// Makes the finished folder `staging` the folder `out`.
pub fn put(staging: tempfile::TempDir, out: &Path) -> Result<()> {
    workdir::set_mode(staging.path(), 0o755)?;
    if out.exists() {
        workdir::remove_dir(out)?;
    }
    std::fs::rename(staging.path(), out).with_context(|| format!("failed to write `{}`", out.display()))?;
    // It has another name now: there is nothing to remove.
    let _ = staging.keep();
    Ok(())
}

/// Writes the blobs of one image into the layout `dir`.
pub fn add(dir: &Path, what: &Description, layers: &[Vec<LayerFile>]) -> Result<(Packed, Descriptor)> {
    let layers = layers.iter().map(|files| layer(dir, files)).collect::<Result<Vec<_>>>()?;
    let labels: HashMap<String, String> = what.labels.clone().into_iter().collect();
    let inner = ConfigBuilder::default().entrypoint(what.command.clone()).env(what.env.clone()).labels(labels);
    let ids: Vec<String> = layers.iter().map(|layer| layer.diff_id.clone()).collect();
    let config = ImageConfigurationBuilder::default()
        .created(CREATED)
        .architecture(TARGET.oci)
        .os("linux")
        .config(inner.build()?)
        .rootfs(RootFsBuilder::default().typ("layers").diff_ids(ids).build()?)
        .build()?;
    let config = blob(dir, MediaType::ImageConfig, &json(&config)?)?;
    let layers: Vec<Descriptor> = layers.into_iter().map(|layer| layer.descriptor).collect();
    let bytes = layers.iter().map(Descriptor::size).sum::<u64>() + config.size();
    let manifest = ImageManifestBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::ImageManifest)
        .config(config)
        .layers(layers)
        .annotations(what.annotations.clone().into_iter().collect::<HashMap<_, _>>())
        .build()?;
    let mut manifest = blob(dir, MediaType::ImageManifest, &json(&manifest)?)?;
    let name = HashMap::from([(REF_NAME.to_owned(), what.name.clone())]);
    manifest.set_annotations(Some(name));
    manifest.set_platform(Some(PlatformBuilder::default().architecture(TARGET.oci).os("linux").build()?));
    Ok((Packed { name: what.name.clone(), digest: manifest.digest().to_string(), bytes }, manifest))
}

/// The JSON text of a document, with sorted keys: its maps have no order of their own.
fn json(document: &impl Serialize) -> Result<Vec<u8>> {
    Ok(serde_json::to_vec(&serde_json::to_value(document)?)?)
}

fn blob(dir: &Path, kind: MediaType, bytes: &[u8]) -> Result<Descriptor> {
    let hash = workdir::hash_bytes(bytes);
    workdir::write_atomic(&dir.join("blobs/sha256").join(&hash), bytes)?;
    let digest: Digest = format!("sha256:{hash}").parse()?;
    Ok(DescriptorBuilder::default().media_type(kind).digest(digest).size(bytes.len() as u64).build()?)
}

fn layer(dir: &Path, files: &[LayerFile]) -> Result<Layer> {
    let mut tar = tar::Builder::new(Vec::new());
    for file in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(file.bytes.len() as u64);
        header.set_mode(file.mode);
        header.set_uid(file.owner);
        header.set_gid(file.owner);
        header.set_mtime(0);
        tar.append_data(&mut header, &file.path, file.bytes.as_slice())?;
    }
    let tar = tar.into_inner()?;
    let mut zipped = GzBuilder::new().mtime(0).write(Vec::new(), Compression::new(6));
    zipped.write_all(&tar)?;
    let diff_id = format!("sha256:{}", workdir::hash_bytes(&tar));
    Ok(Layer { descriptor: blob(dir, MediaType::ImageLayerGzip, &zipped.finish()?)?, diff_id })
}

fn plain(path: &str, owner: u64, bytes: Vec<u8>) -> LayerFile {
    LayerFile { path: path.to_owned(), mode: 0o644, owner, bytes }
}

fn files(items: &[Item]) -> Result<Vec<LayerFile>> {
    let file = |item: &Item| {
        let bytes = workdir::read(&item.path)?;
        Ok(LayerFile { mode: item.mode, ..plain(&format!("{INSIDE}/{}", item.name), 0, bytes) })
    };
    items.iter().map(file).collect()
}

/// What urunc has to know of a Linux guest. Our init starts the program with what `image.json` says.
fn urunc(image: &Image) -> BTreeMap<String, String> {
    let inside = |path: std::path::PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        format!("/{INSIDE}/{name}")
    };
    let command = [std::slice::from_ref(&image.info.trigger), &image.info.args[..]].concat().join(" ");
    let words = [
        ("unikernelType", "linux".to_owned()),
        ("unikernelVersion", image.info.kernel.version.clone()),
        ("hypervisor", "qemu".to_owned()),
        ("binary", inside(image.dir.vmlinux())),
        ("initrd", inside(image.dir.initrd())),
        ("cmdline", command),
        ("mountRootfs", "false".to_owned()),
    ];
    words.into_iter().map(|(key, value)| (format!("com.urunc.unikernel.{key}"), value)).collect()
}

/// The same as a file, for engines that do not pass on annotations: urunc reads its values in base64.
fn encoded(annotations: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let encode = |value: &String| base64::engine::general_purpose::STANDARD.encode(value);
    let values: BTreeMap<&String, String> = annotations.iter().map(|(key, value)| (key, encode(value))).collect();
    Ok(serde_json::to_vec(&values)?)
}

fn describe(image: &Image, urunc: BTreeMap<String, String>) -> Description {
    let info = &image.info;
    let title = ("org.opencontainers.image.title".to_owned(), info.name.clone());
    let facts = [("ukl", &info.ukl), ("kernel", &info.kernel.version), ("kernel-key", &info.kernel.key)];
    let mut labels: BTreeMap<String, String> =
        facts.into_iter().map(|(key, value)| (format!("ukl.{key}"), value.clone())).collect();
    labels.insert(title.0.clone(), title.1.clone());
    // Docker and what is like it pass on labels, not annotations.
    labels.extend(urunc.clone());
    let mut annotations = urunc;
    annotations.insert(title.0, title.1);
    Description {
        name: info.name.clone(),
        command: [std::slice::from_ref(&info.trigger), &info.args[..]].concat(),
        env: info.env.iter().map(|(key, value)| format!("{key}={value}")).collect(),
        labels,
        annotations,
    }
}
