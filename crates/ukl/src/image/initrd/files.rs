//! The manifest's `[[files]]` → entries of the RAM disk: copied as they are, or refused by name.

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use formats::newc::{Entry, EntryKind};
use walkdir::WalkDir;

use crate::base::error::{fail, Class, Result};
use crate::base::run::interrupted;
use crate::manifest::GuestFile;

/// Bytes of a file that says it has none, as those of /proc do: it is read until it ends, but no further than this.
const UNSIZED_MAX: u64 = 16 << 20;

/// A file or folder of the manifest with everything in it.
///
/// Folders, files, symbolic links, named pipes and device nodes come as they are, with their permissions and root as
/// their owner; a hard link is a file of its own. Errors (class `App`) name the path: a socket, a name that is no UTF-8, a
/// file that cannot be read or has no end.
pub(super) fn guest_entries(file: &GuestFile) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for found in WalkDir::new(&file.src).sort_by_file_name().follow_root_links(true) {
        anyhow::ensure!(!interrupted(), "interrupted");
        let found = found.map_err(|error| failure(&file.src, &error.to_string()))?;
        let path = guest_path(file, found.path())?;
        // What the manifest names itself is followed, what lies in a folder is not.
        let metadata = if found.depth() == 0 { fs::metadata(found.path()) } else { fs::symlink_metadata(found.path()) };
        let metadata = metadata.map_err(|error| failure(found.path(), &error.to_string()))?;
        let kind = kind(found.path(), &metadata)?;
        let mode = match kind {
            EntryKind::Symlink(_) => 0o777,
            EntryKind::Dir => metadata.mode() & 0o7777,
            _ => file.mode.unwrap_or(metadata.mode() & 0o7777),
        };
        entries.push(Entry::new(path, mode, kind));
    }
    Ok(entries)
}

fn failure(path: &Path, what: &str) -> anyhow::Error {
    fail(Class::App, format!("file `{}` of the manifest: {what}", path.display())).into()
}

/// Where `path`, which is or lies below `file.src`, comes to lie.
fn guest_path(file: &GuestFile, path: &Path) -> Result<String> {
    let inside = path.strip_prefix(&file.src).unwrap_or(Path::new(""));
    let Some(inside) = inside.to_str() else {
        let shown = PathBuf::from(inside.as_os_str().as_bytes().escape_ascii().to_string());
        return Err(failure(&file.src.join(shown), "its name is no UTF-8: rename it"));
    };
    Ok(match inside {
        "" => file.dst.clone(),
        inside => format!("{}/{inside}", file.dst.trim_end_matches('/')),
    })
}

fn kind(path: &Path, metadata: &Metadata) -> Result<EntryKind> {
    let kind = metadata.file_type();
    let (major, minor) = (libc::major(metadata.rdev()), libc::minor(metadata.rdev()));
    Ok(match () {
        () if kind.is_dir() => EntryKind::Dir,
        () if kind.is_symlink() => {
            let target = fs::read_link(path)?;
            let target = target.to_str().ok_or_else(|| failure(path, "the link's target is no UTF-8"))?;
            EntryKind::Symlink(target.to_owned())
        }
        () if kind.is_fifo() => EntryKind::Fifo,
        () if kind.is_char_device() => EntryKind::CharDevice { major, minor },
        () if kind.is_block_device() => EntryKind::BlockDevice { major, minor },
        () if kind.is_socket() => {
            return Err(failure(path, "a socket belongs to a running program and cannot be copied"))
        }
        () => EntryKind::File(contents(path, metadata).map_err(|error| failure(path, &format!("{error:#}")))?),
    })
}

/// All bytes of a file, which has an end.
fn contents(path: &Path, metadata: &Metadata) -> Result<Vec<u8>> {
    // If it was replaced by a pipe a moment ago, opening it does not wait.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let most = if metadata.len() == 0 { UNSIZED_MAX } else { metadata.len() };
    let mut bytes = Vec::new();
    let read = file.take(most + 1).read_to_end(&mut bytes)? as u64;
    anyhow::ensure!(read <= most, "it grew while it was read, or has no end ({most} bytes were expected)");
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::render;
    use crate::base::workdir;
    use std::os::unix::ffi::OsStringExt;

    fn folder(src: &Path) -> GuestFile {
        GuestFile { src: src.to_owned(), dst: "/srv".into(), mode: None }
    }

    #[test]
    fn a_folder_of_the_manifest_comes_with_everything_in_it() {
        let dir = tempfile::tempdir().unwrap();
        workdir::write_atomic(&dir.path().join("www/a/b.txt"), b"b").unwrap();
        std::os::unix::fs::symlink("a/b.txt", dir.path().join("www/link")).unwrap();
        let file = GuestFile { src: dir.path().join("www"), dst: "/srv".into(), mode: Some(0o600) };
        let entries = guest_entries(&file).unwrap();
        let paths: Vec<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(paths, ["/srv", "/srv/a", "/srv/a/b.txt", "/srv/link"]);
        assert_eq!(entries[2].mode, 0o600, "the manifest's mode is for files");
        assert_eq!(entries[3].kind, EntryKind::Symlink("a/b.txt".into()));
    }

    #[test]
    fn a_missing_file_is_the_programs_fault_and_named() {
        let (text, code) = render(&guest_entries(&folder(Path::new("/no/such/file"))).unwrap_err());
        assert!(text.contains("/no/such/file"), "{text}");
        assert_eq!(code, Class::App.exit_code());
    }

    #[test]
    fn pipes_come_as_they_are_and_nobody_waits_for_a_writer() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = std::ffi::CString::new(dir.path().join("fifo").into_os_string().into_vec()).unwrap();
        // SAFETY: the path ends with a NUL and lives through the call.
        assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o620) }, 0);
        let entries = guest_entries(&folder(dir.path())).unwrap();
        assert_eq!((entries[1].path.as_str(), &entries[1].kind), ("/srv/fifo", &EntryKind::Fifo));
        let entries = guest_entries(&folder(&dir.path().join("fifo"))).unwrap();
        assert_eq!((entries.len(), &entries[0].kind), (1, &EntryKind::Fifo), "named itself");
    }

    #[test]
    fn a_device_is_a_node_and_not_what_can_be_read_from_it() {
        let entries = guest_entries(&folder(Path::new("/dev/zero"))).unwrap();
        assert_eq!(entries[0].kind, EntryKind::CharDevice { major: 1, minor: 5 });
    }

    #[test]
    fn sockets_and_strange_names_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("sock")).unwrap();
        let (text, code) = render(&guest_entries(&folder(dir.path())).unwrap_err());
        assert!(text.contains("/sock` of the manifest: a socket"), "{text}");
        assert_eq!(code, Class::App.exit_code());
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(std::ffi::OsString::from_vec(b"a\xff".to_vec())), "x").unwrap();
        let (text, _) = render(&guest_entries(&folder(dir.path())).unwrap_err());
        assert!(text.contains(r"a\xff` of the manifest: its name is no UTF-8"), "{text}");
    }

    #[test]
    fn a_file_without_a_size_is_read_to_its_end() {
        let entries = guest_entries(&folder(Path::new("/proc/self/status"))).unwrap();
        assert!(matches!(&entries[0].kind, EntryKind::File(text) if text.starts_with(b"Name:")));
    }
}
