//! `--disk` and `--share`: what reaches QEMU, and what is refused before anything runs.

use std::fs;

use crate::images::{log, world};

#[test]
fn disks_and_shares_make_another_kernel_and_reach_qemu() {
    let world = world();
    fs::create_dir(world.at("project/www")).unwrap();
    let words = ["--accel", "tcg", "--share", "www:/www:ro", "--disk", "d.img:8M:/data", "--volume", ".:/project"];
    let done = world.ukl(&[&["up", "a.c"], &words[..]].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
    let config = fs::read_to_string(world.at("project/build/a/kernel.config")).unwrap();
    assert!(config.contains("CONFIG_EXT4_FS=y") && config.contains("CONFIG_9P_FS=y"));
    let line = log(&world, "qemu.log");
    for words in [
        "-device virtio-blk-device,drive=disk0,serial=disk0",
        "path=/",
        "project/www,security_model=none,multidevs=remap,readonly=on",
        "-device virtio-9p-device,fsdev=share1,mount_tag=share1",
    ] {
        assert!(line.contains(words), "`{words}` is not in: {line}");
    }
    assert_eq!(fs::metadata(world.at("project/d.img")).unwrap().len(), 8 << 20);
    // Without them it is the small kernel again, and that one cannot.
    assert_eq!(world.ukl(&["build", "a.c"]).code, Some(0));
    let config = fs::read_to_string(world.at("project/build/a/kernel.config")).unwrap();
    assert!(!config.contains("CONFIG_EXT4_FS=y"));
    let done = world.ukl(&["run", "a.c", "--share", "www:/www"]);
    done.fails(2, &["built without disks and shares: no `CONFIG_NET_9P_VIRTIO`", "`ukl up` with the same options"]);
}

#[test]
fn what_a_manifest_names_needs_no_option() {
    let world = world();
    let share = "[[shares]]\npath = \"www\"\nmount = \"/www\"\n";
    world.write("ukl.toml", &format!("name = \"a\"\nsources = [\"a.c\"]\n{share}"));
    world.ukl(&["up"]).fails(2, &["there is no folder `", "project/www` to share", "hint    mkdir -p "]);
    assert!(!world.at("project/build").exists(), "found out before anything is built");
    fs::create_dir(world.at("project/www")).unwrap();
    fs::create_dir(world.at("project/other")).unwrap();
    assert_eq!(world.ukl(&["up", "--accel", "tcg"]).code, Some(0));
    assert!(log(&world, "qemu.log").contains("project/www,"));
    // The command line's stands instead of what the manifest has at that place.
    assert_eq!(world.ukl(&["run", "--accel", "tcg", "--share", "other:/www"]).code, Some(0));
    let last = log(&world, "qemu.log").lines().last().unwrap_or_default().to_owned();
    assert!(last.contains("project/other,") && !last.contains("project/www,"), "{last}");
    world
        .ukl(&["run", "--pid1"])
        .fails(2, &["a program that is process 1 gets no disks and shares", "without `--pid1`"]);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let world = world();
    fs::create_dir(world.at("project/dir")).unwrap();
    for (words, parts) in [
        (["--disk", "d.img:/data"], ["there is no disk image `", "`--disk FILE:64M:/mount/point`"]),
        (["--disk", "dir:8M:/data"], ["is a folder", "name a file in it: `"]),
        (["--disk", "d.img:64k:/data"], ["`64k` is not a size", "`512M`"]),
        (["--disk", "d.img:8M:data"], ["`data` is none of ro, rw, raw", "no absolute path in the guest"]),
        (["--share", "dir:/proc"], ["nothing can be mounted at `/proc`", "needs what lies there"]),
        (["--share", "a.c:/a"], ["is not a folder", "only folders are shared"]),
        (["--share", "dir"], ["is not a share", "`./www:/www:ro`"]),
        (["--share=dir:/a", "--share=dir:/a"], ["two disks or shares are at `/a`", "blame   usage"]),
    ] {
        world.ukl(&["up", "a.c", words[0], words[1]]).fails(2, &parts);
    }
    assert_eq!(world.files("project"), ["a.c"]);
}
