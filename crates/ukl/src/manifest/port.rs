//! Forwarded ports: what the manifest and the command line say of them, as text and as values.

use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::fields::is_number;

/// What a forwarded port carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

/// A port of this machine that leads to one of the guest, or a range of ports that leads to as many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "Written")]
pub struct Port {
    /// What it carries.
    pub protocol: Protocol,
    /// The address of this machine.
    pub address: Ipv4Addr,
    /// The first port of this machine.
    pub host: u16,
    /// The guest's first port.
    pub guest: u16,
    /// How many ports follow one another, at least one.
    pub count: u16,
}

/// The most ports that one guest has: QEMU holds a file open for each of them.
pub const PORTS_MAX: usize = 512;

/// The text form, or the pair of TCP ports that earlier versions wrote in `image.json` and `guest.json`.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a port such as `8080:80`")]
enum Written {
    Text(String),
    Pair(u16, u16),
}

/// `[ADDRESS:]HOST:GUEST[/udp]` or one number for both; each may be a range. The error is a lower-case fragment.
pub fn port(text: &str) -> Result<Port, String> {
    let bad = || {
        format!(
            "`{text}` is not a port: write `8080:80` (this machine's, the guest's), `8080` for both or ranges \
             (`8000-8003:9000-9003`); in front an IPv4 address (`0.0.0.0:8080:80`), behind `/udp` (`53:53/udp`)"
        )
    };
    let (places, protocol) = match text.rsplit_once('/') {
        Some((places, "udp")) => (places, Protocol::Udp),
        Some((places, "tcp")) => (places, Protocol::Tcp),
        Some(_) => return Err(bad()),
        None => (text, Protocol::Tcp),
    };
    let places: Vec<&str> = places.split(':').collect();
    let (address, host, guest) = match places[..] {
        [both] => (Ipv4Addr::LOCALHOST, both, both),
        [host, guest] => (Ipv4Addr::LOCALHOST, host, guest),
        [address, host, guest] => (address.parse().map_err(|_| bad())?, host, guest),
        _ => return Err(bad()),
    };
    let ((host, count), (guest, guests)) = (span(host).ok_or_else(bad)?, span(guest).ok_or_else(bad)?);
    if count != guests {
        return Err(format!("`{text}` leads {count} ports of this machine to {guests} of the guest"));
    }
    Ok(Port { protocol, address, host, guest, count })
}

/// `8000` or `8000-8003` → the first, and how many.
fn span(text: &str) -> Option<(u16, u16)> {
    let number = |text: &str| text.parse().ok().filter(|&port: &u16| port != 0 && is_number(text));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    // The first is 1 at least: all of them are 65535.
    (first <= last).then(|| (first, last - first + 1))
}

/// Whether a guest can have `next` beside the ports `before`. The error is a lower-case fragment.
pub fn beside(before: &[Port], next: &Port) -> Result<(), String> {
    if let Some(twice) = before.iter().find_map(|other| next.clash(other)) {
        let protocol = next.protocol.suffix();
        return Err(format!("host port {twice}{protocol} is forwarded twice"));
    }
    let all: usize = before.iter().chain([next]).map(|port| usize::from(port.count)).sum();
    match all {
        0..=PORTS_MAX => Ok(()),
        _ => Err(format!("{all} ports are forwarded: a guest has {PORTS_MAX} at most")),
    }
}

impl Protocol {
    /// What is behind a port that is not a TCP port, as everybody expects.
    pub fn suffix(self) -> &'static str {
        match self {
            Protocol::Tcp => "",
            Protocol::Udp => "/udp",
        }
    }
}

impl Port {
    /// One TCP port of this machine's loopback.
    pub fn tcp(host: u16, guest: u16) -> Port {
        Port { protocol: Protocol::Tcp, address: Ipv4Addr::LOCALHOST, host, guest, count: 1 }
    }

    /// Each port of this machine, with the guest's.
    pub fn pairs(&self) -> impl Iterator<Item = (u16, u16)> {
        let (host, guest) = (self.host, self.guest);
        (0..self.count).map(move |step| (host + step, guest + step))
    }

    /// Where this machine's programs find the guest's TCP port `guest`, when this leads there.
    pub fn reaches(&self, guest: u16) -> Option<String> {
        let (host, _) = self.pairs().find(|(_, inside)| *inside == guest && self.protocol == Protocol::Tcp)?;
        let address = if self.address.is_unspecified() { Ipv4Addr::LOCALHOST } else { self.address };
        Some(format!("{address}:{host}"))
    }

    /// The first port of this machine that both would have.
    fn clash(&self, other: &Port) -> Option<u16> {
        let is_everywhere = self.address.is_unspecified() || other.address.is_unspecified();
        let first = self.host.max(other.host);
        let is_in = |port: &Port| first - port.host < port.count;
        let meet = self.protocol == other.protocol && (is_everywhere || self.address == other.address);
        (meet && is_in(self) && is_in(other)).then_some(first)
    }

    /// As `ukl ps` shows it: `127.0.0.1:8080->80`.
    pub fn arrow(&self) -> String {
        let Port { address, host, guest, count, protocol } = *self;
        format!("{address}:{}->{}{}", range(host, count), range(guest, count), protocol.suffix())
    }
}

fn range(first: u16, count: u16) -> String {
    match count {
        0 | 1 => first.to_string(),
        _ => format!("{first}-{}", first + (count - 1)),
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Port { address, host, guest, count, protocol } = *self;
        if address != Ipv4Addr::LOCALHOST {
            write!(f, "{address}:")?;
        }
        write!(f, "{}:{}{}", range(host, count), range(guest, count), protocol.suffix())
    }
}

impl From<Port> for String {
    fn from(value: Port) -> String {
        value.to_string()
    }
}

impl TryFrom<Written> for Port {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Text(text) => port(&text),
            Written::Pair(host, guest) => Ok(Port::tcp(host, guest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(written: &str) -> Result<String, String> {
        port(written).map(|port| port.to_string())
    }

    #[test]
    fn ports_are_read_and_written() {
        for same in ["8080:80", "53:53/udp", "0.0.0.0:8080:80", "8000-8003:9000-9003", "10.0.0.1:5-6:7-8/udp"] {
            assert_eq!(text(same).as_deref(), Ok(same));
        }
        let short = [
            ("8080", "8080:8080"),
            ("53/udp", "53:53/udp"),
            ("80:80/tcp", "80:80"),
            ("127.0.0.1:8080:80", "8080:80"),
            ("8000-8003", "8000-8003:8000-8003"),
            ("7-7", "7:7"),
            ("1-65535", "1-65535:1-65535"),
        ];
        for (short, long) in short {
            assert_eq!(text(short).as_deref(), Ok(long));
        }
    }

    #[test]
    fn what_is_no_port_is_refused_with_the_forms() {
        let words = [
            "",
            ":80",
            "80:",
            "0:80",
            "65536:1",
            "+1:2",
            "a:b",
            "1:2:3",
            "1:2:3:4",
            "80/sctp",
            "80/",
            "/udp",
            "80/udp/tcp",
        ];
        let places = ["9-8", "1-", "-1", "1-2-3", "::1:80:80", "[::1]:80:80", "localhost:80:80", "127.0.0.1:80", " 80"];
        for bad in words.into_iter().chain(places) {
            let error = text(bad).unwrap_err();
            assert!(error.starts_with(&format!("`{bad}` is not a port: write `8080:80`")), "{error}");
        }
        let uneven = "`8000-8003:9000-9001` leads 4 ports of this machine to 2 of the guest";
        assert_eq!(text("8000-8003:9000-9001"), Err(uneven.to_owned()));
        assert!(text("8000-8003:80").is_err());
    }

    #[test]
    fn a_port_of_this_machine_leads_to_one_place() {
        let clash = |before: &str, next: &str| beside(&[port(before).unwrap()], &port(next).unwrap()).err();
        let twice = |port: &str| Some(format!("host port {port} is forwarded twice"));
        assert_eq!(clash("80:80", "80:81"), twice("80"));
        assert_eq!(clash("53/udp", "0.0.0.0:53:54/udp"), twice("53/udp"));
        assert_eq!(clash("8000-8003", "8003-8010"), twice("8003"));
        assert_eq!(clash("8005", "8000-8010"), twice("8005"));
        for (before, next) in [
            ("53", "53/udp"),
            ("127.0.0.1:80:80", "127.0.0.2:80:80"),
            ("8000-8003", "8004-8010"),
            ("8004-8010", "8000-8003"),
            ("81:80", "80:80"),
        ] {
            assert_eq!(clash(before, next), None, "{before} {next}");
        }
        assert_eq!(clash("1-511", "512"), None);
        assert_eq!(clash("1-512", "513").as_deref(), Some("513 ports are forwarded: a guest has 512 at most"));
    }

    #[test]
    fn programs_of_this_machine_find_tcp_ports() {
        let at = |text: &str, guest: u16| port(text).unwrap().reaches(guest);
        assert_eq!(at("8080:80", 80).as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(at("0.0.0.0:8000-8003:80-83", 83).as_deref(), Some("127.0.0.1:8003"));
        assert_eq!(at("10.0.0.1:8080:80", 80).as_deref(), Some("10.0.0.1:8080"));
        assert_eq!((at("8080:80", 81), at("80/udp", 80)), (None, None));
        assert_eq!(port("0.0.0.0:53-54:5-6/udp").unwrap().arrow(), "0.0.0.0:53-54->5-6/udp");
    }

    #[test]
    fn pairs_of_earlier_versions_are_read() {
        let read: Vec<Port> = serde_json::from_str("[[8080, 80], \"53:53/udp\"]").unwrap();
        assert_eq!(read, [Port::tcp(8080, 80), port("53/udp").unwrap()]);
        assert_eq!(serde_json::to_string(&read).unwrap(), "[\"8080:80\",\"53:53/udp\"]");
        assert!(serde_json::from_str::<Port>("\"x\"").is_err());
    }
}
