//! The tutorial's six exercises on its own bridge: `virbr0`, the guest at 172.44.0.2, clients outside of the guest.

use std::fs;
use std::path::PathBuf;

use ukl::manifest;

use crate::network::{taps, with_bridge};
use crate::world::{self, example, own_end, scratch, storage_options, Done, Own, World};

/// The guest's address on the bridge.
const ADDRESS: &str = "172.44.0.2";
const BRIDGE: [&str; 4] = ["--net", "bridge=virbr0", "--ip", "172.44.0.2/24,gw=172.44.0.1"];

/// An exercise's image, its folder, and options for copies of the folders that it shares.
struct Exercise {
    name: &'static str,
    folder: PathBuf,
    image: Own,
    share: Option<PathBuf>,
    options: Vec<String>,
}

fn exercise(name: &'static str) -> Exercise {
    let folder = example(name);
    let manifest = manifest::load(&folder).unwrap();
    let image = world::image(&manifest).unwrap_or_else(|error| panic!("{error}"));
    let storage = scratch(&manifest.storage, &image.at("scratch"));
    let share = storage.shares.first().map(|share| share.path.clone());
    Exercise { name, folder, image, share, options: storage_options(&storage) }
}

impl Exercise {
    fn run(&self, world: &World, words: &[&str]) -> Done {
        let mut all =
            vec!["run", "--accel", "tcg", "--timeout", "300", "--out", self.image.dir.root().to_str().unwrap()];
        all.extend(self.options.iter().map(String::as_str));
        all.extend(BRIDGE);
        all.extend(words);
        world.ukl(&all)
    }

    /// What the exercise's own client says of the server on the bridge.
    fn client(&self, world: &World, port: u16) -> String {
        let mut client = world.any("bash");
        client.arg(self.folder.join("client.sh")).arg(port.to_string()).args(&self.share).env("HOST", ADDRESS);
        let output = client.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (said, errors) = (text(&output.stdout), text(&output.stderr));
        errors.lines().filter(|line| line.starts_with("skip: ")).for_each(|line| eprintln!("{line}"));
        assert!(output.status.success(), "{}: {}\n{said}{errors}", self.name, output.status);
        said
    }
}

#[test]
fn the_exercises_without_a_server_do_on_the_bridge_what_they_do_without() {
    let Some(world) = with_bridge() else { return };
    for exercise in [exercise("hello"), exercise("mount_9p")] {
        let done = exercise.run(&world, &[]);
        let want = fs::read_to_string(exercise.folder.join("expect.txt")).unwrap();
        let out = done.out.replace('\r', "");
        assert!(done.code == Some(0) && out.starts_with(&want), "{done:?}");
        // What the guest wrote is in the folder of this machine.
        let Some(share) = exercise.share else { continue };
        let answer = fs::read(exercise.folder.join("after/answer.txt")).unwrap();
        assert_eq!(fs::read(share.join("answer.txt")).unwrap(), answer);
    }
    assert!(taps(&world).is_empty(), "tap devices end with their guests");
}

#[test]
fn the_exercises_that_serve_are_reached_at_their_address_on_the_bridge() {
    let Some(world) = with_bridge() else { return };
    let servers = [
        ("httpreply", 8123, ["HTTP/1.1 200 OK", "Hello from inside the kernel."]),
        ("echo_back", 1234, ["the same", " came back"]),
        ("rot13", 1234, ["Hello, World>Uryyb, Jbeyq", "Purpx gur erfhyg>Check the result"]),
        ("store_strings", 1234, ["Hello, World -> Uryyb, Jbeyq; stored: Hello, World", "stored: 42 & more"]),
    ];
    for (name, port, answers) in servers {
        let exercise = exercise(name);
        exercise.run(&world, &["-d"]).ends(0, &[&format!("ready: {ADDRESS}:{port} answers after ")]);
        assert_eq!(world.guest(name)["address"], ADDRESS);
        let said = exercise.client(&world, port);
        for answer in answers {
            assert!(said.contains(answer), "{name}: no `{answer}` in\n{said}");
        }
        match own_end(&exercise.folder) {
            Some(status) => world.waits_for(name, &format!("exited {status}")),
            None => drop(world.ukl(&["stop", name]).ends(0, &["has ended"])),
        }
    }
    assert!(taps(&world).is_empty(), "tap devices end with their guests");
}
