//! build, run and up from end to end, with a `make` and a QEMU that only pretend: the real ones are not the point here.

use std::fs;
use std::process::{Child, Command};

use crate::world::{done, kill, says, wait, Done, World};

const HELLO: &str = include_str!("../programs/hello.c");

/// Configures whatever is asked for, "compiles" until `$PWD/hold` is gone, and "links" what it finds.
const MAKE: &str = r#"
for word; do
    case $word in
    O=*) out=${word#O=} ;;
    allnoconfig | bzImage | ukl-image) goal=$word ;;
    esac
done
echo "$goal" >> "$LOG/make.log"
case $goal in
allnoconfig) cp "$KCONFIG_ALLCONFIG" "$out/.config" ;;
bzImage)
    echo "  CC      init/main.o"
    echo $$ > "$LOG/making"
    while test -e "$LOG/hold"; do sleep 0.05; done
    ;;
ukl-image)
    mkdir -p "$out/arch/x86/boot"
    # The headers of a program that begins somewhere and whose only segment is these headers, and the program itself.
    as -o "$out/vmlinux" - <<END
    .section .ukl.rodata, "a"
    .quad 0x00010102464c457f, 0, 0x1003e0002, 64, 64, 0
    .short 0, 0, 64, 56, 1, 64, 0, 0
    .quad 0x400000001, 0, 0, 0, 120, 120, 4096
    .section .program
    .incbin "$out/UKL.a"
END
    echo compressed > "$out/arch/x86/boot/bzImage"
    ;;
esac
"#;

/// Says what `$LOG/console` says (as the kernel where a line begins with its time, otherwise as the program), reports
/// what `$LOG/control` says, then waits until `$LOG/hold` is gone.
const QEMU: &str = r#"
output=/dev/stdout
for word; do
    case $word in
    file,id=output,path=*) output=${word#*path=} ;;
    file,id=control,path=*) control=${word#*path=} ;;
    pipe,id=control,*) control=${word#*logfile=} ;;
    esac
done
echo "$@" >> "$LOG/qemu.log"
echo $$ > "$LOG/booting"
cat "$LOG/control" >> "$control"
grep '^\[' "$LOG/console"
grep -v '^\[' "$LOG/console" >"$output"
while test -e "$LOG/hold"; do sleep 0.05; done
"#;

/// A project and fake programs; with `tell`, QEMU has something to say.
pub fn world() -> World {
    let world = World::builder().with_fakes();
    let log = format!("LOG='{}'\nexport LOG\n", world.at("log").display());
    fs::create_dir(world.at("log")).unwrap();
    world.program("make", &format!("case \"$*\" in *KBUILD*) ;; *) exec /usr/bin/make \"$@\" ;; esac\n{log}{MAKE}"));
    world.program("qemu-system-x86_64", &format!("{log}{QEMU}"));
    world.write("a.c", HELLO);
    tell(&world, "start\nrun 0\nexit 0\n", "hello\r\n");
    world
}

fn tell(world: &World, control: &str, console: &str) {
    fs::write(world.at("log/control"), control).unwrap();
    fs::write(world.at("log/console"), console).unwrap();
}

#[track_caller]
fn built(world: &World) {
    let done = world.ukl(&["build", "a.c"]);
    assert_eq!(done.code, Some(0), "{done:?}");
}

pub fn log(world: &World, name: &str) -> String {
    fs::read_to_string(world.at("log").join(name)).unwrap_or_default()
}

fn hold(world: &World, held: bool) {
    let path = world.at("log/hold");
    if held { fs::write(path, "") } else { fs::remove_file(path) }.unwrap();
}

/// Starts a command and waits until the fake that writes `mark` runs.
fn start(world: &World, args: &[&str], mark: &str) -> Child {
    let child = world.command(args).spawn().unwrap();
    assert!(wait(|| !log(world, mark).is_empty()), "no {mark}");
    child
}

fn interrupt(child: Child) -> Done {
    assert!(kill("-INT", &child.id().to_string()));
    done(child.wait_with_output().unwrap())
}

/// True when the fake that wrote its number into `mark` ends.
fn ended(world: &World, mark: &str) -> bool {
    wait(|| !kill("-0", log(world, mark).trim()))
}

#[test]
fn an_image_is_built_and_rebuilt_only_as_far_as_needed() {
    let world = world();
    let done = world.ukl(&["build", "a.c", "--json"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let stages: Vec<String> = strings(&done.json()["result"]["stages"], "name");
    let order = ["toolchain", "sysroot", "compile", "link", "prefix", "archive", "source", "patch", "config", "kernel"];
    assert_eq!(stages[..10], order, "{stages:?}");
    assert_eq!(log(&world, "make.log"), "allnoconfig\nbzImage\nukl-image\n");
    let folder = world.at("project/build/a");
    for name in ["bzImage", "vmlinux", "UKL.a", "twin", "kernel.config", "image.json", "initrd.cpio.lz4"] {
        assert!(folder.join(name).is_file(), "no {name}");
    }
    let again = world.ukl(&["build", "a.c"]);
    assert_eq!((again.code, again.out.trim()), (Some(0), folder.display().to_string().as_str()), "{again:?}");
    assert_eq!(log(&world, "make.log").lines().count(), 3, "nothing changed, nothing is made");
    world.write("a.c", &HELLO.replace("hello", "changed"));
    built(&world);
    assert_eq!(log(&world, "make.log").lines().last(), Some("ukl-image"));
    assert_eq!(log(&world, "make.log").lines().count(), 4, "another program is a link, no object is made");
}

fn strings(list: &serde_json::Value, key: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
}

#[test]
fn up_prints_what_the_program_prints_and_ends_as_it_does() {
    let world = world();
    tell(&world, "start\nrun 0\nexit 42\n", "hello\r\nsecond line\r\n");
    let done = world.ukl(&["up", "a.c", "--accel", "tcg", "--", "one", "two words"]);
    assert_eq!((done.code, done.out.replace('\r', "").as_str()), (Some(42), "hello\nsecond line\n"), "{done:?}");
    let folder = world.at("project/build/a");
    assert!(fs::read_to_string(folder.join("console.log")).unwrap().starts_with("hello"));
    assert!(fs::read_to_string(folder.join("qemu.sh")).unwrap().contains("exec qemu-system-x86_64 "));
    // Booting needs no compiler, and works from the image folder alone.
    for args in [&["run", "a.c"][..], &["run", "build/a"], &["run", "--out", "build/a"]] {
        assert_eq!(world.ukl(&[args, &["--accel", "tcg"]].concat()).code, Some(42), "{args:?}");
    }
}

#[test]
fn options_reach_the_machine() {
    let world = world();
    let options = ["--memory", "64M", "--cpus", "2", "-p", "8080:80", "-p", "2222:22", "--machine", "q35"];
    let words = ["--append", "loglevel=5 quiet", "--append", "nosmt"];
    let done = world.ukl(&[&["up", "a.c", "--accel", "tcg"][..], &options, &words].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
    let line = log(&world, "qemu.log");
    for part in
        ["-m 64M -smp 2", "hostfwd=tcp:127.0.0.1:8080-:80", "2222-:22", "-machine q35", " loglevel=5 quiet nosmt"]
    {
        assert!(line.contains(part), "no `{part}` in {line}");
    }
}

#[test]
fn a_run_says_when_the_port_answers() {
    let world = world();
    built(&world);
    tell(&world, "start\nready\nrun 0\nexit 0\n", "");
    // Datagrams show nobody that somebody waits for them.
    let ports = ["-p", "20053:53/udp", "-p", "8080:80", "-p", "2222:22"];
    let done = world.ukl(&[&["run", "a.c", "--accel", "tcg"][..], &ports].concat());
    assert!(done.err.starts_with("ready: 127.0.0.1:8080 answers after ") && done.code == Some(0), "{done:?}");
    assert!(log(&world, "qemu.log").contains(" ukl.ready=80 "), "{}", log(&world, "qemu.log"));
    let json = world.ukl(&["run", "a.c", "--accel", "tcg", "--json"]).json();
    assert!(json["result"]["run"]["ready_s"].as_f64().unwrap() > 0.0, "{json}");
}

#[test]
fn a_guest_in_the_background_is_listed_until_it_is_removed() {
    let world = world();
    tell(&world, "start\nrun 0\n", "hello\r\n");
    built(&world);
    hold(&world, true);
    let dry = world.ukl(&["run", "a.c", "--accel", "tcg", "-d", "--dry-run"]);
    assert!(dry.out.contains("qemu-system-x86_64") && !world.at("home/.local/state").exists(), "{dry:?}");
    let run = ["run", "a.c", "--accel", "tcg", "-d", "--name", "one", "--json"];
    let guest = &world.ukl(&run).json()["result"]["guest"];
    assert_eq!((&guest["name"], &guest["state"]), (&"one".into(), &"running".into()), "{guest}");
    world.ukl(&run).fails(2, &["a guest `one` runs already (running)"]);
    hold(&world, false);
    assert!(ended(&world, "booting"));
    // No status was reported: it did not end by itself.
    let listed = &world.ukl(&["ps", "--json"]).json()["result"]["guests"][0];
    assert_eq!((&listed["name"], &listed["pid"]), (&"one".into(), &serde_json::Value::Null), "{listed}");
    assert_eq!(world.ukl(&["logs", "one"]).out, "hello\r\n");
    assert_eq!(world.ukl(&["rm", "one", "--dry-run"]).code, Some(0));
    let removed = world.ukl(&["rm", "one", "--json"]).json();
    assert_eq!(removed["result"]["removed"][0], world.at("home/.local/state/ukl/guests/one").display().to_string());
    world.ukl(&["rm", "one"]).fails(2, &["no guest `one`"]);
    world.ukl(&["stop", "../one"]).fails(2, &["no guest `../one`"]);
}

#[test]
fn a_network_that_contradicts_itself_is_refused() {
    let world = world();
    built(&world);
    let refused = |options: &str, parts: &[&str]| {
        let options: Vec<&str> = options.split(' ').collect();
        world.ukl(&[&["run", "a.c", "--accel", "tcg"][..], &options].concat()).fails(2, parts);
    };
    refused("--net bridge=b0", &["the network `bridge=b0` needs an address", "--ip dhcp"]);
    refused("--net tap=t0 --ip dhcp -p 80:80", &["the network `tap=t0` forwards no ports"]);
    refused("--net none -p 80:80", &["the network `none` forwards no ports"]);
    refused("-p 8080:80 -p 8080:81", &["host port 8080 is forwarded twice"]);
    refused("-p 8000-8010/udp -p 0.0.0.0:8005:1/udp", &["host port 8005/udp is forwarded twice"]);
    refused("-p 8000-8600", &["601 ports are forwarded: a guest has 512 at most"]);
    refused("--net user --ip 10.0.0.2/24", &["the network `user` has no addresses to choose from"]);
    refused("--pid1 --net tap=t0 --ip dhcp", &["process 1 must set its address itself"]);
    refused("--net user --queues 2", &["the network `user` has no more than one queue"]);
    refused("--net tap=t0 --ip dhcp --queues 2", &["2 queues for 1 CPUs"]);
    refused("--net tap=t0 --ip dhcp --queues 2 --machine microvm", &["microvm has no more than one queue"]);
    assert_eq!(log(&world, "qemu.log"), "");
}

#[test]
fn a_port_that_is_taken_is_the_hosts_fault() {
    let world = world();
    built(&world);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let done = world.ukl(&["run", "a.c", "--accel", "tcg", "-p", &format!("{port}:80")]);
    done.fails(120, &[&format!("port {port} of this machine is taken"), "blame   host"]);
    let done = world.ukl(&["run", "a.c", "--accel", "tcg", "-p", &format!("192.0.2.1:{port}:80/udp")]);
    done.fails(120, &["this machine does not have the address 192.0.2.1", "blame   host"]);
}

#[test]
fn ports_may_be_ranges_for_datagrams_and_at_an_address() {
    let world = world();
    let manifest = "name = \"a\"\nsources = [\"a.c\"]\n[machine]\nports = [8080, \"53/udp\"]\n";
    world.write("ukl.toml", manifest);
    let line = |options: &[&str]| {
        let done = world.ukl(&[&["up", "--accel", "tcg", "--dry-run"][..], options].concat());
        assert_eq!(done.code, Some(0), "{done:?}");
        let forwarded = done.out.split(',').filter_map(|word| word.strip_prefix("hostfwd="));
        let words = forwarded.map(|word| word.split(' ').next().unwrap().to_owned());
        words.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line(&[]), "tcp:127.0.0.1:8080-:8080 udp:127.0.0.1:53-:53");
    let options = ["-p", "0.0.0.0:8000-8002:9000-9002", "-p", "8000/udp"];
    let range = "tcp:0.0.0.0:8000-:9000 tcp:0.0.0.0:8001-:9001 tcp:0.0.0.0:8002-:9002";
    assert_eq!(line(&options), format!("{range} udp:127.0.0.1:8000-:8000"));
}

#[test]
fn a_missing_bridge_comes_with_the_lines_that_make_it() {
    let world = world();
    built(&world);
    world.program("ip", "exit 1");
    let run = ["run", "a.c", "--accel", "tcg", "--net", "bridge=nobridge0", "--ip", "10.9.0.2/16,gw=10.9.0.1"];
    let done = world.ukl(&run);
    done.fails(120, &["no bridge `nobridge0`", "ip link add nobridge0 type bridge\n", "ip link set nobridge0 up"]);
    assert!(done.err.contains("ip addr add 10.9.0.1/16 dev nobridge0\n"), "{done:?}");
    world.program("ip", r#"echo '[{"flags":["UP"],"linkinfo":{"info_kind":"vlan"}}]'"#);
    world.ukl(&run).fails(120, &["`nobridge0` is not a bridge"]);
}

#[test]
fn signals_panics_and_silence_are_told_apart() {
    let world = world();
    built(&world);
    let run = ["run", "a.c", "--accel", "tcg"];
    tell(&world, "start\nrun 0\nsignal 11\n", "");
    world.ukl(&run).fails(139, &["`a` was killed by signal 11"]);
    tell(&world, "start\nrun 0\n", "[    0.5] Kernel panic - not syncing: out of luck\r\n");
    world.ukl(&run).fails(255, &["the guest kernel panicked: ", "out of luck"]);
    tell(&world, "start\nrun 0\n", "bye\r\n");
    world.ukl(&run).fails(123, &["the guest had reported no exit status", "blame   boot", "console.log"]);
    tell(&world, "", "");
    world.ukl(&run).fails(123, &["before the guest was up", "blame   boot"]);
}

#[test]
fn with_json_a_run_is_one_object() {
    let world = world();
    tell(&world, "start\nrun 0\nexit 3\n", "hello\r\n");
    let done = world.ukl(&["up", "a.c", "--accel", "tcg", "--json"]);
    let json = done.json();
    assert_eq!((done.code, json["exit_code"].as_u64()), (Some(3), Some(3)), "{done:?}");
    let run = &json["result"]["run"];
    assert_eq!((run["outcome"].as_str(), run["detail"].as_u64()), (Some("exited"), Some(3)), "{run}");
    assert!(run["console"].as_str().unwrap().starts_with("hello") && run["total_s"].as_f64().unwrap() > 0.0, "{run}");
}

#[test]
fn a_time_limit_ends_the_guest() {
    let world = world();
    tell(&world, "start\nrun 0\n", "waiting\r\n");
    built(&world);
    hold(&world, true);
    let done = world.ukl(&["run", "a.c", "--accel", "tcg", "--timeout", "1"]);
    done.fails(124, &["`a` did not end within 1 s"]);
    assert!(done.out.starts_with("waiting") && ended(&world, "booting"), "{done:?}");
}

#[test]
fn an_interrupted_run_leaves_no_guest() {
    let world = world();
    tell(&world, "start\nrun 0\n", "waiting\r\n");
    built(&world);
    hold(&world, true);
    let child = start(&world, &["run", "a.c", "--accel", "tcg"], "booting");
    interrupt(child).fails(130, &["interrupted"]);
    assert!(ended(&world, "booting"));
}

#[test]
fn a_reader_of_the_console_that_goes_away_ends_the_guest() {
    let world = world();
    built(&world);
    tell(&world, "start\nrun 0\n", &"a long line\r\n".repeat(20_000));
    hold(&world, true);
    let mut child = start(&world, &["run", "a.c", "--accel", "tcg"], "booting");
    drop(child.stdout.take());
    let done = done(child.wait_with_output().unwrap());
    assert!(!done.err.contains("panicked at") && done.code == Some(0), "{done:?}");
    assert!(ended(&world, "booting"));
}

#[test]
fn an_interrupted_kernel_build_goes_on_next_time() {
    let world = world();
    hold(&world, true);
    let child = start(&world, &["build", "a.c"], "making");
    interrupt(child).fails(130, &["interrupted"]);
    assert!(ended(&world, "making"));
    assert!(!world.at("project/build/a/image.json").exists() && !world.at("project/build/a/bzImage").exists());
    world.ukl(&["run", "a.c"]).fails(2, &["no image in", "ukl build"]);
    hold(&world, false);
    built(&world);
    let log = log(&world, "make.log");
    assert_eq!(log, "allnoconfig\nbzImage\nbzImage\nukl-image\n", "configured once, objects continued");
}

#[test]
fn two_builds_share_one_cache() {
    let world = world();
    world.write("b.c", HELLO);
    hold(&world, true);
    let first = start(&world, &["build", "a.c"], "making");
    let mut second = world.command(&["build", "b.c"]).spawn().unwrap();
    says(second.stderr.as_mut().unwrap(), "waiting for another build");
    hold(&world, false);
    let (first, second) = (done(first.wait_with_output().unwrap()), done(second.wait_with_output().unwrap()));
    assert_eq!((first.code, second.code), (Some(0), Some(0)), "{first:?} {second:?}");
    assert_eq!(log(&world, "make.log").matches("bzImage").count(), 1, "the objects are made once");
}

#[test]
fn a_failed_build_keeps_the_last_image() {
    let world = world();
    built(&world);
    world.write("a.c", "int main(void) { return x; }\n");
    world.ukl(&["build", "a.c"]).fails(121, &["a.c:1:25: error"]);
    assert_eq!(world.ukl(&["run", "a.c", "--accel", "tcg"]).code, Some(0), "the image of before still boots");
}

#[test]
fn a_missing_qemu_is_named() {
    let mut world = world();
    built(&world);
    fs::remove_file(world.at("bin/qemu-system-x86_64")).unwrap();
    world.only_fakes();
    world.ukl(&["run", "a.c", "--accel", "tcg"]).fails(120, &["qemu-system-x86_64", "blame   host", "ukl doctor"]);
}

#[test]
fn a_dry_run_shows_every_command_and_changes_nothing() {
    let world = world();
    // What was learnt about this machine may be remembered.
    let files = || world.files("").into_iter().filter(|name| !name.contains("/facts/")).collect::<Vec<_>>();
    let before = files();
    let done = world.ukl(&["up", "a.c", "--accel", "tcg", "--dry-run"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    for part in ["gcc ", "ld.bfd -r ", "make -C ", "ukl-image", "qemu-system-x86_64 -nodefaults"] {
        assert!(done.out.contains(part), "no `{part}` in\n{}", done.out);
    }
    assert_eq!(files(), before);
    let json = world.ukl(&["up", "a.c", "--accel", "tcg", "--dry-run", "--json"]).json();
    assert_eq!(json["commands"].as_array().unwrap().len(), done.out.lines().count(), "{json}");
}

#[test]
fn a_wrong_checksum_keeps_nothing() {
    let world = world();
    let tarball = world.write("linux.tar", "no kernel");
    let (url, sum) = (tarball.display(), "0".repeat(64));
    let kernel = format!("[kernel]\nsource = \"file://{url}\"\nsha256 = \"{sum}\"\n");
    world.write("ukl.toml", &format!("name = \"a\"\nsources = [\"a.c\"]\n{kernel}"));
    let before = world.files("cache");
    world.ukl(&["build"]).fails(120, &["checksum of `file://", "expected 0000", "blame   host"]);
    let locks = |name: &&String| name.contains("/locks/");
    assert_eq!(
        world.files("cache").iter().filter(|n| !locks(n)).collect::<Vec<_>>(),
        before.iter().collect::<Vec<_>>()
    );
    assert_eq!(log(&world, "make.log"), "");
}

#[test]
fn a_patch_that_does_not_apply_is_named() {
    let world = world();
    world.write("linux/Makefile", "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 1\n");
    let done = world.ukl(&["build", "a.c", "--kernel-source", "linux"]);
    done.fails(122, &["0001-", "blame   kernel"]);
    assert_eq!(log(&world, "make.log"), "");
    assert_eq!(world.files("project/linux"), ["Makefile"], "the user's tree is as it was");
}

#[test]
fn the_next_build_is_explained() {
    let world = world();
    world.write("ukl.toml", "name = \"a\"\nsources = [\"a.c\"]\n");
    let explain = || {
        let done = world.ukl(&["explain"]);
        assert_eq!(done.code, Some(0), "{done:?}");
        done.out
    };
    assert!(explain().contains("compile    again       a.c.o: not made yet"), "{}", explain());
    assert_eq!(world.ukl(&["build"]).code, Some(0));
    let text = explain();
    assert!(text.lines().all(|line| line.ends_with(" up to date")), "{text}");
    world.write("a.c", &format!("{HELLO}/* changed */\n"));
    let text = explain();
    assert!(text.contains("compile    again       a.c.o: a.c changed\n"), "{text}");
    assert!(text.contains("link       again       what it is made from is made again\n"), "{text}");
    assert!(text.contains("patch      up to date\n"), "{text}");
    assert_eq!(world.ukl(&["build"]).code, Some(0));
    world.write("ukl.toml", "name = \"a\"\nsources = [\"a.c\"]\n[kernel]\nconfig = [\"CONFIG_NR_CPUS=4\"]\n");
    let text = explain();
    assert!(text.contains("config     again       not in the cache\n"), "{text}");
    let json = world.ukl(&["explain", "--json"]).json();
    assert_eq!(json["result"]["stages"][2]["name"], "compile", "{json}");
}

#[test]
fn a_projects_sources_are_locked() {
    let world = world();
    assert_eq!(world.ukl(&["build", "a.c"]).code, Some(0));
    assert!(!world.at("project/ukl.lock").exists(), "plain files have no project");
    world.write("ukl.toml", "name = \"a\"\nsources = [\"a.c\"]\n");
    assert_eq!(world.ukl(&["build"]).code, Some(0));
    let lock = fs::read_to_string(world.at("project/ukl.lock")).unwrap();
    let packages: Vec<&str> = lock.lines().filter(|line| line.starts_with("package = ")).collect();
    assert_eq!(packages, ["package = \"linux-source-6.12\"", "package = \"musl\""], "{lock}");
    assert_eq!(world.ukl(&["build"]).code, Some(0));
    assert_eq!(fs::read_to_string(world.at("project/ukl.lock")).unwrap(), lock);
    let other = lock.replace("version = \"1.", "version = \"0.1.");
    assert_ne!(other, lock);
    world.write("ukl.lock", &other);
    let parts =
        ["`ukl.lock` says `musl` 0.1.", "and there is 1.", "`ukl update` takes what there is now", "blame   host"];
    world.ukl(&["build"]).fails(120, &parts);
    world.ukl(&["up", "--plat", "linuxu"]).fails(120, &parts[..2]);
}

#[test]
fn the_archive_can_be_made_by_hand() {
    let world = world();
    built(&world);
    let stages = world.at("project/build/a/stages");
    let (linked, ours) = (stages.join("link/program.o").display().to_string(), "hand/program.o");
    fs::create_dir(world.at("project/hand")).unwrap();
    let done = world.ukl(&["prefix", "--prefix-symbols=ukl_", "--exempt", "--sites", &linked, ours, "--json"]);
    assert!(done.json()["result"]["sites"].as_u64().unwrap() > 10, "{done:?}");
    let mut ar = Command::new("ar");
    ar.args(["rcsD", "UKL.a", "program.o"]).current_dir(world.at("project/hand"));
    assert!(ar.status().unwrap().success());
    let bytes = |name: &str| fs::read(world.at("project").join(name)).unwrap();
    assert!(bytes("hand/UKL.a") == bytes("build/a/UKL.a"), "the archives differ");
    world
        .ukl(&["prefix", "--exempt", "--sites", "hand/UKL.a"])
        .fails(2, &["is an archive: `--sites` takes one object"]);
}
