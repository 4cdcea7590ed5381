//! Debian's registry on the loopback: what goes there comes back, and every refusal has its words.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::world::{wait, World};
use crate::{digest, has, hello};

/// A registry that ends with the test.
struct Registry {
    child: Child,
    port: u16,
    store: PathBuf,
}

impl Registry {
    /// Serves what lies in `store`; with `auth`, to `ukl` with the password `secret` only.
    fn start(dir: &Path, store: &Path, auth: bool) -> Registry {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut config = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            store.display()
        );
        if auth {
            let users = dir.join("users");
            // What `htpasswd -nbB ukl secret` prints.
            fs::write(&users, "ukl:$2y$05$En4uyckaT7i/Vo7kp0iPMOTzdikzmu44ltq/LTa2uq390G6XBOS2C\n").unwrap();
            config += &format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", users.display());
        }
        let file = dir.join(format!("registry-{port}.yml"));
        fs::write(&file, config).unwrap();
        let mut command = Command::new("docker-registry");
        let child = command.arg("serve").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = child.spawn().unwrap();
        assert!(wait(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()));
        Registry { child, port, store: store.to_owned() }
    }

    fn name(&self, image: &str) -> String {
        format!("127.0.0.1:{}/{image}", self.port)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tools() -> bool {
    has("skopeo") && has("docker-registry")
}

#[test]
fn what_was_pushed_comes_back_and_runs() {
    if !tools() {
        return;
    }
    let (image, world) = (hello(), World::booting());
    let registry = Registry::start(&world.at(""), &world.at("store"), false);
    let name = registry.name("team/hello:1");
    world.ukl(&["push", &name, image.dir.root().to_str().unwrap()]).ends(0, &[]);
    world.ukl(&["pkg", "oci", image.dir.root().to_str().unwrap(), "-o", "packed"]).ends(0, &[]);
    // Two at once to one place: each is whole, one is the last.
    let mut pulls: Vec<Child> = (0..2).map(|_| world.command(&["pull", &name]).spawn().unwrap()).collect();
    for pull in &mut pulls {
        let code = pull.wait().unwrap().code();
        let said = BufReader::new(pull.stderr.take().unwrap()).lines().map_while(Result::ok).collect::<Vec<_>>();
        assert_eq!(code, Some(0), "{said:?}");
    }
    assert_eq!(digest(&world.at("project/hello/blobs")), digest(&world.at("project/packed/blobs")));
    let run = world.ukl(&["run", "oci:hello"]);
    run.ends(0, &[]);
    assert!(run.out.starts_with("hello, world\n"), "{run:?}");
    world.ukl(&["pull", &registry.name("team/none")]).fails(2, &["has no image"]);
    world
        .ukl(&["pull", "hello"])
        .fails(2, &["`hello` is not the name of an image of a registry", "REGISTRY/NAME[:TAG]"]);

    // A registry that gives out other bytes than it was given.
    let blobs = walkdir::WalkDir::new(&registry.store).into_iter().map(|entry| entry.unwrap());
    let blobs = blobs.filter(|entry| entry.file_name() == "data");
    let biggest = blobs.max_by_key(|entry| entry.metadata().unwrap().len()).unwrap();
    let mut bytes = fs::read(biggest.path()).unwrap();
    bytes[1000] ^= 1;
    fs::write(biggest.path(), bytes).unwrap();
    let before = digest(&world.at("project/hello"));
    world.ukl(&["pull", &name]).fails(120, &["digest"]);
    assert_eq!(digest(&world.at("project/hello")), before, "the old layout stays");
    let port = registry.port;
    drop(registry);
    world.ukl(&["pull", &format!("127.0.0.1:{port}/x"), "-o", "new"]).fails(120, &["does not answer"]);
    assert!(!world.at("project/new").exists());
    assert!(!world.files("project").iter().any(|file| file.starts_with(".tmp")), "{:?}", world.files("project"));
}

#[test]
fn credentials_are_those_of_the_usual_files() {
    if !tools() {
        return;
    }
    let (image, world) = (hello(), World::new());
    let registry = Registry::start(&world.at(""), &world.at("store"), true);
    let (name, folder) = (registry.name("hello"), image.dir.root().to_str().unwrap());
    world.ukl(&["push", &name, folder]).fails(120, &["wants other credentials", "skopeo login 127.0.0.1"]);
    // "ukl:secret" in base64, as `docker login` writes it.
    let auth = format!("{{\"auths\":{{\"127.0.0.1:{}\":{{\"auth\":\"dWtsOnNlY3JldA==\"}}}}}}", registry.port);
    fs::create_dir_all(world.at("home/.docker")).unwrap();
    fs::write(world.at("home/.docker/config.json"), auth).unwrap();
    world.ukl(&["push", &name, folder]).ends(0, &[]);
    world.ukl(&["pull", &name]).ends(0, &[]);
    assert!(world.at("project/hello/index.json").is_file());
}

#[test]
fn a_full_disk_leaves_nothing_half_written() {
    // SAFETY: geteuid takes nothing and cannot fail.
    if !tools() || unsafe { libc::geteuid() } != 0 {
        eprintln!("skip: a small disk wants root");
        return;
    }
    let (image, world) = (hello(), World::new());
    let small = world.at("small");
    fs::create_dir(&small).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&small).status().unwrap();
    if !mounted.success() {
        eprintln!("skip: this machine mounts no tmpfs");
        return;
    }
    let folder = image.dir.root().to_str().unwrap();
    let full = Registry::start(&world.at(""), &small.join("store"), false);
    let push = world.ukl(&["push", &full.name("hello"), folder]);
    drop(full);
    let _ = fs::remove_dir_all(small.join("store"));
    let registry = Registry::start(&world.at(""), &world.at("store"), false);
    world.ukl(&["push", &registry.name("hello"), folder]).ends(0, &[]);
    let pull = world.ukl(&["pull", &registry.name("hello"), "-o", small.join("hello").to_str().unwrap()]);
    let pack = world.ukl(&["pkg", "oci", folder, "-o", small.join("packed").to_str().unwrap()]);
    let left = walkdir::WalkDir::new(&small).into_iter().map(|entry| entry.unwrap());
    let left: Vec<_> = left.filter(|entry| entry.file_type().is_file()).map(|entry| entry.into_path()).collect();
    assert!(Command::new("umount").arg(&small).status().unwrap().success());
    push.fails(120, &["hello"]);
    pull.fails(120, &["the disk is full"]);
    pack.fails(120, &["the disk is full"]);
    assert!(left.is_empty(), "{left:?}");
}
