//! Files into a guest that runs, and out of it: an archive goes over a session, and busybox is at its other end.
//!
//! What arrives is put beside its place first and moved there when it is whole.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context;
use serde::Serialize;
use walkdir::WalkDir;

use crate::base::error::{fail, Class, Failure, Result};
use crate::base::workdir;

use super::session::PIECE;
use super::{Guest, Input, Job, Said, Session};

/// Receives an archive on its input: the destination, the source's name (`.`: its contents are meant), `file` or `folder`.
const TAKE: &str = include_str!("copy/take.sh");
/// Writes a line that says what it is, then the file or the folder's archive: the source.
const GIVE: &str = include_str!("copy/give.sh");
/// What is copied has this name in an archive on its way into a guest.
const INSIDE: &str = "c";
/// The last name of such an archive: without it, the archive is not whole.
const END: &str = "end";
/// The status of our scripts where what was asked for cannot be.
const REFUSED: u8 = 3;
/// What we put beside a destination begins with this.
const BESIDE: &str = ".ukl-cp-";

/// How much was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Copied {
    /// Files and symbolic links.
    pub files: u64,
    /// The bytes of the files.
    pub bytes: u64,
}

/// Copies the file or folder `source` to `to`, an absolute path in the guest: into it where it is a folder, as `cp -r` does.
///
/// Errors: no such source, or one that is no file or folder; no such place in the guest (class `Usage`).
pub fn copy_in(guest: &Guest, source: &Path, to: &str) -> Result<Copied> {
    let missing = |error| fail(Class::Usage, format!("cannot read `{}`: {error}", source.display()));
    let kind = fs::metadata(source).map_err(missing)?;
    refuse_special(source, &kind)?;
    let kind = if kind.is_dir() { "folder" } else { "file" };
    let mut session = begin(guest, TAKE, &[to, &name_of(source)?, kind])?;
    let input = session.input();
    let packed = pack(source, Sink(&input));
    // Without the last name the guest's side undoes what it did.
    let ended = input.send(b"");
    let copied = packed?;
    ended?;
    let mut said = Output::new(&mut session);
    said.finish()?;
    Ok(copied)
}

/// Copies the file or folder `from`, an absolute path in the guest, to `to`: into it where it is a folder, as `cp -r` does.
///
/// Errors: no such source in the guest, no such place here (class `Usage`).
pub fn copy_out(guest: &Guest, from: &str, to: &Path) -> Result<Copied> {
    let base = from.trim_end_matches('/').rsplit('/').next().filter(|base| !base.is_empty()).unwrap_or(".");
    // The folder itself is the destination of what is in `.`.
    let target = if to.is_dir() && base != "." { to.join(base) } else { to.to_owned() };
    if !to.is_dir() && to.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(fail(Class::Usage, format!("no folder `{}`", to.display())).into());
    }
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        return Err(fail(Class::Usage, format!("no folder `{}`", parent.display())).into());
    }
    let mut session = begin(guest, GIVE, &[from])?;
    let mut said = Output::new(&mut session);
    take(&mut said, &target, parent)
}

/// What `said` gives goes to `target`.
fn take<S: Says>(said: &mut Output<S>, target: &Path, parent: &Path) -> Result<Copied> {
    let line = said.line()?;
    let is_folder = line == "folder";
    if target.is_dir() != is_folder && target.exists() {
        let kind = if is_folder { "file" } else { "folder" };
        return Err(fail(Class::Usage, format!("`{}` is a {kind} already", target.display())).into());
    }
    let beside = tempfile::Builder::new().prefix(BESIDE).tempdir_in(if target.is_dir() { target } else { parent })?;
    let work = beside.path().join(INSIDE);
    let taken = if is_folder { unpack(&mut *said, &work) } else { save(&mut *said, &line, &work) };
    if let Some(error) = said.broken.take() {
        return Err(error);
    }
    // The guest knows better why an archive is too short.
    if taken.is_ok() || said.status.is_some() {
        said.finish()?;
    }
    let copied = taken?;
    place(&work, target)?;
    Ok(copied)
}

/// A shell of busybox in the guest, whatever the guest has itself.
fn begin(guest: &Guest, script: &str, arguments: &[&str]) -> Result<Session> {
    let argv = ["sh", "-c", script, "sh"].iter().chain(arguments).map(|word| (*word).to_owned()).collect();
    let mut session = Session::open(guest)?;
    session.busybox(&Job { argv, terminal: None }, &[])?;
    Ok(session)
}

/// What a source is called where it goes to.
fn name_of(source: &Path) -> Result<String> {
    if source.as_os_str().as_encoded_bytes().ends_with(b"/.") {
        return Ok(".".into());
    }
    let Some(name) = source.file_name() else { return Ok(".".into()) };
    let text = name.to_str().filter(|name| !name.is_empty());
    Ok(text.ok_or_else(|| fail(Class::Usage, format!("`{}`: the name is not UTF-8", source.display())))?.to_owned())
}

fn refuse_special(path: &Path, meta: &fs::Metadata) -> Result<()> {
    let kind = meta.file_type();
    if kind.is_file() || kind.is_dir() || kind.is_symlink() {
        return Ok(());
    }
    let what = match kind {
        kind if kind.is_fifo() => "a named pipe",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    };
    Err(fail(Class::Usage, format!("`{}` is {what}: files, folders and links are copied", path.display())).into())
}

/// Writes the archive of a file or folder.
fn pack(source: &Path, to: impl Write) -> Result<Copied> {
    let mut archive = tar::Builder::new(io::BufWriter::with_capacity(PIECE, to));
    let mut copied = Copied::default();
    for entry in WalkDir::new(source).follow_root_links(true) {
        let entry = entry?;
        anyhow::ensure!(!crate::base::run::interrupted(), "interrupted");
        let path = entry.path();
        let name = match entry.depth() {
            0 => PathBuf::from(INSIDE),
            _ => Path::new(INSIDE).join(path.strip_prefix(source)?),
        };
        // A link that is named itself stands for what it leads to.
        let meta = if entry.depth() == 0 { fs::metadata(path)? } else { fs::symlink_metadata(path)? };
        refuse_special(path, &meta)?;
        let mut header = tar::Header::new_gnu();
        header.set_metadata(&meta);
        let why = || format!("failed to copy `{}`", path.display());
        if meta.is_dir() {
            archive.append_data(&mut header, name, io::empty()).with_context(why)?;
            continue;
        }
        copied.files += 1;
        if meta.is_symlink() {
            archive.append_link(&mut header, name, fs::read_link(path)?).with_context(why)?;
            continue;
        }
        let file = Whole { file: File::open(path).with_context(why)?, left: meta.len() };
        archive.append_data(&mut header, name, file).with_context(why)?;
        copied.bytes += meta.len();
    }
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    header.set_mode(0o600);
    archive.append_data(&mut header, END, io::empty())?;
    archive.into_inner()?.flush()?;
    Ok(copied)
}

/// As many bytes of a file as it had when its header was written, or an error.
struct Whole {
    file: File,
    left: u64,
}

impl Read for Whole {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let most = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let n = self.file.read(&mut bytes[..most])?;
        if n == 0 && most > 0 {
            return Err(io::Error::other("it became shorter while it was read"));
        }
        self.left -= n as u64;
        Ok(n)
    }
}

/// A file whose mode and time are in `line`.
fn save(from: &mut impl Read, line: &str, to: &Path) -> Result<Copied> {
    let words: Vec<&str> = line.split(' ').collect();
    let ["file", mode, time] = words[..] else { anyhow::bail!("the guest says `{line}` of the file") };
    let mut file = File::create_new(to)?;
    let bytes = io::copy(from, &mut file)?;
    // Nobody becomes another user by a file that was copied.
    file.set_permissions(fs::Permissions::from_mode(u32::from_str_radix(mode, 8)? & 0o777))?;
    file.set_modified(UNIX_EPOCH + Duration::from_secs(time.parse().unwrap_or_default()))?;
    Ok(Copied { files: 1, bytes })
}

/// A folder from its archive; nothing goes outside of it.
fn unpack(from: &mut impl Read, to: &Path) -> Result<Copied> {
    fs::create_dir(to)?;
    let mut archive = tar::Archive::new(from);
    let (mut copied, mut folders) = (Copied::default(), Vec::new());
    for entry in archive.entries()? {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        match kind {
            // Their modes may forbid to write in them.
            tar::EntryType::Directory => folders.push(entry),
            tar::EntryType::Regular | tar::EntryType::Symlink | tar::EntryType::Link => {
                copied.files += 1;
                copied.bytes += entry.size();
                entry.unpack_in(to)?;
            }
            _ => {
                let name = entry.path()?.display().to_string();
                let text =
                    format!("`{name}` in the folder is a device or a named pipe: files, folders and links are copied");
                return Err(fail(Class::Usage, text).into());
            }
        }
    }
    folders.sort_by_key(|folder| std::cmp::Reverse(folder.path_bytes().into_owned()));
    for mut folder in folders {
        let is_top = folder.path()?.components().all(|part| part == std::path::Component::CurDir);
        if is_top {
            let mode = folder.header().mode()? & 0o777;
            workdir::set_mode(to, mode)?;
        } else {
            folder.unpack_in(to)?;
        }
    }
    Ok(copied)
}

/// Moves what is whole to its place; folders that are there take what is new.
fn place(from: &Path, to: &Path) -> Result<()> {
    let meta = fs::symlink_metadata(from)?;
    if meta.is_dir() {
        // Who may not write in a folder may not move it either.
        workdir::set_mode(from, 0o700)?;
        if !to.exists() {
            move_to(from, to)?;
            return workdir::set_mode(to, meta.mode() & 0o777);
        }
        for one in fs::read_dir(from)? {
            let one = one?;
            place(&one.path(), &to.join(one.file_name()))?;
        }
        return Ok(());
    }
    if to.is_dir() && !to.is_symlink() {
        return Err(fail(Class::Usage, format!("`{}` is a folder already", to.display())).into());
    }
    move_to(from, to)
}

fn move_to(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| format!("failed to write `{}`", to.display()))
}

/// The input of the guest's program.
struct Sink<'a>(&'a Input);

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = &bytes[..bytes.len().min(PIECE)];
        if !piece.is_empty() {
            self.0.send(piece).map_err(io::Error::other)?;
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where the words of a program come from.
trait Says {
    fn next(&mut self) -> Result<Said>;
}

impl Says for Session {
    fn next(&mut self) -> Result<Said> {
        self.listen()
    }
}

/// The output of the guest's program, and how it ended.
struct Output<'a, S: Says> {
    from: &'a mut S,
    pending: Vec<u8>,
    errors: Vec<u8>,
    status: Option<u8>,
    /// Why there is no more, where the guest ended or we were interrupted.
    broken: Option<anyhow::Error>,
}

impl<'a, S: Says> Output<'a, S> {
    fn new(from: &'a mut S) -> Self {
        Output { from, pending: Vec::new(), errors: Vec::new(), status: None, broken: None }
    }

    /// The first line.
    fn line(&mut self) -> Result<String> {
        let (mut line, mut byte) = (Vec::new(), [0]);
        while self.read(&mut byte).map_err(|error| self.why(error))? == 1 {
            match byte {
                [b'\n'] => return Ok(String::from_utf8_lossy(&line).into_owned()),
                [byte] => line.push(byte),
            }
        }
        self.finish()?;
        anyhow::bail!("the guest says nothing")
    }

    /// Waits for the end. Error: it failed, with what it said.
    fn finish(&mut self) -> Result<()> {
        io::copy(self, &mut io::sink()).map_err(|error| self.why(error))?;
        match self.status {
            Some(0) => Ok(()),
            status => Err(self.failure(status.unwrap_or(1)).into()),
        }
    }

    fn why(&mut self, error: io::Error) -> anyhow::Error {
        self.broken.take().unwrap_or(error.into())
    }

    fn failure(&self, status: u8) -> Failure {
        let text = String::from_utf8_lossy(&self.errors).trim().to_owned();
        let class = if status == REFUSED { Class::Usage } else { Class::Boot };
        let text = if text.is_empty() { format!("the guest's side ended with {status}") } else { text };
        fail(class, format!("in the guest: {text}"))
    }
}

impl<S: Says> Read for Output<'_, S> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        while self.pending.is_empty() && self.status.is_none() {
            match self.from.next() {
                Ok(Said::Out(bytes)) => self.pending = bytes,
                Ok(Said::Err(bytes)) => self.errors.extend(bytes),
                Ok(Said::Ended(status)) => self.status = Some(status),
                Err(error) => {
                    self.broken = Some(error);
                    return Err(io::Error::other("the guest's side broke off"));
                }
            }
        }
        let n = bytes.len().min(self.pending.len());
        bytes[..n].copy_from_slice(&self.pending[..n]);
        self.pending.drain(..n);
        Ok(n)
    }
}

#[cfg(test)]
mod tests;
