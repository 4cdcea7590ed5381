//! The initial RAM disk's part of the script: init, two lists for the kernel's own gen_init_cpio, two archives.

use std::path::Path;

use formats::newc::{Entry, EntryKind};

use crate::base::error::{fail, Class, Result};
use crate::image::initrd::{self, Startup};
use crate::manifest::Manifest;

use super::text::Text;
use super::Shared;

/// Writes the commands that lead to the RAM disk.
pub(super) fn write(text: &mut Text, shared: &Shared) -> Result<()> {
    let Shared { manifest, userland, dir, .. } = shared;
    let stage = dir.stage("initrd");
    let folder = text.word(&stage.to_string_lossy());
    let at = |text: &Text, name: &str| text.at(&stage, name);
    text.part("The initial RAM disk");
    text.say(
        "init is an ordinary program of ring 3: it mounts what programs expect, sets up the network, starts the program\n\
         and reports how it ended.",
    );
    text.line(&format!("step 'the initial RAM disk'\nmkdir -p {folder}"));
    let names: Vec<&str> = initrd::SOURCES.iter().map(|(name, _)| *name).collect();
    initrd::SOURCES.iter().for_each(|(name, content)| text.file(name, content));
    text.line(&format!("for file in {}; do payload \"$file\" > {folder}/\"$file\"; done", names.join(" ")));
    for cmd in initrd::init_commands(userland, &stage)? {
        text.cmd(&cmd);
    }
    text.say("The kernel's own program makes archives, devices included, without being root. -t 0: no times.");
    let archiver = at(text, "gen_init_cpio");
    text.line(&format!("\"$CC\" -o {archiver} \"$LINUX/usr/gen_init_cpio.c\""));
    text.say(&format!(
        "What starts the program, {} in the guest: an ELF file that exec knows by its headers. Its data is mapped from\n\
         there; its text is described where it is, in the kernel.",
        manifest.trigger
    ));
    let (vmlinux, trigger) = (text.word(&dir.vmlinux().to_string_lossy()), text.word(&dir.trigger().to_string_lossy()));
    text.line(&format!("\"$UKL\" trigger {vmlinux} {trigger}"));
    text.say("What an image always has.");
    let mut list = String::new();
    for entry in initrd::entries(manifest)? {
        list.push_str(&line(text, shared, &entry, &stage)?);
        list.push('\n');
    }
    let (base, archive, small) = (at(text, "base.list"), at(text, "base.cpio"), at(text, "base.cpio.lz4"));
    text.line(&format!("cat > {base} <<END\n{list}END"));
    text.say("Compressed as the kernel unpacks fastest.");
    let compress = text.command(&initrd::compressor());
    text.line(&format!("{archiver} -t 0 {base} > {archive}\n{compress} < {archive} > {small}"));
    overlay(text, shared, &stage);
    let (run, initrd) = (at(text, "run.list"), text.word(&dir.initrd().to_string_lossy()));
    text.say("Two archives, one behind the other: the kernel unpacks both.");
    text.line(&format!("{archiver} -t 0 {run} | cat - {small} > {initrd}"));
    Ok(())
}

/// What changes from run to run: init, and what it shall do.
fn overlay(text: &mut Text, shared: &Shared, stage: &Path) {
    let Manifest { name, trigger, args, env, storage, .. } = shared.manifest;
    let startup = Startup::of_image(name, trigger, args, env, storage);
    let mut list = vec!["dir /etc 0755 0 0".to_owned(), "dir /etc/ukl 0755 0 0".to_owned()];
    let mut strings = |text: &mut Text, name: &str, strings: &[String]| {
        let words = strings.iter().map(|s| plain(s)).collect::<Vec<_>>().join(" ");
        let file = text.at(stage, name);
        text.line(&format!("printf '%s\\0' {words} > {file}"));
        list.push(format!("file /etc/ukl/{name} {} 0644 0 0", unquoted(&file)));
    };
    text.say("What init does: the console's mode, numbers of arguments and variables, path, arguments, variables.");
    strings(text, "command", &initrd::command_strings(&startup));
    if !startup.mounts.is_empty() {
        text.say("What it mounts: file system, name, place, options, mode.");
        let mounts: Vec<String> = initrd::mount_strings(&startup.mounts).map(str::to_owned).collect();
        strings(text, "mounts", &mounts);
    }
    list.push(format!("file /init {} 0755 0 0", unquoted(&text.at(stage, "init"))));
    let run = text.at(stage, "run.list");
    text.line(&format!("cat > {run} <<END\n{}\nEND", list.join("\n")));
}

/// A word for a here-document, which has its variables and no quotes.
fn unquoted(word: &str) -> String {
    word.replace('"', "")
}

/// A word of ours for printf: nothing in it is a path of the script's.
fn plain(word: &str) -> String {
    Text::default().word(word)
}

/// One line of the list, in a here-document; a file of ours is written first.
fn line(text: &mut Text, shared: &Shared, entry: &Entry, stage: &Path) -> Result<String> {
    let path = format!("/{}", entry.path);
    let place = quiet(&path)?;
    let rights = format!("{:04o} {} {}", entry.mode, entry.uid, entry.gid);
    Ok(match &entry.kind {
        EntryKind::Dir => format!("dir {place} {rights}"),
        EntryKind::Symlink(target) => format!("slink {place} {} {rights}", quiet(target)?),
        EntryKind::CharDevice { major, minor } => format!("nod {place} {rights} c {major} {minor}"),
        EntryKind::BlockDevice { major, minor } => format!("nod {place} {rights} b {major} {minor}"),
        EntryKind::Fifo => format!("pipe {place} {rights}"),
        EntryKind::File(bytes) => {
            format!("file {place} {} {rights}", unquoted(&file(text, shared, place, bytes, stage)?))
        }
    })
}

/// Where the contents of a file are.
fn file(text: &mut Text, shared: &Shared, place: &str, bytes: &[u8], stage: &Path) -> Result<String> {
    let Shared { manifest, dir, .. } = shared;
    // The user's own file wins over ours.
    for file in manifest.files.iter().rev() {
        let Some(rest) = place.strip_prefix(file.dst.trim_end_matches('/')) else { continue };
        let source = if rest.is_empty() { file.src.clone() } else { file.src.join(rest.trim_start_matches('/')) };
        if (rest.is_empty() || rest.starts_with('/')) && source.exists() {
            return Ok(text.word(quiet(&source.to_string_lossy())?));
        }
    }
    if place == manifest.trigger {
        return Ok(text.word(&dir.trigger().to_string_lossy()));
    }
    let name = Path::new(place).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let here = text.at(stage, &name);
    text.file(&name, &String::from_utf8_lossy(bytes));
    text.line(&format!("payload {name} > {here}"));
    Ok(here)
}

/// gen_init_cpio and the here-document take words as they are. Error (class `Usage`): this one they would not.
fn quiet(word: &str) -> Result<&str> {
    if word.contains(|c: char| c.is_whitespace() || "$`\\\"'".contains(c)) {
        let text = format!("the kernel's gen_init_cpio takes no file named {word:?}");
        return Err(fail(Class::Usage, text).hint("blanks, quotes, `$` and backslashes cannot be in it").into());
    }
    Ok(word)
}
