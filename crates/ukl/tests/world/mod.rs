//! One machine for each test: its own home, project folder and guests, and its own cache or this machine's.

#![allow(dead_code, unused_imports)] // Not every test uses everything.

mod images;
mod wait;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use serde_json::Value;
use ukl::base::env::Env;
use ukl::base::workdir::{Cache, Guests};
use ukl::kernel::patch;
use ukl::manifest::{KernelSource, KernelSpec};
use ukl::program::userland;
use ukl::supply::linux_source;

pub use images::*;
pub use wait::*;

/// The program of these tests.
pub const UKL: &str = env!("CARGO_BIN_EXE_ukl");

/// Folders that vanish with the test, and guests that end with it.
pub struct World {
    dir: tempfile::TempDir,
    /// Above `ukl/`.
    cache: PathBuf,
    path: Option<String>,
    /// The network namespace in which everything happens.
    space: Option<String>,
    _turn: Option<MutexGuard<'static, ()>>,
}

/// Guests that share the processors would measure each other: one test at a time boots some.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// As [`Done::ends`], for what must not succeed.
    #[track_caller]
    pub fn fails(&self, code: i32, parts: &[&str]) -> &Self {
        assert_ne!(code, 0);
        self.ends(code, parts)
    }

    /// Fails unless the exit code and every part of standard error are as expected.
    #[track_caller]
    pub fn ends(&self, code: i32, parts: &[&str]) -> &Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        for part in parts {
            assert!(self.err.contains(part), "no `{part}` in\n{}", self.err);
        }
        assert!(!self.err.contains("panicked at"), "{}", self.err);
        self
    }
}

/// Makes what all builders share: the C library and the patched kernel tree.
fn fill(cache: &Cache) -> ukl::base::error::Result<()> {
    let env = Env { shell: SHELL, cache: cache.clone() };
    let spec = KernelSpec {
        version: "6.12".into(),
        source: KernelSource::Debian,
        config: Vec::new(),
        storage: false,
        debug: false,
    };
    let source = linux_source::fetch(&env, &spec)?;
    patch::apply(&env, &source, &spec.version)?;
    userland::find(&env, "gcc", ukl::manifest::Libc::Musl)?;
    Ok(())
}

impl World {
    /// A machine with this machine's programs and an empty cache.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("project")).unwrap();
        let cache = dir.path().join("cache");
        World { dir, cache, path: None, space: None, _turn: None }
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

    /// A machine that boots guests, with this machine's cache; the only one of its kind as long as it lives.
    pub fn booting() -> Self {
        let turn = turn();
        let cache = Cache::from_env().unwrap().root().parent().unwrap().to_owned();
        let mut world = World::new();
        (world.cache, world._turn) = (cache, Some(turn));
        world
    }

    /// As [`World::booting`], in a network namespace of its own; says why when this machine makes none.
    pub fn with_network() -> Option<Self> {
        // SAFETY: geteuid takes nothing and cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            eprintln!("skip: network namespaces need root");
            return None;
        }
        let mut world = World::booting();
        let space = format!("ukl-test-{}", std::process::id());
        let made = Command::new("ip").args(["netns", "add", &space]).output();
        if !made.is_ok_and(|output| output.status.success()) || fs::File::open("/dev/net/tun").is_err() {
            eprintln!("skip: this machine makes no network namespaces, or has no /dev/net/tun");
            return None;
        }
        world.space = Some(space);
        Some(world)
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

    /// Where programs are looked for.
    pub fn search_path(&self) -> String {
        self.path.clone().unwrap_or_else(|| std::env::var("PATH").unwrap())
    }

    /// The network namespace's file.
    pub fn space(&self) -> PathBuf {
        Path::new("/run/netns").join(self.space.as_ref().unwrap())
    }

    /// Any program in `project/`, in the namespace if there is one.
    pub fn any(&self, program: &str) -> Command {
        let mut command = match &self.space {
            Some(space) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", space, program]);
                command
            }
            None => Command::new(program),
        };
        command.current_dir(self.at("project")).env_remove("NO_COLOR").env_remove("XDG_STATE_HOME");
        command.env("HOME", self.at("home")).env("XDG_CACHE_HOME", &self.cache).env("PATH", self.search_path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// `ukl` in `project/`, ready to run.
    pub fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = self.any(UKL);
        command.args(args);
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

    /// Its guests in the background.
    pub fn guests(&self) -> Guests {
        Guests::at(self.at("home/.local/state/ukl/guests"))
    }

    /// What `ukl ps --json` says of the guest `name`.
    pub fn guest(&self, name: &str) -> Value {
        let json = self.ukl(&["ps", "--json"]).json();
        let guests = json["result"]["guests"].as_array().unwrap();
        guests.iter().find(|guest| guest["name"] == name).cloned().unwrap_or_default()
    }

    /// Waits until the guest `name` has this state and number.
    #[track_caller]
    pub fn waits_for(&self, name: &str, want: &str) {
        let (mut guest, mut state) = (Value::Null, String::new());
        let there = wait(|| {
            guest = self.guest(name);
            state = guest["state"].as_str().unwrap_or_default().to_owned();
            if let Some(number) = guest["detail"].as_u64() {
                state += &format!(" {number}");
            }
            state == want
        });
        assert!(there, "{state} instead of {want}: {guest}");
    }

    /// Processes whose command line names one of the machine's folders.
    pub fn processes(&self) -> Vec<(u32, String)> {
        processes_with(&self.dir.path().display().to_string())
    }

    /// Fails when a process of a guest is still there after a while.
    #[track_caller]
    pub fn nothing_is_left(&self) {
        assert!(wait(|| self.processes().is_empty()), "{:?}", self.processes());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for name in self.guests().names().unwrap_or_default() {
            self.ukl(&["rm", "--force", &name]);
        }
        if let Some(space) = self.space.take() {
            let _ = Command::new("ip").args(["netns", "delete", &space]).status();
        }
    }
}

/// Output as text.
pub fn done(output: Output) -> Done {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Done { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}
