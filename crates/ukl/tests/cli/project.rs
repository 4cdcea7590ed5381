//! list, init, configure, set, unset, defconfig and menuconfig, on the real kernel's options.

use std::fs;
use std::process::{Command, Stdio};

use crate::world::{wait, World, UKL};

const MANIFEST: &str = "# Mine.\nname = \"a\"\nsources = [\"a.c\"] # one\n";

fn project() -> World {
    let world = World::builder();
    world.write("a.c", "int main(void) { return 0; }\n");
    world.write("ukl.toml", MANIFEST);
    world
}

fn manifest(world: &World) -> String {
    fs::read_to_string(world.at("project/ukl.toml")).unwrap()
}

#[test]
fn a_project_begins_with_a_template_and_nothing_is_overwritten() {
    let world = World::new();
    let list = world.ukl(&["list"]).out;
    assert!(list.contains("hello ") && list.contains("redis ") && list.contains("recipe"), "{list}");
    let json = world.ukl(&["list", "--json"]).json();
    let names: Vec<_> = json["result"]["templates"].as_array().unwrap().iter().map(|t| &t["name"]).collect();
    assert_eq!(names.len(), list.lines().count());
    let done = world.ukl(&["init", "-t", "hello", "My Project"]);
    assert_eq!((done.code, done.out.as_str()), (Some(0), "My Project/main.c\nMy Project/ukl.toml\n"), "{done:?}");
    assert_eq!(world.files("project"), ["My Project/main.c", "My Project/ukl.toml"]);
    world.ukl(&["init", "-t", "hello", "My Project"]).fails(2, &["main.c` exists: nothing was written"]);
    world.ukl(&["up", "-t", "hello", "My Project"]).fails(2, &["exists: nothing was written"]);
    world.ukl(&["init", "-t", "helo", "x"]).fails(2, &["no template `helo`", "did you mean `hello`?"]);
    world.ukl(&["init"]).fails(2, &["which template?", "hello"]);
    world.ukl(&["init", "rot13"]).fails(2, &["which template?", "`ukl init -t rot13 rot13`"]);
    world.ukl(&["set", "NET"]).fails(2, &["no project in the current folder", "`-C DIR` names one"]);
    world.ukl(&["explain", "NET"]).fails(2, &["no project in the current folder"]);
    world.ukl(&["up", "nowhere"]).fails(2, &["no file or folder `nowhere`"]);
    world.ukl(&["explain", "net"]).fails(2, &["no file or folder `net`", "`ukl explain NET`"]);
    world.ukl(&["defconfig", "-C", "My Project", "none.config"]).fails(2, &["no file `none.config`"]);
    world.ukl(&["init", "-t", "hello", "--dry-run", "other"]);
    assert_eq!(world.files("project").len(), 2);
}

#[test]
fn configure_writes_what_its_options_say_and_asks_nobody_without_a_terminal() {
    let world = World::new();
    world.write("a.c", "");
    world.write("ukl.toml", MANIFEST);
    world.ukl(&["configure"]).fails(2, &["no terminal to ask on", "--cpus"]);
    let done = world.ukl(&["configure", "--plat", "linuxu", "--cpus", "2", "--memory", "64M"]);
    assert!(done.code == Some(0) && !done.err.contains("compiles a kernel"), "{done:?}");
    let want = format!("{MANIFEST}platform = \"linuxu\"\n\n[machine]\ncpus = 2\nmemory = \"64M\"\n");
    assert_eq!(manifest(&world), want);
    world.ukl(&["configure", "--plat", "kvm"]).fails(2, &["kvm", "linuxu"]);
    world.ukl(&["configure", "--memory", "1M"]).fails(2, &["`1M` is not between"]);
    assert_eq!(manifest(&world), want);
}

#[test]
fn options_are_checked_by_the_kernels_own_tools() {
    let world = project();
    world.ukl(&["set", "EXT4"]).fails(2, &["no option `EXT4`", "`EXT4_FS`"]);
    world.ukl(&["set", "X86_KERNEL_IBT"]).fails(2, &["conflicts with UKL", "depends on !X86_KERNEL_IBT"]);
    world.ukl(&["set", "CONFIG_UKL=n"]).fails(2, &["belongs to ukl"]);
    world.ukl(&["set", "UKL_SHORT_SYSCALLS=n"]).fails(2, &["it follows from other options"]);
    world.ukl(&["set", "NR_CPUS"]).fails(2, &["`CONFIG_NR_CPUS` takes a number"]);
    world.ukl(&["set", "BINARY_PRINTF"]).fails(2, &["cannot be set: it follows from other options"]);
    world.ukl(&["set", "EXT4_FS"]).fails(2, &["`CONFIG_EXT4_FS=y` has no effect: it stays n", "it depends on BLOCK"]);
    assert_eq!(manifest(&world), MANIFEST);
    let done = world.ukl(&["set", "NET", "BLOCK", "CONFIG_EXT4_FS=y"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.starts_with("already  CONFIG_NET=y (base.config:"), "{done:?}");
    assert_eq!(
        manifest(&world),
        format!("{MANIFEST}\n[kernel]\nconfig = [\"CONFIG_BLOCK=y\", \"CONFIG_EXT4_FS=y\"]\n")
    );
    world.ukl(&["unset", "BLOCK"]).fails(2, &["`CONFIG_EXT4_FS=y` has no effect"]);
    assert_eq!(world.ukl(&["unset", "EXT4_FS", "BLOCK", "IO_URING"]).code, Some(0));
    let off = "[\"# CONFIG_IO_URING is not set\"]";
    assert_eq!(manifest(&world), format!("{MANIFEST}\n[kernel]\nconfig = {off}\n"));

    // A whole configuration becomes the differences.
    world.ukl(&["defconfig", "--save", "mine.config"]);
    assert_eq!(fs::read_to_string(world.at("project/mine.config")).unwrap(), "# CONFIG_IO_URING is not set\n");
    world.write("other.config", "CONFIG_HZ_250=y\nCONFIG_NET=y\nCONFIG_NO_SUCH_THING=y\n");
    let done = world.ukl(&["defconfig", "other.config"]);
    assert!(
        done.code == Some(0) && done.err.contains("without effect in this kernel: CONFIG_NO_SUCH_THING=y"),
        "{done:?}"
    );
    assert!(done.out.contains("removed  CONFIG_IO_URING\n"), "{done:?}");
    let want = "\"# CONFIG_HZ_100 is not set\", \"CONFIG_HZ_250=y\"";
    assert!(manifest(&world).contains(want), "{}", manifest(&world));
    world.write("bad.config", "CONFIG_RANDOMIZE_BASE=y\nCONFIG_RELOCATABLE=y\n");
    world.ukl(&["defconfig", "bad.config"]).fails(2, &["CONFIG_RANDOMIZE_BASE=y` conflicts with UKL"]);
    world.ukl(&["menuconfig"]).fails(2, &["`menuconfig` needs a terminal"]);
}

/// A terminal of its own for one command.
struct Tmux {
    socket: String,
}

impl Tmux {
    fn start(world: &World, command: &str) -> Tmux {
        let socket = world.at("tmux").display().to_string();
        let script = format!("cd '{}' && {command}; echo \"ended $?\"; sleep 600", world.at("project").display());
        let size = ["-x", "100", "-y", "40"];
        let tmux = Tmux { socket };
        let mut new = tmux.command(&["-f", "/dev/null", "new-session", "-d"]);
        assert!(new.args(size).arg(script).env("XDG_CACHE_HOME", world.at("cache")).status().unwrap().success());
        tmux
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-S", &self.socket]).args(args).env("TERM", "xterm").stdin(Stdio::null());
        command
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.command(&["capture-pane", "-p"]).output().unwrap().stdout).into_owned()
    }

    fn wait_for(&self, text: &str) {
        assert!(wait(|| self.screen().contains(text)), "no `{text}` on\n{}", self.screen());
    }

    fn keys(&self, keys: &[&str]) {
        assert!(self.command(&["send-keys"]).args(keys).status().unwrap().success());
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = self.command(&["kill-server"]).status();
    }
}

#[test]
fn menuconfig_saves_only_the_differences() {
    let ncurses = ["/usr/include/ncurses.h", "/usr/include/ncursesw/ncurses.h"];
    if ukl::program::toolchain::which("tmux").is_none() || !ncurses.iter().any(|header| fs::exists(header).unwrap()) {
        eprintln!("skip: tmux or libncurses-dev is not installed");
        return;
    }
    let world = project();
    world.write("ukl.toml", &format!("{MANIFEST}[kernel]\nconfig = [\n    \"CONFIG_NR_CPUS=4\", # few\n]\n"));
    let tmux = Tmux::start(&world, &format!("'{}' menuconfig", UKL));
    tmux.wait_for("Linux/x86");
    // Search, jump to the first result, switch it on, leave, save.
    tmux.keys(&["/"]);
    tmux.wait_for("Search Configuration Parameter");
    tmux.keys(&["IKCONFIG", "Enter"]);
    tmux.wait_for("Search Results");
    tmux.keys(&["1"]);
    tmux.wait_for("Kernel .config support");
    tmux.keys(&["y"]);
    tmux.wait_for("[*] Kernel .config support");
    // Out of the menu, out of the results, out of the main menu.
    for next in ["Symbol: IKCONFIG [=y]", "General setup  --->", "Do you wish to save"] {
        tmux.keys(&["Escape", "Escape"]);
        tmux.wait_for(next);
    }
    tmux.keys(&["y"]);
    tmux.wait_for("ended 0");
    let lines = "config = [\n    \"CONFIG_NR_CPUS=4\", # few\n    \"CONFIG_IKCONFIG=y\",\n]\n";
    assert_eq!(manifest(&world), format!("{MANIFEST}[kernel]\n{lines}"), "{}", tmux.screen());
}

#[test]
fn a_settings_origin_is_explained() {
    let world = project();
    world.write("ukl.toml", &format!("{MANIFEST}[kernel]\nconfig = [\"CONFIG_NR_CPUS=4\"]\n"));
    let net = world.ukl(&["explain", "NET"]).out;
    assert!(net.starts_with("CONFIG_NET=y\n  because     it was asked for\n  asked by    base.config:"), "{net}");
    assert!(net.contains("\n  defined in  net/Kconfig:"), "{net}");
    let cpus = world.ukl(&["explain", "CONFIG_NR_CPUS"]).out;
    assert!(cpus.contains("CONFIG_NR_CPUS=4\n") && cpus.contains("asked by    [kernel] config:1\n"), "{cpus}");
    let ext4 = world.ukl(&["explain", "EXT4_FS"]).out;
    assert!(ext4.contains("it depends on what is off") && ext4.contains("BLOCK  (does not hold)"), "{ext4}");
    world.ukl(&["explain", "NO_SUCH_OPTION"]).fails(2, &["no option `NO_SUCH_OPTION`"]);
}
