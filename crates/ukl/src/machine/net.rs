//! The guest's network: what it is connected to, whether that makes sense, where its program can be reached.

mod link;
pub(super) mod card;

use formats::console::Control;
use serde::{Deserialize, Serialize};

use crate::base::error::{fail, Class, Result};
use crate::image::folder::Info;
use crate::manifest::{self, Ip, Net, Port, Protocol};

use super::kind::MachineKind;
use super::request::Request;

pub use card::TapScript;

/// How a guest is connected: the command line's word, else the image's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// What its card is connected to.
    pub net: Net,
    /// Its address.
    pub ip: Option<Ip>,
    /// Forwarded ports.
    pub ports: Vec<Port>,
    /// Pairs of queues of its card.
    pub queues: u32,
    /// The guest's TCP port that tells that the program is ready: the manifest's, else the first that is forwarded.
    pub ready_port: Option<u16>,
}

/// Where the program can be reached once it listens at its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// At this address.
    At(String),
    /// At this port of the address that init reports.
    Leased(u16),
}

impl Endpoint {
    /// `ADDRESS:PORT`, as far as it is known.
    pub fn text(&self, control: &Control) -> Option<String> {
        match self {
            Endpoint::At(text) => Some(text.clone()),
            Endpoint::Leased(port) => control.address.as_ref().map(|address| format!("{address}:{port}")),
        }
    }
}

impl Connection {
    /// What `request` wants of the image that `info` describes.
    pub fn of(info: &Info, request: &Request) -> Self {
        let (ours, theirs) = (&request.network, &info.network);
        let ports = request.ports.as_ref().unwrap_or(&info.ports);
        let usual = if ports.is_empty() { Net::None } else { Net::User };
        let net = ours.net.clone().or(theirs.net.clone()).unwrap_or(usual);
        let is_outside = is_outside(&net);
        // Nobody can see from outside whether a program waits for datagrams.
        let first = ports.iter().find(|port| port.protocol == Protocol::Tcp);
        Connection {
            // What the image says of an address or of queues is about the network that it names.
            ip: ours.ip.clone().or(theirs.ip.clone().filter(|_| is_outside)),
            queues: ours.queues.or(theirs.queues.filter(|_| is_outside)).unwrap_or(1),
            ready_port: info.ready.or(first.map(|port| port.guest)),
            net,
            ports: ports.clone(),
        }
    }

    /// More than one queue needs a machine with an interrupt for each.
    pub(super) fn needs_pci(&self) -> bool {
        self.queues > 1
    }

    /// Fails for what contradicts itself (class `Usage`).
    pub(super) fn check(&self, request: &Request, kind: MachineKind, cpus: u32) -> Result<()> {
        let Connection { net, ip, queues, .. } = self;
        let is_outside = is_outside(net);
        let has_init = request.what.has_init();
        let refuse = |text: String, hint: &str| Err(fail(Class::Usage, text).hint(hint).into());
        if *net != Net::User && request.ports.as_ref().is_some_and(|ports| !ports.is_empty()) {
            let hint =
                "`-p` goes with `--net user`; in a tap's or bridge's network the guest has an address of its own";
            return refuse(format!("the network `{net}` forwards no ports"), hint);
        }
        for (i, port) in self.ports.iter().enumerate() {
            manifest::beside(&self.ports[..i], port).map_err(|text| fail(Class::Usage, text))?;
        }
        if !has_init && request.network.ip.is_some() {
            let text = "a program that is process 1 must set its address itself";
            return refuse(text.into(), "without `--pid1` init does");
        }
        if is_outside && ip.is_none() && has_init {
            let hint = "`--ip 172.44.0.2/24,gw=172.44.0.1` or `--ip dhcp`";
            return refuse(format!("the network `{net}` needs an address for the guest"), hint);
        }
        let has_server = *net == Net::User && *ip == Some(Ip::Dhcp);
        if !is_outside && request.network.ip.is_some() && !has_server {
            let hint = "`--ip` goes with `--net tap=NAME` and `--net bridge=NAME`";
            return refuse(format!("the network `{net}` has no addresses to choose from"), hint);
        }
        if *queues > 1 && !is_outside {
            let text = format!("the network `{net}` has no more than one queue");
            return refuse(text, "`--queues` goes with taps and bridges");
        }
        if *queues > 1 && kind == MachineKind::Microvm {
            return refuse("the machine microvm has no more than one queue".into(), "`--machine q35`");
        }
        if *queues > cpus {
            return refuse(format!("{queues} queues for {cpus} CPUs"), "a queue needs a CPU of its own: `--cpus`");
        }
        Ok(())
    }

    /// The kernel's words that tell init the port to watch and its address.
    pub(super) fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = self.ready_port.iter().map(|port| format!("ukl.ready={port}")).collect();
        match &self.ip {
            None => {}
            Some(Ip::Dhcp) => words.push("ukl.ip=dhcp".into()),
            Some(Ip::Static(address)) => {
                words.push(format!("ukl.ip={}/{}", address.address, address.bits));
                words.extend(address.gateway.map(|gateway| format!("ukl.gw={gateway}")));
                words.extend(address.dns.map(|dns| format!("ukl.dns={dns}")));
            }
        }
        words
    }

    /// Where this machine reaches the port that tells that the program is ready.
    pub fn endpoint(&self) -> Option<Endpoint> {
        let port = self.ready_port?;
        match (&self.net, &self.ip) {
            (Net::None, _) => None,
            (Net::User, _) => {
                let place = self.ports.iter().find_map(|forwarded| forwarded.reaches(port))?;
                Some(Endpoint::At(place))
            }
            (_, Some(Ip::Static(address))) => Some(Endpoint::At(format!("{}:{port}", address.address))),
            _ => Some(Endpoint::Leased(port)),
        }
    }

    /// Forwarded ports, and the guest's own address in a tap's or bridge's network.
    pub fn reach(&self) -> (Vec<Port>, Option<String>) {
        match (&self.net, &self.ip) {
            (Net::User, _) => (self.ports.clone(), None),
            (_, Some(Ip::Static(address))) => (Vec::new(), Some(address.address.to_string())),
            _ => (Vec::new(), None),
        }
    }
}

/// A network that is not inside this QEMU.
fn is_outside(net: &Net) -> bool {
    matches!(net, Net::Tap(_) | Net::Bridge(_))
}
