//! [`Userland`] → the same with another allocator: in its C library, so that every link of a build gets it.

use std::path::Path;

use crate::base::cached::{self, Work};
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::plan::Made;
use crate::base::run::Cmd;
use crate::base::workdir;
use crate::manifest::{Libc, Malloc};
use crate::program::libc::musl;
use crate::program::userland::Userland;
use crate::supply::debian;

/// The environment variable that tells `ukl cc` and `ukl ld` of it.
pub const VARIABLE: &str = "UKL_MALLOC";
/// The source package of [`Malloc::Mimalloc`].
pub const MIMALLOC: &str = "mimalloc";
/// Counts changes of the recipe that the other parts of the key do not show.
const RECIPE: &str = "2";
/// The allocator as one object.
const SOURCE: &str = include_str!("../../data/mimalloc.c");
/// No environment variable of a program decides about its allocator, and thread-local variables have a fixed place.
const FLAGS: [&str; 7] = [
    "-O2",
    "-DNDEBUG",
    "-DMI_MALLOC_OVERRIDE=1",
    "-ftls-model=local-exec",
    "-fvisibility=hidden",
    "-fno-builtin-malloc",
    "-ffunction-sections",
];
/// The C library, and the one that it is replaced by.
const LIBC: &str = "libc.a";
const WITH: &str = "with.a";
const OBJECT: &str = "mimalloc.o";

/// `userland` with the allocator `malloc`.
///
/// A linker takes the first member of an archive that defines a name: mimalloc's object stands before the library's own.
/// Errors: its source package cannot be had, or does not compile (class `Host`).
pub fn with(env: &Env, userland: Made<Userland>, malloc: Malloc) -> Result<Made<Userland>> {
    if malloc == Malloc::Libc {
        return Ok(userland);
    }
    if userland.sysroot.libc == Libc::Glibc {
        let text = "`malloc = \"mimalloc\"` is for musl: glibc's archive stays as its distribution built it";
        return Err(fail(Class::Usage, text).hint("leave out `malloc`, or take `libc = \"musl\"`").into());
    }
    let source = debian::fetch(env, MIMALLOC, &[])?;
    let parts = [SOURCE, RECIPE, &FLAGS.join(" "), &userland.sysroot.key, &userland.toolchain.id, &source.sha256];
    let key = workdir::hash(parts)[..24].to_owned();
    let commands = |work: &Work| Ok(commands(&userland, &source.tree, &work.out).into());
    let made = cached::entry(env, MIMALLOC, &key, commands, |work, commands| {
        let lib = work.out.join("lib");
        workdir::write_atomic(&lib.join("mimalloc.c"), SOURCE.as_bytes())?;
        env.shell.check_all(commands, Class::Host)?;
        let with = workdir::read(&lib.join(WITH))?;
        let first = formats::ar::read(&with)?.first().map(|member| member.name.clone());
        anyhow::ensure!(first.as_deref() == Some(OBJECT), "`{WITH}` begins with {first:?}");
        workdir::copy_atomic(&lib.join(WITH), &lib.join(LIBC))?;
        [WITH, OBJECT, "mimalloc.c"].iter().try_for_each(|name| workdir::remove_file(&lib.join(name)))
    })?;
    let toolchain = userland.toolchain.clone();
    let with = |dir: std::path::PathBuf| Userland { sysroot: musl::at(&toolchain, &dir, &key), toolchain };
    Ok(made.map(with).behind(&source).behind(&userland))
}

/// As [`with`], for a compiler that a build system calls: [`VARIABLE`] says which. Error (class `Usage`): it says another.
pub fn of_build(env: &Env, userland: Userland) -> Result<Userland> {
    match std::env::var(VARIABLE).unwrap_or_default().as_str() {
        "" | "libc" => Ok(userland),
        MIMALLOC => Ok(with(env, Made::found(userland), Malloc::Mimalloc)?.value),
        other => Err(fail(Class::Usage, format!("`{VARIABLE}={other}`: it is `libc` or `{MIMALLOC}`")).into()),
    }
}

/// What makes a copy of the C library in `out` whose `malloc` is that of the source `tree`.
fn commands(Userland { toolchain, sysroot }: &Userland, tree: &Path, out: &Path) -> [Cmd; 3] {
    let lib = out.join("lib");
    let copy = Cmd::new("cp").args(["-a", "--no-preserve=timestamps"]).arg(sysroot.dir.join(".")).arg(out);
    let compile = Cmd::new(&toolchain.cc).args(sysroot.cflags(toolchain)).args(FLAGS);
    let compile = compile.arg("-I").arg(tree.join("include")).arg("-I").arg(tree.join("src"));
    let compile = compile.arg(format!("-ffile-prefix-map={}=mimalloc", tree.display()));
    let compile = compile.args(["-c", "mimalloc.c", "-o", OBJECT]).cwd(&lib);
    // What is added last comes to stand first, which is looked at afterwards.
    let script = format!("CREATE {WITH}\nADDLIB {LIBC}\nADDMOD {OBJECT}\nSAVE\nEND\n");
    [copy, compile, Cmd::new(&toolchain.ar).arg("-M").stdin(script).cwd(&lib)]
}
