//! What an image always has: folders and nodes of `initrd/files.list`, the trigger, the manifest's files, init.

use std::path::{Path, PathBuf};

use anyhow::Context;
use formats::newc::{self, Entry, EntryKind};

use super::files::guest_entries;
use crate::base::cached::{self, Work};
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::plan::Made;
use crate::base::run::Cmd;
use crate::base::workdir;
use crate::manifest::Manifest;
use crate::program::link;
use crate::program::userland::Userland;

const LIST: &str = include_str!("../../../../../initrd/files.list");
/// What init is compiled from.
pub const SOURCES: [(&str, &str); 9] = [
    ("report.c", include_str!("../../../../../initrd/report.c")),
    ("init.c", include_str!("../../../../../initrd/init.c")),
    ("output.c", include_str!("../../../../../initrd/output.c")),
    ("core.c", include_str!("../../../../../initrd/core.c")),
    ("exec.c", include_str!("../../../../../initrd/exec.c")),
    ("net.c", include_str!("../../../../../initrd/net.c")),
    ("dhcp.c", include_str!("../../../../../initrd/dhcp.c")),
    ("storage.c", include_str!("../../../../../initrd/storage.c")),
    ("init.h", include_str!("../../../../../initrd/init.h")),
];
/// What the list's locations name.
pub const FILES: [(&str, &str); 4] = [
    ("etc/passwd", include_str!("../../../../../initrd/etc/passwd")),
    ("etc/group", include_str!("../../../../../initrd/etc/group")),
    ("etc/hosts", include_str!("../../../../../initrd/etc/hosts")),
    ("etc/resolv.conf", include_str!("../../../../../initrd/etc/resolv.conf")),
];
const CFLAGS: [&str; 4] = ["-std=gnu11", "-Os", "-Wall", "-Wextra"];

/// The compiled init.
pub(super) fn init(env: &Env, userland: &Userland) -> Result<Made<PathBuf>> {
    program(env, userland, "init", &SOURCES)
}

/// A program of ours for the guest, compiled once: an ordinary static one for ring 3.
///
/// `sources` are the names and texts of its files; what it is called is also the kind of its entry in the cache.
pub fn program(env: &Env, userland: &Userland, name: &str, sources: &[(&str, &str)]) -> Result<Made<PathBuf>> {
    let (flags, version) = (CFLAGS.join(" "), format!("{name}-2"));
    let mut parts = vec![version.as_str(), &flags, &userland.sysroot.key, &userland.toolchain.id];
    parts.extend(sources.iter().flat_map(|(name, text)| [*name, *text]));
    let key = workdir::hash(parts)[..16].to_owned();
    let commands = |work: &Work| Ok(commands(userland, &work.out, name, sources)?.into());
    let entry = cached::entry(env, name, &key, commands, |Work { out, .. }, commands| {
        for (name, text) in sources {
            workdir::write_atomic(&out.join(name), text.as_bytes())?;
        }
        let (compile, link) = commands.split_at(1);
        env.shell.check_all(compile, Class::Host)?;
        let (objects, log) = (objects(out, sources), out.join("link.log"));
        link.iter().try_for_each(|cmd| link::executable(&env.shell, userland, &objects, cmd, &log))
    })?;
    Ok(entry.map(|entry| entry.join(name)))
}

/// The compiler's call and the linker's for the program `name`, whose `sources` lie in `dir`.
fn commands(userland: &Userland, dir: &Path, name: &str, sources: &[(&str, &str)]) -> Result<[Cmd; 2]> {
    let link = link::executable_command(userland, &objects(dir, sources), &dir.join(name))?;
    Ok([compile(userland, dir, sources), link])
}

fn units<'a>(sources: &[(&'a str, &str)]) -> Vec<&'a str> {
    sources.iter().filter_map(|(name, _)| name.strip_suffix(".c")).collect()
}

fn objects(dir: &Path, sources: &[(&str, &str)]) -> Vec<PathBuf> {
    units(sources).iter().map(|unit| dir.join(format!("{unit}.o"))).collect()
}

/// Compiles the sources that lie in `dir`.
fn compile(Userland { toolchain, sysroot }: &Userland, dir: &Path, sources: &[(&str, &str)]) -> Cmd {
    let cmd = Cmd::new(&toolchain.cc).args(sysroot.cflags(toolchain)).args(CFLAGS).arg("-c");
    cmd.args(units(sources).iter().map(|unit| format!("{unit}.c"))).cwd(dir)
}

/// What makes init of the [`SOURCES`] in `dir`: the compiler's call and the linker's.
pub fn init_commands(userland: &Userland, dir: &Path) -> Result<[Cmd; 2]> {
    commands(userland, dir, "init", &SOURCES)
}

/// Everything but init and the commands; of the file that starts the program, all but its contents.
pub fn entries(manifest: &Manifest) -> Result<Vec<Entry>> {
    Ok(newc::read(&archive(manifest, Vec::new())?)?)
}

/// The uncompressed archive of everything but init and the commands.
pub(super) fn archive(manifest: &Manifest, trigger: Vec<u8>) -> Result<Vec<u8>> {
    let mut entries = parse_list(LIST)?;
    entries.push(Entry::file(&manifest.trigger, 0o755, trigger));
    for file in &manifest.files {
        let guest = guest_entries(file)?;
        // The program's own file wins over ours, for instance its /etc/hosts.
        entries.retain(|ours| !guest.iter().any(|entry| entry.path == ours.path));
        entries.extend(guest);
    }
    newc::write(&entries).map_err(|error| fail(Class::App, format!("files of the RAM disk: {error}")).into())
}

/// The call of lz4, which reads standard input and writes standard output: as the kernel unpacks fastest, in the
/// legacy frame.
pub fn compressor() -> Cmd {
    Cmd::new("lz4").args(["-l", "-9", "-c", "-q"])
}

/// Reads the syntax of the kernel's `usr/gen_init_cpio.c`.
fn parse_list(text: &str) -> Result<Vec<Entry>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|(i, line)| {
            let words: Vec<&str> = line.split_whitespace().collect();
            parse_line(&words).with_context(|| format!("initrd/files.list:{}: `{line}` is not understood", i + 1))
        })
        .collect()
}

fn parse_line(words: &[&str]) -> Result<Entry> {
    let octal = |text: &str| u32::from_str_radix(text, 8).context("mode");
    let (path, kind, mode, uid, gid) = match *words {
        ["dir", path, mode, uid, gid] => (path, EntryKind::Dir, mode, uid, gid),
        ["slink", path, target, mode, uid, gid] => (path, EntryKind::Symlink(target.into()), mode, uid, gid),
        ["nod", path, mode, uid, gid, "c", major, minor] => {
            (path, EntryKind::CharDevice { major: major.parse()?, minor: minor.parse()? }, mode, uid, gid)
        }
        ["file", path, location, mode, uid, gid] => {
            let file = FILES.iter().find(|(name, _)| *name == location);
            let (_, text) = file.with_context(|| format!("no file `{location}` below initrd/"))?;
            (path, EntryKind::File(text.as_bytes().to_vec()), mode, uid, gid)
        }
        _ => anyhow::bail!("expected dir, slink, nod or file with its values"),
    };
    Ok(Entry { path: path.into(), mode: octal(mode)?, uid: uid.parse()?, gid: gid.parse()?, kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_understood_and_has_the_console() {
        let entries = parse_list(LIST).unwrap();
        let console = entries.iter().find(|entry| entry.path == "/dev/console").unwrap();
        assert_eq!(console.kind, EntryKind::CharDevice { major: 5, minor: 1 });
        let hosts = entries.iter().find(|entry| entry.path == "/etc/hosts").unwrap();
        assert!(matches!(&hosts.kind, EntryKind::File(text) if text.starts_with(b"127.0.0.1")));
        assert!(newc::write(&entries).is_ok());
    }

    #[test]
    fn a_line_that_is_not_understood_is_an_error_with_its_number() {
        let error = format!("{:#}", parse_list("dir /a 0755 0 0\npipe /b 0600 0 0\n").unwrap_err());
        assert!(error.contains("files.list:2") && error.contains("pipe"), "{error}");
    }
}
