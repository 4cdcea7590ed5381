//! Disks, CDs and other hypervisors: booted by a BIOS without `-kernel`, or read by those whose words they are.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use crate::world::{done, wait, World};
use crate::{digest, has, hello, tool};

/// Everything that makes disks.
fn tools() -> bool {
    ["sfdisk", "mkfs.vfat"].map(|name| Path::new("/usr/sbin").join(name)).iter().all(|path| path.exists())
        && ["mcopy", "syslinux", "xorriso", "qemu-img"].map(has).iter().all(|there| *there)
}

/// What a PC prints on its serial port that starts from `drive`.
fn booted(drive: &str) -> String {
    let machine = ["-machine", "q35", "-accel", "tcg", "-cpu", "max", "-m", "256M", "-nodefaults", "-display", "none"];
    let mut qemu = Command::new("timeout");
    qemu.args(["280", "qemu-system-x86_64"]).args(machine).args(["-no-reboot", "-serial", "stdio"]);
    let said = done(qemu.args(["-drive", drive]).output().unwrap());
    assert_eq!(said.code, Some(0), "{said:?}");
    said.out
}

#[test]
fn a_bios_starts_disks_and_cds_which_are_the_same_each_time() {
    if !tools() {
        eprintln!("skip: nothing makes disks here");
        return;
    }
    let (image, world) = (hello(), World::booting());
    let folder = image.dir.root().to_str().unwrap();
    let forms = [("disk", "a.img"), ("disk", "b.qcow2"), ("iso", "c.iso")];
    for place in ["one", "two"] {
        for (form, file) in forms {
            world.ukl(&["pkg", form, folder, "-o", &format!("{place}/{file}")]).ends(0, &[]);
        }
        // Whatever writes the time of day writes another one now: FAT counts by two seconds.
        let second = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() / 2;
        let before = second();
        wait(|| second() != before);
    }
    for (_, file) in forms {
        let path = world.at("project/one").join(file);
        let drive = match file {
            "a.img" => format!("file={},format=raw,if=ide", path.display()),
            "b.qcow2" => format!("file={},format=qcow2,if=virtio", path.display()),
            _ => format!("file={},format=raw,media=cdrom", path.display()),
        };
        let said = booted(&drive);
        assert!(said.contains("hello, world"), "{file}: {said}");
    }
    assert_eq!(digest(&world.at("project/one")), digest(&world.at("project/two")));
    assert_eq!(world.files("project/one"), ["a.img", "b.qcow2", "c.iso"], "nothing else is left");
    let table = tool("/usr/sbin/sfdisk", &["--verify", world.at("project/one/a.img").to_str().unwrap()]);
    if let Some(said) = table {
        said.ends(0, &[]);
    }
    world.ukl(&["pkg", "container-disk", folder, "-o", "kubevirt"]).ends(0, &[]);
    let layout = format!("{}:hello", world.at("project/kubevirt").display());
    let bundle = world.at("bundle");
    if let Some(said) = tool("umoci", &["raw", "unpack", "--rootless", "--image", &layout, bundle.to_str().unwrap()]) {
        said.ends(0, &[]);
        let disk = fs::read(bundle.join("disk/hello.qcow2")).unwrap();
        assert!(disk == fs::read(world.at("project/one/b.qcow2")).unwrap());
    }
}

#[test]
fn a_domain_is_one_that_libvirt_knows() {
    let (image, world) = (hello(), World::new());
    let folder = image.dir.root().to_str().unwrap();
    let said = world.ukl(&["pkg", "libvirt", folder, "-o", "hello.xml"]);
    said.ends(0, &[]);
    let file = world.at("project/hello.xml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("<cmdline>console=ttyS0 loglevel=3 panic=-1 reboot=t</cmdline>"), "{text}");
    if let Some(said) = tool("virt-xml-validate", &[file.to_str().unwrap(), "domain"]) {
        said.ends(0, &[]);
    }
    // A server with disks and shares: the same image, told to be more.
    let json = fs::read_to_string(image.dir.manifest()).unwrap();
    let disks = "\"disks\": [{\"path\": \"/d&<'\", \"size_mib\": 64, \"format\": \"ext4\", \"mount\": \"/data\", \"read_only\": true}]";
    let shares =
        "\"shares\": [{\"path\": \"/s\", \"mount\": \"/share\", \"kind\": \"virtiofs\", \"read_only\": false}]";
    let json = json.replace("\"disks\": []", disks).replace("\"shares\": []", shares);
    let json = json.replace("\"ports\": []", "\"ports\": [\"8080:80\"]");
    fs::remove_file(image.dir.manifest()).unwrap();
    fs::write(image.dir.manifest(), json).unwrap();
    world.ukl(&["pkg", "libvirt", folder, "-o", "hello.xml"]).ends(0, &[]);
    let text = fs::read_to_string(&file).unwrap();
    for words in [
        "ukl.ip=dhcp",
        "<serial>disk0</serial>",
        "/d&amp;&lt;&apos;",
        "<target dir='share0'/>",
        "<model type='virtio'/>",
    ] {
        assert!(text.contains(words), "no {words} in {text}");
    }
    if let Some(said) = tool("virt-xml-validate", &[file.to_str().unwrap(), "domain"]) {
        said.ends(0, &[]);
    }
    for other in ["firecracker", "cloud-hypervisor"] {
        world.ukl(&["pkg", other, folder]).fails(2, &["the disks and shares of `hello` cannot be given to"]);
    }
}

#[test]
fn small_hypervisors_are_told_kernel_memory_and_card() {
    let (image, world) = (hello(), World::new());
    let folder = image.dir.root().to_str().unwrap();
    let config = world.ukl(&["pkg", "firecracker", folder]).json();
    assert_eq!(config["boot-source"]["kernel_image_path"], image.dir.vmlinux().to_str().unwrap());
    assert_eq!(config["boot-source"]["boot_args"], "console=ttyS0 loglevel=3 panic=-1 reboot=t pci=off");
    assert_eq!(config["machine-config"]["mem_size_mib"], 128);
    assert!(config["network-interfaces"].is_null());
    world.ukl(&["pkg", "cloud-hypervisor", folder, "-o", "run.sh"]).ends(0, &[]);
    let checked = done(Command::new("sh").arg("-n").arg(world.at("project/run.sh")).output().unwrap());
    checked.ends(0, &[]);
    assert!(fs::read_to_string(world.at("project/run.sh")).unwrap().contains("--memory size=128M"));
}
