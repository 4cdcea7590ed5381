//! The manifest's build commands: the program's own build system, with our compiler in it.

use std::path::{Path, PathBuf};

use crate::base::error::{fail, Class, Failure, Result};
use crate::base::run::{Cmd, Output, Shell};
use crate::base::stamp::{self, Inputs};
use crate::base::workdir::{self, Cache, ImageDir};
use crate::manifest::{BuildCommand, Manifest};
use crate::program::musl::Sysroot;
use crate::program::toolchain::Toolchain;
use crate::program::wrapper::{self, Record, Tools};
use crate::supply::program_source::{self, Tree};

/// What the build commands made.
#[derive(Debug, Clone)]
pub struct Made {
    /// The executable that the manifest's `program` names, and what was kept of its link.
    pub program: Option<Record>,
}

/// Flags that a program gets unless its own say otherwise.
pub const DEFAULT_FLAGS: [&str; 4] = ["-O2", "-g", "-ffunction-sections", "-fdata-sections"];

/// Fetches the manifest's sources, runs its build commands, and finds the program that they linked.
///
/// Sources are built in a copy inside the image folder, and again only when they, the commands or
/// the compiler changed; without `source` the commands run in the manifest's folder each time.
/// Errors: a source cannot be had (class `Host`), a command fails, no such program was linked
/// (class `App`).
pub fn make(
    shell: &Shell,
    cache: &Cache,
    toolchain: &Toolchain,
    sysroot: &Sysroot,
    manifest: &Manifest,
    dir: &ImageDir,
) -> Result<Made> {
    let tools = wrapper::with(shell, cache, toolchain, sysroot)?;
    let trees =
        manifest.upstream.iter().map(|one| program_source::fetch(shell, cache, one)).collect::<Result<Vec<_>>>()?;
    let stage = dir.stage("make");
    outside(&trees, &stage)?;
    let build = Build { shell, tools: &tools, manifest, prefix: stage.join("root"), log: dir.log("build") };
    let place = if trees.is_empty() { manifest.dir.clone() } else { stage.join("tree") };
    if trees.is_empty() {
        stamp::note("commands in the project's own folder run each time".into());
        build.all(&place)?;
    } else {
        let (done, inputs) = (stage.join("done"), build.inputs(&trees));
        if shell.dry_run {
            if !stamp::is_fresh(&done, inputs.key()) {
                build.all(&place)?;
            }
        } else {
            stamp::output(&inputs, &[&done], || {
                fresh_copies(&trees, &place, &build.prefix)?;
                workdir::write_atomic(&build.log, b"")?;
                build.all(&place)?;
                workdir::write_atomic(&done, b"")
            })?;
        }
    }
    let found = |program: &PathBuf| wrapper::find(cache, &place.join(program));
    let program = manifest.program.as_ref().filter(|_| !shell.dry_run).map(found).transpose()?;
    Ok(Made { program })
}

/// No source may contain the folder that it is copied to: the copy would have no end.
fn outside(trees: &[Tree], place: &Path) -> Result<()> {
    let Some(tree) = trees.iter().find(|tree| place.starts_with(&tree.tree)) else { return Ok(()) };
    let text = format!("the source `{}` contains the image folder, to which it is copied", tree.tree.display());
    let hint = "name a folder below it as `path`, or another image folder with `--out`";
    Err(fail(Class::Usage, text).hint(hint).into())
}

fn fresh_copies(trees: &[Tree], place: &Path, prefix: &Path) -> Result<()> {
    for old in [place, prefix] {
        workdir::remove_dir(old)?;
        workdir::create_dir(old)?;
    }
    trees.iter().try_for_each(|tree| program_source::copy(tree, &place.join(&tree.name)))
}

/// What all commands of a build share.
struct Build<'a> {
    shell: &'a Shell,
    tools: &'a Tools,
    manifest: &'a Manifest,
    prefix: PathBuf,
    log: PathBuf,
}

impl Build<'_> {
    /// All that decides what a build in a copy makes.
    fn inputs(&self, trees: &[Tree]) -> Inputs {
        let Tools { toolchain, sysroot, .. } = self.tools;
        let mut inputs = Inputs::default().with("the compiler", &toolchain.id).with("the C library", &sysroot.key);
        inputs = inputs.with("`build`", format!("{:?}", self.manifest.build));
        inputs = inputs.with("`cflags`", format!("{:?}", self.manifest.cflags));
        for tree in trees {
            inputs = inputs.with(&format!("the source of {}", tree.name), &tree.hash);
        }
        inputs
    }

    fn all(&self, place: &Path) -> Result<()> {
        self.manifest.build.iter().try_for_each(|command| self.one(place, command))
    }

    /// Runs one command with our compiler in its environment.
    fn one(&self, place: &Path, command: &BuildCommand) -> Result<()> {
        let Some((program, args)) = command.words.split_first() else { return Ok(()) };
        let cwd = command.dir.as_ref().map_or(place.to_owned(), |dir| place.join(dir));
        let mut flags: Vec<String> = DEFAULT_FLAGS.map(str::to_owned).to_vec();
        flags.extend(self.manifest.cflags.iter().cloned());
        if place != self.manifest.dir {
            flags.push(format!("-ffile-prefix-map={}=.", place.display()));
        }
        let jobs = std::thread::available_parallelism().map_or(1, |n| n.get());
        let mut cmd = Cmd::new(program).whole_env().args(args).cwd(&cwd).env("LC_ALL", "C.UTF-8").log(&self.log);
        for (key, value) in wrapper::environment(self.tools, Some(&self.prefix))? {
            cmd = cmd.env(key, value);
        }
        cmd = cmd.env("CFLAGS", flags.join(" ")).env("LDFLAGS", "").env("MAKEFLAGS", format!("-j{jobs}"));
        if !self.shell.dry_run {
            workdir::create_parent(&self.log)?;
        }
        let mut text = String::new();
        let output = self.shell.run_with(&cmd, &mut |line| {
            text.push_str(line);
            text.push('\n');
        })?;
        if output.status.success() {
            return Ok(());
        }
        let failure = cause(&format!("build command `{}` failed", command.words.join(" ")), &text, &output);
        Err(failure.command(cmd.display()).log(&self.log).into())
    }
}

/// Why a compiler or a build gave up: whose fault, and what it said.
pub(crate) fn cause(what: &str, text: &str, output: &Output) -> Failure {
    match formats::makelog::root_cause(text) {
        Some(cause) => {
            let class = if cause.host { Class::Host } else { Class::App };
            fail(class, format!("{what}\n    {}", cause.lines.join("\n    ")))
        }
        // Killed, or silent.
        None => fail(Class::App, format!("{what} ({})", output.status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_around_the_image_folder_is_refused() {
        let tree = |path: &str| Tree { name: "x".into(), tree: path.into(), hash: String::new() };
        let place = Path::new("/p/build/x/stages/make");
        assert!(outside(&[tree("/p/src"), tree("/p/build/xy")], place).is_ok());
        let error = outside(&[tree("/q"), tree("/p")], place).unwrap_err().to_string();
        assert!(error.contains("`/p` contains the image folder"), "{error}");
    }
}
