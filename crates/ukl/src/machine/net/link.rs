//! Taps and bridges of this machine: what is there, what a guest may use, and the lines that make what is missing.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::base::error::{fail, Class, Failure, Result};
use crate::base::run::{Cmd, Shell};

/// How a guest gets at the network.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Attached {
    /// A tap device, and what QEMU shall run to ready it, with the device's name as argument.
    Tap { name: Option<String>, script: Option<String> },
    /// Through QEMU's helper, which makes a tap device with rights that we lack.
    Helper(String),
}

/// Where distributions put QEMU's helper.
const HELPERS: [&str; 2] = ["/usr/lib/qemu/qemu-bridge-helper", "/usr/libexec/qemu-bridge-helper"];
const HELPER_RULES: &str = "/etc/qemu/bridge.conf";
const TUN: &str = "/dev/net/tun";

/// The tap device `name`; a new one gets the address `host`, and ends with the guest.
pub(super) fn tap(shell: &Shell, name: &str, host: Option<&str>, queues: u32) -> Result<Attached> {
    let admin = may_administer();
    let multi = if queues > 1 { " multi_queue" } else { "" };
    let mut lines = vec![format!("ip tuntap add dev {name} mode tap user $USER{multi}")];
    lines.extend(host.map(|host| format!("ip addr add {host} dev {name}")));
    lines.push(format!("ip link set {name} up"));
    let Some(link) = facts(shell, name)? else {
        if !admin {
            return Err(missing(format!("no tap device `{name}`, and no right to make one"), &lines, admin));
        }
        open_tun()?;
        let address = host.map_or(String::new(), |host| format!("ip address add {host} dev \"$1\" && "));
        let script = format!("#!/bin/sh\n{address}exec ip link set dev \"$1\" up\n");
        return Ok(Attached::Tap { name: Some(name.into()), script: Some(script) });
    };
    let tun = &link["linkinfo"]["info_data"];
    if tun["type"] != "tap" {
        return Err(fail(Class::Host, format!("`{name}` is not a tap device")).into());
    }
    let has_many = tun["multi_queue"] == true;
    if has_many != (queues > 1) {
        let (text, hint) = match has_many {
            true => ("was made for several queues", "`--queues 2` or more uses it"),
            false => ("was made for one queue", "`ip tuntap add … multi_queue` makes one for several"),
        };
        return Err(fail(Class::Host, format!("the tap device `{name}` {text}")).hint(hint).into());
    }
    if !admin && tun.get("user").is_none() && tun.get("group").is_none() {
        lines.insert(0, format!("ip link delete {name}"));
        return Err(missing(format!("the tap device `{name}` belongs to nobody: only root may use it"), &lines, admin));
    }
    let is_up = has_flag(&link, "UP");
    if !is_up && !admin {
        return Err(missing(format!("the tap device `{name}` is down"), &lines[lines.len() - 1..], admin));
    }
    open_tun()?;
    let script = (!is_up).then(|| "#!/bin/sh\nexec ip link set dev \"$1\" up\n".to_owned());
    Ok(Attached::Tap { name: Some(name.into()), script })
}

/// A new tap device in the bridge `name`, which ends with the guest.
pub(super) fn bridge(shell: &Shell, name: &str, host: Option<&str>, queues: u32) -> Result<Attached> {
    let admin = may_administer();
    let up = format!("ip link set {name} up");
    let Some(link) = facts(shell, name)? else {
        let address = format!("ip addr add {} dev {name}", host.unwrap_or("172.44.0.1/24"));
        let lines = [format!("ip link add {name} type bridge"), address, up];
        return Err(missing(format!("no bridge `{name}`"), &lines, admin));
    };
    if link["linkinfo"]["info_kind"] != "bridge" {
        return Err(fail(Class::Host, format!("`{name}` is not a bridge")).into());
    }
    if !has_flag(&link, "UP") {
        return Err(missing(format!("the bridge `{name}` is down"), &[up], admin));
    }
    if !admin {
        helper(name, queues)?;
        return Ok(Attached::Helper(name.into()));
    }
    open_tun()?;
    let script = format!("#!/bin/sh\nexec ip link set dev \"$1\" master {name} up\n");
    Ok(Attached::Tap { name: None, script: Some(script) })
}

/// Whether QEMU's helper would let us into the bridge.
fn helper(bridge: &str, queues: u32) -> Result<()> {
    if queues > 1 {
        let text = "only root can give a card in a bridge several queues";
        return Err(fail(Class::Host, text).hint("run as root, or use `--net tap=NAME` with a device of yours").into());
    }
    let mut lines = Vec::new();
    let Some(helper) = HELPERS.iter().find(|path| Path::new(path).exists()) else {
        return Err(fail(Class::Host, "no qemu-bridge-helper, which lets users into a bridge")
            .hint("run as root")
            .into());
    };
    // Rights may also lie in the file's capabilities; whoever set those knows.
    let is_privileged = fs::metadata(helper).is_ok_and(|facts| facts.permissions().mode() & 0o4000 != 0);
    if !is_privileged && !has_capabilities(helper) {
        lines.push(format!("chmod u+s {helper}"));
    }
    let allows = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words == ["allow", bridge] || words == ["allow", "all"]
    };
    let may = match fs::read_to_string(HELPER_RULES) {
        Ok(rules) => rules.lines().any(allows),
        // It may be readable for the helper only.
        Err(error) => error.kind() == ErrorKind::PermissionDenied,
    };
    if !may {
        lines.push("mkdir -p /etc/qemu".into());
        lines.push(format!("sh -c \"echo allow {bridge} >> {HELPER_RULES}\""));
    }
    if lines.is_empty() {
        return Ok(());
    }
    Err(missing(format!("no right to put a guest into the bridge `{bridge}`"), &lines, false))
}

fn has_capabilities(file: &str) -> bool {
    let Ok(path) = std::ffi::CString::new(file) else { return false };
    // SAFETY: both names end with a NUL byte; with length 0 nothing is written.
    unsafe { libc::getxattr(path.as_ptr(), c"security.capability".as_ptr(), std::ptr::null_mut(), 0) > 0 }
}

/// What `ip` knows about a device; nothing when there is none.
fn facts(shell: &Shell, name: &str) -> Result<Option<Value>> {
    let cmd = Cmd::new("ip").args(["-details", "-json", "link", "show", "dev", name]).probe();
    let output = shell.run(&cmd)?;
    if !output.status.success() {
        return Ok(None);
    }
    let links: Value = serde_json::from_slice(&output.stdout)?;
    Ok(links.get(0).cloned())
}

fn has_flag(link: &Value, flag: &str) -> bool {
    link["flags"].as_array().is_some_and(|flags| flags.iter().any(|one| one == flag))
}

/// QEMU will open it; why it could not is said better here.
fn open_tun() -> Result<()> {
    let Err(error) = File::options().read(true).write(true).open(TUN) else { return Ok(()) };
    let hint = match error.kind() {
        ErrorKind::PermissionDenied => format!("sudo chmod 0666 {TUN}"),
        _ => "sudo modprobe tun".into(),
    };
    Err(fail(Class::Host, format!("cannot open `{TUN}`: {error}")).hint(hint).into())
}

/// True for a process that may change the network.
fn may_administer() -> bool {
    const NET_ADMIN: u64 = 1 << 12;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask & NET_ADMIN != 0)
}

/// A failure with the lines that make what is missing.
fn missing(text: String, lines: &[String], admin: bool) -> anyhow::Error {
    let sudo = if admin { "" } else { "sudo " };
    let lines: Vec<String> = lines.iter().map(|line| format!("{sudo}{line}")).collect();
    let failure: Failure = fail(Class::Host, text).hint(lines.join("\n"));
    failure.into()
}
