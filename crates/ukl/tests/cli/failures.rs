//! Builds that must fail: each says whose fault it is, ends with its exit code and leaves nothing half-written.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command};

use crate::world::{done, kill, says, wait, Done, World, UKL};

const HELLO: &str = include_str!("../programs/hello.c");

/// What only a complete link leaves.
const PRODUCTS: [&str; 4] = ["UKL.a", "twin", "bzImage", "image.json"];

#[track_caller]
fn nothing_half_written(world: &World) {
    let files = world.files("project");
    let leftover = |name: &&String| PRODUCTS.iter().any(|p| name.ends_with(p)) || name.contains(".tmp");
    assert_eq!(files.iter().filter(leftover).collect::<Vec<_>>(), Vec::<&String>::new(), "{files:?}");
}

#[test]
fn a_wrong_key_names_the_right_one() {
    let world = World::new();
    world.write("ukl.toml", "name = \"a\"\nsource = [\"a.c\"]\n");
    world.ukl(&["build"]).fails(2, &["ukl.toml:2: ", "files to compile belong into `sources`"]);
    world.write("ukl.toml", "name = \"a\"\nsorces = [\"a.c\"]\n");
    world.ukl(&["build"]).fails(2, &["ukl.toml:2: unknown key `sorces`", "hint    did you mean `sources`?"]);
    assert_eq!(world.files("project"), ["ukl.toml"]);
}

#[test]
fn a_missing_compiler_is_named_with_its_package() {
    let world = World::bare();
    world.write("a.c", HELLO);
    world.ukl(&["build", "a.c"]).fails(120, &["`gcc` is not installed", "blame   host", "apt-get install --yes gcc"]);
    world.ukl(&["build", "a.c", "--compiler", "clang"]).fails(120, &["`clang` is not installed"]);
    nothing_half_written(&world);
}

#[test]
fn a_source_that_does_not_compile_shows_the_place() {
    let world = World::builder();
    world.write("a.c", "int main(void) { return x; }\n");
    world.ukl(&["build", "a.c"]).fails(121, &["a.c:1:25: error: ", "blame   app", "command ", "compile.log"]);
    nothing_half_written(&world);
}

#[test]
fn an_undefined_symbol_is_named_with_its_object() {
    let world = World::builder();
    world.write("a.c", "int missing(void);\nint main(void) { return missing(); }\n");
    world.ukl(&["build", "a.c"]).fails(121, &["undefined symbol `missing`, wanted by `a.c.o`", "blame   app"]);
    nothing_half_written(&world);
}

#[test]
fn a_build_command_that_fails_is_the_programs_fault() {
    let world = World::builder();
    world.write("a.c", HELLO);
    world.write("ukl.toml", "name = \"a\"\nsources = [\"a.c\"]\nbuild = [\"false\"]\n");
    world.ukl(&["build"]).fails(121, &["false", "blame   app"]);
    nothing_half_written(&world);
}

/// A project whose build takes ten minutes until `go` exists.
fn slow() -> World {
    let world = World::builder();
    world.write("a.c", HELLO);
    let build = "build = [[\"sh\", \"-c\", \"test -f go || { echo $$ > started; sleep 600; touch late; }\"]]";
    world.write("ukl.toml", &format!("name = \"a\"\nsources = [\"a.c\"]\n{build}\n"));
    world
}

/// Starts a build and waits until its slow command runs.
fn start(world: &World, args: &[&str]) -> Child {
    let _ = std::fs::remove_file(world.at("project/started"));
    let child = world.command(args).spawn().unwrap();
    wait_for(&world.at("project/started"));
    child
}

fn wait_for(path: &Path) {
    assert!(wait(|| !std::fs::read(path).unwrap_or_default().is_empty()), "no {}", path.display());
}

/// Sends `name` (`-0` only asks) to the slow command; with `group`, to whatever it started as well.
fn tell_slow_command(world: &World, name: &str, group: bool) -> bool {
    let pid = std::fs::read_to_string(world.at("project/started")).unwrap();
    let target = format!("{}{}", if group { "-" } else { "" }, pid.trim());
    kill(name, &target)
}

/// True when the slow command (and, with `group`, whatever it started) ends.
fn ended(world: &World, group: bool) -> bool {
    wait(|| !tell_slow_command(world, "-0", group))
}

fn signal(child: &Child, name: &str) {
    assert!(kill(name, &child.id().to_string()));
}

fn finish(child: Child) -> Done {
    done(child.wait_with_output().unwrap())
}

#[test]
fn an_interrupted_build_stops_its_children_and_the_next_one_is_unharmed() {
    for name in ["-INT", "-TERM", "-HUP"] {
        let world = slow();
        let child = start(&world, &["build"]);
        signal(&child, name);
        finish(child).fails(130, &["interrupted"]);
        nothing_half_written(&world);
        assert!(ended(&world, true), "a child lives on");
        assert!(!world.at("project/late").exists());
    }
}

#[test]
fn a_killed_build_takes_its_child_along() {
    let world = slow();
    let mut child = start(&world, &["build"]);
    assert!(tell_slow_command(&world, "-0", false));
    signal(&child, "-KILL");
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    assert!(ended(&world, false), "the child lives on");
    // Its own children are nobody's business but ours here.
    tell_slow_command(&world, "-KILL", true);
    nothing_half_written(&world);
}

#[test]
fn two_builds_of_one_image_take_turns() {
    let world = slow();
    let first = start(&world, &["build"]);
    let mut second = world.command(&["build"]).spawn().unwrap();
    says(second.stderr.as_mut().unwrap(), "waiting for another build of `");
    signal(&first, "-INT");
    finish(first).fails(130, &["interrupted"]);
    // The second one got its turn and runs the slow command now.
    std::fs::remove_file(world.at("project/started")).unwrap();
    wait_for(&world.at("project/started"));
    signal(&second, "-INT");
    finish(second).fails(130, &["interrupted"]);
}

#[test]
fn a_full_disk_is_named_and_leaves_no_image() {
    let world = World::builder();
    world.write("a.c", HELLO);
    let full = world.at("full");
    std::fs::create_dir(&full).unwrap();
    // A private mount: it ends with the process.
    let script = "mount -t tmpfs -o size=32k none \"$0\" 2>/dev/null || exit 77; \"$@\"; code=$?; find \"$0\" -name UKL.a; exit $code";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).arg(&full).arg(UKL);
    let out = full.join("image");
    let args = ["build".as_ref(), "a.c".as_ref(), "--out".as_ref(), out.as_os_str()];
    let output = command.args(args).current_dir(world.at("project")).output().unwrap();
    let done = done(output);
    if done.code == Some(77)
        || ["Operation not permitted", "cannot change root"].iter().any(|why| done.err.contains(why))
    {
        eprintln!("skip: mounting a small file system needs root, on a root that is a mount point");
        return;
    }
    done.fails(120, &["No space left on device", "blame   host"]);
    assert_eq!(done.out, "", "an archive was left");
}
