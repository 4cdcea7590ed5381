//! `ukl bench`: what it reports, that nothing of it is left, and that counts repeat. Numbers are not judged otherwise.

use serde_json::Value;

use crate::world::World;

/// The words of a QEMU line that are neither files nor ports, nor the time.
fn options(line: &Value) -> Vec<String> {
    let of_one_boot = |word: &&str| ["/", "hostfwd", "ukl.clock="].iter().any(|part| word.contains(part));
    let words = line.as_str().unwrap().split_whitespace();
    words.filter(|word| !of_one_boot(word)).map(str::to_owned).collect()
}

#[test]
fn a_server_is_measured_in_both_modes_and_every_sample_is_kept() {
    let world = World::booting();
    let folder = world.at("bench");
    let words = ["--json", "bench", "serve", "tcp_server", "--rounds", "1", "--requests", "200", "--connections", "4"];
    let done =
        world.ukl(&[&words[..], &["--pipeline", "1,8", "--no-memory", "--out", folder.to_str().unwrap()]].concat());
    done.ends(0, &["round 1 of 1, app: first answer after ", "round 1 of 1, twin: "]);
    let json: Value = serde_json::from_str(&done.out).unwrap();
    let result = &json["result"];
    assert_eq!((&result["server"], &result["requests"]), (&"tcp_server".into(), &200.into()), "{result}");
    let boots = result["boots"].as_array().unwrap();
    let modes: Vec<&Value> = boots.iter().map(|boot| &boot["mode"]).collect();
    assert_eq!(modes, ["app", "twin"]);
    for boot in boots {
        assert_eq!(boot["end"], "exited 0", "{boot}");
        let loads = boot["loads"].as_array().unwrap();
        let depths: Vec<u64> = loads.iter().map(|load| load["depth"].as_u64().unwrap()).collect();
        assert_eq!(depths, [1, 8]);
        for load in loads.iter().chain([boot]) {
            let numbers = load.as_object().unwrap().values().filter_map(Value::as_f64);
            assert!(numbers.clone().count() >= 2 && numbers.clone().all(|number| number > 0.0), "{load}");
        }
        assert!(loads.iter().all(|load| load["p99_us"].as_u64() >= load["p50_us"].as_u64()), "{boot}");
        assert!(boot["available_kib"][1].as_u64() > Some(10_000), "{boot}");
    }
    assert!(result["bytes"]["initrd with twin"].as_u64() > result["bytes"]["initrd"].as_u64(), "{result}");
    assert_eq!(options(&result["qemu"]["app"]), options(&result["qemu"]["twin"]));
    world.nothing_is_left();
}

#[test]
fn a_server_is_counted_twice_with_the_same_result() {
    let world = World::booting();
    let folder = world.at("bench");
    let words =
        ["--json", "bench", "count", "tcp_server", "--rounds", "1", "--requests", "600", "--connections", "1,3"];
    let count = || {
        let done = world.ukl(&[&words[..], &["--pipeline", "1,4", "--out", folder.to_str().unwrap()]].concat());
        done.ends(0, &["round 1 of 1, app: ", "round 1 of 1, twin: "]);
        serde_json::from_str::<Value>(&done.out).unwrap()["result"]["boots"].clone()
    };
    let boots = count();
    for (boot, mode) in boots.as_array().unwrap().iter().zip(["app", "twin"]) {
        assert_eq!((&boot["mode"], &boot["end"]), (&mode.into(), &"exited 0".into()), "{boot}");
        let loads = boot["loads"].as_array().unwrap();
        let pairs: Vec<_> = loads.iter().map(|load| (load["connections"].as_u64(), load["depth"].as_u64())).collect();
        assert_eq!(
            pairs,
            [(1, 1), (1, 4), (3, 1), (3, 4)].map(|(connections, depth)| (Some(connections), Some(depth)))
        );
        assert!(loads.iter().all(|load| load["requests"] == 600 && load["instructions"].as_u64() > Some(600_000)));
    }
    assert_eq!(count(), boots, "nothing from outside may change an instruction");
}

#[test]
fn the_distributions_kernel_is_counted_beside_ours() {
    let world = World::booting();
    let folder = world.at("bench");
    let words = ["--json", "bench", "count", "tcp_server", "--against", "debian", "--rounds", "1", "--requests", "600"];
    let done = world
        .ukl(&[&words[..], &["--connections", "1", "--pipeline", "1", "--out", folder.to_str().unwrap()]].concat());
    done.ends(0, &["round 1 of 1, debian: ", "round 1 of 1, unmitigated: "]);
    let json: Value = serde_json::from_str(&done.out).unwrap();
    let result = &json["result"];
    let boots = result["boots"].as_array().unwrap();
    let setups: Vec<_> = boots.iter().filter_map(|boot| boot["setup"].as_str()).collect();
    assert_eq!(setups, ["debian", "unmitigated", "twin", "app"]);
    let counts: Vec<_> = boots.iter().map(|boot| boot["loads"][0]["instructions"].as_u64().unwrap()).collect();
    assert!(counts.is_sorted_by(|more, fewer| more > fewer), "each step saves something: {counts:?}");
    let packages = result["packages"].as_object().unwrap();
    assert!(packages.keys().any(|name| name.starts_with("linux-image-6.12.") && name.ends_with("-cloud-amd64")));
    let line = result["qemu"]["unmitigated"].as_str().unwrap();
    assert!(line.contains("mitigations=off") && line.contains("/vmlinux"), "{line}");
}

#[test]
fn single_calls_are_counted_in_both_modes() {
    let world = World::booting();
    let folder = world.at("calls");
    let done = world.ukl(&["--json", "bench", "calls", "--out", folder.to_str().unwrap()]);
    done.ends(0, &[]);
    let json: Value = serde_json::from_str(&done.out).unwrap();
    let calls = json["result"]["calls"].as_array().unwrap();
    let names: Vec<_> = calls.iter().filter_map(|call| call["name"].as_str()).collect();
    assert_eq!(names, ["nothing", "getppid", "read", "write", "clock_gettime", "pipe", "fault", "signal", "timer"]);
    assert_eq!(calls[0]["app"], calls[0]["twin"], "the same objects");
    assert!(calls.iter().all(|call| call["app"].as_f64() >= calls[0]["app"].as_f64()), "{calls:?}");
}

#[test]
fn only_known_servers_are_measured_and_no_dry_run_is() {
    let world = World::booting();
    world.ukl(&["bench", "serve", "apache"]).ends(2, &["redis, memcached, nginx, tcp_server"]);
    world.ukl(&["bench", "serve", "redis", "--pipeline", "0"]).ends(2, &["0 is not in 1..=256"]);
    world.ukl(&["bench", "count", "redis", "--requests", "100"]).ends(2, &["100 is not in 512..=10000000"]);
    world.ukl(&["bench", "count", "redis", "--connections", "1,0"]).ends(2, &["0 is not in 1..=512"]);
    world.ukl(&["--dry-run", "bench", "count", "redis"]).ends(2, &["cannot be a dry run"]);
    world.ukl(&["--dry-run", "bench", "serve", "redis"]).ends(2, &["cannot be a dry run"]);
}
