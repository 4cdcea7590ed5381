//! `ukl configure`, `set`, `unset`, `defconfig` and `menuconfig`: what they change is in `ukl.toml` alone.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use formats::kconfig;
use serde_json::json;

use super::{project, Answer};
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::run::interrupted;
use crate::base::term;
use crate::base::workdir;
use crate::kernel::config;
use crate::manifest::edit::Edit;
use crate::manifest::{self, Manifest, Platform};
use crate::tools::settings::{self, Change, Kernel};
use crate::verbs::cli::{ConfigureArgs, DefconfigArgs, MenuconfigArgs, OptionsArgs, Plat};

/// The project that a command works on.
fn open(project: Option<&PathBuf>) -> Result<(Manifest, Edit)> {
    let path = project.map_or(Path::new("."), PathBuf::as_path);
    Ok((manifest::load(path)?, Edit::open(path)?))
}

/// `ukl set`.
pub(super) fn set(env: &Env, args: &OptionsArgs) -> Result<Answer> {
    let (manifest, mut edit) = open(Some(&project::of_options(&args.project)?))?;
    let kernel = settings::open(env, &manifest)?;
    let change = settings::set(&kernel, &mut edit, &args.options)?;
    finish(env, &edit, change)
}

/// `ukl unset`.
pub(super) fn unset(env: &Env, args: &OptionsArgs) -> Result<Answer> {
    let (manifest, mut edit) = open(Some(&project::of_options(&args.project)?))?;
    let kernel = settings::open(env, &manifest)?;
    let change = settings::unset(&kernel, &mut edit, &args.options)?;
    finish(env, &edit, change)
}

/// Writes the manifest and tells what is different now.
fn finish(env: &Env, edit: &Edit, change: Change) -> Result<Answer> {
    let written = edit.save(env.shell.dry_run)?;
    let mut text = String::new();
    change.already.iter().for_each(|line| text.push_str(&format!("already  {line}\n")));
    change.removed.iter().for_each(|option| text.push_str(&format!("removed  {option}\n")));
    change.written.iter().for_each(|line| text.push_str(&format!("written  {line}\n")));
    let asked = !change.written.is_empty() || !change.removed.is_empty();
    if written && asked && !env.shell.dry_run {
        term::say("the next build compiles a kernel for these options, unless the cache has one (minutes)");
    }
    Ok(Answer::new(text, json!({ "manifest": edit.file(), "change": change })))
}

/// `ukl defconfig`.
pub(super) fn defconfig(env: &Env, args: &DefconfigArgs) -> Result<Answer> {
    let (manifest, mut edit) = open(Some(&project::of_options(&args.project)?))?;
    if args.save {
        let lines: String = edit.config().iter().map(|line| format!("{line}\n")).collect();
        if !env.shell.dry_run {
            workdir::write_atomic(&args.file, lines.as_bytes())?;
        }
        return Ok(Answer::new("", json!({ "file": args.file, "lines": edit.config() })));
    }
    let bad = |what: String| fail(Class::Usage, format!("`{}`: {what}", args.file.display()));
    if !args.file.exists() {
        return Err(fail(Class::Usage, format!("no file `{}`", args.file.display())).into());
    }
    let text = String::from_utf8(workdir::read(&args.file)?).map_err(|_| bad("no UTF-8 text".into()))?;
    let given = kconfig::parse(&text).map_err(|error| bad(error.to_string()))?;
    let kernel = settings::open(env, &manifest)?;
    let name = |line: &str| line.split(['=', ' ']).find_map(|word| word.strip_prefix("CONFIG_").map(str::to_owned));
    let is_ours = |line: &str| name(line).is_some_and(|name| config::is_ours(&name));
    let lines: Vec<String> = given.to_text().lines().filter(|line| !is_ours(line)).map(str::to_owned).collect();
    let names: Vec<String> = given.iter().map(|(option, _)| option["CONFIG_".len()..].to_owned()).collect();
    kernel.against_ukl(&kernel.wanted(&lines)?, &names)?;
    let resolved = kernel.resolve(lines)?;
    let lost: Vec<String> =
        kconfig::missing(&given, &resolved.actual).iter().map(|m| format!("{}={}", m.option, m.wanted)).collect();
    if !lost.is_empty() {
        let more = if lost.len() > 5 { format!(" and {} more", lost.len() - 5) } else { String::new() };
        let first = lost.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
        term::say(&format!("without effect in this kernel: {first}{more}"));
    }
    let change = settings::absorb(&kernel, &mut edit, &resolved.actual)?;
    finish(env, &edit, change)
}

/// `ukl menuconfig`.
pub(super) fn menuconfig(env: &Env, args: &MenuconfigArgs) -> Result<Answer> {
    let (manifest, mut edit) = open(args.project.as_ref())?;
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

/// `ukl configure`.
pub(super) fn configure(env: &Env, args: &ConfigureArgs) -> Result<Answer> {
    let (manifest, mut edit) = open(args.project.as_ref())?;
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
