//! Layouts: the same bytes each time, what other tools read in them, and what we refuse.

use std::fs;
use std::path::Path;

use ukl::base::workdir::hash_bytes;

use crate::world::World;
use crate::{digest, has, hello, tool};

#[test]
fn the_same_image_makes_the_same_layout_which_others_read() {
    let (image, world) = (hello(), World::booting());
    let folder = image.dir.root().to_str().unwrap();
    for out in ["one", "two"] {
        world.ukl(&["pkg", "oci", folder, "-o", out]).ends(0, &[]);
    }
    let one = world.at("project/one");
    assert_eq!(digest(&one), digest(&world.at("project/two")));
    let layout = format!("oci:{}:hello", one.display());
    if let Some(said) = tool("skopeo", &["inspect", &layout]) {
        let said = said.json();
        assert_eq!(said["Architecture"], "amd64");
        assert_eq!(said["Labels"]["com.urunc.unikernel.unikernelType"], "linux");
        assert_eq!(said["Labels"]["com.urunc.unikernel.binary"], "/ukl/vmlinux");
        assert_eq!(said["Labels"]["ukl.kernel"], image.info.kernel.version);
        assert_eq!(said["Layers"].as_array().unwrap().len(), 2);
        let raw = tool("skopeo", &["inspect", "--raw", &layout]).unwrap().json();
        assert_eq!(raw["annotations"]["com.urunc.unikernel.initrd"], "/ukl/initrd.cpio.lz4");
    }
    let bundle = world.at("bundle");
    let place = format!("{}:hello", one.display());
    if let Some(said) = tool("umoci", &["unpack", "--rootless", "--image", &place, bundle.to_str().unwrap()]) {
        said.ends(0, &[]);
        let same = |name: &str| {
            fs::read(bundle.join("rootfs/ukl").join(name)).unwrap() == fs::read(image.dir.root().join(name)).unwrap()
        };
        assert!(["vmlinux", "bzImage", "initrd.cpio.lz4", "image.json"].iter().all(|name| same(name)));
        let config: serde_json::Value = serde_json::from_slice(&fs::read(bundle.join("config.json")).unwrap()).unwrap();
        assert_eq!(config["process"]["args"][0], "/UKL");
    }
}

#[test]
fn an_index_of_several_images_names_them() {
    let (image, world) = (hello(), World::booting());
    let folder = image.dir.root().to_str().unwrap();
    world.ukl(&["pkg", "oci", folder, folder]).fails(2, &["two images are called `hello`"]);
    let json = fs::read_to_string(image.dir.manifest()).unwrap();
    let other = world.at("other");
    fs::create_dir(&other).unwrap();
    for entry in walkdir::WalkDir::new(image.dir.root()).into_iter().map(|entry| entry.unwrap()) {
        let to = other.join(entry.path().strip_prefix(image.dir.root()).unwrap());
        let made =
            if entry.file_type().is_dir() { fs::create_dir_all(&to) } else { fs::copy(entry.path(), &to).map(drop) };
        made.unwrap();
    }
    fs::write(other.join("image.json"), json.replace("\"name\": \"hello\"", "\"name\": \"other\"")).unwrap();
    world.ukl(&["pkg", "oci", folder, other.to_str().unwrap(), "-o", "both"]).ends(0, &[]);
    world.ukl(&["run", "oci:both"]).fails(2, &["several images: hello, other", "oci:both:hello"]);
    world.ukl(&["run", "oci:both:none"]).fails(2, &["no image `none`, only hello, other"]);
    world.ukl(&["run", "--dry-run", "oci:both:other"]).ends(0, &[]);
    if has("skopeo") {
        let layout = format!("oci:{}:other", world.at("project/both").display());
        let said = tool("skopeo", &["inspect", &layout]).unwrap().json();
        assert_eq!(said["Labels"]["org.opencontainers.image.title"], "other");
    }
}

/// Replaces a blob by what `change` makes of it, and every digest on the way up.
fn rewrite(layout: &Path, kind: &str, change: impl Fn(&str) -> String) {
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let index = read(&layout.join("index.json"));
    let value: serde_json::Value = serde_json::from_str(&index).unwrap();
    let manifest = value["manifests"][0]["digest"].as_str().unwrap()[7..].to_owned();
    let blob = |hash: &str| layout.join("blobs/sha256").join(hash);
    let mut text = read(&blob(&manifest));
    if kind == "config" {
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let old = value["config"]["digest"].as_str().unwrap()[7..].to_owned();
        let config = change(&read(&blob(&old)));
        let new = hash_bytes(config.as_bytes());
        fs::write(blob(&new), config).unwrap();
        text = text.replace(&old, &new);
    } else {
        text = change(&text);
    }
    let new = hash_bytes(text.as_bytes());
    fs::write(blob(&new), text).unwrap();
    fs::write(layout.join("index.json"), index.replace(&manifest, &new)).unwrap();
}

#[test]
fn what_is_no_image_of_ours_is_refused_and_nothing_is_left() {
    let (image, world) = (hello(), World::new());
    let folder = image.dir.root().to_str().unwrap();
    let again = || world.ukl(&["pkg", "oci", folder, "-o", "l"]).ends(0, &[]).code;
    let layout = world.at("project/l");
    world.ukl(&["run", "oci:none"]).fails(2, &["not an OCI image layout", "ukl pkg oci"]);
    world.write("full/file", "mine");
    world.ukl(&["pkg", "oci", folder, "-o", "full"]).fails(2, &["exists and is not an OCI image layout"]);
    assert_eq!(world.files("project/full"), ["file"]);

    again();
    rewrite(&layout, "config", |text| text.replace("\"architecture\":\"amd64\"", "\"architecture\":\"arm64\""));
    world.ukl(&["run", "oci:l"]).fails(2, &["the image is for arm64, this ukl runs those for amd64"]);
    again();
    rewrite(&layout, "manifest", |text| text.replace("image.layer.v1.tar+gzip", "image.layer.v1.tar+lzma"));
    world.ukl(&["run", "oci:l"]).fails(2, &["unknown media type `application/vnd.oci.image.layer.v1.tar+lzma`"]);
    again();
    let blobs = fs::read_dir(layout.join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().path());
    let biggest = blobs.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = fs::read(&biggest).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&biggest, bytes).unwrap();
    world.ukl(&["run", "oci:l"]).fails(120, &["has other contents than its digest says"]);
    assert!(world.files("cache/ukl/image").is_empty(), "{:?}", world.files("cache/ukl/image"));

    fs::write(image.dir.root().join("x"), "").unwrap();
    let initrd = fs::read(image.dir.initrd()).unwrap();
    fs::remove_file(image.dir.initrd()).unwrap();
    fs::write(image.dir.initrd(), &initrd[1..]).unwrap();
    world.ukl(&["pkg", "oci", folder, "-o", "new"]).fails(120, &["is not what `image.json` says", "ukl build"]);
    assert!(!world.at("project/new").exists());
}
