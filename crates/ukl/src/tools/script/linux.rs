//! The kernel's part of the script: unpacked, patched, configured, built once, and linked with the program.

use std::path::PathBuf;

use crate::base::error::Result;
use crate::base::target::TARGET;
use crate::kernel::config;
use crate::kernel::patch;
use crate::kernel::vmlinux;
use crate::manifest::KernelSource;
use crate::supply::download;
use crate::supply::linux_source;

use super::text::{placeholder, Text};
use super::Shared;

/// Where the distribution's package puts the kernel's source.
pub(super) fn debian_tarball(version: &str) -> String {
    format!("/usr/src/linux-source-{version}.tar.xz")
}

/// Writes the commands that lead to `$OUT/vmlinux` and `$OUT/bzImage`.
pub(super) fn write(text: &mut Text, shared: &Shared) -> Result<()> {
    tree(text, shared)?;
    configured(text, shared)?;
    built(text, shared);
    linked(text, shared);
    Ok(())
}

fn tree(text: &mut Text, shared: &Shared) -> Result<()> {
    let place = |name: &str| PathBuf::from(placeholder(name));
    let spec = &shared.manifest.kernel;
    text.part("The kernel's source");
    text.say("Once for all programs. Take another build's with LINUX=FOLDER, or a tarball with TARBALL=FILE.");
    text.open("if [ ! -e \"$LINUX/Makefile\" ]; then");
    text.line("step 'the source of the kernel'");
    let package = format!("linux-source-{}", spec.version);
    let (get, sha256) = match &spec.source {
        KernelSource::Debian => {
            let pin = shared.pins.iter().find(|pin| pin.package == package);
            (debian(text, &package, &spec.version), pin.map(|pin| pin.sha256.clone()))
        }
        KernelSource::Local(_) => (String::new(), None),
        KernelSource::Url { url, sha256 } => {
            let get = text.command(&download::command(url, &place("TARBALL"))?);
            (format!("[ -e \"$TARBALL\" ] || {get}\n"), Some(sha256.clone()))
        }
    };
    text.line(get.trim_end());
    // Of an old cache entry, the lock file knows the version only.
    if let Some(sha256) = sha256.filter(|sha256| sha256.len() == 64) {
        text.line(&format!("echo '{sha256}  '\"$TARBALL\" | sha256sum --quiet -c -"));
    }
    text.say("Half of the bytes are documentation and hardware tables that nobody here reads.");
    text.line("new=$LINUX.new\nrm -rf \"$new\"\nmkdir -p \"$new\"");
    text.cmd(&linux_source::unpack_command(&place("TARBALL"), &place("new")));
    text.say("The patches, in order and without fuzz; each says what it is for. They are at the end of this script.");
    let series = patch::series(&spec.version)?;
    let names: Vec<&str> = series.iter().map(|(name, _)| name.as_str()).collect();
    text.open(&format!("for patch in \\\n    {}; do", names.join(" \\\n    ")));
    let apply = text.command(&patch::command(&place("new")));
    text.line(&format!("payload \"$patch\" | {apply}"));
    text.close("done");
    text.line("mv \"$new\" \"$LINUX\"");
    text.close("fi");
    for (name, content) in &series {
        text.file(name, content);
    }
    Ok(())
}

fn debian(text: &Text, package: &str, version: &str) -> String {
    let folder = PathBuf::from(placeholder("OUT")).join("download");
    let get = text.command(&linux_source::get_command(package, &folder));
    let open = text.command(&linux_source::open_command(&PathBuf::from(placeholder("dsc")), &folder));
    format!(
        "if [ ! -e \"$TARBALL\" ]; then\n    mkdir -p \"$OUT/download\"\n    {get}\n    \
         for dsc in \"$OUT/download\"/*.deb; do\n        {open}\n    done\n    TARBALL=$OUT/download{}\nfi\n",
        debian_tarball(version)
    )
}

fn configured(text: &mut Text, shared: &Shared) -> Result<()> {
    let Shared { manifest, configured, .. } = shared;
    let wanted = config::requested(&manifest.kernel)?;
    text.part("The kernel's configuration");
    text.say("The same build on every machine and at every time: kmake is make with words that see to that.");
    text.function("kmake", &config::make(configured));
    text.say(
        "Everything that is not asked for is off. RANDOMIZE_BASE must be, because the program reaches its data by fixed\n\
         distances, and page-table isolation, because it hides the kernel from programs. What the kernel's own tools\n\
         make of the request is compared with it: an option that got lost is an error.",
    );
    text.open(
        "if [ ! -e \"$KBUILD/configured\" ] || ! payload requested.config | cmp -s - \"$KBUILD/requested.config\"; then",
    );
    text.line("step 'the configuration'\nmkdir -p \"$KBUILD\"\nrm -f \"$KBUILD/configured\" \"$KBUILD/objects.done\"");
    text.file("requested.config", &wanted.to_text());
    text.line("payload requested.config > \"$KBUILD/requested.config\"");
    text.file("xz", vmlinux::XZ);
    text.say("xz as kernels need it, at less than half of the time for 7 % more bytes.");
    text.line("payload xz > \"$KBUILD/xz\"\nchmod +x \"$KBUILD/xz\"");
    let cmd = config::command(configured);
    text.cmd(&cmd);
    text.line(
        "if grep '=' \"$KBUILD/requested.config\" | grep -vxF -f \"$KBUILD/.config\" >&2; then\n    \
         echo 'the configuration lost these options' >&2\n    exit 1\nfi\n: > \"$KBUILD/configured\"",
    );
    text.close("fi");
    text.line("cp \"$KBUILD/.config\" \"$OUT/kernel.config\"");
    Ok(())
}

fn built(text: &mut Text, shared: &Shared) {
    text.part("The kernel's objects");
    text.say(
        "Minutes, but once for all programs: nothing of the program is in them. Take another build's with KBUILD=FOLDER:\n\
         a copy of `~/.cache/ukl/kernel/KEY`, whose key `image.json` names, with the tree that it was built from as LINUX.",
    );
    text.open("if [ ! -e \"$KBUILD/objects.done\" ]; then");
    text.line("step 'the objects of the kernel'\nrm -f \"$KBUILD/UKL.a\"");
    text.cmd(&vmlinux::objects_command(&shared.configured));
    text.line(": > \"$KBUILD/objects.done\"");
    text.close("fi");
}

fn linked(text: &mut Text, shared: &Shared) {
    text.part("The last link");
    text.say(
        "CONFIG_UKL_ARCHIVE names UKL.a: it joins behind all of the kernel's own objects. Of what an earlier link left,\n\
         nothing may look new.",
    );
    text.line("step 'the link of kernel and program'");
    let old: Vec<String> = vmlinux::LINKED.iter().map(|name| format!("\"$KBUILD/{name}\"")).collect();
    text.line(&format!("rm -f {}\ncp \"$OUT/UKL.a\" \"$KBUILD/UKL.a\"", old.join(" ")));
    text.cmd(&vmlinux::link_command(&shared.configured));
    text.line(&format!("cp \"$KBUILD/vmlinux\" \"$KBUILD/{}\" \"$OUT\"", TARGET.boot_image));
}
