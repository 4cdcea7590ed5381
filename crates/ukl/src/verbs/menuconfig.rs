//! `ukl menuconfig`: a project's kernel options on the kernel's own screens.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use clap::Args;

use super::answer::Answer;
use super::options::ProjectOption;
use super::set::{finish, open};
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::run::interrupted;
use crate::base::term;
use crate::tools::settings::{self, Change};

/// `ukl menuconfig`.
#[derive(Debug, Clone, Args)]
pub struct MenuconfigArgs {
    /// The project's folder, or its ukl.toml [default: the current folder]
    #[arg(value_name = "DIR", conflicts_with = "project")]
    pub dir: Option<PathBuf>,
    /// The same, as the other verbs on a project take it.
    #[command(flatten)]
    pub project: ProjectOption,
}

/// `ukl menuconfig`.
pub(super) fn menuconfig(env: &Env, args: &MenuconfigArgs) -> Result<Answer> {
    let (manifest, mut edit) = open(&args.project.or(args.dir.as_deref()))?;
    if !env.shell.dry_run && !term::is_interactive() {
        let failure = fail(Class::Usage, "`menuconfig` needs a terminal");
        return Err(failure.hint("`ukl set OPTION` and `ukl defconfig FILE` do not").into());
    }
    let headers = ["/usr/include/ncurses.h", "/usr/include/ncursesw/ncurses.h"];
    if !headers.iter().any(|header| Path::new(header).exists()) {
        let failure = fail(Class::Host, "the kernel's screens need ncurses, which is not installed");
        return Err(failure.hint("apt-get install --yes libncurses-dev").into());
    }
    let kernel = settings::open(env, &manifest)?;
    // What the screens show first.
    let before = kernel.resolve(edit.config())?.actual;
    let screens = kernel.tool("menuconfig");
    if let Some(mut child) = env.shell.spawn(&screens, Stdio::inherit(), Stdio::inherit(), Stdio::inherit())? {
        let status = child.wait()?;
        anyhow::ensure!(!interrupted(), "interrupted");
        if !status.success() {
            return Err(fail(Class::Host, format!("`make menuconfig` failed ({status})"))
                .command(screens.display())
                .into());
        }
    }
    let after = if env.shell.dry_run { before.clone() } else { kernel.read()? };
    let change = if after == before { Change::default() } else { settings::absorb(&kernel, &mut edit, &after)? };
    if change.is_empty() {
        term::say("nothing was changed");
    }
    finish(env, &edit, change)
}
