//! Names of every path that ukl writes; nobody else joins paths, and every write is atomic.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use sha2::{Digest, Sha256};

use crate::base::error::{fail, Class, Result};

/// The content-addressed cache, shared by all projects of a user.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `$XDG_CACHE_HOME/ukl`, or `~/.cache/ukl`.
    pub fn from_env() -> Result<Self> {
        Ok(Cache { root: base_folder("XDG_CACHE_HOME", ".cache")?.join("ukl") })
    }

    /// A cache at `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Cache { root: root.into() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The entry `key` of `kind` (`musl`, `source`, `kernel`, …): a folder that may not exist yet.
    ///
    /// Asking for an entry counts as using it: its time of modification becomes now.
    pub fn entry(&self, kind: &str, key: &str) -> PathBuf {
        let path = self.root.join(kind).join(key);
        // Only `ukl cache` looks at this time; a cache that cannot be written to is still good to read.
        let _ = File::open(&path).and_then(|entry| entry.set_modified(SystemTime::now()));
        path
    }

    /// Every entry as (kind, key, path), sorted; locks, facts and logs are none.
    pub fn entries(&self) -> Result<Vec<(String, String, PathBuf)>> {
        let mut entries = Vec::new();
        for kind in list(&self.root)? {
            let name = file_name(&kind);
            if ["locks", "facts", "logs"].contains(&name.as_str()) || !kind.is_dir() {
                continue;
            }
            entries.extend(list(&kind)?.into_iter().map(|path| (name.clone(), file_name(&path), path)));
        }
        entries.sort();
        Ok(entries)
    }

    /// The lock named `kind-key` if nobody holds it.
    pub fn try_lock(&self, kind: &str, key: &str) -> Result<Option<File>> {
        let file = self.lock_file(kind, key)?;
        Ok(file.try_lock().is_ok().then_some(file))
    }

    fn lock_file(&self, kind: &str, key: &str) -> Result<File> {
        let dir = self.root.join("locks");
        create_dir(&dir)?;
        let path = dir.join(format!("{kind}-{key}"));
        let open = File::options().create(true).truncate(false).write(true).open(&path);
        open.with_context(|| format!("failed to open `{}`", path.display()))
    }

    /// The log of something that belongs to no image (`doctor`).
    pub fn log(&self, name: &str) -> PathBuf {
        self.root.join("logs").join(format!("{name}.log"))
    }

    /// The file that remembers one fact about this host (the acceleration probe's answer).
    pub fn fact(&self, name: &str) -> PathBuf {
        self.root.join("facts").join(name)
    }

    /// Waits for the lock named `kind-key`; it is released when the returned file is dropped.
    ///
    /// Says so once on standard error when another build holds it.
    pub fn lock(&self, kind: &str, key: &str) -> Result<File> {
        let file = self.lock_file(kind, key)?;
        if file.try_lock().is_err() {
            crate::base::term::say(&format!("waiting for another build that holds `{kind}-{key}`"));
            wait_for(&file).with_context(|| format!("failed to lock `{kind}-{key}`"))?;
        }
        Ok(file)
    }
}

/// The image folder: everything a build leaves, and everything that made it.
#[derive(Debug, Clone)]
pub struct ImageDir {
    root: PathBuf,
    /// Where the parts of the image are.
    parts: PathBuf,
}

impl ImageDir {
    /// The folder `root`, which may not exist yet.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        ImageDir { parts: root.clone(), root }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The same folder while the next image is made: its parts lie beside those of the last one, which stays whole
    /// until [`ImageDir::publish`].
    pub fn next(&self) -> ImageDir {
        ImageDir { root: self.root.clone(), parts: self.stage("next") }
    }

    /// Puts these parts of the next image in the place of the last one's, the last of them at the very end.
    pub fn publish(&self, parts: &[PathBuf]) -> Result<()> {
        let Some((last, others)) = parts.split_last() else { return Ok(()) };
        let place = |part: &PathBuf| self.root.join(part.file_name().unwrap_or_default());
        remove_file(&place(last))?;
        for part in others.iter().chain([last]) {
            let place = place(part);
            let beside = place.with_extension("next");
            remove_file(&beside)?;
            // Every part is written whole and renamed into place: two names of one file never see it change.
            match fs::hard_link(part, &beside) {
                Ok(()) => {
                    fs::rename(&beside, &place).with_context(|| format!("failed to replace `{}`", place.display()))?
                }
                Err(_) => copy_atomic(part, &place)?,
            }
        }
        Ok(())
    }

    /// Waits until no other build works on this image; the lock ends with the returned value.
    ///
    /// A dry run creates nothing and locks nothing.
    pub fn lock(&self, dry_run: bool) -> Result<Option<File>> {
        if dry_run {
            return Ok(None);
        }
        create_dir(&self.stage(""))?;
        let path = self.stage("lock");
        let open = File::options().create(true).truncate(false).write(true).open(&path);
        let file = open.with_context(|| format!("failed to open `{}`", path.display()))?;
        if file.try_lock().is_err() {
            crate::base::term::say(&format!("waiting for another build of `{}`", self.root.display()));
            wait_for(&file).with_context(|| format!("failed to lock `{}`", path.display()))?;
        }
        Ok(Some(file))
    }

    /// The compressed kernel that a boot loader starts.
    pub fn bzimage(&self) -> PathBuf {
        self.parts.join("bzImage")
    }

    /// The linked kernel with symbols, as an ELF file.
    pub fn vmlinux(&self) -> PathBuf {
        self.parts.join("vmlinux")
    }

    /// The initial RAM disk.
    pub fn initrd(&self) -> PathBuf {
        self.parts.join("initrd.cpio.lz4")
    }

    /// The file that starts the program in the guest.
    pub fn trigger(&self) -> PathBuf {
        self.parts.join("trigger")
    }

    /// The archive of the partially linked, prefixed program.
    pub fn archive(&self) -> PathBuf {
        self.parts.join("UKL.a")
    }

    /// The same program as an ordinary static executable for ring 3.
    pub fn twin(&self) -> PathBuf {
        self.parts.join("twin")
    }

    /// The kernel's configuration.
    pub fn kernel_config(&self) -> PathBuf {
        self.parts.join("kernel.config")
    }

    /// What was built from what: names, versions, hashes (JSON).
    pub fn manifest(&self) -> PathBuf {
        self.parts.join("image.json")
    }

    /// Forgets that the folder holds a complete image, before a part of it is replaced.
    pub fn invalidate(&self) -> Result<()> {
        remove_file(&self.manifest())
    }

    /// What the last boot left.
    pub fn run(&self) -> RunDir {
        RunDir { root: self.root.clone(), parts: self.stage("boot"), pipe: None }
    }

    /// The exact QEMU line of the last boot.
    pub fn qemu_line(&self) -> PathBuf {
        self.run().qemu_line()
    }

    /// The serial console of the last boot.
    pub fn console(&self) -> PathBuf {
        self.run().console()
    }

    /// What init told the host in the last boot (the second serial port).
    pub fn control(&self) -> PathBuf {
        self.run().control()
    }

    /// The log of `stage` (`compile`, `kernel`, …).
    pub fn log(&self, stage: &str) -> PathBuf {
        self.root.join("logs").join(format!("{stage}.log"))
    }

    /// The kernel with the program's symbols as its sources name them.
    pub fn debug_symbols(&self) -> PathBuf {
        self.stage("debug").join("vmlinux")
    }

    /// Intermediate files of `stage`.
    pub fn stage(&self, stage: &str) -> PathBuf {
        self.root.join("stages").join(stage)
    }
}

/// The files of one boot: in the image folder, or in the folder of a guest in the background.
#[derive(Debug, Clone)]
pub struct RunDir {
    root: PathBuf,
    parts: PathBuf,
    pipe: Option<PathBuf>,
}

impl RunDir {
    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The exact QEMU line.
    pub fn qemu_line(&self) -> PathBuf {
        self.root.join("qemu.sh")
    }

    /// The serial console.
    pub fn console(&self) -> PathBuf {
        self.root.join("console.log")
    }

    /// When the console of a guest in the background showed what.
    pub fn times(&self) -> PathBuf {
        self.root.join("console.times")
    }

    /// What init told the host (the second serial port).
    pub fn control(&self) -> PathBuf {
        self.root.join("control.log")
    }

    /// The core file of a program that crashed.
    pub fn core(&self) -> PathBuf {
        self.root.join("core")
    }

    /// The RAM disk, when the image's own does not do.
    pub fn initrd(&self) -> PathBuf {
        self.parts.join("run.cpio")
    }

    /// The pipe to init of a guest in the background, without `.in`, and `.out` for the way back.
    pub fn pipe(&self) -> Option<&Path> {
        self.pipe.as_deref()
    }

    /// As [`GuestDir::debugger`], for guests in the background.
    pub fn debugger(&self) -> Option<PathBuf> {
        self.pipe.as_ref().map(|_| self.root.join("gdb"))
    }

    /// What QEMU runs to ready a tap device.
    pub fn tap_script(&self) -> PathBuf {
        self.parts.join("tap-up")
    }
}

/// The folder that the variable names, or `below` in the home folder. A relative one is ignored, as the XDG base
/// directory specification demands: it would be another one in each folder.
fn base_folder(variable: &str, below: &str) -> Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(below)));
    let text = || fail(Class::Host, format!("neither {variable} nor HOME names a folder by its whole path"));
    Ok(base.ok_or_else(text)?)
}

/// The guests in the background of a user: each has a folder.
#[derive(Debug, Clone)]
pub struct Guests {
    root: PathBuf,
}

impl Guests {
    /// `$XDG_STATE_HOME/ukl/guests`, or `~/.local/state/ukl/guests`.
    pub fn from_env() -> Result<Self> {
        Ok(Guests { root: base_folder("XDG_STATE_HOME", ".local/state")?.join("ukl/guests") })
    }

    /// Guests of nobody but the caller, in the folder `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Guests { root: root.into() }
    }

    /// The folder of the guest `name`, which may not exist.
    pub fn guest(&self, name: &str) -> GuestDir {
        GuestDir { root: self.root.join(name) }
    }

    /// Every guest's name, sorted.
    pub fn names(&self) -> Result<Vec<String>> {
        Ok(list(&self.root)?.iter().filter(|path| path.is_dir()).map(|path| file_name(path)).collect())
    }
}

/// The folder of one guest in the background.
#[derive(Debug, Clone)]
pub struct GuestDir {
    root: PathBuf,
}

impl GuestDir {
    /// The folder `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        GuestDir { root: root.into() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The lock on starting and removing it, if nobody holds it; makes the folder.
    pub fn try_lock(&self) -> Result<Option<File>> {
        create_dir(&self.root)?;
        let path = self.root.join("lock");
        let open = File::options().create(true).truncate(false).write(true).open(&path);
        let file = open.with_context(|| format!("failed to open `{}`", path.display()))?;
        Ok(file.try_lock().is_ok().then_some(file))
    }

    /// What is known about it (JSON).
    pub fn record(&self) -> PathBuf {
        self.root.join("guest.json")
    }

    /// The boot's files.
    pub fn run(&self) -> RunDir {
        RunDir { root: self.root.clone(), parts: self.root.clone(), pipe: Some(self.root.join("control")) }
    }

    /// Where a debugger finds its QEMU: a link to a socket, whose own path is short enough.
    pub fn debugger(&self) -> PathBuf {
        self.root.join("gdb")
    }

    /// What the process beside it had to say.
    pub fn log(&self) -> PathBuf {
        self.root.join("ukl.log")
    }

    /// Removes the folder with everything in it.
    pub fn remove(&self) -> Result<()> {
        remove_dir(&self.root)
    }
}

/// The lock file of the project in `dir`.
pub fn lock_of(dir: &Path) -> PathBuf {
    dir.join("ukl.lock")
}

/// What is kept of the final link of `program`, beside it.
pub fn link_record(program: &Path) -> PathBuf {
    beside(program, "json")
}

/// The inputs of the final link of `program` as one object, beside it.
pub fn linked_object(program: &Path) -> PathBuf {
    beside(program, "o")
}

fn beside(program: &Path, extension: &str) -> PathBuf {
    let name = format!("{}.{extension}", file_name(program));
    program.parent().unwrap_or(Path::new(".")).join(".ukl-link").join(name)
}

/// Locks `file`; polled, so that Ctrl-C ends the wait.
fn wait_for(file: &File) -> Result<()> {
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error.into()),
            Err(TryLockError::WouldBlock) => anyhow::ensure!(!crate::base::run::interrupted(), "interrupted"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// `mkdir -p` with an error that names the folder.
pub fn create_dir(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("failed to create `{}`", dir.display()))
}

/// Makes the folder that `path` lies in.
pub fn create_parent(path: &Path) -> Result<()> {
    create_dir(path.parent().unwrap_or(Path::new(".")))
}

/// Writes `bytes` to `path` so that a reader sees the old file or the new one, never a part.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with_mode(path, bytes, 0o644)
}

/// As [`write_atomic`], for a script that will be called.
pub fn write_script(path: &Path, text: &str) -> Result<()> {
    write_with_mode(path, text.as_bytes(), 0o755)
}

/// As [`write_atomic`], but leaves a file alone that holds `bytes` already: later stages see no change.
pub fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    write_atomic(path, bytes)
}

fn write_with_mode(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let context = || format!("failed to write `{}`", path.display());
    written(path, bytes, mode)?.persist(path).map_err(|e| e.error).with_context(context)?;
    Ok(())
}

/// Writes a file that must not exist yet, whole; one that appears meanwhile is not touched.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let context = || format!("failed to write `{}`", path.display());
    written(path, bytes, mode)?.persist_noclobber(path).map_err(|e| e.error).with_context(context)?;
    Ok(())
}

/// The file that becomes `path`, complete, under another name.
fn written(path: &Path, bytes: &[u8], mode: u32) -> Result<tempfile::NamedTempFile> {
    create_parent(path)?;
    let context = || format!("failed to write `{}`", path.display());
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir).with_context(context)?;
    file.write_all(bytes).with_context(context)?;
    set_mode(file.path(), mode)?;
    Ok(file)
}

/// Makes `link` point to `target`, wherever it pointed before.
pub fn link(target: &Path, link: &Path) -> Result<()> {
    remove_file(link)?;
    std::os::unix::fs::symlink(target, link).with_context(|| format!("failed to create `{}`", link.display()))
}

/// Removes a file that may not be there.
pub fn remove_file(path: &Path) -> Result<()> {
    removed(path, fs::remove_file(path))
}

/// Removes a folder, which may not be there, with everything in it.
pub fn remove_dir(path: &Path) -> Result<()> {
    removed(path, fs::remove_dir_all(path))
}

fn removed(path: &Path, result: std::io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove `{}`", path.display()))
        }
        _ => Ok(()),
    }
}

/// What stands in a folder, sorted; nothing when it does not exist.
pub fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("failed to read `{}`", dir.display()))?,
    };
    let mut paths = entries.map(|entry| entry.map(|e| e.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Copies `from` to `to` atomically, mode included.
pub fn copy_atomic(from: &Path, to: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let bytes = read(from)?;
    write_atomic(to, &bytes)?;
    set_mode(to, fs::metadata(from)?.permissions().mode())
}

/// Reads a file with an error that names it.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("failed to read `{}`", path.display()))
}

/// Sets a file's permission bits.
pub fn set_mode(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7777))
        .with_context(|| format!("failed to set the mode of `{}`", path.display()))
}

/// SHA-256 over `parts`, each preceded by its length so that parts cannot run together; lower-case hex.
pub fn hash<I: IntoIterator<Item = B>, B: AsRef<[u8]>>(parts: I) -> String {
    let mut sha = Sha256::new();
    for part in parts {
        let part = part.as_ref();
        sha.update((part.len() as u64).to_le_bytes());
        sha.update(part);
    }
    hex(&sha.finalize())
}

/// SHA-256 of `bytes` alone (what `sha256sum` prints); lower-case hex.
pub fn hash_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a file's bytes alone (what `sha256sum` prints); lower-case hex.
pub fn hash_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("failed to read `{}`", path.display()))?;
    let mut sha = Sha256::new();
    std::io::copy(&mut file, &mut HashWriter(&mut sha))?;
    Ok(hex(&sha.finalize()))
}

struct HashWriter<'a>(&'a mut Sha256);

impl Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_file_is_sha256sums_answer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write_atomic(&path, b"abc").unwrap();
        let want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash_file(&path).unwrap(), want);
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(hash(["ab", "c"]), hash(["a", "bc"]));
    }
}
