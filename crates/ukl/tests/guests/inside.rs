//! `exec`, `shell`, `cp` and `stats`: programs and files beside the first program of a guest that runs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use crate::echo::{echo, free_port, run};
use crate::world::{done, kill, says, World};

#[test]
fn further_programs_run_in_a_guest_and_end_as_they_like() {
    let world = World::booting();
    let port = free_port();
    run(&world, &["-d", "-p", &format!("{port}:5555")]).ends(0, &[]);
    let exec = |words: &[&str]| world.ukl(&[&["exec", "echo"], words].concat());
    // The image has nothing but its program: busybox is sent along, once.
    assert_eq!(exec(&["--", "echo", "two words", ""]).ends(0, &[]).out, "two words \n");
    assert_eq!(exec(&["--", "/run/busybox", "head", "-c", "5", "/proc/1/comm"]).ends(0, &[]).out, "init\n");
    let both = exec(&["sh", "-c", "echo out; echo err >&2; exit 3"]);
    assert_eq!((both.ends(3, &[]).out.as_str(), both.err.as_str()), ("out\n", "err\n"));
    exec(&["sh", "-c", "kill -9 $$"]).fails(137, &[]);
    exec(&["--", "no-such-program"]).fails(127, &[]);
    exec(&["--", "/no/such"]).fails(2, &["the guest has no program `/no/such`"]);
    let json = world.ukl(&["--json", "exec", "echo", "--", "echo", "kept"]).json();
    assert_eq!((&json["result"]["stdout"], &json["exit_code"]), (&"kept\n".into(), &0.into()), "{json}");
    // A mebibyte in and out again, while another waits.
    let mut waiting = world.command(&["exec", "-i", "echo", "--", "cat"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut copy = world.command(&["exec", "-i", "echo", "--", "cat"]).stdin(Stdio::piped()).spawn().unwrap();
    let bytes: Vec<u8> = (0..1 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (mut to, sent) = (copy.stdin.take().unwrap(), bytes.clone());
    let sender = std::thread::spawn(move || to.write_all(&sent).unwrap());
    let came = copy.wait_with_output().unwrap();
    sender.join().unwrap();
    assert!(came.status.success() && came.stdout == bytes, "{} bytes came back", came.stdout.len());
    waiting.stdin.as_mut().unwrap().write_all(b"late").unwrap();
    drop(waiting.stdin.take());
    assert_eq!(done(waiting.wait_with_output().unwrap()).ends(0, &[]).out, "late");
    // What it leaves behind ends with it, and the first program knows nothing of all this.
    exec(&["sh", "-c", "sleep 1000 & setsid sleep 1001 & true"]).ends(0, &[]);
    assert_eq!(exec(&["sh", "-c", "ps | grep -c 'sleep 10[0]'"]).out, "0\n");
    assert_eq!(echo(&format!("127.0.0.1:{port}"), "still").unwrap(), "still");
    let mut shell = world.command(&["shell"]).stdin(Stdio::piped()).spawn().unwrap();
    shell.stdin.take().unwrap().write_all(b"cd /proc\npwd\nexit 4\n").unwrap();
    assert_eq!(done(shell.wait_with_output().unwrap()).ends(4, &[]).out, "/proc\n");
    // With the guest ends what runs in it.
    let left = world.command(&["exec", "echo", "--", "sleep", "1000"]).spawn().unwrap();
    assert_eq!(exec(&["sh", "-c", "until ps | grep -q '[s]leep 1000'; do sleep 0.1; done"]).code, Some(0));
    world.ukl(&["stop", "echo"]).ends(0, &["`echo` has ended: exited 7"]);
    done(left.wait_with_output().unwrap()).fails(123, &["the guest ended"]);
    world.ukl(&["exec", "echo", "--", "true"]).fails(2, &["the guest `echo` does not run (exited 7)"]);
    world.nothing_is_left();
}

#[test]
fn files_go_into_a_guest_and_out_of_it_whole_or_not_at_all() {
    let world = World::booting();
    run(&world, &["-d", "-p", &format!("{}:5555", free_port())]);
    let dir = world.write("top/sub/b", "below").parent().unwrap().parent().unwrap().to_owned();
    let bytes: Vec<u8> = (0..1 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(dir.join("a"), &bytes).unwrap();
    let cp = |from: &str, to: &str| world.ukl(&["cp", from, to]);
    let top = dir.to_str().unwrap();
    cp(top, "echo:/tmp/").ends(0, &[]);
    cp(&format!("{top}/a"), ":/tmp/one").ends(0, &[]);
    let back = dir.parent().unwrap().join("back");
    cp("echo:/tmp/top", back.to_str().unwrap()).ends(0, &[]);
    assert_eq!(std::fs::read(back.join("a")).unwrap(), bytes);
    assert_eq!(std::fs::read(back.join("sub/b")).unwrap(), b"below");
    cp("echo:/tmp/one", back.to_str().unwrap()).ends(0, &[]);
    assert_eq!(std::fs::read(back.join("one")).unwrap(), bytes);
    // A file that is written as it is read.
    cp("echo:/proc/1/comm", back.to_str().unwrap()).ends(0, &[]);
    assert_eq!(std::fs::read(back.join("comm")).unwrap(), b"init\n");
    cp("echo:/no/such", top).fails(2, &["in the guest: no file or folder `/no/such`"]);
    cp(top, "echo:/no/such/").fails(2, &["in the guest: no folder `/no/such/`"]);
    cp("/dev/zero", "echo:/tmp/zero").fails(2, &["`/dev/zero` is a device"]);
    // Who goes away in the middle leaves nothing.
    let big = dir.join("big");
    std::fs::File::create(&big).unwrap().set_len(1 << 30).unwrap();
    let mut away = world.command(&["cp", big.to_str().unwrap(), "echo:/tmp/big"]).spawn().unwrap();
    let seen = world.ukl(&["exec", "echo", "--", "sh", "-c", "until ls -A /tmp | grep -q ukl-cp; do sleep 0.1; done"]);
    assert_eq!(seen.code, Some(0), "{seen:?}");
    away.kill().unwrap();
    away.wait().unwrap();
    let gone = "for i in $(seq 100); do ls -A /tmp | grep -q ukl-cp || exit 0; sleep 0.1; done; exit 1";
    world.ukl(&["exec", "echo", "--", "sh", "-c", gone]).ends(0, &[]);
    let left = world.ukl(&["exec", "echo", "--", "sh", "-c", "ls -A /tmp | sort"]);
    assert_eq!(left.ends(0, &[]).out, "one\ntop\n");
    world.ukl(&["stop", "echo"]).ends(0, &[]);
    world.nothing_is_left();
}

#[test]
fn what_a_guest_uses_is_shown_and_served() {
    let world = World::booting();
    run(&world, &["-d", "-p", &format!("{}:5555", free_port())]).ends(0, &[]);
    let json = world.ukl(&["--json", "stats", "--interval", "200ms"]).json();
    let guest = &json["result"]["guests"][0];
    let number = |key: &str| guest[key].as_f64().unwrap_or_else(|| panic!("no {key}: {json}"));
    assert_eq!(
        (&guest["name"], &guest["state"], json["result"]["guests"].as_array().unwrap().len()),
        (&"echo".into(), &"ready".into(), 1)
    );
    assert!(number("cpu_s") > 0.0 && number("cpu_percent") >= 0.0 && number("qemu_kib") > 1000.0, "{json}");
    assert!(number("available_kib") > 1000.0 && number("available_kib") < number("memory_kib"), "{json}");
    assert!(world.ukl(&["stats", "echo"]).ends(0, &[]).out.contains("\necho  "));
    let mut server = world.command(&["stats", "--prometheus", "0"]).spawn().unwrap();
    let mut said = server.stderr.take().unwrap();
    says(&mut said, "http://");
    let address = says(&mut said, "/").trim_end_matches('/').to_owned();
    for _ in 0..2 {
        let mut client = TcpStream::connect(&address).unwrap();
        client.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        assert!(text.contains("\nukl_guest_memory_available_bytes{guest=\"echo\"} "), "{text}");
    }
    assert!(kill("-INT", &server.id().to_string()));
    assert_eq!(server.wait().unwrap().code(), Some(130));
    world.ukl(&["stop", "echo"]).ends(0, &[]);
    world.ukl(&["stats", "echo"]).fails(2, &["the guest `echo` does not run (exited 7)"]);
    world.nothing_is_left();
}
