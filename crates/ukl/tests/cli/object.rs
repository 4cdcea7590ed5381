//! inspect, prefix and trigger, on what the system's compiler makes.

use std::process::Command;

use crate::world::World;

fn compiled() -> World {
    let world = World::new();
    let source = world.write("a.c", include_str!("../programs/symbols.c"));
    let compile = |args: &[&str]| {
        let status = Command::new("gcc").args(args).arg(&source).current_dir(world.at("project")).status();
        assert!(status.unwrap().success());
    };
    compile(&["-c", "-fno-pic", "-mcmodel=kernel", "-o", "a.o"]);
    world
}

fn nm(world: &World, file: &str) -> String {
    let output = Command::new("nm").arg(file).current_dir(world.at("project")).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn inspect_shows_sections_symbols_and_imports() {
    let world = compiled();
    let done = world.ukl(&["inspect", "a.o", "--top", "1"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    for part in ["a.o in a.o", ".bss ", "3.9 KiB  zero", "symbols: 4 defined\n  table ", "kernel: kernel_function\n"] {
        assert!(done.out.contains(part), "no `{part}` in\n{}", done.out);
    }
    let json = world.ukl(&["inspect", "a.o", "--json"]).json();
    let object = &json["result"]["objects"][0];
    assert_eq!(object["imports"], serde_json::json!(["kernel_function"]));
    assert_eq!((object["totals"]["zero"].as_u64(), object["totals"]["tls"].as_u64()), (Some(4000), Some(4)));
}

#[test]
fn inspect_lists_raw_instructions_and_red_zones() {
    let world = World::new();
    let red = "movl $1, -8(%rsp)\n";
    world.write(
        "b.s",
        &format!(".globl f\n.type f,@function\nf: nop\nsyscall\nhlt\nsyscall\nint $0x80\n{red}{red}ret\n"),
    );
    let status = Command::new("gcc").args(["-c", "b.s"]).current_dir(world.at("project")).status();
    assert!(status.unwrap().success());
    let done = world.ukl(&["inspect", "b.o"]);
    let raw = "raw instructions:\n  syscall in f+0x1 (2 times)\n  hlt in f+0x3\n  int 0x80 in f+0x6\n";
    assert!(done.out.contains(raw), "{}", done.out);
    assert!(done.out.ends_with("red zones:\n  in f+0x8 (2 times)\n"), "{}", done.out);
}

#[test]
fn inspect_refuses_what_it_cannot_read() {
    let world = compiled();
    world.ukl(&["inspect", "a.c"]).fails(2, &["no file", "UKL.a", "hint    build the image first"]);
    world.ukl(&["inspect", "nothing.o"]).fails(2, &["no file `nothing.o`"]);
    world.write("bad.o", "no object at all");
    world.ukl(&["inspect", "bad.o"]).fails(2, &["cannot read `bad.o`"]);
}

#[test]
fn prefix_does_what_objcopy_does() {
    let world = compiled();
    let objcopy = ["--prefix-symbols=ukl_", "a.o", "objcopy.o"];
    assert!(Command::new("objcopy").args(objcopy).current_dir(world.at("project")).status().unwrap().success());
    assert_eq!(world.ukl(&["prefix", "--prefix-symbols=ukl_", "a.o", "ours.o"]).code, Some(0));
    assert!(nm(&world, "ours.o").contains(" T ukl_main\n"));
    assert_eq!(nm(&world, "ours.o"), nm(&world, "objcopy.o"));
    assert_eq!(world.ukl(&["prefix", "--prefix", "my_", "a.o"]).code, Some(0));
    assert!(nm(&world, "a.o").contains(" T my_main\n"));
}

#[test]
fn prefix_leaves_nothing_behind_when_it_fails() {
    let world = World::new();
    world.write("bad.o", "no object at all");
    world.ukl(&["prefix", "bad.o", "out.o"]).fails(2, &["`bad.o`: "]);
    world.ukl(&["prefix", "none.o", "out.o"]).fails(2, &["no file `none.o`"]);
    assert_eq!(world.files("project"), ["bad.o"]);
}

#[test]
fn a_trigger_is_made_of_a_kernel_with_a_program_and_of_nothing_else() {
    let world = compiled();
    for (file, wanted) in
        [("none", "no file `none`"), ("a.c", "not an ELF object"), ("a.o", "no section `.ukl.rodata`")]
    {
        let done = world.ukl(&["trigger", file, "UKL"]);
        assert!(done.code == Some(2) && done.err.contains(wanted), "{done:?}");
        assert!(!world.at("project").join("UKL").exists());
    }
}
