//! [`PatchedSource`] → [`Configured`]: fragments merged and verified.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use formats::kconfig::{self, Config, Fragment};

use crate::base::env::Env;
use crate::base::error::{fail, Class, Failure, Result};
use crate::base::plan::{Made, Plan, NOT_CACHED};
use crate::base::run::{Cmd, Shell};
use crate::base::stamp::Inputs;
use crate::base::target::TARGET;
use crate::base::workdir;
use crate::kernel::patch::{self, PatchedSource};
use crate::manifest::KernelSpec;
use crate::program::toolchain::{self, CompilerKind, Toolchain};

/// A configured kernel build folder (`make O=`).
#[derive(Debug, Clone)]
pub struct Configured {
    /// The patched tree.
    pub tree: PathBuf,
    /// The build folder in the cache.
    pub out: PathBuf,
    /// Content key: source, patches, configuration, compiler.
    pub key: String,
    /// The kernel's full version.
    pub version: String,
    /// The compiler that builds the kernel.
    pub cc: PathBuf,
    /// The linker.
    pub ld: PathBuf,
    /// All that decides the kernel's objects, option by option.
    pub inputs: Inputs,
}

/// The name under which the manifest's own lines appear in messages.
pub const OWN: &str = "[kernel] config";

/// Environment variables with which a user's shell would change the build.
pub const CLEARED: [&str; 9] =
    ["MAKEFLAGS", "MAKEOVERRIDES", "CROSS_COMPILE", "KCFLAGS", "KAFLAGS", "KCPPFLAGS", "KBUILD_OUTPUT", "LLVM", "W"];

/// Merges the fragments of the kernel line and of the manifest, and configures a build folder.
///
/// Errors (class `Kernel`): fragments that disagree, a requested option that did not survive.
pub fn configure(
    env: &Env,
    patched: &Made<PatchedSource>,
    spec: &KernelSpec,
    toolchain: &Toolchain,
) -> Result<Made<Configured>> {
    let wanted = requested(spec)?;
    let text = wanted.to_text();
    let compiler = kernel_compiler(&env.shell, toolchain);
    let hash = workdir::hash(["kernel-1", &patched.hash, &text, &compiler.id, &make_words().join(" ")]);
    let key = hash[..16].to_owned();
    let mut inputs = Inputs::default().with("the kernel's source or patches", &patched.hash);
    inputs = inputs.with("the kernel's compiler", &compiler.id).with("the kernel's make words", make_words().join(" "));
    for (option, value) in wanted.iter() {
        inputs = inputs.with(option, value);
    }
    let out = env.cache.entry("kernel", &key);
    let configured = Configured { inputs, key: key.clone(), ..in_folder(&env.shell, patched, out, &compiler) };
    let mark = configured.out.join("configured");
    let why = match mark.exists() {
        true => Vec::new(),
        false => vec![NOT_CACHED.to_owned()],
    };
    let commands = vec![command(&configured)];
    Plan { output: configured, why, commands }.carry_out(&env.shell, |configured, _| {
        let _lock = env.cache.lock("kernel", &key)?;
        if mark.exists() {
            // By the build that we waited for.
            return Ok(configured);
        }
        run(&env.shell, &configured, &text)?;
        let result = configured.out.join(".config");
        let actual = fs::read_to_string(&result).with_context(|| format!("failed to read `{}`", result.display()))?;
        verify(&wanted, &kconfig::parse(&actual)?).map_err(|failure| failure.log(result))?;
        workdir::write_atomic(&mark, hash.as_bytes())?;
        Ok(configured)
    })
}

/// Lets the kernel's own tools complete the configuration `text`.
fn run(shell: &Shell, configured: &Configured, text: &str) -> Result<()> {
    let log = configured.out.join("configure.log");
    workdir::write_atomic(&fragment(configured), text.as_bytes())?;
    workdir::write_atomic(&log, b"")?;
    let cmd = command(configured).log(&log);
    if !shell.run(&cmd)?.status.success() {
        return Err(configure_failure(&cmd, &log).into());
    }
    Ok(())
}

/// Where the requested options are written before [`command`] reads them.
pub fn fragment(configured: &Configured) -> PathBuf {
    configured.out.join("requested.config")
}

/// The kernel's own tools complete the requested options: whatever is not asked for is off.
pub fn command(configured: &Configured) -> Cmd {
    make(configured).arg("allnoconfig").env("KCONFIG_ALLCONFIG", fragment(configured))
}

/// What was asked for, and what the kernel's own tools made of it.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// Every requested option with the file and line that asked for it.
    pub wanted: Config,
    /// The complete configuration.
    pub actual: Config,
}

/// A folder in which the kernel's configuration tools work, apart from every build.
#[derive(Debug)]
pub struct Scratch {
    configured: Configured,
    _lock: Option<fs::File>,
}

/// Prepares a folder for questions about configurations of `patched`; it is shared, and held until dropped.
pub fn scratch(env: &Env, patched: &PatchedSource, toolchain: &Toolchain) -> Result<Scratch> {
    let Env { shell, cache } = env;
    let compiler = kernel_compiler(shell, toolchain);
    let hash = workdir::hash(["kconfig-1", &patched.hash, &compiler.id, &make_words().join(" ")]);
    let key = hash[..16].to_owned();
    let _lock = if shell.dry_run { None } else { Some(cache.lock("kconfig", &key)?) };
    let out = cache.entry("kconfig", &key);
    if !shell.dry_run {
        workdir::create_dir(&out)?;
    }
    Ok(Scratch { configured: Configured { key, ..in_folder(shell, patched, out, toolchain) }, _lock })
}

/// A build of `patched` in the folder `out`, which belongs to the caller.
pub fn in_folder(shell: &Shell, patched: &PatchedSource, out: PathBuf, toolchain: &Toolchain) -> Configured {
    let compiler = kernel_compiler(shell, toolchain);
    let (tree, version) = (patched.tree.clone(), patched.version.clone());
    let (key, inputs) = (String::new(), Inputs::default());
    Configured { tree, out, key, inputs, version, cc: compiler.cc, ld: compiler.ld }
}

impl Scratch {
    /// The configuration that `spec` leads to; options that got lost are for the caller to find.
    pub fn resolve(&self, shell: &Shell, spec: &KernelSpec) -> Result<Resolved> {
        let wanted = requested(spec)?;
        let output = Resolved { actual: wanted.clone(), wanted };
        let plan = Plan::always("a question that has to be asked", output, vec![command(&self.configured)]);
        let resolved = plan.carry_out(shell, |Resolved { wanted, .. }, _| {
            run(shell, &self.configured, &wanted.to_text())?;
            Ok(Resolved { wanted, actual: self.read()? })
        })?;
        Ok(resolved.value)
    }

    /// The configuration that lies there now.
    pub fn read(&self) -> Result<Config> {
        let file = self.configured.out.join(".config");
        Ok(kconfig::parse(&String::from_utf8(workdir::read(&file)?)?)?)
    }

    /// The call of make for one of the kernel's own configuration programs.
    pub fn tool(&self, name: &str) -> Cmd {
        make(&self.configured).arg(name)
    }
}

/// A call of make on the build folder, the same on every machine.
pub(crate) fn make(configured: &Configured) -> Cmd {
    let variable = |name: &str, value: &std::path::Path| format!("{name}={}", value.display());
    let mut cmd = Cmd::new("make")
        .arg("-C")
        .arg(&configured.tree)
        .args([variable("O", &configured.out), variable("CC", &configured.cc), variable("LD", &configured.ld)])
        .args(make_words());
    for name in CLEARED {
        cmd = cmd.env(name, "");
    }
    cmd.env("LC_ALL", "C")
}

/// What would otherwise come from the machine and the clock.
fn make_words() -> [&'static str; 6] {
    [
        TARGET.kernel_word,
        "KBUILD_BUILD_TIMESTAMP=Thu Jan  1 00:00:00 UTC 1970",
        "KBUILD_BUILD_USER=ukl",
        "KBUILD_BUILD_HOST=ukl",
        "KBUILD_BUILD_VERSION=1",
        "V=0",
    ]
}

/// gcc where there is one, so that programs of both compilers share one kernel build.
fn kernel_compiler(shell: &Shell, toolchain: &Toolchain) -> Toolchain {
    match toolchain.kind {
        CompilerKind::Gcc => toolchain.clone(),
        CompilerKind::Clang => toolchain::find(shell, "gcc").unwrap_or_else(|_| toolchain.clone()),
    }
}

/// Is the option one that ukl itself decides? Others of the same menu are the user's.
pub fn is_ours(name: &str) -> bool {
    matches!(name, "UKL" | "UKL_ARCHIVE" | "UKL_TRIGGER")
}

/// Everything that must hold in the end: base, ukl, storage, debug, then the manifest's own lines.
pub fn requested(spec: &KernelSpec) -> Result<Config> {
    let own = spec.config.join("\n");
    let mut fragments = Vec::new();
    for (name, used, overrides) in [
        ("base.config", true, false),
        ("ukl.config", true, false),
        ("storage.config", spec.storage, false),
        ("debug.config", spec.debug, true),
    ] {
        if let (true, Some(text)) = (used, patch::file(&spec.version, name)?) {
            fragments.push(Fragment { name, text, overrides });
        }
    }
    fragments.push(Fragment { name: OWN, text: &own, overrides: true });
    let merged = kconfig::merge(&fragments);
    merged.map_err(|error| fail(Class::Kernel, format!("kernel configuration: {error}")).into())
}

/// Fails with the first requested options that the result does not have.
fn verify(wanted: &Config, actual: &Config) -> std::result::Result<(), Failure> {
    let missing = kconfig::missing(wanted, actual);
    if missing.is_empty() {
        return Ok(());
    }
    let line = |m: &kconfig::Missing| format!("{}: wanted {}, got {} ({})", m.option, m.wanted, m.got, m.origin);
    let mut lines: Vec<String> = missing.iter().take(8).map(line).collect();
    if missing.len() > lines.len() {
        lines.push(format!("and {} more", missing.len() - lines.len()));
    }
    let text = format!("the kernel's configuration lost what was requested: {}", lines.join("; "));
    let hint =
        "an option depends on another that is off, or does not exist in this kernel: see `depends on` in its Kconfig";
    Err(fail(Class::Kernel, text).hint(hint))
}

fn configure_failure(cmd: &Cmd, log: &std::path::Path) -> Failure {
    let text = fs::read_to_string(log).unwrap_or_default();
    let is_step = |line: &str| line.starts_with(['$', '#', ' ']) || line.starts_with("make");
    let said = text.lines().filter(|line| !is_step(line));
    let last: Vec<&str> = said.collect::<Vec<_>>().into_iter().rev().take(3).collect();
    let cause = last.into_iter().rev().collect::<Vec<_>>().join("; ");
    fail(Class::Kernel, format!("the kernel could not be configured: {cause}")).command(cmd.display()).log(log)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::KernelSource;

    fn spec(config: &[&str], debug: bool) -> KernelSpec {
        let config = config.iter().map(|line| line.to_string()).collect();
        KernelSpec { version: "6.12".into(), source: KernelSource::Debian, config, storage: false, debug }
    }

    #[test]
    fn disks_and_shares_are_in_the_kernel_only_when_asked_for() {
        let without = requested(&spec(&[], false)).unwrap();
        let with = requested(&KernelSpec { storage: true, ..spec(&[], false) }).unwrap();
        for option in ["CONFIG_BLOCK", "CONFIG_VIRTIO_BLK", "CONFIG_EXT4_FS", "CONFIG_9P_FS", "CONFIG_VIRTIO_FS"] {
            assert!(!without.is_on(option) && with.is_on(option), "{option}");
        }
    }

    #[test]
    fn the_manifests_lines_win() {
        let config = requested(&spec(&["CONFIG_NR_CPUS=4", "# CONFIG_IO_URING is not set"], false)).unwrap();
        assert_eq!((config.get("CONFIG_NR_CPUS"), config.get("CONFIG_IO_URING")), ("4", "n"));
        assert_eq!(config.get("CONFIG_UKL"), "y");
    }

    #[test]
    fn what_the_linked_program_demands_is_requested() {
        let config = requested(&spec(&[], false)).unwrap();
        for off in ["CONFIG_RANDOMIZE_BASE", "CONFIG_MITIGATION_PAGE_TABLE_ISOLATION", "CONFIG_X86_KERNEL_IBT"] {
            assert_eq!(config.get(off), "n");
            assert!(config.iter().any(|(option, _)| option == off), "{off} is not mentioned");
        }
        for on in ["CONFIG_UKL", "CONFIG_INET", "CONFIG_VIRTIO_NET", "CONFIG_SMP"] {
            assert_eq!(config.get(on), "y");
        }
    }

    #[test]
    fn debugging_replaces_parts_of_the_base() {
        let config = requested(&spec(&[], true)).unwrap();
        assert!(config.is_on("CONFIG_PROVE_LOCKING") && !config.is_on("CONFIG_PREEMPT_NONE"));
    }

    #[test]
    fn a_lost_option_is_named_with_what_it_became() {
        let wanted = kconfig::parse("CONFIG_A=y\nCONFIG_B=y\n").unwrap();
        assert!(verify(&wanted, &wanted).is_ok());
        let failure = verify(&wanted, &kconfig::parse("CONFIG_A=y\n# CONFIG_B is not set\n").unwrap()).unwrap_err();
        assert!(failure.message.contains("CONFIG_B: wanted y, got n"), "{}", failure.message);
    }
}
