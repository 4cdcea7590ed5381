//! An image → what other hypervisors want to be told: libvirt, Firecracker, cloud-hypervisor.

use std::path::Path;

use serde_json::json;

use crate::base::error::{fail, Class, Result};
use crate::base::quote;
use crate::base::target::TARGET;
use crate::image::folder::Image;
use crate::image::initrd;
use crate::machine::elsewhere;
use crate::manifest::storage::ShareKind;

/// The domain as libvirt's XML. The network is libvirt's own `default`.
pub fn libvirt(image: &Image) -> String {
    let info = &image.info;
    let mut devices = String::from("    <serial type='pty'><target port='0'/></serial>\n");
    if elsewhere::has_card(info) {
        devices += "    <interface type='network'><source network='default'/><model type='virtio'/></interface>\n";
    }
    for (i, disk) in info.storage.disks.iter().enumerate() {
        let read_only = if disk.read_only { "<readonly/>" } else { "" };
        devices += &format!(
            "    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{}'/>\
             <target dev='vd{}' bus='virtio'/>{read_only}<serial>{}</serial></disk>\n",
            escaped(&disk.path),
            char::from(b'a' + (i % 26) as u8),
            initrd::disk_name(i)
        );
    }
    for (i, share) in info.storage.shares.iter().enumerate() {
        let driver =
            if share.kind == ShareKind::Virtiofs { "<driver type='virtiofs'/>" } else { "<driver type='path'/>" };
        let read_only = if share.read_only { "<readonly/>" } else { "" };
        devices += &format!(
            "    <filesystem type='mount' accessmode='passthrough'>{driver}<source dir='{}'/><target dir='{}'/>{read_only}</filesystem>\n",
            escaped(&share.path),
            initrd::share_name(i)
        );
    }
    let shared = info.storage.shares.iter().any(|share| share.kind == ShareKind::Virtiofs);
    let memory =
        if shared { "  <memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>\n" } else { "" };
    format!(
        "<domain type='kvm'>\n  <name>{name}</name>\n  <memory unit='MiB'>{mib}</memory>\n{memory}  <vcpu>{cpus}</vcpu>\n  <os>\n    \
         <type arch='{arch}' machine='q35'>hvm</type>\n    <kernel>{kernel}</kernel>\n    <initrd>{ram}</initrd>\n    \
         <cmdline>{words}</cmdline>\n  </os>\n  <cpu mode='host-passthrough'/>\n  <on_poweroff>destroy</on_poweroff>\n  \
         <on_reboot>destroy</on_reboot>\n  <on_crash>destroy</on_crash>\n  <devices>\n{devices}  </devices>\n</domain>\n",
        name = info.name,
        mib = info.memory_mib,
        cpus = info.cpus,
        arch = TARGET.musl,
        kernel = escaped(&image.dir.bzimage()),
        ram = escaped(&image.dir.initrd()),
        words = elsewhere::words(info).join(" "),
    )
}

/// The configuration file of Firecracker; `tap` is the device that its network card is connected to.
pub fn firecracker(image: &Image, tap: &str) -> Result<String> {
    without_storage(image, "Firecracker")?;
    let info = &image.info;
    let mut words = elsewhere::words(info);
    // There is no PCI, and looking for it takes time.
    words.push("pci=off".into());
    let mut config = json!({
        "boot-source": {
            "kernel_image_path": image.dir.vmlinux(), "initrd_path": image.dir.initrd(), "boot_args": words.join(" "),
        },
        "drives": [],
        "machine-config": { "vcpu_count": info.cpus, "mem_size_mib": info.memory_mib },
    });
    if elsewhere::has_card(info) {
        config["network-interfaces"] = json!([{ "iface_id": "eth0", "host_dev_name": tap }]);
    }
    Ok(serde_json::to_string_pretty(&config)? + "\n")
}

/// The call of cloud-hypervisor, as a shell script; `tap` is the device that its network card is connected to.
pub fn cloud_hypervisor(image: &Image, tap: &str) -> Result<String> {
    without_storage(image, "cloud-hypervisor")?;
    let info = &image.info;
    let word = |path: &Path| quote::shell(&path.to_string_lossy());
    let mut lines = vec![
        format!("--kernel {}", word(&image.dir.vmlinux())),
        format!("--initramfs {}", word(&image.dir.initrd())),
        format!("--cmdline '{}'", elsewhere::words(info).join(" ")),
        format!("--cpus boot={}", info.cpus),
        format!("--memory size={}M", info.memory_mib),
        "--console off".into(),
        "--serial tty".into(),
    ];
    if elsewhere::has_card(info) {
        lines.push(format!("--net tap={tap}"));
    }
    Ok(format!("#!/bin/sh\nexec cloud-hypervisor \\\n    {}\n", lines.join(" \\\n    ")))
}

/// Init knows disks by serial number and shares by tag, which these hypervisors do not set as we would.
fn without_storage(image: &Image, whose: &str) -> Result<()> {
    if image.info.storage.is_empty() {
        return Ok(());
    }
    let failure =
        fail(Class::Usage, format!("the disks and shares of `{}` cannot be given to {whose}", image.info.name));
    Err(failure.hint("`ukl pkg libvirt` and `ukl run` can").into())
}

/// For XML, between apostrophes too.
fn escaped(path: &Path) -> String {
    let text = path.display().to_string();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&apos;")
}
