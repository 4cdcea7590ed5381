//! One image of a small server, a state folder for each test, and turns: guests would measure each other.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use ukl::base::env::Env;
use ukl::base::error::render;
use ukl::base::run::Shell;
use ukl::base::workdir::{self, Cache, ImageDir};
use ukl::image::folder::Image;
use ukl::manifest;
use ukl::pipeline::{self, Clock};

/// Echoes what it gets on port 5555; what SIGTERM does depends on its argument.
const PROGRAM: &str = r#"
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void end(int signal)
{
    static const char text[] = "ended by the host\n";
    write(1, text, sizeof text - 1);
    _exit(signal == SIGTERM ? 7 : 8);
}

/* More than its client takes before it reads; the end comes at once. */
static int gift(int client)
{
    static char bytes[400000];
    int size = sizeof bytes;

    setsockopt(client, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    return write(client, bytes, size) != size;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "serve";
    struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(5555) };
    char bytes[4096];
    ssize_t n;

    printf("mode %s\n", mode);
    fflush(stdout);
    if (!strcmp(mode, "early"))
        return 3;
    if (!strcmp(mode, "daemon") && fork() != 0)
        return 0;
    if (!strcmp(mode, "daemon"))
        setsid();
    signal(SIGTERM, strcmp(mode, "stubborn") ? end : SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 16))
        return 2;
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (!strcmp(mode, "gift"))
            return gift(client);
        while ((n = read(client, bytes, sizeof bytes)) > 0)
            if (write(client, bytes, n) != n)
                break;
        close(client);
    }
}
"#;

/// Generous: the machine may be busy with builds.
pub const PATIENCE: Duration = Duration::from_secs(300);

fn image() -> &'static Image {
    static IMAGE: OnceLock<(tempfile::TempDir, Image)> = OnceLock::new();
    let (_, image) = IMAGE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        workdir::write_atomic(&dir.path().join("echo.c"), PROGRAM.as_bytes()).unwrap();
        let mut manifest = manifest::from_files(&[dir.path().join("echo.c")]).unwrap();
        manifest.ready = Some(5555);
        let env = Env { shell: Shell::default(), cache: Cache::from_env().unwrap() };
        let out = ImageDir::at(dir.path().join("image"));
        let image = pipeline::image(&env, &manifest, &out, &mut Clock::silent(), &mut |_| ());
        (dir, image.unwrap_or_else(|error| panic!("{}", render(&error).0)))
    });
    image
}

/// A state folder of its own; guests that a failed test left are removed with it.
pub struct World {
    state: tempfile::TempDir,
    /// The network namespace in which everything happens.
    pub space: Option<String>,
    _turn: MutexGuard<'static, ()>,
}

impl World {
    pub fn new() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        image();
        World { state: tempfile::tempdir().unwrap(), space: None, _turn: turn }
    }

    /// The state folder: what a test leaves there is removed, and its processes are found.
    pub fn folder(&self) -> &Path {
        self.state.path()
    }

    /// A command of this machine, in the namespace if there is one.
    pub fn command(&self, program: &str) -> Command {
        let mut command = match &self.space {
            Some(space) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", space, program]);
                command
            }
            None => Command::new(program),
        };
        command.env("XDG_STATE_HOME", self.state.path()).stdin(Stdio::null());
        command
    }

    pub fn ukl(&self, words: &[&str]) -> Done {
        done(self.command(env!("CARGO_BIN_EXE_ukl")).args(words).output().unwrap())
    }

    /// `ukl run` of the image, with these options in front.
    pub fn run(&self, words: &[&str]) -> Done {
        let folder = image().dir.root().to_str().unwrap();
        self.ukl(&[&["run", "--accel", "tcg", "--out", folder], words].concat())
    }

    /// What `ukl ps --json` says of the guest `name`.
    pub fn guest(&self, name: &str) -> Value {
        let json: Value = serde_json::from_str(&self.ukl(&["ps", "--json"]).out).unwrap();
        let guests = json["result"]["guests"].as_array().unwrap();
        guests.iter().find(|guest| guest["name"] == name).cloned().unwrap_or_default()
    }

    /// State and number of the guest `name`, once they are `want`.
    #[track_caller]
    pub fn waits_for(&self, name: &str, want: &str) {
        let start = Instant::now();
        loop {
            let guest = self.guest(name);
            let state = match guest["detail"].as_u64() {
                Some(number) => format!("{} {number}", guest["state"].as_str().unwrap_or_default()),
                None => guest["state"].as_str().unwrap_or_default().to_owned(),
            };
            if state == want {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{state} instead of {want}: {guest}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Processes whose command line names the state folder.
    pub fn processes(&self) -> Vec<(u32, String)> {
        let marker = self.state.path().display().to_string();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if line.contains(&marker) {
                found.push((pid, line));
            }
        }
        found
    }

    /// Fails when a process of a guest is still there after a while.
    #[track_caller]
    pub fn nothing_is_left(&self) {
        let start = Instant::now();
        while !self.processes().is_empty() {
            assert!(start.elapsed() < PATIENCE, "{:?}", self.processes());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let names = self.state.path().join("ukl/guests");
        for name in std::fs::read_dir(names).into_iter().flatten().flatten() {
            self.ukl(&["rm", "--force", &name.file_name().to_string_lossy()]);
        }
        if let Some(space) = self.space.take() {
            let _ = Command::new("ip").args(["netns", "delete", &space]).status();
        }
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Done {
    /// Fails unless the exit code and every part of standard error are as expected.
    #[track_caller]
    pub fn ends(&self, code: i32, parts: &[&str]) -> &Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        for part in parts {
            assert!(self.err.contains(part), "no `{part}` in\n{}", self.err);
        }
        self
    }
}

fn done(output: Output) -> Done {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Done { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// A port of this machine that nobody uses.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A connection that does not wait for ever.
pub fn connect(address: &str) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address.parse().unwrap(), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// What the server at `address` answers to `text`.
pub fn echo(address: &str, text: &str) -> std::io::Result<String> {
    let mut stream = connect(address)?;
    stream.write_all(text.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Sends a process a signal by its number.
pub fn kill(pid: u32, signal: &str) {
    assert!(Command::new("sh").args(["-c", &format!("kill -{signal} {pid}")]).status().unwrap().success());
}

/// True when a file has this text.
pub fn has(path: &Path, text: &str) -> bool {
    std::fs::read_to_string(path).is_ok_and(|all| all.contains(text))
}
