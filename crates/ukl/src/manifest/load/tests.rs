//! Manifests that must be refused, each with its exact message, and those that must be accepted.

use super::*;
use crate::manifest::storage::{Disk, Format, Share, ShareKind, Storage};
use crate::manifest::{
    port, BuildCommand, GuestFile, KernelSource, KernelSpec, Libc, MachineSettings, Malloc, Network, Origin, Platform,
    Upstream,
};

fn project() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.c"), "int main(void) { return 0; }\n").unwrap();
    std::fs::write(dir.path().join("data.txt"), "data\n").unwrap();
    dir
}

fn refuse(text: &str) -> String {
    let dir = project();
    let error = parse(text, Path::new("ukl.toml"), dir.path()).unwrap_err();
    let (rendered, code) = crate::base::error::render(&error);
    assert_eq!(code, 2, "{rendered}");
    rendered
        .replace(&dir.path().display().to_string(), "DIR")
        .replace("error: ", "")
        .replace("\n  blame   usage", "")
        .replace("\n  hint    ", " | ")
}

/// One text per line: the keys that follow `name` and `sources`, and the whole message.
const BAD: &[(&str, &str)] = &[
    ("sorces = []", "ukl.toml:3: unknown key `sorces` | did you mean `sources`?"),
    ("Cflags = []", "ukl.toml:3: unknown key `Cflags` | did you mean `cflags`?"),
    ("[machine]\nmem = \"1G\"", "ukl.toml:4: unknown key `mem` | did you mean `memory`?"),
    ("[machine]\nxyz = 1", "ukl.toml:4: unknown key `xyz` | known here: memory, cpus, ports, net, ip, queues"),
    ("[kernel]\nsha265 = \"\"", "ukl.toml:4: unknown key `sha265` | did you mean `sha256`?"),
    ("libc = \"uclibc\"", "ukl.toml:3: unknown value `uclibc` | did you mean `glibc`?"),
    ("cflags = \"-O2\"", "ukl.toml:3: invalid type: string \"-O2\", expected a sequence"),
    ("build = [1]", "ukl.toml:3: expected a string or a list of words"),
    (
        "build = [\"make > log\"]",
        "ukl.toml:3: `>` in `make > log` would need a shell: write a list of words, or [\"sh\", \"-c\", \"…\"]",
    ),
    ("build = [[]]", "ukl.toml:3: a command needs a program"),
    ("program = \"x\"", "ukl.toml:2: `sources` and `program` exclude each other"),
    ("[source]\npath = \".\"", "ukl.toml:3: `source` needs `build`, the commands that make a program of it"),
    ("build = [\"make\"]\nsource = {}", "ukl.toml:4: a source is exactly one of `debian`, `url` and `path`"),
    ("build = [\"make\"]\nsource = { path = \"no\" }", "ukl.toml:4: no folder `no`"),
    (
        "build = [\"make\"]\nsource = [{ path = \".\", name = \"a\" }, { debian = \"a\" }]",
        "ukl.toml:4: two sources are named `a`: give one another `name`",
    ),
    (
        "build = [\"make\"]\nsource = { debian = \"a\", version = \"1\" }",
        "ukl.toml:4: `1` is not a condition: write `>=`, `<=`, `>>`, `<<` or `=` and a version",
    ),
    (
        "build = [\"make\"]\nsource = { url = \"https://x/l.tar\" }",
        "ukl.toml:4: a URL needs `sha256`, the checksum of its tarball",
    ),
    ("build = [{ dir = \"../x\", run = \"make\" }]", "ukl.toml:3: `../x` is not a path below the build's folder"),
    ("[ready]\nport = 0", "ukl.toml:4: port 0 answers nobody"),
    ("name = \"b\"", "ukl.toml:3: duplicate key"),
    ("args = [\"a\",\n\"\\u0000\"]", "ukl.toml:4: a NUL character cannot be passed to a program"),
    ("trigger = \"UKL\"", "ukl.toml:3: `UKL` is not an absolute guest path without empty parts, `.` or `..`"),
    ("trigger = \"/init\"", "ukl.toml:3: `/init` belongs to the image itself"),
    ("compiler = \"\"", "ukl.toml:3: `compiler` is empty"),
    ("libs = [\"-lm\"]", "ukl.toml:3: `-lm` is not a library: write `m` for libm, or the path of an archive"),
    ("libs = [\"libx.a\"]", "ukl.toml:3: no archive `libx.a`"),
    ("[env]\n\"A=B\" = \"\"", "ukl.toml:4: `A=B` is not a name for an environment variable"),
    ("[[files]]\nsrc = \"data.txt\"", "ukl.toml:3: `dst` is missing"),
    ("[[files]]\nsrc = \"no\"\ndst = \"/no\"", "ukl.toml:4: no file `no`"),
    ("[[files]]\nsrc = \"a.c\"\ndst = \"/UKL\"", "ukl.toml:5: `/UKL` belongs to the image itself"),
    (
        "[[files]]\nsrc = \"a.c\"\ndst = \"/a\"\nmode = \"rwx\"",
        "ukl.toml:6: `rwx` is not a mode: octal digits such as `0644`",
    ),
    (
        "[[files]]\nsrc = \"a.c\"\ndst = \"/a\"\n[[files]]\nsrc = \"a.c\"\ndst = \"/a\"",
        "ukl.toml:8: `/a` is listed twice",
    ),
    ("[[disks]]\npath = \"d\"", "ukl.toml:3: `mount` is missing"),
    (
        "[[disks]]\npath = \"d\"\nmount = \"data\"",
        "ukl.toml:5: `data` is not an absolute guest path without empty parts, `.` or `..`",
    ),
    (
        "[[disks]]\npath = \"d\"\nsize = \"64k\"\nmount = \"/d\"",
        "ukl.toml:5: `64k` is not a size: write a number of MiB, or one with a unit: `64`, `512M`, `512mb`, `2GiB`, `1T`",
    ),
    (
        "[[disks]]\npath = \"d\"\nsize = \"1M\"\nmount = \"/d\"",
        "ukl.toml:5: a disk of `1M`: from 8M to 16T are possible",
    ),
    (
        "[[disks]]\npath = \"d\"\nformat = \"raw\"\nmount = \"/d\"",
        "ukl.toml:6: a raw disk is a device: `/d` is not a name such as `/dev/data`",
    ),
    (
        "[[disks]]\npath = \"d\"\nmount = \"/d\"\n[[disks]]\npath = \"d\"\nmount = \"/e\"",
        "ukl.toml:6: the disk image `DIR/d` is used twice",
    ),
    (
        "[[disks]]\npath = \"d\"\nmount = \"/d\"\n[[shares]]\npath = \".\"\nmount = \"/d\"",
        "ukl.toml:6: two disks or shares are at `/d` in the guest",
    ),
    (
        "[[shares]]\npath = \".\"\nmount = \"/proc/x\"",
        "ukl.toml:5: nothing can be mounted at `/proc/x`: the image needs what lies there",
    ),
    (
        "files = [{ src = \"data.txt\", dst = \"/d/data\" }]\n[[shares]]\npath = \".\"\nmount = \"/d\"",
        "ukl.toml:6: what is mounted at `/d` would hide `/d/data`",
    ),
    (
        "[[shares]]\npath = \".\"\nmount = \"/d\"\nkind = \"virtiofs\"\nread-only = true",
        "ukl.toml:7: virtiofsd cannot keep a guest from writing: a share that is read-only is of the kind `9p`",
    ),
    (
        "[[shares]]\npath = \".\"\nmount = \"/d\"\nkind = \"nfs\"",
        "ukl.toml:6: unknown value `nfs` | known here: 9p, virtiofs",
    ),
    ("[kernel]\nversion = \"6\"", "ukl.toml:4: `6` is not a version line such as `6.12`"),
    ("[kernel]\nsource = \"/no/tree\"", "ukl.toml:4: no kernel source at `/no/tree`: write `debian`, a path or a URL"),
    ("[kernel]\nsource = \"https://x/l.tar.xz\"", "ukl.toml:4: a URL needs `sha256`, the checksum of its tarball"),
    (
        "[kernel]\nsource = \"https://x/l.tar.xz\"\nsha256 = \"12\"",
        "ukl.toml:5: `12` is not a SHA-256: 64 hexadecimal digits",
    ),
    ("[kernel]\nsha256 = \"12\"", "ukl.toml:4: `sha256` goes with a URL only"),
    (
        "[kernel]\nconfig = [\"NET=y\"]",
        "ukl.toml:4: `NET=y` is not a configuration line: `CONFIG_NAME=value` or `# CONFIG_NAME is not set`",
    ),
    (
        "[kernel]\nconfig = [\"CONFIG_NET=y\", \"CONFIG_NET=n\"]",
        "ukl.toml:4: `CONFIG_NET` is set twice: `CONFIG_NET=y` and `CONFIG_NET=n`",
    ),
    (
        "[machine]\nmemory = \"128k\"",
        "ukl.toml:4: `128k` is not a size: write a number of MiB, or one with a unit: `64`, `512M`, `512mb`, `2GiB`, `1T`",
    ),
    ("[machine]\nmemory = \"8M\"", "ukl.toml:4: `8M` is not between 16M and 1024G"),
    ("[machine]\ncpus = 0", "ukl.toml:4: 0 CPUs: a machine has 1 to 64"),
    ("[machine]\ncpus = -1", "ukl.toml:4: invalid value: integer `-1`, expected u32"),
    (
        "[machine]\nports = [\"80/sctp\"]",
        "ukl.toml:4: `80/sctp` is not a port: write `8080:80` (this machine's, the guest's), `8080` for both or ranges \
         (`8000-8003:9000-9003`); in front an IPv4 address (`0.0.0.0:8080:80`), behind `/udp` (`53:53/udp`)",
    ),
    ("[machine]\nports = [70000]", "ukl.toml:4: expected a port such as `8080:80`"),
    ("[machine]\nports = [\"80:80\",\n\"80:81\"]", "ukl.toml:5: host port 80 is forwarded twice"),
    ("[machine]\nports = [\"53/udp\", 53,\n\"50-60/udp\"]", "ukl.toml:5: host port 53/udp is forwarded twice"),
    ("[machine]\nports = [\"1-600\"]", "ukl.toml:4: 600 ports are forwarded: a guest has 512 at most"),
    ("[machine]\nnet = \"vde\"", "ukl.toml:4: `vde` is not a network: write `user`, `none`, `tap=NAME` or `bridge=NAME`"),
    ("[machine]\nip = \"10.0.0.0/8\"", "ukl.toml:4: `10.0.0.0/8`: a guest cannot have this address"),
    ("[machine]\nqueues = 9", "ukl.toml:4: 9 queues: a network card has 1 to 8"),
];

#[test]
fn bad_values_are_refused_with_line_and_reason() {
    for (line, message) in BAD {
        assert_eq!(refuse(&format!("name = \"a\"\nsources = [\"a.c\"]\n{line}\n")), *message, "{line}");
    }
}

#[test]
fn bad_names_and_sources_are_refused() {
    let cases = [
        ("", "ukl.toml: there is nothing to link: neither `sources` nor `program`"),
        ("sources = []", "ukl.toml:1: there is nothing to link: neither `sources` nor `program`"),
        ("sources = [\n\"b.c\"]", "ukl.toml:2: no file `b.c`"),
        ("sources = [\"a.c\", \"./a.c\"]", "ukl.toml:1: `./a.c` is listed twice"),
        (
            "sources = [\"data.txt\"]",
            "ukl.toml:1: `data.txt` is not a source: it must end in .c, .cc, .cpp, .cxx, .C, .s, .S, .o, .a",
        ),
        (
            "name = \"A b\"\nsources = [\"a.c\"]",
            "ukl.toml:1: `A b` is not a valid name: lower-case letters, digits, `-` and `_`, not starting with a mark",
        ),
    ];
    for (text, message) in cases {
        let text =
            if text.starts_with("name") || text.is_empty() { text.to_owned() } else { format!("{text}\nname = \"a\"") };
        assert_eq!(refuse(&text), message, "{text}");
    }
}

fn full_kernel() -> KernelSpec {
    KernelSpec {
        version: "6.12".into(),
        source: KernelSource::Url {
            url: "file:///l.tar.xz".into(),
            sha256: "abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789".into(),
        },
        config: vec!["CONFIG_NET=y".into()],
        storage: false,
        debug: true,
    }
}

#[test]
fn a_full_manifest_is_understood() {
    let dir = project();
    let text = r#"
        name = "full"
        sources = ["a.c", "made.o"]
        build = ["make made.o", ["sh", "-c", "true > x"]]
        compiler = "clang"
        cflags = ["-DX=1"]
        libs = ["m", "sub/libx.a"]
        libc = "musl"
        malloc = "mimalloc"
        args = ["one", "two words"]
        env = { HOME = "/" }
        files = [{ src = "data.txt", dst = "/data", mode = "0600" }]
        [kernel]
        version = "6.12"
        source = "file:///l.tar.xz"
        sha256 = "ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef0123456789"
        config = ["CONFIG_NET=y"]
        debug = true
        [machine]
        memory = "1G"
        cpus = 2
        ports = ["8080:80", 22, "0.0.0.0:5000-5003:6000-6003/udp"]
        net = "bridge=virbr0"
        ip = "172.44.0.2/24,gw=172.44.0.1"
        queues = 2
    "#;
    let got = parse(text, Path::new("ukl.toml"), dir.path()).unwrap();
    let path = |name: &str| dir.path().join(name);
    let strings = |list: &[&str]| list.iter().map(|s| s.to_string()).collect::<Vec<_>>();
    let (net, ip) = ("bridge=virbr0".parse().ok(), "172.44.0.2/24,gw=172.44.0.1".parse().ok());
    let network = Network { net, ip, queues: Some(2) };
    let ports = ["8080:80", "22", "0.0.0.0:5000-5003:6000-6003/udp"].map(|text| port(text).unwrap()).to_vec();
    let want = Manifest {
        name: "full".into(),
        dir: dir.path().into(),
        sources: vec![path("a.c"), path("made.o")],
        kernel_sources: vec![],
        imports: vec![],
        upstream: vec![],
        program: None,
        ready: None,
        build: [strings(&["make", "made.o"]), strings(&["sh", "-c", "true > x"])]
            .map(|words| BuildCommand { dir: None, words })
            .to_vec(),
        platform: Platform::Qemu,
        compiler: "clang".into(),
        cflags: strings(&["-DX=1"]),
        libs: vec!["m".into(), path("sub/libx.a").to_str().unwrap().into()],
        libc: Libc::Musl,
        malloc: Malloc::Mimalloc,
        args: strings(&["one", "two words"]),
        env: [("HOME".to_string(), "/".to_string())].into(),
        files: vec![GuestFile { src: path("data.txt"), dst: "/data".into(), mode: Some(0o600) }],
        storage: Storage::default(),
        trigger: "/UKL".into(),
        kernel: full_kernel(),
        machine: MachineSettings { memory_mib: 1024, cpus: 2, ports, network },
    };
    assert_eq!(got, want);
}

#[test]
fn disks_and_shares_are_understood() {
    let dir = project();
    let text = r#"
        name = "full"
        sources = ["a.c"]
        disks = [
            { path = "disk.img", size = "2G", mount = "/srv" },
            { path = "../raw.img", format = "raw", mount = "/dev/raw", read-only = true },
        ]
        shares = [
            { path = ".", mount = "/project", read-only = true },
            { path = "/tmp", mount = "/srv/tmp", kind = "virtiofs" },
        ]
    "#;
    let got = parse(text, Path::new("ukl.toml"), dir.path()).unwrap();
    assert_eq!(got.storage, Storage { disks: disks(dir.path()), shares: shares(dir.path()) });
    assert!(got.kernel.storage, "the kernel has what the manifest needs");
}

fn disks(dir: &Path) -> Vec<Disk> {
    let ext4 = Disk {
        path: dir.join("disk.img"),
        size_mib: Some(2048),
        format: Format::Ext4,
        mount: "/srv".into(),
        read_only: false,
    };
    let raw = Disk {
        path: dir.parent().unwrap().join("raw.img"),
        size_mib: None,
        format: Format::Raw,
        mount: "/dev/raw".into(),
        read_only: true,
    };
    vec![ext4, raw]
}

fn shares(dir: &Path) -> Vec<Share> {
    let share =
        |path: &Path, mount: &str, kind, read_only| Share { path: path.into(), mount: mount.into(), kind, read_only };
    vec![
        share(dir, "/project", ShareKind::NineP, true),
        share(Path::new("/tmp"), "/srv/tmp", ShareKind::Virtiofs, false),
    ]
}

#[test]
fn a_program_is_built_from_fetched_sources() {
    let dir = project();
    let text = r#"
        name = "memcached"
        source = [
            { debian = "libevent", version = ">= 2.1, << 3" },
            { url = "https://x/y/memcached-1.6.tar.gz", sha256 = "ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef0123456789" },
            { path = ".", name = "local" },
        ]
        build = [{ dir = "libevent", run = "make install" }, { dir = "a/b", run = ["sh", "-c", "x y"] }, "true"]
        program = "memcached-1.6/memcached"
        ready = { port = 11211 }
    "#;
    let manifest = parse(text, Path::new("ukl.toml"), dir.path()).unwrap();
    let version = [(">=", "2.1"), ("<<", "3")].map(|(relation, version)| (relation.to_string(), version.to_string()));
    let sha256 = "abcdef0123456789".repeat(4);
    let origins = [
        ("libevent", Origin::Debian { package: "libevent".into(), version: version.to_vec() }),
        ("memcached-1.6", Origin::Url { url: "https://x/y/memcached-1.6.tar.gz".into(), sha256 }),
        ("local", Origin::Local(dir.path().into())),
    ];
    assert_eq!(manifest.upstream, origins.map(|(name, origin)| Upstream { name: name.into(), origin }));
    let command = |dir: Option<&str>, words: &[&str]| BuildCommand {
        dir: dir.map(String::from),
        words: words.iter().map(|word| word.to_string()).collect(),
    };
    let commands = [
        command(Some("libevent"), &["make", "install"]),
        command(Some("a/b"), &["sh", "-c", "x y"]),
        command(None, &["true"]),
    ];
    assert_eq!(manifest.build, commands);
    assert_eq!(manifest.program.as_deref(), Some(Path::new("memcached-1.6/memcached")));
    assert_eq!((manifest.sources.len(), manifest.ready), (0, Some(11211)));
}

#[test]
fn the_folder_names_the_image() {
    let dir = project();
    let sub = dir.path().join("my-app");
    std::fs::create_dir(&sub).unwrap();
    std::fs::write(sub.join("ukl.toml"), "sources = [\"../a.c\"]\n").unwrap();
    for path in [sub.clone(), sub.join("ukl.toml"), sub.join("../my-app/.")] {
        let manifest = load(&path).unwrap();
        assert_eq!((manifest.name.as_str(), manifest.dir.as_path()), ("my-app", sub.as_path()));
        assert_eq!(manifest.sources, [dir.path().join("a.c")]);
    }
}

#[test]
fn plain_files_need_no_manifest() {
    let dir = project();
    let file = dir.path().join("Hello_World.c");
    std::fs::copy(dir.path().join("a.c"), &file).unwrap();
    let manifest = from_files(&[file.clone(), dir.path().join("a.c")]).unwrap();
    assert_eq!((manifest.name.as_str(), manifest.trigger.as_str()), ("hello-world", "/UKL"));
    assert_eq!(manifest.sources, [file, dir.path().join("a.c")]);
    assert!(from_files(&[]).is_err());
    let missing = from_files(&[dir.path().join("no.c")]).unwrap_err().to_string();
    assert!(missing.starts_with("no file `"), "{missing}");
}

#[test]
fn a_missing_manifest_names_the_ways_out() {
    let dir = tempfile::tempdir().unwrap();
    let (text, code) = crate::base::error::render(&load(dir.path()).unwrap_err());
    assert_eq!(code, 2);
    assert!(text.contains("no manifest at") && text.contains("ukl up hello.c"), "{text}");
}

#[test]
fn the_published_schema_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ukl.schema.json");
    let want = crate::manifest::schema().unwrap();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &want).unwrap();
    }
    let got = std::fs::read_to_string(&path).unwrap();
    assert_eq!(got, want, "run `UPDATE=1 cargo test` to renew docs/ukl.schema.json");
}
