//! How a guest is connected: what the manifest and the command line say of its network, as text and as values.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What the guest's network card is connected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Net {
    /// There is no card.
    None,
    /// QEMU's own network: needs no rights; ports of this machine are forwarded.
    User,
    /// A tap device of this machine.
    Tap(String),
    /// A bridge of this machine.
    Bridge(String),
}

/// The guest's address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Ip {
    /// A server of the network gives one.
    Dhcp,
    /// This one.
    Static(Address),
}

/// A fixed address and what is around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The guest.
    pub address: Ipv4Addr,
    /// How many bits name the network.
    pub bits: u32,
    /// The way out of it.
    pub gateway: Option<Ipv4Addr>,
    /// Who knows names.
    pub dns: Option<Ipv4Addr>,
}

/// How a guest is connected; what is not said is decided by the tool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// What its card is connected to. By default the user network when ports are forwarded, else nothing.
    pub net: Option<Net>,
    /// Its address in a tap's or bridge's network.
    pub ip: Option<Ip>,
    /// Queues of its card.
    pub queues: Option<u32>,
}

/// The most queues of a card.
pub const QUEUES_MAX: u32 = 8;

/// `user`, `none`, `tap=NAME` or `bridge=NAME`. The error is a lower-case fragment.
pub fn net(text: &str) -> Result<Net, String> {
    match (text, text.split_once('=')) {
        ("none", _) => Ok(Net::None),
        ("user", _) => Ok(Net::User),
        (_, Some(("tap", name))) => Ok(Net::Tap(interface(name)?)),
        (_, Some(("bridge", name))) => Ok(Net::Bridge(interface(name)?)),
        _ => Err(format!("`{text}` is not a network: write `user`, `none`, `tap=NAME` or `bridge=NAME`")),
    }
}

/// A name that Linux takes for a network interface, and QEMU as a value.
fn interface(name: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if (1..=15).contains(&name.len()) && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(good)
    {
        return Ok(name.to_owned());
    }
    Err(format!("`{name}` is not the name of an interface: up to 15 letters, digits, `.`, `_` and `-`"))
}

/// `dhcp` or `ADDRESS/BITS[,gw=ADDRESS][,dns=ADDRESS]`. The error is a lower-case fragment.
pub fn ip(text: &str) -> Result<Ip, String> {
    if text == "dhcp" {
        return Ok(Ip::Dhcp);
    }
    let bad = || format!("`{text}` is not an address: write `dhcp`, or such as `172.44.0.2/24,gw=172.44.0.1`");
    let mut parts = text.split(',');
    let (address, bits) = parts.next().and_then(|first| first.split_once('/')).ok_or_else(bad)?;
    let address: Ipv4Addr = address.parse().map_err(|_| bad())?;
    let bits: u32 = bits.parse().map_err(|_| bad())?;
    let mut whole = Address { address, bits, gateway: None, dns: None };
    if !(1..=32).contains(&bits) || !whole.is_a_hosts() {
        return Err(format!("`{text}`: a guest cannot have this address"));
    }
    for part in parts {
        let (key, value) = part.split_once('=').ok_or_else(bad)?;
        let value: Ipv4Addr = value.parse().map_err(|_| bad())?;
        match key {
            "gw" if whole.gateway.is_none() => whole.gateway = Some(value),
            "dns" if whole.dns.is_none() => whole.dns = Some(value),
            _ => return Err(bad()),
        }
    }
    match whole.gateway {
        Some(gateway) if gateway == address || whole.network(gateway) != whole.network(address) => {
            Err(format!("`{gateway}` is not a gateway for {address}/{bits}: it is not another address of that network"))
        }
        _ => Ok(Ip::Static(whole)),
    }
}

impl Address {
    fn network(&self, address: Ipv4Addr) -> u32 {
        // At least one bit: the shift is less than 32.
        u32::from(address) & u32::MAX << (32 - self.bits)
    }

    /// Neither everybody's address nor nobody's.
    fn is_a_hosts(&self) -> bool {
        let own = u32::from(self.address) & !(u32::MAX << (32 - self.bits));
        let is_network = self.bits < 31 && (own == 0 || own == u32::MAX >> self.bits);
        let special = self.address.is_loopback() || self.address.is_multicast() || self.address.is_broadcast();
        !is_network && !special && self.address.octets()[0] != 0
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Net::None => f.write_str("none"),
            Net::User => f.write_str("user"),
            Net::Tap(name) => write!(f, "tap={name}"),
            Net::Bridge(name) => write!(f, "bridge={name}"),
        }
    }
}

impl fmt::Display for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ip::Static(Address { address, bits, gateway, dns }) = self else { return f.write_str("dhcp") };
        write!(f, "{address}/{bits}")?;
        gateway.map_or(Ok(()), |gateway| write!(f, ",gw={gateway}"))?;
        dns.map_or(Ok(()), |dns| write!(f, ",dns={dns}"))
    }
}

macro_rules! text_form {
    ($($kind:ident by $parse:ident),*) => {$(
        impl From<$kind> for String {
            fn from(value: $kind) -> String {
                value.to_string()
            }
        }

        impl TryFrom<String> for $kind {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                $parse(&text)
            }
        }

        impl FromStr for $kind {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                $parse(text)
            }
        }
    )*};
}
text_form!(Net by net, Ip by ip);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_and_written() {
        for text in ["user", "none", "tap=ukl0", "bridge=virbr0", "bridge=br-1.2_x"] {
            assert_eq!(net(text).map(|net| net.to_string()).as_deref(), Ok(text));
        }
        for bad in
            ["", "tap", "tap=", "bridge=a,b", "tap=a b", "tap=..", "bridge=a-name-of-sixteen", "macvtap=x", "user=x"]
        {
            assert!(net(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_are_read_and_written() {
        for text in ["dhcp", "172.44.0.2/24", "172.44.0.2/24,gw=172.44.0.1", "10.0.0.0/31,gw=10.0.0.1,dns=1.1.1.1"] {
            assert_eq!(ip(text).map(|ip| ip.to_string()).as_deref(), Ok(text));
        }
        for bad in [
            "",
            "172.44.0.2",
            "172.44.0.2/0",
            "172.44.0.2/33",
            "172.44.0.0/24",
            "172.44.0.255/24",
            "127.0.0.1/8",
            "224.0.0.1/4",
            "0.0.0.1/8",
            "172.44.0/24",
            "172.44.0.2/24,172.44.0.1",
            "172.44.0.2/24,gw=172.45.0.1",
            "172.44.0.2/24,gw=172.44.0.2",
            "172.44.0.2/24,gw=172.44.0.1,gw=172.44.0.3",
            "172.44.0.2/24,mtu=1400",
            "dhcp,gw=172.44.0.1",
        ] {
            assert!(ip(bad).is_err(), "{bad}");
        }
    }
}
