//! Which engine runs the guest: KVM of hardware where a probe shows that guests get through their boot, TCG elsewhere.

mod probe;

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::base::error::{fail, Class, Result};
use crate::base::run::{Cmd, Shell};
use crate::base::target::TARGET;
use crate::base::term;
use crate::base::workdir::{self, Cache};

use super::kind::{Engine, MachineKind};
use super::qemu::{self, Hardware};
use super::request::Accel;

/// A guest that works says its first word long before, and one that hangs never does.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

const KVM: &str = "/dev/kvm";
/// A KVM in software: ring 3 of its guests runs by itself, and every instruction at level 0 is interpreted.
const SOFTWARE_MODULE: &str = "sys/module/kvm_pvm";

/// Decides on the engine.
///
/// `kernel` is what the probe boots. Error (class `Host`): KVM was demanded and cannot be used.
pub(super) fn choose(shell: &Shell, cache: &Cache, accel: Accel, kernel: &Path) -> Result<Engine> {
    let tcg = || tsc_khz(cache).map(|tsc_khz| Engine::Tcg { tsc_khz });
    match accel {
        Accel::Tcg => tcg(),
        Accel::Kvm => match open() {
            Ok(_) => Ok(Engine::Kvm),
            Err(error) => {
                let failure = fail(Class::Host, format!("cannot use `{KVM}`: {error}"));
                Err(failure.hint("`--accel tcg` runs without it; `ukl doctor` says what is missing").into())
            }
        },
        // Without the device there is nothing to find out or to say.
        Accel::Auto if open().is_err() || shell.dry_run => tcg(),
        Accel::Auto if kvm_works(shell, cache, kernel)? => Ok(Engine::Kvm),
        Accel::Auto => tcg(),
    }
}

fn open() -> std::io::Result<File> {
    File::options().read(true).write(true).open(KVM)
}

/// What is remembered until the host boots again. A busy moment can make neither: whatever else a probe
/// finds is true of this moment only.
const WORKS: &str = "works";
const SOFTWARE: &str = "software";

/// The remembered answer, or the probe's.
fn kvm_works(shell: &Shell, cache: &Cache, kernel: &Path) -> Result<bool> {
    let version = shell.check(&Cmd::new(TARGET.qemu).arg("--version").probe(), Class::Host)?.stdout;
    let boot = boot_id();
    let fact = cache.fact(&format!("kvm-{}", &workdir::hash([boot.as_bytes(), &version])[..16]));
    match fs::read_to_string(&fact).as_deref() {
        Ok(WORKS) => return Ok(true),
        Ok(SOFTWARE) => return Ok(false),
        _ => {}
    }
    if let Some(why) = software(Path::new("/")) {
        term::say(&format!("note: {KVM} is no hardware: {why}; using TCG"));
        if has_software_module(Path::new("/")) {
            workdir::write_atomic(&fact, SOFTWARE.as_bytes())?;
        }
        return Ok(false);
    }
    if !probe(shell, kernel)? {
        let seconds = PROBE_LIMIT.as_secs();
        term::say(&format!("note: a guest under {KVM} said nothing for {seconds} s; using TCG this time"));
        return Ok(false);
    }
    workdir::write_atomic(&fact, WORKS.as_bytes())?;
    Ok(true)
}

fn has_software_module(root: &Path) -> bool {
    root.join(SOFTWARE_MODULE).exists()
}

/// Why the KVM of the host is none of hardware, by its sign or as measured.
///
/// Nothing when it is, and when no guest can be made: that is for those to say who need one.
pub fn software(root: &Path) -> Option<String> {
    if has_software_module(root) {
        return Some("the module kvm_pvm interprets what guests do at privilege level 0".into());
    }
    let device = File::options().read(true).write(true).open(root.join("dev/kvm")).ok()?;
    match probe::interprets(&device) {
        Ok((true, turn)) => {
            let nanos = turn.as_nanos();
            Some(format!("a turn of a loop takes {nanos} ns at privilege level 0, where a processor takes one or two"))
        }
        _ => None,
    }
}

/// Boots `kernel` with KVM and no init: its panic proves that it got through its boot.
fn probe(shell: &Shell, kernel: &Path) -> Result<bool> {
    let dir = tempfile::tempdir()?;
    let initrd = dir.path().join("initrd");
    fs::write(&initrd, formats::newc::write(&[])?)?;
    let hardware = Hardware {
        kind: MachineKind::Microvm,
        engine: Engine::Kvm,
        memory_mib: 128,
        cpus: 1,
        card: None,
        kernel: kernel.to_owned(),
        initrd,
        control: dir.path().join("control"),
        storage: Vec::new(),
        shared_memory: false,
        control_pipe: None,
        monitor: None,
        debugger: None,
        input_port: false,
        output_port: false,
        words: Vec::new(),
        more: Vec::new(),
    };
    let console = dir.path().join("console");
    let out = File::create(&console)?;
    let child = shell.spawn(&qemu::command(&hardware, None), Stdio::null(), out.into(), Stdio::null())?;
    let Some(mut child) = child else { return Ok(false) };
    let start = Instant::now();
    let spoke = loop {
        let spoke = fs::metadata(&console)?.len() > 0;
        if spoke || child.try_wait()?.is_some() || start.elapsed() > PROBE_LIMIT || crate::base::run::interrupted() {
            break spoke;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    // It may have ended by itself, which is no failure.
    let _ = child.kill();
    child.wait()?;
    anyhow::ensure!(!crate::base::run::interrupted(), "interrupted");
    Ok(spoke)
}

/// Changes with every boot of the host.
fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// The rate of the host's time stamp counter, which TCG passes on to the guest; measured once per boot.
fn tsc_khz(cache: &Cache) -> Result<Option<u64>> {
    let fact = cache.fact(&format!("tsc-{}", &workdir::hash([boot_id()])[..16]));
    if let Some(khz) = fs::read_to_string(&fact).ok().and_then(|text| text.parse().ok()) {
        return Ok(Some(khz));
    }
    let Some(khz) = measure_tsc_khz() else { return Ok(None) };
    workdir::write_atomic(&fact, khz.to_string().as_bytes())?;
    Ok(Some(khz))
}

#[cfg(target_arch = "x86_64")]
fn measure_tsc_khz() -> Option<u64> {
    // SAFETY: RDTSC exists on every x86-64 processor and only reads a counter.
    let now = || (unsafe { core::arch::x86_64::_rdtsc() }, Instant::now());
    let (ticks, start) = now();
    std::thread::sleep(Duration::from_millis(50));
    let (later, end) = now();
    let nanos = end.duration_since(start).as_nanos();
    let khz = u128::from(later.checked_sub(ticks)?) * 1_000_000 / nanos.max(1);
    // A counter that stands still or jumps is none.
    u64::try_from(khz).ok().filter(|khz| (100_000..20_000_000).contains(khz))
}

#[cfg(not(target_arch = "x86_64"))]
fn measure_tsc_khz() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_rate_is_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path());
        let first = tsc_khz(&cache).unwrap();
        assert_eq!(tsc_khz(&cache).unwrap(), first);
        if let (Some(first), Some(again)) = (first, measure_tsc_khz()) {
            assert!(first.abs_diff(again) < first / 500, "{first} and {again}");
        }
    }

    #[test]
    fn a_software_kvm_is_known_by_its_module() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(software(root.path()), None);
        fs::create_dir_all(root.path().join(SOFTWARE_MODULE)).unwrap();
        assert!(software(root.path()).unwrap().contains("kvm_pvm"));
    }

    #[test]
    fn a_moment_that_was_bad_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path());
        // No kernel at all: whatever this host has for a KVM, such a guest says nothing.
        choose(&Shell::default(), &cache, Accel::Auto, Path::new("/none")).unwrap();
        let facts = dir.path().join("facts");
        let kvm = |name: &str| name.starts_with("kvm-");
        for entry in fs::read_dir(&facts).unwrap().flatten().filter(|entry| kvm(&entry.file_name().to_string_lossy())) {
            assert_eq!(fs::read_to_string(entry.path()).unwrap(), SOFTWARE);
            assert!(has_software_module(Path::new("/")));
        }
    }

    #[test]
    fn tcg_needs_no_device_and_no_probe() {
        let dir = tempfile::tempdir().unwrap();
        let engine = choose(&Shell::default(), &Cache::at(dir.path()), Accel::Tcg, Path::new("/none")).unwrap();
        assert!(matches!(engine, Engine::Tcg { .. }));
    }
}
