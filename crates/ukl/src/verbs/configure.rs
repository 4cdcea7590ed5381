//! `ukl configure`: platform, machine and kernel options of a project; only `ukl.toml` changes.

use std::path::PathBuf;

use clap::Args;

use super::answer::Answer;
use super::options::{Plat, PlatOption, ProjectOption};
use super::set::{finish, open};
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::run::interrupted;
use crate::base::term;
use crate::manifest::edit::Edit;
use crate::manifest::{self, Manifest, Platform};
use crate::tools::settings::{self, Change, Kernel};

/// `ukl configure`.
#[derive(Debug, Clone, Args)]
pub struct ConfigureArgs {
    /// The project's folder, or its ukl.toml [default: the current folder]
    #[arg(value_name = "DIR", conflicts_with = "project")]
    pub dir: Option<PathBuf>,
    /// The same, as the other verbs on a project take it.
    #[command(flatten)]
    pub project: ProjectOption,
    /// The platform.
    #[command(flatten)]
    pub plat: PlatOption,
    /// Number of CPUs
    #[arg(long, alias = "smp", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub cpus: Option<u32>,
    /// Memory of the guest, e.g. 128M
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub memory: Option<String>,
    /// Set a kernel option
    #[arg(long, value_name = "OPTION[=VALUE]")]
    pub set: Vec<String>,
    /// Switch a kernel option off
    #[arg(long, value_name = "OPTION")]
    pub unset: Vec<String>,
}

/// A memory size that is kept as it was written.
fn memory(text: &str) -> std::result::Result<String, String> {
    manifest::memory_mib(text).map(|_| text.to_owned())
}

/// `ukl configure`.
pub(super) fn configure(env: &Env, args: &ConfigureArgs) -> Result<Answer> {
    let (manifest, mut edit) = open(&args.project.or(args.dir.as_deref()))?;
    let ConfigureArgs { plat, cpus, memory, set, unset, .. } = args.clone();
    let asked = plat.plat.is_some() || cpus.is_some() || memory.is_some() || !set.is_empty() || !unset.is_empty();
    let mut wanted = Wanted { plat: plat.plat, cpus, memory, set, unset };
    if !asked {
        if !term::is_interactive() {
            let failure = fail(Class::Usage, "nothing to configure, and no terminal to ask on");
            let hint = "ukl configure --plat qemu --cpus 2 --memory 256M --set OPTION=VALUE --unset OPTION";
            return Err(failure.hint(hint).into());
        }
        wanted = ask(&manifest)?;
    }
    let mut kernel = None;
    if !wanted.set.is_empty() || !wanted.unset.is_empty() {
        kernel = Some(settings::open(env, &manifest)?);
    }
    let change = apply(kernel.as_ref(), &mut edit, &wanted)?;
    let mut answer = finish(env, &edit, change)?;
    let now = wanted.lines();
    answer.text = format!("{now}{}", answer.text);
    Ok(answer)
}

/// What `ukl configure` was told, by options or by answers.
struct Wanted {
    plat: Option<Plat>,
    cpus: Option<u32>,
    memory: Option<String>,
    set: Vec<String>,
    unset: Vec<String>,
}

impl Wanted {
    fn lines(&self) -> String {
        let plat = self.plat.map(|plat| format!("platform  {}\n", word(plat)));
        let cpus = self.cpus.map(|cpus| format!("cpus      {cpus}\n"));
        let memory = self.memory.as_ref().map(|memory| format!("memory    {memory}\n"));
        [plat, cpus, memory].into_iter().flatten().collect()
    }
}

fn word(plat: Plat) -> &'static str {
    match plat {
        Plat::Qemu => "qemu",
        Plat::Linuxu => "linuxu",
    }
}

fn apply(kernel: Option<&Kernel>, edit: &mut Edit, wanted: &Wanted) -> Result<Change> {
    if let Some(plat) = wanted.plat {
        edit.set_top("platform", word(plat));
    }
    if let Some(cpus) = wanted.cpus {
        edit.set_machine("cpus", i64::from(cpus))?;
    }
    if let Some(memory) = &wanted.memory {
        edit.set_machine("memory", memory.as_str())?;
    }
    let mut change = Change::default();
    if let Some(kernel) = kernel {
        for other in [settings::set(kernel, edit, &wanted.set)?, settings::unset(kernel, edit, &wanted.unset)?] {
            change.written.extend(other.written);
            change.removed.extend(other.removed);
            change.already.extend(other.already);
        }
    }
    Ok(change)
}

/// Asks for everything; what is not answered stays as it is.
fn ask(manifest: &Manifest) -> Result<Wanted> {
    let old = match manifest.platform {
        Platform::Qemu => Plat::Qemu,
        Platform::Linuxu => Plat::Linuxu,
    };
    let plat = until("platform: qemu or linuxu", word(old), |text| {
        [Plat::Qemu, Plat::Linuxu].into_iter().find(|plat| word(*plat) == text).ok_or("qemu or linuxu".to_owned())
    })?;
    let cpus = until("CPUs", &manifest.machine.cpus.to_string(), |text| match text.parse() {
        Ok(cpus @ 1..=64) => Ok(cpus),
        _ => Err("a number from 1 to 64".to_owned()),
    })?;
    let size = format!("{}M", manifest.machine.memory_mib);
    let memory = until("memory", &size, |text| manifest::memory_mib(text).map(|_| text.to_owned()))?;
    let mut set = Vec::new();
    loop {
        let option = term::ask("kernel option to set, OPTION or OPTION=VALUE", "no more", &interrupted)?;
        if option == "no more" {
            break;
        }
        set.push(option);
    }
    Ok(Wanted {
        plat: Some(plat).filter(|plat| *plat != old),
        cpus: Some(cpus).filter(|cpus| *cpus != manifest.machine.cpus),
        memory: Some(memory).filter(|memory| *memory != size),
        set,
        unset: Vec::new(),
    })
}

/// Asks until the answer can be used.
fn until<T>(question: &str, default: &str, parse: impl Fn(&str) -> std::result::Result<T, String>) -> Result<T> {
    loop {
        match parse(&term::ask(question, default, &interrupted)?) {
            Ok(value) => return Ok(value),
            Err(what) => term::say(&what),
        }
    }
}
