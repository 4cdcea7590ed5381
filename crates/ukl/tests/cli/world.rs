//! A private machine for one test: its own home, cache, PATH and project folder.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use ukl::base::run::Shell;
use ukl::base::workdir::Cache;
use ukl::kernel::patch;
use ukl::manifest::{KernelSource, KernelSpec};
use ukl::program::musl;
use ukl::program::toolchain;
use ukl::supply::linux_source;

/// Folders that vanish with the test.
pub struct World {
    dir: tempfile::TempDir,
    path: Option<String>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Done {
    /// The one JSON object on standard output.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Fails unless the exit code and every part of standard error are as expected.
    #[track_caller]
    pub fn fails(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for part in parts {
            assert!(self.err.contains(part), "no `{part}` in\n{}", self.err);
        }
        assert!(!self.err.contains("panicked at"), "{}", self.err);
    }
}

/// Makes what all builders share: the C library and the patched kernel tree.
fn fill(cache: &Cache) -> ukl::base::error::Result<()> {
    let shell = Shell::default();
    let spec = KernelSpec {
        version: "6.12".into(),
        source: KernelSource::Debian,
        config: Vec::new(),
        storage: false,
        debug: false,
    };
    let source = linux_source::fetch(&shell, cache, &spec)?;
    patch::apply(&shell, cache, &source, &spec.version)?;
    musl::build(&shell, cache, &toolchain::find(&shell, "gcc")?)?;
    Ok(())
}

impl World {
    /// A machine with this machine's programs.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("project")).unwrap();
        World { dir, path: None }
    }

    /// As [`World::new`], with those parts of this machine's cache that would take long to make again.
    pub fn builder() -> Self {
        static FILLED: OnceLock<()> = OnceLock::new();
        let world = World::new();
        let shared = Cache::from_env().unwrap();
        FILLED.get_or_init(|| fill(&shared).unwrap());
        fs::create_dir_all(world.at("cache/ukl")).unwrap();
        for kind in ["musl", "debian-source", "source", "patched"] {
            std::os::unix::fs::symlink(shared.root().join(kind), world.at("cache/ukl").join(kind)).unwrap();
        }
        world
    }

    /// Adds `bin/` in front of PATH, for fakes of single programs.
    pub fn with_fakes(mut self) -> Self {
        self.path = Some(format!("{}:{}", self.at("bin").display(), std::env::var("PATH").unwrap()));
        self
    }

    /// PATH has `bin/` only, from now on.
    pub fn only_fakes(&mut self) {
        self.path = Some(self.at("bin").display().to_string());
    }

    /// A machine whose PATH holds only the programs put there with [`World::program`].
    pub fn bare() -> Self {
        let mut world = World::new();
        let bin = world.dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        world.path = Some(bin.display().to_string());
        world
    }

    /// A path below the machine's root.
    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file below `project/`.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.at("project").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Puts a shell script called `name` into `bin/`.
    pub fn program(&self, name: &str, script: &str) {
        let path = self.at("bin").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// `ukl` in `project/`, ready to run.
    pub fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ukl"));
        command.args(args).current_dir(self.at("project")).env_remove("NO_COLOR");
        command.env("HOME", self.at("home")).env("XDG_CACHE_HOME", self.at("cache"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(path) = &self.path {
            command.env("PATH", path);
        }
        command
    }

    /// Runs `ukl` to its end.
    pub fn ukl<S: AsRef<OsStr>>(&self, args: &[S]) -> Done {
        done(self.command(args).output().unwrap())
    }

    /// Every file below `name`, sorted, relative to it.
    pub fn files(&self, name: &str) -> Vec<String> {
        let root = self.at(name);
        let entries = walkdir::WalkDir::new(&root).sort_by_file_name().into_iter().filter_map(|e| e.ok());
        let files = entries.filter(|e| !e.file_type().is_dir());
        files.map(|e| e.path().strip_prefix(&root).unwrap_or(Path::new("")).display().to_string()).collect()
    }
}

/// Long enough for a busy machine, shorter than anything slow that a test starts; no test waits for it to pass.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Reads the command's standard error until it says `words`; the rest is left to be read.
#[track_caller]
pub fn says(child: &mut Child, words: &str) {
    let (mut said, mut byte) = (Vec::new(), [0]);
    while !String::from_utf8_lossy(&said).contains(words) {
        let read = child.stderr.as_mut().unwrap().read(&mut byte).unwrap();
        assert_eq!(read, 1, "no `{words}` in {}", String::from_utf8_lossy(&said));
        said.push(byte[0]);
    }
}

/// Output as text.
pub fn done(output: Output) -> Done {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Done { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// Sends `signal` (`-0` only asks) to a process or, with a minus before the number, to its group; false when there is none.
/// Bash's own kill: a small system has no other that knows groups.
pub fn kill(signal: &str, target: &str) -> bool {
    let script = "kill \"$@\" 2>/dev/null";
    Command::new("bash").args(["-c", script, "bash", signal, "--", target]).status().unwrap().success()
}
