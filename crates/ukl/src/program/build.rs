//! The manifest's build commands: the program's own build system, with our compiler in it.

use std::path::{Path, PathBuf};

use crate::base::env::Env;
use crate::base::error::{fail, Class, Failure, Result};
use crate::base::plan::{Made, Plan};
use crate::base::run::{Cmd, Output};
use crate::base::stamp::{self, Inputs};
use crate::base::workdir::{self, ImageDir};
use crate::manifest::{Libc, Malloc, Manifest};
use crate::program::libc::glibc;
use crate::program::malloc;
use crate::program::userland::Userland;
use crate::program::wrapper::{self, Record, Tools};
use crate::supply::program_source::{self, Tree};

/// Flags that a program gets unless its own say otherwise.
pub const DEFAULT_FLAGS: [&str; 4] = ["-O2", "-g", "-ffunction-sections", "-fdata-sections"];

/// Fetches the manifest's sources, runs its build commands, and finds the program that they linked, with what was
/// kept of its link.
///
/// Sources are built in a copy inside the image folder, and again only when they, the commands or
/// the compiler changed; without `source` the commands run in the manifest's folder each time.
/// Errors: a source cannot be had (class `Host`), a command fails, no such program was linked
/// (class `App`).
pub fn run(env: &Env, userland: &Made<Userland>, manifest: &Manifest, dir: &ImageDir) -> Result<Made<Option<Record>>> {
    let tools = wrapper::with(env, userland)?;
    let trees = manifest.upstream.iter().map(|one| program_source::fetch(env, one)).collect::<Result<Vec<_>>>()?;
    let stage = dir.stage("make");
    outside(&trees, &stage)?;
    let place = if trees.is_empty() { manifest.dir.clone() } else { stage.join("tree") };
    let build = Build { env, tools: &tools, manifest, prefix: stage.join("root"), place, log: dir.log("build") };
    let (done, pending) = (stage.join("done"), userland.pending || trees.iter().any(|tree| tree.pending));
    let inputs = if pending { Inputs::pending() } else { build.inputs(&trees) };
    let commands = build.commands()?;
    let why = match trees.is_empty() {
        false => stamp::stale(&inputs, &[&done]),
        true if commands.is_empty() => Vec::new(),
        true => vec!["commands in the project's own folder run each time".to_owned()],
    };
    let made = Plan { output: None, why, commands }.carry_out(&env.shell, |none, commands| {
        if trees.is_empty() {
            return build.all(commands).map(|()| none);
        }
        stamp::renew(&inputs, &[&done], || {
            fresh_copies(&trees, &build.place, &build.prefix)?;
            workdir::write_atomic(&build.log, b"")?;
            build.all(commands)?;
            workdir::write_atomic(&done, b"")
        })?;
        Ok(none)
    })?;
    let made = trees.iter().rev().fold(made, |made, tree| made.behind(tree));
    // What is not made yet cannot be found.
    let program = manifest.program.as_ref().filter(|_| !made.pending);
    let record = program.map(|program| wrapper::find(&env.cache, &build.place.join(program))).transpose()?;
    Ok(made.map(|_: Option<Record>| record))
}

/// No source may contain the folder that it is copied to: the copy would have no end.
fn outside(trees: &[Made<Tree>], place: &Path) -> Result<()> {
    let Some(tree) = trees.iter().find(|tree| place.starts_with(&tree.tree)) else { return Ok(()) };
    let text = format!("the source `{}` contains the image folder, to which it is copied", tree.tree.display());
    let hint = "name a folder below it as `path`, or another image folder with `--out`";
    Err(fail(Class::Usage, text).hint(hint).into())
}

fn fresh_copies(trees: &[Made<Tree>], place: &Path, prefix: &Path) -> Result<()> {
    for old in [place, prefix] {
        workdir::remove_dir(old)?;
        workdir::create_dir(old)?;
    }
    trees.iter().try_for_each(|tree| program_source::copy(tree, &place.join(&tree.name)))
}

/// What all commands of a build share.
struct Build<'a> {
    env: &'a Env,
    tools: &'a Tools,
    manifest: &'a Manifest,
    place: PathBuf,
    prefix: PathBuf,
    log: PathBuf,
}

impl Build<'_> {
    /// All that decides what a build in a copy makes.
    fn inputs(&self, trees: &[Made<Tree>]) -> Inputs {
        let Userland { toolchain, sysroot } = &self.tools.userland;
        let mut inputs = Inputs::default().with("the compiler", &toolchain.id).with("the C library", &sysroot.key);
        inputs = inputs.with("`build`", format!("{:?}", self.manifest.build));
        inputs = inputs.with("`cflags`", format!("{:?}", self.manifest.cflags));
        for tree in trees {
            inputs = inputs.with(&format!("the source of {}", tree.name), &tree.hash);
        }
        inputs
    }

    /// The manifest's commands, with our compiler in their environment.
    fn commands(&self) -> Result<Vec<Cmd>> {
        let mut flags: Vec<String> = DEFAULT_FLAGS.map(str::to_owned).to_vec();
        flags.extend(self.manifest.cflags.iter().cloned());
        if self.place != self.manifest.dir {
            flags.push(format!("-ffile-prefix-map={}=.", self.place.display()));
        }
        let jobs = std::thread::available_parallelism().map_or(1, |n| n.get());
        let mut variables = wrapper::environment(self.tools, Some(&self.prefix))?;
        variables.extend([("CFLAGS", flags.join(" ")), ("CXXFLAGS", flags.join(" "))]);
        variables.extend([("LDFLAGS", String::new()), ("MAKEFLAGS", format!("-j{jobs}"))]);
        if self.manifest.malloc == Malloc::Mimalloc {
            variables.push((malloc::VARIABLE, malloc::MIMALLOC.to_owned()));
        }
        let commands = self.manifest.build.iter().filter_map(|command| {
            let (program, args) = command.words.split_first()?;
            let cwd = command.dir.as_ref().map_or(self.place.clone(), |dir| self.place.join(dir));
            let cmd = Cmd::new(program).whole_env().args(args).cwd(&cwd).env("LC_ALL", "C.UTF-8").log(&self.log);
            Some(variables.iter().fold(cmd, |cmd, (key, value)| cmd.env(key, value)))
        });
        Ok(commands.collect())
    }

    fn all(&self, commands: Vec<Cmd>) -> Result<()> {
        commands.iter().try_for_each(|cmd| self.one(cmd))
    }

    fn one(&self, cmd: &Cmd) -> Result<()> {
        let mut text = String::new();
        let output = self.env.shell.run_with(cmd, &mut |line| {
            text.push_str(line);
            text.push('\n');
        })?;
        if output.status.success() {
            return Ok(());
        }
        let words: Vec<_> = cmd.words().map(|word| word.to_string_lossy()).collect();
        let libc = self.tools.userland.sysroot.libc;
        let failure = cause(&format!("build command `{}` failed", words.join(" ")), &text, &output, libc);
        Err(failure.command(cmd.display()).log(&self.log).into())
    }
}

/// Why a compiler or a build gave up: whose fault, and what it said.
pub(crate) fn cause(what: &str, text: &str, output: &Output, libc: Libc) -> Failure {
    let failure = match formats::makelog::root_cause(text) {
        Some(cause) => {
            let class = if cause.host { Class::Host } else { Class::App };
            fail(class, format!("{what}\n    {}", cause.lines.join("\n    ")))
        }
        // Killed, or silent.
        None => fail(Class::App, format!("{what} ({})", output.status)),
    };
    match glibc::wanted(text).filter(|_| libc == Libc::Musl) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_around_the_image_folder_is_refused() {
        let tree = |path: &str| Made::found(Tree { name: "x".into(), tree: path.into(), hash: String::new() });
        let place = Path::new("/p/build/x/stages/make");
        assert!(outside(&[tree("/p/src"), tree("/p/build/xy")], place).is_ok());
        let error = outside(&[tree("/q"), tree("/p")], place).unwrap_err().to_string();
        assert!(error.contains("`/p` contains the image folder"), "{error}");
    }
}
