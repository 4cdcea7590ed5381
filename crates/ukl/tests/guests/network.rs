//! Guests in networks of this machine: namespaces that the tests make, with a bridge in them.

use std::fs::File;
use std::io::Read;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::echo::{connect, echo, echo_datagram, free_port, run};
use crate::world::{wait, World};

/// A machine in a network of its own.
fn world() -> Option<World> {
    let world = World::with_network()?;
    ip(&world, "link set lo up");
    Some(world)
}

/// As [`world`], with the bridge of the tutorials.
pub fn with_bridge() -> Option<World> {
    let world = world()?;
    ip(&world, "link add virbr0 type bridge");
    ip(&world, "addr add 172.44.0.1/24 dev virbr0");
    ip(&world, "link set virbr0 up");
    Some(world)
}

/// Runs `ip` in the namespace; its output.
#[track_caller]
fn ip(world: &World, words: &str) -> String {
    let output = world.any("ip").args(words.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What `client` gets, from within the namespace.
fn inside<T: Send + 'static>(world: &World, client: impl FnOnce() -> T + Send + 'static) -> T {
    let space = world.space();
    let client = std::thread::spawn(move || {
        let space = File::open(space).unwrap();
        // SAFETY: setns takes plain integers; it changes this thread only.
        assert_eq!(unsafe { libc::setns(space.as_raw_fd(), libc::CLONE_NEWNET) }, 0);
        client()
    });
    client.join().unwrap()
}

/// As [`echo`], from within the namespace.
fn echo_inside(world: &World, address: &str, text: &str) -> String {
    let (address, text) = (address.to_owned(), text.to_owned());
    inside(world, move || echo(&address, &text).unwrap())
}

/// The tap devices of the namespace.
pub fn taps(world: &World) -> Vec<Value> {
    let links: Vec<Value> = serde_json::from_str(&ip(world, "-details -json link show")).unwrap();
    links.into_iter().filter(|link| link["linkinfo"]["info_kind"] == "tun").collect()
}

#[test]
fn a_server_has_an_address_of_its_own_in_a_bridge() {
    let Some(world) = with_bridge() else { return };
    let bridge = ["-d", "--net", "bridge=virbr0", "--ip", "172.44.0.2/24,gw=172.44.0.1"];
    run(&world, &bridge).ends(0, &["ready: 172.44.0.2:5555 answers after "]);
    let text = "over the bridge\n".repeat(10_000);
    assert!(echo_inside(&world, "172.44.0.2:5555", &text) == text);
    assert_eq!(world.guest("echo")["address"], "172.44.0.2");
    // A second one beside it: other hardware address, other tap device.
    let other = ["-d", "--name", "other", "--net", "bridge=virbr0", "--ip", "172.44.0.3/24"];
    run(&world, &other).ends(0, &["ready: 172.44.0.3:5555"]);
    assert_eq!(echo_inside(&world, "172.44.0.3:5555", "third"), "third");
    assert_eq!(echo_inside(&world, "172.44.0.2:5555", "second"), "second");
    assert!(taps(&world).len() == 2 && taps(&world).iter().all(|tap| tap["master"] == "virbr0"));
    world.ukl(&["stop", "echo", "other"]).ends(0, &["`echo` has ended", "`other` has ended"]);
    assert!(taps(&world).is_empty(), "tap devices end with their guests");
}

/// A DHCP server on the bridge, ended with the value.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_server_of_the_network_gives_the_address() {
    let Some(world) = with_bridge() else { return };
    if !std::path::Path::new("/bin/busybox").exists() {
        eprintln!("skip: busybox-static is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(at("leases"), "").unwrap();
    // A lease of 10 seconds: it is asked for again while the test looks.
    let rules = format!(
        "start 172.44.0.50\nend 172.44.0.50\ninterface virbr0\nlease_file {}\npidfile {}\nmin_lease 4\n\
         opt subnet 255.255.255.0\nopt router 172.44.0.1\nopt dns 172.44.0.1\nopt lease 10\n",
        at("leases"),
        at("pid")
    );
    std::fs::write(at("conf"), rules).unwrap();
    let log = dir.path().join("log");
    let mut server = world.any("busybox");
    server.args(["udhcpd", "-f", "-I", "172.44.0.1"]).arg(at("conf"));
    server.stdout(Stdio::null()).stderr(File::create(&log).unwrap());
    let _server = Server(server.spawn().unwrap());
    run(&world, &["-d", "--net", "bridge=virbr0", "--ip", "dhcp"]).ends(0, &["ready: 172.44.0.50:5555 answers after "]);
    assert_eq!(world.guest("echo")["address"], "172.44.0.50");
    assert_eq!(echo_inside(&world, "172.44.0.50:5555", "leased"), "leased");
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    let leases = || said().matches("sending ACK").count();
    assert!(wait(|| leases() >= 3), "no more time was asked for:\n{}", said());
    assert!(!said().contains("NAK"), "{}", said());
    assert_eq!(echo_inside(&world, "172.44.0.50:5555", "renewed"), "renewed");
}

#[test]
fn a_guest_without_a_server_of_addresses_says_so() {
    let Some(world) = with_bridge() else { return };
    let run = run(&world, &["--net", "bridge=virbr0", "--ip", "dhcp", "--", "early"]);
    run.ends(3, &["init: no DHCP server gives an address to `eth0`: Operation timed out"]);
    assert_eq!(run.out, "mode early\n");
}

#[test]
fn what_a_server_sent_before_its_end_arrives() {
    let Some(world) = with_bridge() else { return };
    let options = ["-d", "--net", "bridge=virbr0", "--ip", "172.44.0.2/24", "--", "gift"];
    run(&world, &options).ends(0, &["ready: 172.44.0.2:5555"]);
    let control = world.guests().guest("echo").run().control();
    let answer = inside(&world, move || {
        let mut stream = connect("172.44.0.2:5555").unwrap();
        // The server has ended before anybody reads.
        assert!(wait(|| std::fs::read_to_string(&control).is_ok_and(|said| said.contains("exit 0"))));
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    });
    assert_eq!(answer.len(), 400_000);
    world.waits_for("echo", "exited 0");
}

#[test]
fn datagrams_reach_forwarded_ports_in_both_modes() {
    let world = World::booting();
    for mode in [&[][..], &["--twin"]] {
        let first = free_datagram_ports();
        let ports = format!("0.0.0.0:{first}-{}:5555-5556/udp", first + 1);
        // The same number carries connections, too.
        let both = ["-d", "-p", &ports, "-p", &format!("{first}:5555")];
        let started = run(&world, &[mode, &both, &["--", "datagrams"]].concat());
        started.ends(0, &[&format!("ready: 127.0.0.1:{first} answers after ")]);
        for (port, size) in [(first, 1), (first + 1, 1), (first, 1472), (first + 1, 4000)] {
            let bytes: Vec<u8> = (0..size).map(|i: usize| (i % 251) as u8).collect();
            let answer = echo_datagram(&format!("127.0.0.1:{port}"), &bytes).unwrap();
            assert!(answer == bytes, "{} bytes of {size} at port {port}", answer.len());
        }
        let table = world.ukl(&["ps"]).out;
        let places = format!("0.0.0.0:{first}-{}->5555-5556/udp 127.0.0.1:{first}->5555", first + 1);
        assert!(table.contains(&places), "{table}");
        let taken = ["-d", "--name", "second", "-p", &format!("{first}:53/udp")];
        run(&world, &taken).ends(120, &[&format!("UDP port {first} of this machine is taken")]);
        world.ukl(&["stop", "echo"]).ends(0, &["`echo` has ended: exited 7"]);
        world.ukl(&["rm", "echo"]).ends(0, &[]);
    }
}

/// The first of two UDP ports of this machine that nobody uses; its TCP port is free, too.
fn free_datagram_ports() -> u16 {
    let is_free = |port: u16| [port, port + 1].iter().all(|port| UdpSocket::bind(("0.0.0.0", *port)).is_ok());
    std::iter::repeat_with(free_port).find(|port| *port < u16::MAX && is_free(*port)).unwrap()
}

#[test]
fn two_processors_have_a_queue_each_at_a_tap_that_is_made_for_them() {
    let Some(world) = world() else { return };
    let options = ["-d", "--net", "tap=ukl7", "--ip", "172.45.0.2/24,gw=172.45.0.1", "--cpus", "2", "--queues", "2"];
    run(&world, &options).ends(0, &["ready: 172.45.0.2:5555"]);
    let text = "through two queues\n".repeat(10_000);
    assert!(echo_inside(&world, "172.45.0.2:5555", &text) == text);
    let taps = taps(&world);
    let facts = &taps[0]["linkinfo"]["info_data"];
    // The guest's driver switched the second one on: QEMU disables what it does not use.
    assert_eq!((&facts["numqueues"], &facts["numdisabled"]), (&2.into(), &0.into()), "{taps:?}");
    world.ukl(&["stop", "echo"]).ends(0, &[]);
    assert!(!ip(&world, "link show").contains("ukl7"), "what QEMU made ends with it");
}

#[test]
fn a_tap_that_is_there_is_used_and_stays() {
    let Some(world) = world() else { return };
    ip(&world, "tuntap add dev ukl8 mode tap");
    ip(&world, "addr add 172.46.0.1/24 dev ukl8");
    let options = ["--net", "tap=ukl8", "--ip", "172.46.0.2/24"];
    let many = [&options[..], &["--cpus", "2", "--queues", "2"]].concat();
    run(&world, &many).ends(120, &["`ukl8` was made for one queue", "multi_queue"]);
    run(&world, &[&["-d"], &options[..]].concat()).ends(0, &["ready: 172.46.0.2:5555"]);
    assert_eq!(echo_inside(&world, "172.46.0.2:5555", "hello"), "hello");
    world.ukl(&["stop", "echo"]).ends(0, &[]);
    assert!(ip(&world, "link show").contains("ukl8"));
}

#[test]
fn what_is_missing_comes_with_the_lines_that_make_it() {
    let Some(world) = world() else { return };
    let options = ["--net", "bridge=virbr0", "--ip", "172.44.0.2/24,gw=172.44.0.1", "--", "early"];
    let done = run(&world, &options);
    done.ends(120, &["no bridge `virbr0`", "  hint    ip link add virbr0 type bridge\n"]);
    // The lines of the hint, word for word.
    let (_, lines) = done.err.split_once("hint    ").unwrap();
    for line in lines.lines() {
        ip(&world, line.trim().strip_prefix("ip ").unwrap());
    }
    run(&world, &options).ends(3, &[]);
}
