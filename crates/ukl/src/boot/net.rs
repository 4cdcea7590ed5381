//! The guest's network card: what it is connected to, whether this machine allows that, QEMU's words for it.

mod backlog;
mod link;

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use formats::console::Control;

use crate::base::error::{fail, Class, Result};
use crate::base::quote;
use crate::base::run::Shell;
use crate::base::workdir::{self, RunDir};
use crate::image::folder::Image;
use crate::manifest::{Ip, Net};

use super::kind::Kind;
use super::{Options, What};

pub(super) use backlog::widen;

/// The card of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Card {
    pub(super) backend: Backend,
    /// Pairs of queues, for as many processors.
    pub(super) queues: u32,
    /// Its hardware address, where it must differ from other guests'.
    pub(super) mac: Option<String>,
}

/// What a card is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Backend {
    /// QEMU's own network with forwarded TCP ports: (host, guest).
    User(Vec<(u16, u16)>),
    /// A tap device. Without a name, QEMU makes one that ends with it; a script readies it.
    Tap { name: Option<String>, script: Option<PathBuf> },
    /// The bridge, through QEMU's privileged helper.
    Helper(String),
}

impl Card {
    /// QEMU's options.
    pub(super) fn args(&self, kind: Kind) -> Vec<String> {
        let mut backend = match &self.backend {
            Backend::User(ports) => {
                let forward = |(host, guest): &(u16, u16)| format!(",hostfwd=tcp:127.0.0.1:{host}-:{guest}");
                format!("user,id=net0{}", ports.iter().map(forward).collect::<String>())
            }
            Backend::Tap { name, script } => {
                let name = name.as_ref().map_or(String::new(), |name| format!(",ifname={name}"));
                let script = script.as_ref().map(|script| quote::qemu(script));
                format!("tap,id=net0{name},script={},downscript=no", script.as_deref().unwrap_or("no"))
            }
            Backend::Helper(bridge) => format!("bridge,id=net0,br={bridge}"),
        };
        let mut device = match kind {
            Kind::Microvm => "virtio-net-device,netdev=net0".to_owned(),
            // Without an option ROM: nobody boots from the network.
            Kind::Q35 => "virtio-net-pci,netdev=net0,romfile=".to_owned(),
        };
        if self.queues > 1 {
            backend.push_str(&format!(",queues={}", self.queues));
            // An interrupt for each queue in each direction, one for control, one for the configuration.
            device.push_str(&format!(",mq=on,vectors={}", 2 * self.queues + 2));
        }
        if let Some(mac) = &self.mac {
            device.push_str(&format!(",mac={mac}"));
        }
        vec!["-netdev".into(), backend, "-device".into(), device]
    }
}

/// Where the program can be reached once it listens at its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// At this address.
    At(String),
    /// At this port of the address that init reports.
    Leased(u16),
}

impl Endpoint {
    /// `ADDRESS:PORT`, as far as it is known.
    pub(super) fn text(&self, control: &Control) -> Option<String> {
        match self {
            Endpoint::At(text) => Some(text.clone()),
            Endpoint::Leased(port) => control.address.as_ref().map(|address| format!("{address}:{port}")),
        }
    }
}

/// What is asked for: the command line's word, else the image's.
struct Wish<'a> {
    net: Net,
    ip: Option<&'a Ip>,
    ports: &'a [(u16, u16)],
    queues: u32,
}

fn wish<'a>(image: &'a Image, options: &'a Options) -> Wish<'a> {
    let (ours, theirs) = (&options.network, &image.info.network);
    let ports = options.ports.as_ref().unwrap_or(&image.info.ports);
    let usual = if ports.is_empty() { Net::None } else { Net::User };
    let net = ours.net.clone().or(theirs.net.clone()).unwrap_or(usual);
    let is_outside = matches!(net, Net::Tap(_) | Net::Bridge(_));
    Wish {
        // What the image says of an address or of queues is about the network that it names.
        ip: ours.ip.as_ref().or(theirs.ip.as_ref().filter(|_| is_outside)),
        queues: ours.queues.or(theirs.queues.filter(|_| is_outside)).unwrap_or(1),
        net,
        ports,
    }
}

/// More than one queue needs a machine with an interrupt for each.
pub(super) fn needs_pci(image: &Image, options: &Options) -> bool {
    wish(image, options).queues > 1
}

/// The card that the image and the options want, if this machine can give it.
///
/// A script that readies a tap device is written to `files`. Errors: what contradicts itself (class
/// `Usage`), a missing device or right (class `Host`), with the lines that help.
pub(super) fn card(
    shell: &Shell,
    image: &Image,
    options: &Options,
    kind: Kind,
    cpus: u32,
    files: &RunDir,
) -> Result<Option<Card>> {
    let wish = wish(image, options);
    check(&wish, options, kind, cpus)?;
    let (gateway, bits) = match wish.ip {
        Some(Ip::Static(address)) => (address.gateway, address.bits),
        _ => (None, 24),
    };
    let host = gateway.map(|gateway| format!("{gateway}/{bits}"));
    let attached = match &wish.net {
        Net::None => return Ok(None),
        Net::User => {
            if !shell.dry_run {
                wish.ports.iter().try_for_each(|(host, _)| free(*host))?;
            }
            return Ok(Some(Card { backend: Backend::User(wish.ports.to_vec()), queues: 1, mac: None }));
        }
        Net::Tap(name) => link::tap(shell, name, host.as_deref(), wish.queues)?,
        Net::Bridge(name) => link::bridge(shell, name, host.as_deref(), wish.queues)?,
    };
    let backend = match attached {
        link::Attached::Helper(bridge) => Backend::Helper(bridge),
        link::Attached::Tap { name, script: None } => Backend::Tap { name, script: None },
        link::Attached::Tap { name, script: Some(text) } => {
            let path = files.tap_script();
            if !shell.dry_run {
                workdir::write_script(&path, &text)?;
            }
            Backend::Tap { name, script: Some(path) }
        }
    };
    Ok(Some(Card { backend, queues: wish.queues, mac: Some(mac(files.root(), wish.ip)) }))
}

fn check(wish: &Wish, options: &Options, kind: Kind, cpus: u32) -> Result<()> {
    let Wish { net, ip, queues, .. } = wish;
    let is_outside = matches!(net, Net::Tap(_) | Net::Bridge(_));
    let is_pid1 = matches!(options.what, What::Pid1(_));
    let refuse = |text: String, hint: &str| Err(fail(Class::Usage, text).hint(hint).into());
    if *net != Net::User && options.ports.as_ref().is_some_and(|ports| !ports.is_empty()) {
        let hint = "`-p` goes with `--net user`; in a tap's or bridge's network the guest has an address of its own";
        return refuse(format!("the network `{net}` forwards no ports"), hint);
    }
    if is_pid1 && options.network.ip.is_some() {
        return refuse("a program that is process 1 must set its address itself".into(), "without `--pid1` init does");
    }
    if is_outside && ip.is_none() && !is_pid1 {
        let hint = "`--ip 172.44.0.2/24,gw=172.44.0.1` or `--ip dhcp`";
        return refuse(format!("the network `{net}` needs an address for the guest"), hint);
    }
    let has_server = *net == Net::User && *ip == Some(&Ip::Dhcp);
    if !is_outside && options.network.ip.is_some() && !has_server {
        let hint = "`--ip` goes with `--net tap=NAME` and `--net bridge=NAME`";
        return refuse(format!("the network `{net}` has no addresses to choose from"), hint);
    }
    if *queues > 1 && !is_outside {
        return refuse(
            format!("the network `{net}` has no more than one queue"),
            "`--queues` goes with taps and bridges",
        );
    }
    if *queues > 1 && kind == Kind::Microvm {
        return refuse("the machine microvm has no more than one queue".into(), "`--machine q35`");
    }
    if *queues > cpus {
        return refuse(format!("{queues} queues for {cpus} CPUs"), "a queue needs a CPU of its own: `--cpus`");
    }
    Ok(())
}

/// Whether a port of this machine can be forwarded.
fn free(port: u16) -> Result<()> {
    let Err(error) = TcpListener::bind(("127.0.0.1", port)) else { return Ok(()) };
    let (text, hint) = match error.kind() {
        ErrorKind::AddrInUse => ("is taken by another program".to_owned(), "`ukl ps` shows our own; `-p OTHER:GUEST`"),
        ErrorKind::PermissionDenied => ("is for root only".to_owned(), "take one above 1023: `-p OTHER:GUEST`"),
        _ => (format!("cannot be forwarded: {error}"), "`-p OTHER:GUEST`"),
    };
    Err(fail(Class::Host, format!("port {port} of this machine {text}")).hint(hint).into())
}

/// A hardware address that stays the same for the same guest and differs from its neighbours'.
fn mac(files: &Path, ip: Option<&Ip>) -> String {
    let ip = ip.map(Ip::to_string).unwrap_or_default();
    let hash = workdir::hash([files.as_os_str().as_encoded_bytes(), ip.as_bytes()]);
    // QEMU's own range, locally administered.
    format!("52:54:00:{}:{}:{}", &hash[..2], &hash[2..4], &hash[4..6])
}

/// The kernel's words that tell init its address.
pub(super) fn words(image: &Image, options: &Options) -> Vec<String> {
    match wish(image, options) {
        Wish { ip: None, .. } => Vec::new(),
        Wish { ip: Some(Ip::Dhcp), .. } => vec!["ukl.ip=dhcp".into()],
        Wish { ip: Some(Ip::Static(address)), .. } => {
            let mut words = vec![format!("ukl.ip={}/{}", address.address, address.bits)];
            words.extend(address.gateway.map(|gateway| format!("ukl.gw={gateway}")));
            words.extend(address.dns.map(|dns| format!("ukl.dns={dns}")));
            words
        }
    }
}

/// The guest's port that tells that the program is ready: the manifest's, else the first that is forwarded.
pub(super) fn ready_port(image: &Image, options: &Options) -> Option<u16> {
    let forwarded = wish(image, options).ports.first().map(|(_, guest)| *guest);
    image.info.ready.or(forwarded)
}

/// Where this machine reaches that port.
pub(super) fn endpoint(image: &Image, options: &Options) -> Option<Endpoint> {
    let port = ready_port(image, options)?;
    let wish = wish(image, options);
    match (&wish.net, wish.ip) {
        (Net::None, _) => None,
        (Net::User, _) => {
            let (host, _) = wish.ports.iter().find(|(_, guest)| *guest == port)?;
            Some(Endpoint::At(format!("127.0.0.1:{host}")))
        }
        (_, Some(Ip::Static(address))) => Some(Endpoint::At(format!("{}:{port}", address.address))),
        _ => Some(Endpoint::Leased(port)),
    }
}

/// Forwarded ports, and the guest's own address.
pub(super) fn reach(image: &Image, options: &Options) -> (Vec<(u16, u16)>, Option<String>) {
    let wish = wish(image, options);
    match (&wish.net, wish.ip) {
        (Net::User, _) => (wish.ports.to_vec(), None),
        (_, Some(Ip::Static(address))) => (Vec::new(), Some(address.address.to_string())),
        _ => (Vec::new(), None),
    }
}

/// True for a process that may change the network.
fn may_administer() -> bool {
    const NET_ADMIN: u64 = 1 << 12;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask & NET_ADMIN != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(backend: Backend, queues: u32, kind: Kind) -> String {
        Card { backend, queues, mac: None }.args(kind).join(" ")
    }

    #[test]
    fn each_backend_has_its_words() {
        let tap = Backend::Tap { name: Some("ukl0".into()), script: None };
        assert_eq!(
            line(tap, 1, Kind::Microvm),
            "-netdev tap,id=net0,ifname=ukl0,script=no,downscript=no -device virtio-net-device,netdev=net0"
        );
        let made = Backend::Tap { name: None, script: Some("/a,b/up".into()) };
        assert_eq!(
            line(made, 2, Kind::Q35),
            "-netdev tap,id=net0,script=/a,,b/up,downscript=no,queues=2 \
             -device virtio-net-pci,netdev=net0,romfile=,mq=on,vectors=6"
        );
        let helper = Backend::Helper("virbr0".into());
        assert!(line(helper, 1, Kind::Microvm).starts_with("-netdev bridge,id=net0,br=virbr0 "));
    }

    #[test]
    fn neighbours_have_different_hardware_addresses() {
        let ip: Ip = "172.44.0.2/24".parse().unwrap();
        let (one, two) = (mac(Path::new("/a"), Some(&ip)), mac(Path::new("/b"), Some(&ip)));
        assert!(one != two && one != mac(Path::new("/a"), Some(&Ip::Dhcp)));
        assert_eq!(one, mac(Path::new("/a"), Some(&ip)));
        assert!(one.starts_with("52:54:00:") && one.len() == 17, "{one}");
    }

    #[test]
    fn a_port_that_is_taken_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = crate::base::error::render(&free(port).unwrap_err()).0;
        assert!(error.contains(&format!("port {port} of this machine is taken")), "{error}");
        drop(taken);
        assert!(free(port).is_ok());
    }
}
