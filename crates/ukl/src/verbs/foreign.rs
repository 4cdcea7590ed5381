//! Options of other tools that have no meaning of ours: what to type instead.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// (options, what to type). Of docker, podman, kraft, ops and virtme-ng.
const WORDS: [(&[&str], &str); 13] = [
    (&["--network", "--networks"], "`--net user`, `--net none`, `--net tap=NAME` or `--net bridge=NAME`"),
    (
        &["--mount", "--tmpfs", "--mounts"],
        "`--share DIR:/PLACE[:ro]` or `--disk FILE:SIZE:/PLACE`; /tmp is in memory anyway",
    ),
    (&["--entrypoint"], "an image has one program: its arguments go behind `--`"),
    (&["--restart"], "a guest that ended stays so: let your service manager call `ukl run`"),
    (&["--privileged", "--cap-add", "--security-opt"], "nothing: the program is alone on a machine of its own"),
    (&["--user", "--workdir", "--hostname"], "nothing: the program is root of its machine and begins in `/`"),
    (&["--platform", "--arch"], "`--plat qemu` or `--plat linuxu`; the processor is x86-64"),
    (&["--kernel-arg", "--kernel-args", "--kopt"], "`--append WORDS`"),
    (&["--rootfs", "--initrd", "--initramfs"], "`[[files]]` in ukl.toml: they are part of the image"),
    (&["--config"], "ukl.toml in the project's folder; `ukl set` and `ukl configure` change it"),
    (&["--rw", "--rwdir", "--rodir", "--root"], "`--share DIR:/PLACE[:ro]`"),
    (&["--qemu-opts", "--qemu-opt"], "`--qemu-args WORDS`"),
    (&["--exec", "--cmd"], "arguments go behind `--`: `ukl run -- ARGS`; `--shell` gives a shell"),
];

/// What to type instead of an option that `error` does not know, or of a word that is no text.
pub(super) fn hint(error: &clap::Error) -> Option<&'static str> {
    if error.kind() == ErrorKind::InvalidUtf8 {
        return Some("arguments and options are UTF-8; standard input, `--share` and `[[files]]` carry any bytes");
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else { return None };
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let name = word.split(['=', ' ']).next()?;
    WORDS.iter().find(|(words, _)| words.contains(&name)).map(|(_, hint)| *hint)
}
