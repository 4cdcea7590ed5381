//! configure on a terminal: what it asks, and what answers do. util-linux' `script` gives it one.

use std::fs;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::world::{wait, World, UKL};

const MANIFEST: &str = "# Mine.\nname = \"a\"\nsources = [\"a.c\"]\n\n[machine]\ncpus = 2\n";

/// `ukl configure` on a terminal of its own.
struct Asked {
    child: Child,
    keys: ChildStdin,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl Asked {
    /// `None`, and says so, where there is no `script`.
    fn start(world: &World) -> Option<Asked> {
        if ukl::program::toolchain::which("script").is_none() {
            eprintln!("skip: no `script` of util-linux to give `ukl configure` a terminal");
            return None;
        }
        // The shell must survive a Ctrl-C to tell how ukl ended.
        let line = format!("trap : INT; '{}' configure; echo \"ended $?\"", UKL);
        let mut script = Command::new("script");
        script.args(["--quiet", "--command", &line, "/dev/null"]).current_dir(world.at("project"));
        script.env("SHELL", "/bin/sh").env("XDG_CACHE_HOME", world.at("cache")).env("HOME", world.at("home"));
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (screen, mut out) = (Arc::new(Mutex::new(Vec::new())), child.stdout.take().unwrap());
        let copy = screen.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = out.read(&mut bytes) {
                copy.lock().unwrap().extend_from_slice(&bytes[..n]);
            }
        });
        let keys = child.stdin.take().unwrap();
        Some(Asked { child, keys, screen })
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    /// Waits until `text` has appeared `times` times.
    fn wait_for(&self, text: &str, times: usize) {
        let there = wait(|| self.screen().matches(text).count() >= times);
        assert!(there, "no `{text}` {times} times on\n{}", self.screen());
    }

    /// Answers `question`, which was asked `times` times now.
    fn answer(&mut self, question: &str, times: usize, keys: &str) {
        self.wait_for(question, times);
        self.keys.write_all(keys.as_bytes()).unwrap();
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn project() -> World {
    let world = World::new();
    world.write("a.c", "");
    world.write("ukl.toml", MANIFEST);
    world
}

fn manifest(world: &World) -> String {
    fs::read_to_string(world.at("project/ukl.toml")).unwrap()
}

#[test]
fn every_setting_is_asked_for_until_the_answer_can_be_used() {
    let world = project();
    let Some(mut asked) = Asked::start(&world) else { return };
    asked.answer("platform: qemu or linuxu [qemu]: ", 1, "kvm\n");
    asked.answer("platform: qemu or linuxu [qemu]: ", 2, "linuxu\n");
    asked.answer("CPUs [2]: ", 1, "65\n");
    asked.wait_for("a number from 1 to 64", 1);
    asked.answer("CPUs [2]: ", 2, "4\n");
    asked.answer("memory [128M]: ", 1, "1M\n");
    asked.wait_for("`1M` is not between", 1);
    asked.answer("memory [128M]: ", 2, "1G\n");
    asked.answer("OPTION=VALUE [no more]: ", 1, "\n");
    asked.wait_for("ended 0", 1);
    let want = MANIFEST.replace("\n\n[machine]\ncpus = 2\n", "\nplatform = \"linuxu\"\n\n[machine]\ncpus = 4\n");
    assert_eq!(manifest(&world), format!("{want}memory = \"1G\"\n"), "{}", asked.screen());
}

#[test]
fn what_is_not_answered_stays() {
    let world = project();
    let Some(mut asked) = Asked::start(&world) else { return };
    for question in ["[qemu]: ", "[2]: ", "[128M]: ", "[no more]: "] {
        asked.answer(question, 1, "\n");
    }
    asked.wait_for("ended 0", 1);
    assert_eq!(manifest(&world), MANIFEST);
}

#[test]
fn an_interruption_writes_nothing() {
    let world = project();
    let Some(mut asked) = Asked::start(&world) else { return };
    asked.answer("[qemu]: ", 1, "linuxu\n");
    asked.answer("CPUs [2]: ", 1, "\x03");
    asked.wait_for("ended 130", 1);
    assert_eq!(manifest(&world), MANIFEST, "{}", asked.screen());
}
