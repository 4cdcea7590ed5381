//! The C library's part of the script: source package, assembler hook, musl's own build, the kernel's headers.

use std::path::PathBuf;

use crate::base::error::Result;
use crate::program::libc::hook;
use crate::program::libc::musl::{self, PARTS};
use crate::supply::debian;

use super::text::{placeholder, Text};
use super::Shared;

/// Writes the commands that lead to `$SYSROOT`.
pub(super) fn write(text: &mut Text, shared: &Shared) -> Result<()> {
    text.part("The C library");
    text.say(
        "musl, unmodified, compiled with the program's flags: once for all programs. Take another build's with\n\
         SYSROOT=FOLDER, its source with MUSL=FOLDER.",
    );
    source(text, shared);
    text.open("if [ ! -e \"$SYSROOT/lib/libc.a\" ]; then");
    text.line("step 'the assembler hook and the C library'");
    text.say(
        "Compilers find this `as` through -B. It has the real assembler read sites.s first, whose macros take the place\n\
         of two instructions: each `syscall` becomes 12 bytes with a relocation that names the place.",
    );
    text.line("mkdir -p \"$SYSROOT/hook\" \"$SYSROOT/include\" \"$OUT/musl\"");
    for (name, content) in hook(&shared.userland.toolchain) {
        text.file(name, &content);
        text.line(&format!("payload {name} > \"$SYSROOT/hook/{name}\""));
    }
    text.line("chmod +x \"$SYSROOT/hook/as\"");
    text.say(
        "-mno-red-zone: an interrupt at privilege level 0 pushes its frame right below the stack pointer.\n\
         -mcmodel=kernel: code in the highest 2 GiB, data in the lowest: 32 bits, sign-extended, reach both.",
    );
    let place = |name: &str| PathBuf::from(placeholder(name));
    let build = place("OUT").join("musl");
    for cmd in musl::commands(&shared.userland.toolchain, &place("MUSL"), &build, &shared.userland.sysroot.dir) {
        text.cmd(&cmd);
    }
    text.say("The kernel's headers for programs, as every C library borrows them.");
    for (folder, name) in musl::kernel_headers()?.folders {
        text.line(&format!("cp -RLT {} \"$SYSROOT/include/{name}\"", text.word(&folder.to_string_lossy())));
    }
    let queue = musl::queue_header().display().to_string();
    text.line(&format!("[ ! -e {queue} ] || cp {queue} \"$SYSROOT/include/sys/queue.h\""));
    text.say("Last, so that a folder with the library in it is complete.");
    let parts: Vec<String> = PARTS.iter().map(|part| format!("\"$OUT/musl/lib/{part}\"")).collect();
    text.line(&format!(
        "mkdir -p \"$SYSROOT/lib.new\"\ncp \\\n    {} \\\n    \"$SYSROOT/lib.new\"",
        parts.join(" \\\n    ")
    ));
    text.line("mv \"$SYSROOT/lib.new\" \"$SYSROOT/lib\"");
    text.close("fi");
    Ok(())
}

/// The source package of the distribution, through apt with files of its own: the machine's stay as they are.
fn source(text: &mut Text, shared: &Shared) {
    let work = PathBuf::from(placeholder("apt"));
    let dsc = PathBuf::from(placeholder("dsc"));
    let folders: Vec<String> = debian::FOLDERS.iter().map(|folder| format!("\"$apt/{folder}\"")).collect();
    let pin = shared.pins.iter().find(|pin| pin.package == "musl");
    let what = pin.map_or("musl".to_owned(), |pin| format!("musl={}", pin.version));
    text.open("if [ ! -e \"$SYSROOT/lib/libc.a\" ] && [ ! -e \"$MUSL/configure\" ]; then");
    text.line("step 'the source of the C library'");
    text.line(&format!("apt=$OUT/apt\nrm -rf \"$apt\"\nmkdir -p {}", folders.join(" ")));
    text.say("The machine's own archives, asked for sources; apt works in a folder of ours.");
    let lists = debian::LISTS;
    text.line(&format!(
        "for list in /etc/apt/sources.list /etc/apt/sources.list.d/*; do\n    case $list in\n    \
         *.sources) sed 's/^[Tt]ypes:.*/Types: deb-src/' \"$list\" > \"$apt/{lists}/${{list##*/}}\" ;;\n    \
         *.list) [ ! -e \"$list\" ] || sed -n 's/^ *deb\\([[:space:]]\\)/deb-src\\1/p' \"$list\" > \"$apt/{lists}/${{list##*/}}\" ;;\n    \
         esac\ndone"
    ));
    text.say("An archive of somebody else's that cannot be reached is no reason to stop.");
    text.cmd_with(&debian::update_command(&work), " || true");
    text.cmd(&debian::get_command(&work, &what));
    text.open(&format!("for dsc in \"$apt/{}\"/*.dsc; do", debian::PACKAGE));
    text.say("The description names the checksums of what was downloaded.");
    text.line(&format!(
        "sed -n '/^Checksums-Sha256:/,/^[^ ]/s/^ \\([0-9a-f]*\\) [0-9]* /\\1  /p' \"$dsc\" |\n    \
         (cd \"$apt/{}\" && sha256sum --quiet -c -)",
        debian::PACKAGE
    ));
    text.line("new=$MUSL.new\nrm -rf \"$new\"");
    text.cmd(&debian::unpack_command(&dsc, &PathBuf::from(placeholder("new"))));
    text.line("mv \"$new\" \"$MUSL\"");
    text.close("done");
    text.close("fi");
}
