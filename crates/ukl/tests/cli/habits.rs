//! What people type because other tools take it: it works, or the error says what to type.

use crate::world::World;

#[test]
fn version_and_help_are_commands_too() {
    let world = World::new();
    let done = world.ukl(&["version"]);
    assert_eq!((done.code, done.out), (Some(0), world.ukl(&["--version"]).out));
    let done = world.ukl(&["help", "run"]);
    assert_eq!((done.code, done.out), (Some(0), world.ukl(&["run", "--help"]).out));
    assert_eq!(world.ukl(&["help"]).out, world.ukl(&["--help"]).out);
}

#[test]
fn guests_need_no_name_when_one_runs_and_none_is_an_error_that_says_so() {
    let world = World::new();
    assert_eq!(world.ukl(&["ps", "-a"]).out, world.ukl(&["ps"]).out);
    for verb in ["stop", "logs"] {
        world.ukl(&[verb]).fails(2, &["no guest runs in the background", "ukl ps"]);
    }
    let done = world.ukl(&["stop", "--all"]);
    assert_eq!((done.code, done.out.as_str()), (Some(0), ""), "{done:?}");
    world.ukl(&["stop", "--all", "a"]).fails(2, &["cannot be used with"]);
    world.ukl(&["logs", "a", "--since", "soon"]).fails(2, &["`soon` is not a time: write a number of seconds"]);
    world.ukl(&["logs", "a", "--since", "@1h"]).fails(2, &["no guest `a`"]);
}

#[test]
fn sizes_and_times_are_read_in_every_usual_form() {
    let world = World::new();
    world.write("a.c", "int main(void) { return 0; }\n");
    for memory in ["64", "64mb", "512m", "1GiB"] {
        // The words were understood: what is missing is the image.
        world.ukl(&["run", "a.c", "--memory", memory, "--timeout", "5m"]).fails(2, &["no image in"]);
    }
    world
        .ukl(&["run", "a.c", "--timeout", "5 m"])
        .fails(2, &["`5 m` is not a time: write a number of seconds", "`1h30m`"]);
    world.ukl(&["run", "a.c", "--timeout", "0"]).fails(2, &["a limit of no time at all"]);
    world.ukl(&["stop", "a", "--timeout", "soon"]).fails(2, &["`soon` is not a time"]);
}

#[test]
fn an_argument_without_dashes_in_front_is_told_where_it_belongs() {
    let world = World::new();
    world.write("a.c", "int main(void) { return 0; }\n");
    world.ukl(&["run", "a.c", "one"]).fails(2, &["no file or folder `one`", "arguments go behind `--`: a.c -- one"]);
    world.ukl(&["run", "one"]).fails(2, &["no file or folder `one`"]);
}

#[test]
fn a_folder_of_c_files_is_a_program() {
    let world = World::builder();
    world.write("b.c", "int answer(void) { return 41; }\n");
    world.write("a.c", "int answer(void);\nint main(void) { return answer(); }\n");
    let done = world.ukl(&["up", "--plat", "linuxu"]);
    assert_eq!(done.code, Some(41), "{done:?}");
    assert!(done.err.contains("no ukl.toml in `.`: the program is a.c, b.c"), "{done:?}");
    assert!(world.at("project/build/project/twin").exists());
    assert!(!world.at("project/ukl.lock").exists(), "plain files have no project");
}

#[test]
fn the_project_is_named_in_the_same_way_everywhere() {
    let world = World::new();
    world.write("ukl.toml", "name = \"a\"\nsources = [\"a.c\"]\n");
    world.write("a.c", "int main(void) { return 0; }\n");
    for words in [["configure", "-C", ".", "--cpus", "2"], ["configure", ".", "--memory", "64mb", "--cpus=2"]] {
        let done = world.ukl(&words);
        assert_eq!(done.code, Some(0), "{done:?}");
    }
    let text = std::fs::read_to_string(world.at("project/ukl.toml")).unwrap();
    assert!(text.contains("cpus = 2") && text.contains("memory = \"64mb\""), "{text}");
    world.ukl(&["configure", ".", "-C", ".", "--cpus", "1"]).fails(2, &["cannot be used with"]);
}

#[test]
fn words_of_other_tools_work_or_the_error_says_what_to_type() {
    let world = World::new();
    world.write("a.c", "int main(void) { return 0; }\n");
    world.write("vars", "# of the test\nA=1\n\nB=two words\n");
    for words in [
        &["run", "-it", "--rm", "-e", "A=1", "--env", "B=", "a.c"][..],
        &["run", "--env-file", "vars", "--qemu-args", "-device virtio-rng-device", "--publish", "8080:80", "a.c"],
    ] {
        // The words were understood: what is missing is the image.
        world.ukl(words).fails(2, &["no image in"]);
    }
    world.ukl(&["run", "-e", "UKL_NO_SUCH", "a.c"]).fails(2, &["`UKL_NO_SUCH` has no value here"]);
    world.ukl(&["run", "-e", "=1", "a.c"]).fails(2, &["`` is not the name of a variable"]);
    for (word, hint) in [
        ("--network=host", "`--net user`"),
        ("--restart=always", "your service manager"),
        ("--entrypoint", "its arguments go behind `--`"),
        ("--rwdir", "`--share DIR:/PLACE[:ro]`"),
    ] {
        world.ukl(&["run", word, "a.c"]).fails(2, &[hint]);
    }
}

#[test]
fn variables_of_the_command_line_reach_the_program() {
    let world = World::builder();
    let program = "#include <stdio.h>\n#include <stdlib.h>\nint main(void) { printf(\"%s %s\\n\", getenv(\"A\"), getenv(\"B\")); }\n";
    world.write("a.c", program);
    world.write("vars", "A=file\nB=file\n");
    let done = world.ukl(&["up", "--plat", "linuxu", "--env-file", "vars", "-e", "B=two words", "a.c"]);
    assert_eq!(done.out, "file two words\n", "{done:?}");
}
