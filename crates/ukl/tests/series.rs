//! Each patch of the series by itself: Linux with the first 1, 2, 3 … patches compiles and boots. Then, with all
//! of them, what only a change of the patches can show: that a frame on the interrupt stack needs its protection.
//!
//! In one build folder, so that a patch costs what depends on the files that it touches; still the better
//! part of an hour: `cargo test -p ukl --test series -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests.

mod world;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use formats::kconfig::{self, Fragment};
use ukl::base::env::Env;
use ukl::base::error::render;
use ukl::base::plan::Made;
use ukl::base::workdir::{self, ImageDir};
use ukl::boot::{self, Outcome};
use ukl::image::folder::Image;
use ukl::image::initrd::{self, Startup};
use ukl::image::trigger;
use ukl::kernel::config::Configured;
use ukl::kernel::patch;
use ukl::kernel::vmlinux;
use ukl::machine::{Accel, Request, What};
use ukl::manifest::{Libc, Manifest};
use ukl::pipeline::{self, Clock};
use ukl::program::archive::AppArchive;
use ukl::program::userland;
use ukl::supply::linux_source;
use world::{env, manifest_of};

const LINE: &str = "6.12";

/// Half of the base configuration's objects, and nothing of what the patches touch: the network stays out.
const SMALLER: &str = "# CONFIG_NET is not set\n# CONFIG_PACKET is not set\n# CONFIG_UNIX is not set\n\
    # CONFIG_INET is not set\n# CONFIG_NETDEVICES is not set\n# CONFIG_NET_CORE is not set\n\
    # CONFIG_VIRTIO_NET is not set\n# CONFIG_IO_URING is not set\n# CONFIG_POSIX_MQUEUE is not set\n";

fn make(tree: &Path, out: &Path, goal: &str) -> Command {
    let mut make = Command::new("make");
    make.arg("-C").arg(tree).arg(format!("O={}", out.display())).args(["ARCH=x86_64", goal]);
    make
}

fn passes(command: &mut Command) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&said));
}

fn apply(tree: &Path, text: &str) {
    let mut patch = Command::new("patch");
    let patch = patch.args(["-p1", "--fuzz=0", "--batch", "--forward"]).current_dir(tree);
    let mut child = patch.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{text}");
}

fn configure(tree: &Path, out: &Path) {
    let fragment = |name, overrides| Fragment { name, text: patch::file(LINE, name).unwrap().unwrap(), overrides };
    let smaller = Fragment { name: "smaller", text: SMALLER, overrides: true };
    let wanted = kconfig::merge(&[fragment("base.config", false), fragment("ukl.config", false), smaller]).unwrap();
    workdir::write_atomic(&out.join("requested.config"), wanted.to_text().as_bytes()).unwrap();
    passes(make(tree, out, "allnoconfig").env("KCONFIG_ALLCONFIG", out.join("requested.config")));
}

/// What every test here needs: a program and its image, whose kernel is replaced again and again.
struct Bench {
    env: Env,
    dir: tempfile::TempDir,
    manifest: Manifest,
    image: Image,
    version: String,
}

impl Bench {
    fn new() -> Self {
        let env = env();
        let dir = tempfile::tempdir_in(env.cache.root()).unwrap();
        let manifest = manifest_of("faults.c");
        let folder = ImageDir::at(dir.path().join("image"));
        let image = pipeline::image(&env, &manifest, &folder, &mut Clock::default(), &mut |_| ()).unwrap();
        let pristine = linux_source::fetch(&env, &manifest.kernel).unwrap().value;
        // Hard links: patch(1) writes a new file and renames it, and so do we.
        let tree = dir.path().join("linux");
        passes(Command::new("cp").args(["-a", "--link", "--"]).arg(&pristine.tree).arg(&tree));
        Bench { env, dir, manifest, image, version: pristine.version }
    }

    fn tree(&self) -> PathBuf {
        self.dir.path().join("linux")
    }

    /// Builds the tree as it is into the image; the program is linked in as soon as the kernel can have one.
    fn build(&self, what: &str) {
        let (tree, out, folder) = (self.tree(), self.dir.path().join("out"), &self.image.dir);
        let _ = std::fs::remove_file(out.join("objects.done"));
        configure(&tree, &out);
        let (cc, ld, key) = ("gcc".into(), "ld".into(), workdir::hash([what])[..16].to_owned());
        let inputs = Default::default();
        let configured = Configured { tree, out, key, version: self.version.clone(), cc, ld, inputs };
        let configured = Made::found(configured);
        let archive = Made::found(AppArchive { path: folder.archive(), sha256: workdir::hash([what]) });
        let built = match self.tree().join("arch/x86/entry/ukl.S").exists() {
            true => vmlinux::build(&self.env, &configured, &archive, folder, &mut |_| ()).map(|_| ()),
            false => vmlinux::objects(&self.env, &configured, folder, &mut |_| ()).map(|_| ()),
        };
        built.unwrap_or_else(|error| panic!("{what}: {}", render(&error).0));
        workdir::copy_atomic(&configured.out.join("vmlinux"), &folder.vmlinux()).unwrap();
        if self.starts_programs() {
            // The file that starts the program is of this kernel.
            trigger::write(&folder.vmlinux(), &folder.trigger()).unwrap();
            let userland = userland::find(&self.env, "gcc", Libc::Musl).unwrap().value;
            let trigger = Made::found(folder.trigger());
            initrd::build(&self.env, &userland, &trigger, &self.manifest, folder, &Startup::pid1()).unwrap();
        }
    }

    /// Do the patches reach so far that exec starts the program inside of the kernel?
    fn starts_programs(&self) -> bool {
        std::fs::read_to_string(self.tree().join("fs/binfmt_elf.c")).unwrap().contains("ukl_check_elf")
    }

    /// The program says what it should in ring 3, and inside the kernel where the patches reach that far.
    fn boots(&self) -> bool {
        let both = self.starts_programs();
        let what = if both { What::Both(None) } else { What::Twin(None) };
        let timeout = Some(Duration::from_secs(120));
        let options = Request { attach: false, accel: Accel::Tcg, timeout, ..Request::new(what) };
        let run = boot::run(&self.env, &self.image, &options);
        let run = run.unwrap_or_else(|error| panic!("{}", render(&error).0));
        let times = if both { 2 } else { 1 };
        let console = String::from_utf8_lossy(&run.console);
        // What the kernel itself says of NMIs has a time before it.
        let console: String = console.split_inclusive('\n').filter(|line| !line.starts_with('[')).collect();
        let well = console == "here\n".repeat(times) && run.ends == vec![Outcome::Exited(5); times];
        if !well {
            eprintln!("{:?}\n{console}", run.ends);
        }
        well
    }

    /// Replaces `old`, which is there once, in a file of the tree.
    fn change(&self, file: &str, old: &str, new: &str) {
        let path = self.tree().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches(old).count(), 1, "{file}: {old}");
        workdir::write_atomic(&path, text.replace(old, new).as_bytes()).unwrap();
    }
}

#[test]
#[ignore = "compiles most of a kernel several times"]
fn every_patch_compiles_and_boots_and_the_interrupt_stack_is_protected() {
    let bench = Bench::new();
    for name in formats::series::parse(patch::file(LINE, "series").unwrap().unwrap()).unwrap() {
        let start = Instant::now();
        apply(&bench.tree(), patch::file(LINE, &name).unwrap().unwrap());
        bench.build(&name);
        assert!(bench.boots(), "{name}");
        eprintln!("{name}: {} s", start.elapsed().as_secs());
    }
    // An NMI whose handler faults, in the moment when a frame of the program's has not been moved yet.
    bench.change(
        "arch/x86/kernel/traps.c",
        "\tif (user_mode(eregs))\n\t\treturn sync_regs(eregs);\n",
        "\tif (user_mode(eregs)) {\n\t\tasm volatile(\"int $2\");\n\t\treturn sync_regs(eregs);\n\t}\n",
    );
    bench.change(
        "arch/x86/kernel/nmi.c",
        "\tukl_ist_enter();\n",
        "\tukl_ist_enter();\n\tinstrumentation_begin();\n\t{ char c; copy_from_kernel_nofault(&c, (void *)-4096L, 1); }\n\
         \tinstrumentation_end();\n",
    );
    bench.change(
        "arch/x86/kernel/nmi.c",
        "#include <asm/ukl_ist.h>\n",
        "#include <asm/ukl_ist.h>\n#include <linux/uaccess.h>\n",
    );
    bench.build("NMI");
    assert!(bench.boots(), "an NMI with a fault inside harms the frame below");
    bench.change("arch/x86/include/asm/ukl_ist.h", "(EXCEPTION_STKSZ / 4)", "0");
    bench.build("NMI without the shift");
    assert!(!bench.boots(), "the shift of the interrupt stack protects nothing that this test can see");
}
