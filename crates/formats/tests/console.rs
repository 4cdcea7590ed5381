//! Console and control text, as kernels and init print it.
#![allow(clippy::unwrap_used)]

use formats::console::{
    complaint, control, is_complaint, plain, read, Control, End, Facts, Fault, Place, Rip, Run, LAST,
};

const OOPS: &str = "\
[    0.412345] Run /init as init process\r
hello from the program\r
[    0.512345] BUG: kernel NULL pointer dereference, address: 0000000000000008\r
[    0.512346] #PF: supervisor write access in kernel mode\r
[    0.512347] #PF: error_code(0x0002) - not-present page\r
[    0.512348] PGD 0 P4D 0 \r
[    0.512349] Oops: Oops: 0002 [#1] PREEMPT SMP\r
[    0.512350] CPU: 0 UID: 0 PID: 1 Comm: UKL Not tainted 6.12.0 #1\r
[    0.512351] Hardware name: QEMU Standard PC (Q35 + ICH9, 2009), BIOS 1.16.2-debian-1.16.2-1 04/01/2014\r
[    0.512352] RIP: 0010:ukl_parse+0x12/0x40\r
[    0.512353] Code: 00 00 0f 1f 44 00 00 <48> c7 00 01 00 00 00 c3\r
[    0.512354] RSP: 0018:ffffc90000013f00 EFLAGS: 00010246\r
[    0.512355] RAX: 0000000000000000 RBX: 0000000000000000 RCX: 0000000000000000\r
[    0.512356] Call Trace:\r
[    0.512357]  <TASK>\r
[    0.512358]  ? __die+0x1f/0x60\r
[    0.512359]  ukl_handle+0x20/0x90\r
[    0.512360]  ukl_main+0x31/0x50\r
[    0.512361]  </TASK>\r
[    0.512362] CR2: 0000000000000008\r
[    0.512363] ---[ end trace 0000000000000000 ]---\r
[    0.512364] RIP: 0010:ukl_parse+0x12/0x40\r
[    0.512365] Kernel panic - not syncing: Fatal exception\r
[    0.512366] Kernel Offset: disabled\r
[    0.512367] ---[ end Kernel panic - not syncing: Fatal exception ]---\r
";

fn at(name: &str, offset: u64, size: u64) -> Option<Rip> {
    Some(Rip { segment: 0x10, address: None, symbol: Some(Place { name: name.into(), offset, size }) })
}

#[test]
fn a_fault_that_ends_in_a_panic() {
    let facts = read(OOPS);
    let panic = facts.panic.unwrap();
    assert_eq!(panic.message, "Fatal exception");
    assert_eq!(panic.rip, at("ukl_parse", 0x12, 0x40));
    assert_eq!(panic.backtrace, ["ukl_handle+0x20/0x90", "ukl_main+0x31/0x50"]);
    let oops = facts.oops.unwrap();
    assert_eq!(oops.message, "BUG: kernel NULL pointer dereference, address: 0000000000000008");
    assert_eq!(oops.command.as_deref(), Some("UKL"));
    assert_eq!(oops.rip, at("ukl_parse", 0x12, 0x40));
    assert_eq!(facts.init_end, None);
    assert_eq!(facts.last.len(), LAST);
    assert_eq!(facts.last[LAST - 1], "[    0.512367] ---[ end Kernel panic - not syncing: Fatal exception ]---");
}

#[test]
fn the_exit_status_of_pid_1() {
    for (word, end, code) in [
        ("0x00000000", End::Exited(0), 0),
        ("0x00002a00", End::Exited(42), 42),
        ("0x0000ff00", End::Exited(255), 255),
        ("0x0000000b", End::Killed(11), 139),
        ("0x0000008b", End::Killed(11), 139),
        ("0x00000009", End::Killed(9), 137),
    ] {
        let text =
            format!("no newline[    1.5] Kernel panic - not syncing: Attempted to kill init! exitcode={word}\r\n");
        let facts = read(&text);
        assert_eq!(facts.init_end, Some(end), "{word}");
        assert_eq!(end.code(), code);
        assert_eq!(facts.panic.unwrap().message, format!("Attempted to kill init! exitcode={word}"));
    }
}

#[test]
fn a_panic_with_its_own_report() {
    let text = "\
[    1.000000][    T1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b
[    1.000001][    T1] CPU: 0 UID: 0 PID: 1 Comm: UKL Not tainted 6.12.0-rc1 #1
[    1.000002][    T1] Call Trace:
[    1.000003][    T1]  <TASK>
[    1.000004][    T1]  panic+0x2f0/0x310
[    1.000005][    T1]  do_exit+0x8a1/0xa10
[    1.000006][    T1]  0xffffffff81001234
[    1.000007][    T1]  </TASK>
[    1.000008][    T1] RIP: 0033:0x4011b6
[    1.000009][    T1] Rebooting in 1 seconds..";
    let panic = read(text).panic.unwrap();
    assert_eq!(panic.rip, Some(Rip { segment: 0x33, address: Some(0x4011b6), symbol: None }));
    assert_eq!(panic.backtrace, ["panic+0x2f0/0x310", "do_exit+0x8a1/0xa10", "0xffffffff81001234"]);
}

#[test]
fn kernels_without_symbols_print_addresses() {
    let text = "general protection fault, probably for non-canonical address 0x8000000000000000: 0000 [#1] SMP\n\
        CPU: 0 PID: 30 Comm: sh Not tainted\nRIP: 0010:0xffffffff81800003\nCall Trace:\n <TASK>\n </TASK>\nprogram goes on\n";
    let facts = read(text);
    assert_eq!(facts.panic, None);
    let oops = facts.oops.unwrap();
    assert_eq!(oops.rip, Some(Rip { segment: 0x10, address: Some(0xffffffff81800003), symbol: None }));
    assert_eq!(oops.backtrace, Vec::<String>::new());
    assert_eq!(
        oops.message,
        "general protection fault, probably for non-canonical address 0x8000000000000000: 0000 [#1] SMP"
    );
}

#[test]
fn other_panics() {
    for message in [
        "VFS: Unable to mount root fs on unknown-block(0,0)",
        "No working init found.",
        "Requested init /UKL failed (error -8).",
    ] {
        let text = format!("[    0.9] Kernel panic - not syncing: {message}\r\n[    0.9] ---[ end Kernel panic - not syncing: {message} ]---\r\n");
        let facts = read(&text);
        assert_eq!(facts.panic.unwrap().message, message);
        assert_eq!((facts.oops, facts.init_end), (None, None));
    }
}

/// A recorded boot of Linux 6.12 in QEMU, firmware's escape sequences included.
fn recorded(name: &str) -> Facts {
    let path = format!("{}/tests/data/console/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    read(&std::fs::read_to_string(path).unwrap())
}

#[test]
fn recorded_ends_of_pid_1() {
    let fault = |what: &str, address, ip| Fault { command: "init".into(), pid: 1, what: what.into(), address, ip };
    let cases = [
        ("init-exits", End::Exited(42), vec![]),
        ("init-segfaults", End::Killed(11), vec![fault("segfault", Some(8), 0x40118d)]),
        ("init-traps", End::Killed(4), vec![fault("trap invalid opcode", None, 0x40115b)]),
        ("init-protection", End::Killed(11), vec![fault("general protection fault", None, 0x40115f)]),
    ];
    for (name, end, faults) in cases {
        let facts = recorded(name);
        assert_eq!((facts.init_end, &facts.oops), (Some(end), &None), "{name}");
        assert_eq!(facts.faults, faults, "{name}");
        assert!(facts.panic.unwrap().message.starts_with("Attempted to kill init!"), "{name}");
    }
    let unfinished = read(
        "no newline[    1.430000] init[1]: segfault at 8 ip 00000000401000 sp 7f error 6 in init[118d,401000+1000]\r\n",
    );
    assert_eq!(unfinished.faults, [fault("segfault", Some(8), 0x401000)]);
    let exits = recorded("init-exits");
    assert!(exits.last.contains(&"hello".to_string()), "{:?}", exits.last);
}

#[test]
fn recorded_boot_without_a_root() {
    let facts = recorded("no-root");
    let message = "VFS: Unable to mount root fs on \"\" or unknown-block(0,0)";
    assert_eq!(facts.panic.unwrap().message, message);
    assert_eq!((facts.init_end, facts.oops, facts.faults), (None, None, vec![]));
}

#[test]
fn ordinary_output_is_no_fault() {
    let facts = read("fixing BUG: none\nan Oops: too\nRIP: in peace\nCall Trace:\n\n\n");
    assert_eq!((facts.panic, facts.oops, facts.init_end), (None, None, None));
    assert_eq!(facts.last, ["fixing BUG: none", "an Oops: too", "RIP: in peace", "Call Trace:"]);
    assert_eq!(read(""), read("\r\n\r\n"));
}

#[test]
fn cut_off_texts_never_panic() {
    for end in (0..OOPS.len()).filter(|end| OOPS.is_char_boundary(*end)) {
        let facts = read(&OOPS[..end]);
        assert!(facts.last.len() <= LAST);
    }
}

#[test]
fn escape_sequences_are_left_out() {
    assert_eq!(plain("\u{1b}[1;31mred\u{1b}[0m\u{1b}[K\u{1b}]0;title\u{7} \u{1b}c\tend\u{0}\u{8}"), "red \tend");
    assert_eq!(plain("\u{1b}["), "");
}

#[test]
fn reports_of_init() {
    let run = |index, end| Run { index, end };
    let all = control("start\r\nrun 0\r\nexit 42\r\nrun 1\r\nsignal 11\r\nrun 2\r\n");
    let runs = vec![run(0, Some(End::Exited(42))), run(1, Some(End::Killed(11))), run(2, None)];
    assert_eq!(all, Control { started: true, runs, ..Control::default() });
    assert_eq!(
        control("start\nfailed cannot mount `/d`: No such device\n").failed,
        ["cannot mount `/d`: No such device"]
    );
    // One command, not announced.
    assert_eq!(control("start\nexit 0\n").runs, [run(0, Some(End::Exited(0)))]);
    assert_eq!(control("exit 0\nexit 1\n").runs, [run(0, Some(End::Exited(0))), run(1, Some(End::Exited(1)))]);
    assert_eq!(control(""), Control::default());
}

#[test]
fn reports_that_are_cut_off_or_unknown() {
    assert_eq!(control("start\nexit 4").runs, []);
    let odd = control("start\nexit 300\nsignal 0\nsignal 99\nexit\nrun x\nSeaBIOS\n");
    assert_eq!(odd.unknown, ["exit 300", "signal 0", "signal 99", "exit", "run x", "SeaBIOS"]);
    assert!(odd.started && odd.runs.is_empty());
}

#[test]
fn the_guest_says_what_is_left_of_its_memory() {
    let text = control("start\nmemory 93180\nmemory 93176\nmemory x\nmem");
    assert_eq!((text.available_kib, text.unknown), (vec![93180, 93176], vec!["memory x".to_owned()]));
}

#[test]
fn a_warning_is_a_complaint_and_a_servers_word_is_none() {
    assert!(is_complaint("[    1.234567] WARNING: CPU: 0 PID: 1 at mm/slab.c:1"));
    assert!(!is_complaint("1:M # Warning: memory overcommit must be enabled"));
    let server = "27:M 25 Nov 2026 08:20:37.283 # WARNING: the new maxmemory value set via CONFIG SET (1) is smaller\n";
    assert_eq!(complaint(server), None);
    let kernel = "no end of line[    1.234567] WARNING: CPU: 0 PID: 1 at mm/slab.c:1";
    assert_eq!(complaint(&format!("{server}{kernel}\n")), Some(kernel));
}

#[test]
fn a_server_is_ready_at_the_address_that_it_was_given() {
    let text = control("start\naddress 172.44.0.50\nrun 0\nready\nadd");
    assert_eq!((text.ready, text.address.as_deref()), (true, Some("172.44.0.50")));
    assert_eq!(text.unknown, Vec::<String>::new());
}
