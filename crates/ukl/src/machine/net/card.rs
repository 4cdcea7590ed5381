//! The network card: what this machine has to give for it, and QEMU's words for it.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use crate::base::error::{fail, Class, Result};
use crate::base::quote;
use crate::base::run::Shell;
use crate::base::workdir::{self, RunDir};
use crate::manifest::{Ip, Net, Port, Protocol};

use super::link::{self, Attached};
use super::Connection;
use crate::machine::kind::MachineKind;

/// The card of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// What it is connected to.
    pub backend: Backend,
    /// Pairs of queues, for as many processors.
    pub queues: u32,
    /// Its hardware address, where it must differ from other guests'.
    pub mac: Option<String>,
}

/// What a card is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backend {
    /// QEMU's own network with forwarded ports.
    User(Vec<Port>),
    /// A tap device. Without a name, QEMU makes one that ends with it; a script readies it.
    Tap {
        /// The device.
        name: Option<String>,
        /// Makes it ready.
        script: Option<PathBuf>,
    },
    /// The bridge, through QEMU's privileged helper.
    Helper(String),
}

impl Card {
    /// QEMU's options.
    pub(crate) fn args(&self, kind: MachineKind) -> Vec<String> {
        let mut backend = match &self.backend {
            Backend::User(ports) => format!("user,id=net0{}", ports.iter().map(forward).collect::<String>()),
            Backend::Tap { name, script } => {
                let name = name.as_ref().map_or(String::new(), |name| format!(",ifname={name}"));
                let script = script.as_ref().map(|script| quote::qemu(script));
                format!("tap,id=net0{name},script={},downscript=no", script.as_deref().unwrap_or("no"))
            }
            Backend::Helper(bridge) => format!("bridge,id=net0,br={bridge}"),
        };
        let mut device = match kind {
            MachineKind::Microvm => "virtio-net-device,netdev=net0".to_owned(),
            // Without an option ROM: nobody boots from the network.
            MachineKind::Q35 => "virtio-net-pci,netdev=net0,romfile=".to_owned(),
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

/// What readies a tap device: QEMU runs it with the device's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TapScript {
    /// Where it is to be written.
    pub path: PathBuf,
    /// What it does.
    pub text: String,
}

/// The card for `connection`, and the script that it needs in `files`.
///
/// Errors (class `Host`): a device, a port or a right is missing, with the lines that help.
pub(in crate::machine) fn card(
    shell: &Shell,
    connection: &Connection,
    files: &RunDir,
) -> Result<(Option<Card>, Option<TapScript>)> {
    let Connection { net, ip, ports, queues, .. } = connection;
    let (gateway, bits) = match ip {
        Some(Ip::Static(address)) => (address.gateway, address.bits),
        _ => (None, 24),
    };
    let host = gateway.map(|gateway| format!("{gateway}/{bits}"));
    let attached = match net {
        Net::None => return Ok((None, None)),
        Net::User => {
            if !shell.dry_run {
                ports.iter().try_for_each(free)?;
            }
            return Ok((Some(Card { backend: Backend::User(ports.clone()), queues: 1, mac: None }), None));
        }
        Net::Tap(name) => link::tap(shell, name, host.as_deref(), *queues)?,
        Net::Bridge(name) => link::bridge(shell, name, host.as_deref(), *queues)?,
    };
    let (backend, script) = match attached {
        Attached::Helper(bridge) => (Backend::Helper(bridge), None),
        Attached::Tap { name, script } => {
            let script = script.map(|text| TapScript { path: files.tap_script(), text });
            (Backend::Tap { name, script: script.as_ref().map(|script| script.path.clone()) }, script)
        }
    };
    Ok((Some(Card { backend, queues: *queues, mac: Some(mac(files.root(), ip.as_ref())) }), script))
}

/// QEMU's words for ports that lead to the guest's only address.
fn forward(port: &Port) -> String {
    let (address, protocol) = (port.address, words(port.protocol).0);
    let one = |(host, guest): (u16, u16)| format!(",hostfwd={protocol}:{address}:{host}-:{guest}");
    port.pairs().map(one).collect()
}

/// How QEMU and how people call what a port carries.
fn words(protocol: Protocol) -> (&'static str, &'static str) {
    match protocol {
        Protocol::Tcp => ("tcp", "port"),
        Protocol::Udp => ("udp", "UDP port"),
    }
}

/// Fails (class `Host`) for ports of this machine that cannot be forwarded.
fn free(port: &Port) -> Result<()> {
    port.pairs().try_for_each(|(host, _)| {
        let tried = match port.protocol {
            Protocol::Tcp => TcpListener::bind((port.address, host)).map(drop),
            Protocol::Udp => UdpSocket::bind((port.address, host)).map(drop),
        };
        tried.or_else(|error| taken(port, host, &error))
    })
}

fn taken(port: &Port, host: u16, error: &std::io::Error) -> Result<()> {
    if error.kind() == ErrorKind::AddrNotAvailable {
        let failure = fail(Class::Host, format!("this machine does not have the address {}", port.address));
        return Err(failure.hint("`ip addr` lists those that it has; `0.0.0.0` means all of them").into());
    }
    let (text, hint) = match error.kind() {
        ErrorKind::AddrInUse => ("is taken by another program".to_owned(), "`ukl ps` shows our own; `-p OTHER:GUEST`"),
        ErrorKind::PermissionDenied => ("is for root only".to_owned(), "take one above 1023: `-p OTHER:GUEST`"),
        _ => (format!("cannot be forwarded: {error}"), "`-p OTHER:GUEST`"),
    };
    let at = if port.address == Ipv4Addr::LOCALHOST { String::new() } else { format!(" at {}", port.address) };
    let failure = fail(Class::Host, format!("{} {host} of this machine{at} {text}", words(port.protocol).1));
    Err(failure.hint(hint).into())
}

/// A hardware address that stays the same for the same guest and differs from its neighbours'.
fn mac(files: &Path, ip: Option<&Ip>) -> String {
    let ip = ip.map(Ip::to_string).unwrap_or_default();
    let hash = workdir::hash([files.as_os_str().as_encoded_bytes(), ip.as_bytes()]);
    // QEMU's own range, locally administered.
    format!("52:54:00:{}:{}:{}", &hash[..2], &hash[2..4], &hash[4..6])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(backend: Backend, queues: u32, kind: MachineKind) -> String {
        Card { backend, queues, mac: None }.args(kind).join(" ")
    }

    #[test]
    fn each_backend_has_its_words() {
        let tap = Backend::Tap { name: Some("ukl0".into()), script: None };
        assert_eq!(
            line(tap, 1, MachineKind::Microvm),
            "-netdev tap,id=net0,ifname=ukl0,script=no,downscript=no -device virtio-net-device,netdev=net0"
        );
        let made = Backend::Tap { name: None, script: Some("/a,b/up".into()) };
        assert_eq!(
            line(made, 2, MachineKind::Q35),
            "-netdev tap,id=net0,script=/a,,b/up,downscript=no,queues=2 \
             -device virtio-net-pci,netdev=net0,romfile=,mq=on,vectors=6"
        );
        let helper = Backend::Helper("virbr0".into());
        assert!(line(helper, 1, MachineKind::Microvm).starts_with("-netdev bridge,id=net0,br=virbr0 "));
    }

    #[test]
    fn neighbours_have_different_hardware_addresses() {
        let ip: Ip = "172.44.0.2/24".parse().unwrap();
        let (one, two) = (mac(Path::new("/a"), Some(&ip)), mac(Path::new("/b"), Some(&ip)));
        assert!(one != two && one != mac(Path::new("/a"), Some(&Ip::Dhcp)));
        assert_eq!(one, mac(Path::new("/a"), Some(&ip)));
        assert!(one.starts_with("52:54:00:") && one.len() == 17, "{one}");
    }

    fn refused(port: &Port) -> String {
        crate::base::error::render(&free(port).unwrap_err()).0
    }

    #[test]
    fn a_port_that_is_taken_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = taken.local_addr().unwrap().port();
        let port = Port::tcp(host, 80);
        let everywhere = Port { address: Ipv4Addr::UNSPECIFIED, ..port };
        assert!(refused(&port).contains(&format!("port {host} of this machine is taken")), "{}", refused(&port));
        assert!(refused(&everywhere).contains(&format!("port {host} of this machine at 0.0.0.0 is taken")));
        assert!(free(&Port { protocol: Protocol::Udp, ..port }).is_ok());
        drop(taken);
        assert!(free(&port).is_ok());
    }

    #[test]
    fn datagrams_have_ports_of_their_own() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let host = taken.local_addr().unwrap().port();
        let port = Port { protocol: Protocol::Udp, ..Port::tcp(host, 53) };
        assert!(refused(&port).contains(&format!("UDP port {host} of this machine is taken")), "{}", refused(&port));
        // The last of a range counts as the first does.
        let range = Port { host: host - 2, count: 3, ..port };
        assert!(refused(&range).contains(" of this machine is taken"));
    }

    #[test]
    fn an_address_that_this_machine_lacks_is_named() {
        // Nobody has it: it is for documentation.
        let port = Port { address: Ipv4Addr::new(192, 0, 2, 1), ..Port::tcp(8080, 80) };
        assert!(refused(&port).contains("this machine does not have the address 192.0.2.1"), "{}", refused(&port));
    }
}
