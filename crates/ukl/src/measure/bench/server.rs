//! The servers that are measured: how each is started, what it is asked, what it must answer.

use clap::ValueEnum;

use super::load::Exchange;
use crate::base::error::{fail, Class, Result};

/// A server of the examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Server {
    /// SET and GET of 16 keys with values of 32 bytes, nothing saved
    Redis,
    /// The same, in the text protocol
    Memcached,
    /// GET of a small file, kept alive for 960 requests
    Nginx,
    /// Echo of 64 bytes
    TcpServer,
}

/// The page that nginx serves.
const PAGE: &str = include_str!("../../../../../examples/nginx/www/index.html");
const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// Keys of the two stores.
const KEYS: usize = 16;

impl Server {
    /// The example's name.
    pub fn name(self) -> &'static str {
        match self {
            Server::Redis => "redis",
            Server::Memcached => "memcached",
            Server::Nginx => "nginx",
            Server::TcpServer => "tcp_server",
        }
    }

    /// Arguments instead of the example's: a disk that fills would be measured as well.
    pub fn args(self) -> Option<Vec<String>> {
        let args = ["--protected-mode", "no", "--save", "", "--appendonly", "no"];
        (self == Server::Redis).then(|| args.map(String::from).to_vec())
    }

    /// Arguments with which the server stays the child of whoever started it, so that its end is seen.
    pub fn args_in_foreground(self) -> Option<Vec<String>> {
        match self {
            Server::Nginx => Some(["-g", "daemon off;"].map(String::from).to_vec()),
            _ => self.args(),
        }
    }

    /// The distribution's package of the server, and where that has the program; ours has none.
    pub fn package(self) -> Option<(&'static str, &'static str)> {
        match self {
            Server::Redis => Some(("redis-server", "/usr/bin/redis-server")),
            Server::Memcached => Some(("memcached", "/usr/bin/memcached")),
            Server::Nginx => Some(("nginx", "/usr/sbin/nginx")),
            Server::TcpServer => None,
        }
    }

    /// A first request, and how its answer ends.
    pub fn first(self) -> (Vec<u8>, Vec<u8>) {
        let (request, end) = match self {
            Server::Redis => ("PING\r\n", "+PONG\r\n"),
            Server::Memcached => ("mn\r\n", "MN\r\n"),
            Server::Nginx => (GET, PAGE),
            Server::TcpServer => ("first\n", "first\n"),
        };
        (request.into(), end.into())
    }

    /// How many requests a connection may carry: nginx ends it with the thousandth.
    pub fn connection_requests(self) -> usize {
        if self == Server::Nginx {
            960
        } else {
            usize::MAX
        }
    }

    /// The load's requests before the server said anything: a reply that only it knows is empty.
    pub fn exchanges_ahead(self) -> Result<Vec<Exchange>> {
        match self {
            Server::Nginx => Ok(vec![Exchange::new(GET, "")]),
            _ => self.exchanges(b""),
        }
    }

    /// The load's requests, with the server's first answer; in this order they can be sent to an empty server.
    ///
    /// Error (class `Boot`): the first answer is not what it should be.
    pub fn exchanges(self, first_answer: &[u8]) -> Result<Vec<Exchange>> {
        let keys = 0..KEYS;
        Ok(match self {
            Server::Redis => keys.flat_map(redis).collect(),
            Server::Memcached => keys.flat_map(memcached).collect(),
            Server::Nginx => vec![page(first_answer)?],
            Server::TcpServer => keys.map(|i| Exchange::new(line(i, 64), line(i, 64))).collect(),
        })
    }
}

/// A line of so many bytes, different for each `i`.
fn line(i: usize, bytes: usize) -> String {
    format!("{i:->width$}\n", width = bytes - 1)
}

fn redis(i: usize) -> [Exchange; 2] {
    let (key, value) = (format!("key:{i:08}"), line(i, 32));
    let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len());
    let set = format!("*3\r\n{}{}{}", bulk("SET"), bulk(&key), bulk(&value));
    let get = format!("*2\r\n{}{}", bulk("GET"), bulk(&key));
    [Exchange::new(set, "+OK\r\n"), Exchange::new(get, bulk(&value))]
}

fn memcached(i: usize) -> [Exchange; 2] {
    let (key, value) = (format!("key:{i:08}"), line(i, 32));
    let set = format!("set {key} 0 0 {}\r\n{value}\r\n", value.len());
    let got = format!("VALUE {key} 0 {}\r\n{value}\r\nEND\r\n", value.len());
    [Exchange::new(set, "STORED\r\n"), Exchange::new(format!("get {key}\r\n"), got)]
}

/// Every later answer is the first one but for its date.
fn page(answer: &[u8]) -> Result<Exchange> {
    const DATE: &str = "\r\nDate: ";
    let text = String::from_utf8_lossy(answer);
    let date = text.find(DATE).map(|at| at + DATE.len());
    let length = date.and_then(|at| text[at..].find("\r\n"));
    let (true, Some(at), Some(length)) = (text.starts_with("HTTP/1.1 200 OK\r\n"), date, length) else {
        return Err(fail(Class::Boot, format!("no page with a date: `{}`", text.escape_debug())).into());
    };
    Ok(Exchange { any: Some(at..at + length), ..Exchange::new(GET, answer) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_comes_back() {
        let exchanges = Server::Redis.exchanges(b"").unwrap();
        assert_eq!(exchanges.len(), 2 * KEYS);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let value = format!("{}3\n", "-".repeat(30));
        assert_eq!(
            text(&exchanges[6].request),
            format!("*3\r\n$3\r\nSET\r\n$12\r\nkey:00000003\r\n$32\r\n{value}\r\n")
        );
        assert_eq!(text(&exchanges[7].reply), format!("$32\r\n{value}\r\n"));
        let exchanges = Server::Memcached.exchanges(b"").unwrap();
        assert_eq!(text(&exchanges[6].request), format!("set key:00000003 0 0 32\r\n{value}\r\n"));
        assert_eq!(text(&exchanges[7].reply), format!("VALUE key:00000003 0 32\r\n{value}\r\nEND\r\n"));
    }

    #[test]
    fn an_echo_is_its_request() {
        let exchanges = Server::TcpServer.exchanges(b"").unwrap();
        assert!(exchanges.iter().all(|one| one.request == one.reply && one.request.len() == 64));
        assert_ne!(exchanges[0], exchanges[1]);
    }

    #[test]
    fn only_the_date_of_a_page_may_vary() {
        let answer = |date: &str, body: &str| format!("HTTP/1.1 200 OK\r\nDate: {date}\r\nX: y\r\n\r\n{body}");
        let exchange = Server::Nginx.exchanges(answer("Thu, 01", PAGE).as_bytes()).unwrap().remove(0);
        assert!(exchange.accepts(answer("Fri, 02", PAGE).as_bytes()));
        assert!(!exchange.accepts(answer("Fri, 02", &PAGE.to_uppercase()).as_bytes()));
        for bad in ["HTTP/1.1 404 Not Found\r\nDate: x\r\n", "HTTP/1.1 200 OK\r\n\r\n", ""] {
            assert!(Server::Nginx.exchanges(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
