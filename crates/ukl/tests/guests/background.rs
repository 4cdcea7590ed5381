//! `run -d`, `ps`, `logs`, `stop`, `rm`: how guests in the background begin, live and end.

use std::io::Read;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::echo::{echo, free_port, run};
use crate::world::{kill, says, World};

#[test]
fn a_server_starts_answers_and_is_asked_to_end() {
    let world = World::booting();
    let port = free_port();
    let started = run(&world, &["-d", "-p", &format!("{port}:5555")]);
    started.ends(0, &[&format!("ready: 127.0.0.1:{port} answers after ")]);
    assert_eq!(started.out, "echo\n");
    // It listens now: a connection is answered at once.
    assert_eq!(echo(&format!("127.0.0.1:{port}"), "to the guest and back").unwrap(), "to the guest and back");
    let guest = world.guest("echo");
    assert_eq!(
        (&guest["state"], &guest["ports"]),
        (&"ready".into(), &serde_json::json!([format!("{port}:5555")])),
        "{guest}"
    );
    assert_eq!(world.processes().len(), 2, "QEMU and ours: {:?}", world.processes());
    run(&world, &["-d"]).ends(2, &["a guest `echo` runs already (ready)", "--name OTHER"]);
    run(&world, &["-d", "--name", "second", "-p", &format!("{port}:5555")]).ends(120, &["is taken by another program"]);
    assert!(world.guest("second").is_null(), "what never came up is not listed");
    world.ukl(&["rm", "echo"]).ends(2, &["the guest `echo` runs (ready)", "ukl stop echo"]);

    // The program has spoken long before this: several commands have run since.
    let asked = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut follow = world.command(&["logs", "-f", "echo"]).spawn().unwrap();
    let mut following = follow.stdout.take().unwrap();
    let mut log = says(&mut following, "mode serve\n");
    world.ukl(&["stop", "echo"]).ends(0, &["`echo` has ended: exited 7"]);
    following.read_to_string(&mut log).unwrap();
    assert_eq!((log.as_str(), follow.wait().unwrap().code()), ("mode serve\nended by the host\n", Some(0)));
    assert_eq!(world.ukl(&["logs", "echo"]).out, log);
    let since = |time: &str| world.ukl(&["logs", "--since", time, "echo"]).out;
    assert_eq!((since("1h"), since("@0"), since("0")), (log.clone(), log, String::new()));
    assert_eq!(since(&format!("@{}", asked.as_secs_f64())), "ended by the host\n");
    world.nothing_is_left();

    world.ukl(&["stop", "echo"]).ends(0, &["`echo` had ended before: exited 7"]);
    let table = world.ukl(&["ps"]).out;
    assert!(table.lines().nth(1).is_some_and(|line| line.starts_with("echo  exited 7  ")), "{table}");
    world.ukl(&["rm", "echo"]).ends(0, &[]);
    assert_eq!(world.ukl(&["ps"]).out.lines().count(), 1);
    world.ukl(&["logs", "echo"]).ends(2, &["no guest `echo`", "there is none"]);
}

#[test]
fn a_program_that_ignores_the_request_is_killed() {
    let world = World::booting();
    run(&world, &["-d", "--", "stubborn"]).ends(0, &[]);
    world.ukl(&["stop", "--timeout", "1", "echo"]).ends(0, &["`echo` took too long and was killed: signal 9"]);
    world.nothing_is_left();
}

#[test]
fn a_program_that_went_into_the_background_of_the_guest_is_asked_as_well() {
    let world = World::booting();
    run(&world, &["-d", "--twin", "--", "daemon"]).ends(0, &[]);
    world.ukl(&["stop", "echo"]).ends(0, &["`echo` has ended: exited 7"]);
    assert_eq!(world.ukl(&["logs", "echo"]).out, "mode daemon\nended by the host\n");
}

#[test]
fn process_1_hears_nothing_and_is_switched_off() {
    let world = World::booting();
    run(&world, &["-d", "--pid1"]).ends(0, &[]);
    world.ukl(&["kill", "--signal", "HUP", "echo"]).ends(2, &["process 1"]);
    world.ukl(&["stop", "echo"]).ends(0, &["`echo` was switched off", "killed"]);
    world.nothing_is_left();
}

#[test]
fn a_signal_reaches_the_program() {
    let world = World::booting();
    run(&world, &["-d"]).ends(0, &[]);
    world.ukl(&["kill", "--signal", "SIGUSR1", "echo"]).ends(0, &[]);
    world.waits_for("echo", "signal 10");
    world.ukl(&["kill", "echo"]).ends(2, &["the guest `echo` does not run (signal 10)"]);
}

#[test]
fn a_guest_that_ends_before_it_is_ready_is_an_error_and_its_log_stays() {
    let world = World::booting();
    run(&world, &["-d", "--", "early"]).ends(123, &["the guest ended before it was ready: exited 3", "console.log"]);
    assert_eq!(world.ukl(&["logs", "echo"]).out, "mode early\n");
    world.waits_for("echo", "exited 3");
    // An ended guest makes room for the next of its name.
    run(&world, &["-d"]).ends(0, &[]);
    world.waits_for("echo", "ready");
}

#[test]
fn whatever_is_killed_from_outside_is_seen_and_takes_the_rest_along() {
    let world = World::booting();
    for victim in ["qemu-system", " attend "] {
        run(&world, &["-d"]).ends(0, &[]);
        let processes = world.processes();
        let (pid, _) = processes.iter().find(|(_, line)| line.contains(victim)).unwrap();
        assert!(kill("-KILL", &pid.to_string()));
        world.waits_for("echo", "killed");
        world.nothing_is_left();
    }
    world.ukl(&["stop", "echo"]).ends(0, &["`echo` had ended before: killed"]);
    world.ukl(&["rm", "--force", "echo"]).ends(0, &[]);
}

#[test]
fn a_time_limit_ends_a_guest_in_the_background_too() {
    let world = World::booting();
    // On a busy machine it may not even be ready by then.
    let done = run(&world, &["-d", "--timeout", "5"]);
    assert!(done.code == Some(0) || done.err.contains("the guest ended before it was ready: timed-out"), "{done:?}");
    world.waits_for("echo", "timed-out");
    world.nothing_is_left();
}
