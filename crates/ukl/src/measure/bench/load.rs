//! Fixed requests at a server over many connections: every reply is compared, every latency kept.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::base::error::{fail, Class, Failure, Result};

/// A request, and the reply that it always gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// What is sent.
    pub request: Vec<u8>,
    /// What must come back.
    pub reply: Vec<u8>,
    /// Where in the reply anything may stand (the time of day).
    pub any: Option<Range<usize>>,
}

impl Exchange {
    /// A reply that is always the same.
    pub fn new(request: impl Into<Vec<u8>>, reply: impl Into<Vec<u8>>) -> Self {
        Exchange { request: request.into(), reply: reply.into(), any: None }
    }

    /// True if `bytes` is the whole right reply.
    pub fn accepts(&self, bytes: &[u8]) -> bool {
        let any = self.any.clone().unwrap_or(0..0);
        let same = |range: Range<usize>| bytes.get(range.clone()) == self.reply.get(range);
        bytes.len() == self.reply.len() && same(0..any.start) && same(any.end..self.reply.len())
    }
}

/// A load for a server.
#[derive(Debug, Clone, Copy)]
pub struct Load<'a> {
    /// Where the server is.
    pub address: SocketAddr,
    /// Sent in this order, again and again, by each connection from its beginning.
    pub exchanges: &'a [Exchange],
    /// How many requests in all.
    pub requests: usize,
    /// Over how many connections at once.
    pub connections: usize,
    /// How many requests a connection sends before it waits for their replies.
    pub depth: usize,
    /// A connection is replaced after so many requests.
    pub connection_requests: usize,
}

/// How a load went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// From the first request to the last reply.
    pub time: Duration,
    /// Of each request in microseconds, from its sending to its reply; sorted.
    pub latencies_us: Vec<u32>,
}

/// A server that is silent for so long has lost a request.
const SILENCE: Duration = Duration::from_secs(60);

/// Sends the load; returns when the last reply has come.
///
/// Errors (class `Boot`): the server cannot be reached, ends a connection, is silent, or gives a wrong reply.
pub fn run(load: Load) -> Result<Done> {
    let connections = load.connections.clamp(1, load.requests.max(1));
    let barrier = Barrier::new(connections);
    let results: Vec<_> = std::thread::scope(|scope| {
        let share = |i: usize| load.requests / connections + usize::from(i < load.requests % connections);
        let start = |i| {
            let barrier = &barrier;
            scope.spawn(move || one(load, share(i), barrier))
        };
        let threads: Vec<_> = (0..connections).map(start).collect();
        threads.into_iter().map(|thread| thread.join()).collect()
    });
    let (mut begin, mut end, mut latencies_us) = (None, None, Vec::with_capacity(load.requests));
    for result in results {
        let part = result.map_err(|_| anyhow::anyhow!("a thread of the load panicked"))??;
        begin = begin.into_iter().chain([part.begin]).min();
        end = end.into_iter().chain([part.end]).max();
        latencies_us.extend(part.latencies_us);
    }
    latencies_us.sort_unstable();
    let time = begin.zip(end).map_or(Duration::ZERO, |(begin, end): (Instant, Instant)| end - begin);
    Ok(Done { time, latencies_us })
}

/// Sends one request on a connection of its own; what came back until it ended with `end`.
pub fn ask(address: SocketAddr, request: &[u8], end: &[u8]) -> Result<Vec<u8>> {
    let mut stream = connect(address)?;
    stream.write_all(request).map_err(|error| broken("a request cannot be sent", &error))?;
    let (mut answer, mut bytes) = (Vec::new(), [0; 4096]);
    while !answer.ends_with(end) {
        match stream.read(&mut bytes) {
            Ok(0) => return Err(wrong(&answer, end).into()),
            Ok(n) => answer.extend_from_slice(&bytes[..n]),
            Err(error) => return Err(broken("no answer", &error).into()),
        }
    }
    Ok(answer)
}

/// The smallest of the sorted values that `percent` of them do not exceed.
pub fn percentile(sorted: &[u32], percent: usize) -> u32 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// What one connection contributed.
struct Part {
    begin: Instant,
    end: Instant,
    latencies_us: Vec<u32>,
}

fn one(load: Load, requests: usize, barrier: &Barrier) -> Result<Part> {
    let first = connect(load.address);
    // Everybody waits, also who failed: the others would wait for ever.
    barrier.wait();
    let mut stream = first?;
    let begin = Instant::now();
    let mut latencies_us = Vec::with_capacity(requests);
    let (mut buffer, mut on_this) = (Vec::new(), 0);
    let exchanges = load.exchanges.len().max(1);
    while latencies_us.len() < requests {
        anyhow::ensure!(!crate::base::run::interrupted(), "interrupted");
        if on_this >= load.connection_requests {
            stream = connect(load.address)?;
            on_this = 0;
        }
        let room = load.connection_requests.saturating_sub(on_this);
        let count = load.depth.min(requests - latencies_us.len()).min(room).max(1);
        let next = latencies_us.len();
        let batch: Vec<&Exchange> = (next..next + count).filter_map(|i| load.exchanges.get(i % exchanges)).collect();
        batch_of(&mut stream, &batch, &mut buffer, &mut latencies_us)?;
        on_this += count;
    }
    Ok(Part { begin, end: Instant::now(), latencies_us })
}

/// Sends a batch in one piece and takes its replies.
fn batch_of(stream: &mut TcpStream, batch: &[&Exchange], buffer: &mut Vec<u8>, latencies: &mut Vec<u32>) -> Result<()> {
    let sent: Vec<u8> = batch.iter().flat_map(|exchange| &exchange.request).copied().collect();
    let start = Instant::now();
    stream.write_all(&sent).map_err(|error| broken("a request cannot be sent", &error))?;
    buffer.clear();
    let mut taken = 0;
    for exchange in batch {
        while buffer.len() - taken < exchange.reply.len() {
            if !exchange.starts_like(&buffer[taken..]) {
                return Err(wrong(&buffer[taken..], &exchange.reply).into());
            }
            more(stream, buffer).map_err(|error| broken("a reply does not come", &error))?;
        }
        let reply = &buffer[taken..taken + exchange.reply.len()];
        if !exchange.accepts(reply) {
            return Err(wrong(reply, &exchange.reply).into());
        }
        taken += exchange.reply.len();
        latencies.push(u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    match &buffer[taken..] {
        [] => Ok(()),
        rest => Err(wrong(rest, b"").into()),
    }
}

impl Exchange {
    /// A short error must not be waited upon until it is as long as the right reply.
    fn starts_like(&self, part: &[u8]) -> bool {
        let before = self.any.as_ref().map_or(self.reply.len(), |any| any.start).min(part.len());
        part[..before] == self.reply[..before]
    }
}

fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<()> {
    let mut bytes = [0; 16384];
    match stream.read(&mut bytes)? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        n => {
            buffer.extend_from_slice(&bytes[..n]);
            Ok(())
        }
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, SILENCE).and_then(|stream| {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))?;
        Ok(stream)
    });
    Ok(stream.map_err(|error| broken("the server cannot be reached", &error))?)
}

fn broken(what: &str, error: &std::io::Error) -> Failure {
    fail(Class::Boot, format!("{what}: {error}"))
}

pub(super) fn wrong(got: &[u8], wanted: &[u8]) -> Failure {
    let text = |bytes: &[u8]| bytes[..bytes.len().min(200)].escape_ascii().to_string();
    fail(Class::Boot, format!("the server answered `{}` instead of `{}`", text(got), text(wanted)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Answers every `answers`th request of one byte otherwise than by its echo.
    fn server(spoil: usize) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    let (mut byte, mut count) = ([0], 0);
                    while stream.read_exact(&mut byte).is_ok() {
                        count += 1;
                        let answer = if count == spoil { [b'!'] } else { byte };
                        stream.write_all(&answer).unwrap();
                    }
                });
            }
        });
        address
    }

    fn load(address: SocketAddr, exchanges: &[Exchange]) -> Load<'_> {
        Load { address, exchanges, requests: 100, connections: 3, depth: 4, connection_requests: 10 }
    }

    #[test]
    fn every_request_is_answered_and_timed_over_replaced_connections() {
        let exchanges = [Exchange::new("a", "a"), Exchange::new("b", "b")];
        let done = run(load(server(11), &exchanges)).unwrap();
        assert_eq!(done.latencies_us.len(), 100);
        assert!(done.latencies_us.is_sorted() && done.time > Duration::ZERO, "{done:?}");
    }

    #[test]
    fn one_wrong_reply_is_an_error() {
        let error = run(load(server(7), &[Exchange::new("a", "a")])).unwrap_err();
        let (text, code) = crate::base::error::render(&error);
        assert!(text.contains("answered `!` instead of `a`") && code == Class::Boot.exit_code(), "{text}");
    }

    #[test]
    fn a_server_that_is_not_there_is_an_error() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let text = run(load(address, &[Exchange::new("a", "a")])).unwrap_err().to_string();
        assert!(text.contains("cannot be reached"), "{text}");
    }

    #[test]
    fn one_answer_is_read_to_its_end() {
        assert_eq!(ask(server(0), b"abc", b"c").unwrap(), b"abc");
    }

    #[test]
    fn a_reply_is_compared_but_for_what_may_vary() {
        let exchange = Exchange { any: Some(2..4), ..Exchange::new("", "ab12cd") };
        assert!(exchange.accepts(b"ab12cd") && exchange.accepts(b"abxxcd"));
        for bytes in [&b"xb12cd"[..], b"ab12cx", b"ab12c", b"ab12cde", b""] {
            assert!(!exchange.accepts(bytes), "{bytes:?}");
        }
        assert!(exchange.starts_like(b"abxx") && exchange.starts_like(b"") && !exchange.starts_like(b"ax"));
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values: Vec<u32> = (1..=200).collect();
        assert_eq!([50, 99, 100].map(|percent| percentile(&values, percent)), [100, 198, 200]);
        assert_eq!([percentile(&[7], 50), percentile(&[7], 99), percentile(&[], 50)], [7, 7, 0]);
    }
}
