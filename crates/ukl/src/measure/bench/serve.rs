//! A server in app mode and as its twin, in turn: the same kernel, network path, client and requests.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use serde::Serialize;

use super::load::{self, percentile, Exchange, Load};
use super::server::Server;
use crate::base::error::{fail, Class, Result};
use crate::base::term;
use crate::base::workdir::{self, Guests};
use crate::guests::{self, Guest};
use crate::image::folder::Image;
use crate::machine::Request;
use crate::manifest::Port;
use crate::measure::pair::{self, Mode, BOTH};

/// What to measure of a server.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Which one.
    pub server: Server,
    /// How often each mode is booted.
    pub rounds: usize,
    /// Requests of one load.
    pub requests: usize,
    /// Connections at once.
    pub connections: usize,
    /// A load for each of these: requests that a connection sends before it waits.
    pub depths: Vec<usize>,
    /// Search for the least memory as well.
    pub memory: bool,
}

/// Everything that was measured.
#[derive(Debug, Clone, Serialize)]
pub struct ServeResult {
    /// The server.
    pub server: &'static str,
    /// Boots of each mode.
    pub rounds: usize,
    /// Requests of one load.
    pub requests: usize,
    /// Requests before each load, which are not measured.
    pub warm_up: usize,
    /// Connections at once.
    pub connections: usize,
    /// The kernel's version.
    pub kernel: String,
    /// This machine's load averages over one minute, at the beginning and at the end.
    pub load_average: [f64; 2],
    /// Every boot, in order.
    pub boots: Vec<ServeBoot>,
    /// Least memory in MiB with which the server still answers, if it was looked for.
    pub least_memory_mib: BTreeMap<Mode, u32>,
    /// Sizes of files.
    pub bytes: BTreeMap<&'static str, u64>,
    /// The QEMU command of each mode's last boot.
    pub qemu: BTreeMap<Mode, String>,
}

/// One boot and its loads.
#[derive(Debug, Clone, Serialize)]
pub struct ServeBoot {
    /// The mode.
    pub mode: Mode,
    /// The round, from 1.
    pub round: usize,
    /// From QEMU's start to the first right answer.
    pub first_answer_s: f64,
    /// The loads, in order.
    pub loads: Vec<Sample>,
    /// What the guest had left of its memory after the first warming up, and after the last load.
    pub available_kib: [u64; 2],
    /// How the server ended when it was asked to.
    pub end: String,
}

/// One load: every reply was right.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// Requests that a connection sends before it waits.
    pub depth: usize,
    /// From the first request to the last reply.
    pub seconds: f64,
    /// Requests per second.
    pub requests_per_s: f64,
    /// The latency that half of the requests do not exceed.
    pub p50_us: u32,
    /// The latency that 99 of 100 requests do not exceed.
    pub p99_us: u32,
    /// Processor time of QEMU for each request.
    pub qemu_us_per_request: f64,
}

/// Nobody is left running for ever when we are killed.
pub(super) const LIMIT: Duration = Duration::from_secs(4 * 3600);
/// A guest with little memory that does nothing for so long never will.
const SMALL_LIMIT: Duration = Duration::from_secs(60);
/// Server and guest have so long to end.
const END_LIMIT: Duration = Duration::from_secs(60);
/// In MiB: no guest boots with it.
const TOO_LITTLE: u32 = 8;
/// The load that shows that a guest has enough.
const SMALL_LOAD: usize = 1000;

/// Boots `image` in both modes in turn and loads it; `folder` keeps what the last boots said.
///
/// Errors: the guest does not come up, a reply is wrong or missing, the kernel complains (class `Boot`).
pub fn serve(image: &Image, folder: &std::path::Path, options: &ServeOptions) -> Result<ServeResult> {
    let mut bench = Bench { image, options, guests: Guests::at(folder), exchanges: Vec::new() };
    let before = load_average();
    let mut qemu = BTreeMap::new();
    let boots = pair::rounds(options.rounds, |mode, round| {
        let boot = bench.boot(mode, round)?;
        let line = |load: &Sample| format!("{:.0} requests/s {} deep", load.requests_per_s, load.depth);
        let loads: Vec<String> = boot.loads.iter().map(line).collect();
        let of = format!("round {round} of {}, {}", options.rounds, mode.name());
        term::say(&format!("{of}: first answer after {:.2} s, {}", boot.first_answer_s, loads.join(", ")));
        let line = workdir::read(&bench.guests.guest(mode.name()).run().qemu_line())?;
        qemu.insert(mode, String::from_utf8_lossy(&line).into_owned());
        Ok(boot)
    })?;
    let load_average = [before, load_average()];
    let bytes = bench.sizes()?;
    let mut least_memory_mib = BTreeMap::new();
    for mode in BOTH.into_iter().filter(|_| options.memory) {
        term::say(&format!("looking for the least memory, {}", mode.name()));
        least_memory_mib.insert(mode, bench.least_memory(mode)?);
    }
    Ok(ServeResult {
        server: options.server.name(),
        rounds: options.rounds,
        requests: options.requests,
        warm_up: bench.warm_up(),
        connections: options.connections,
        kernel: image.info.kernel.version.clone(),
        load_average,
        boots,
        least_memory_mib,
        bytes,
        qemu,
    })
}

struct Bench<'a> {
    image: &'a Image,
    options: &'a ServeOptions,
    guests: Guests,
    /// Known once a guest has answered.
    exchanges: Vec<Exchange>,
}

/// A guest that does not outlive an error.
struct Running {
    guest: Guest,
    address: SocketAddr,
}

impl Drop for Running {
    fn drop(&mut self) {
        guests::switch_off(&self.guest);
    }
}

impl Bench<'_> {
    fn warm_up(&self) -> usize {
        (self.options.requests / 10).clamp(1, 2000)
    }

    fn start(&self, mode: Mode, memory_mib: Option<u32>, limit: Duration) -> Result<Running> {
        let Some(guest_port) = self.image.info.ready else {
            return Err(fail(Class::App, format!("`{}` does not say which port answers", self.image.info.name)).into());
        };
        let host = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let request = Request {
            memory_mib,
            ports: Some(vec![Port::tcp(host.port(), guest_port)]),
            ..Request::new(mode.what(self.options.server.args()))
        };
        let started = guests::start(&self.guests, mode.name(), self.image, &pair::observed(request, limit), false)?;
        Ok(Running { guest: started.guest, address: host })
    }

    /// One boot with all loads.
    fn boot(&mut self, mode: Mode, round: usize) -> Result<ServeBoot> {
        let running = self.start(mode, None, LIMIT)?;
        let qemu = running.guest.qemu()?;
        let console = running.guest.dir.run().console();
        self.meet(&running)?;
        let first_answer_s = qemu.age()?.as_secs_f64();
        // What is asked for must be there: one connection sends everything in order first.
        self.send(&running, self.exchanges.len(), 1, 1)?;
        self.send(&running, self.warm_up(), self.options.connections, 1)?;
        let before = running.guest.rested_kib()?;
        let mut loads = Vec::new();
        for &depth in &self.options.depths {
            let sample = self.load(&running, depth);
            loads.push(sample.map_err(|error| error.context(format!("the load on {} failed", mode.name())))?);
        }
        let available_kib = [before, running.guest.rested_kib()?];
        let (guest, _) = guests::stop(&self.guests, mode.name(), END_LIMIT)?;
        let text = String::from_utf8_lossy(&workdir::read(&console)?).into_owned();
        pair::no_complaint(&text, console)?;
        Ok(ServeBoot { mode, round, first_answer_s, loads, available_kib, end: guest.state.to_string() })
    }

    /// The first answer, after which it is known what the server is to be asked.
    fn meet(&mut self, running: &Running) -> Result<()> {
        let (request, end) = self.options.server.first();
        let answer = load::ask(running.address, &request, &end)?;
        // Anew for each boot: files of the RAM disk are as old as the boot, and nginx tells their age.
        self.exchanges = self.options.server.exchanges(&answer)?;
        Ok(())
    }

    fn send(&self, running: &Running, requests: usize, connections: usize, depth: usize) -> Result<load::Done> {
        load::run(Load {
            address: running.address,
            exchanges: &self.exchanges,
            requests,
            connections,
            depth,
            connection_requests: self.options.server.connection_requests(),
        })
    }

    fn load(&self, running: &Running, depth: usize) -> Result<Sample> {
        let requests = self.options.requests;
        self.send(running, self.warm_up(), self.options.connections, depth)?;
        let qemu = running.guest.qemu()?;
        let cpu = qemu.cpu()?;
        let done = self.send(running, requests, self.options.connections, depth)?;
        let cpu = qemu.cpu()? - cpu;
        let seconds = done.time.as_secs_f64();
        Ok(Sample {
            depth,
            seconds,
            requests_per_s: requests as f64 / seconds,
            p50_us: percentile(&done.latencies_us, 50),
            p99_us: percentile(&done.latencies_us, 99),
            qemu_us_per_request: cpu.as_secs_f64() * 1e6 / requests as f64,
        })
    }

    fn sizes(&self) -> Result<BTreeMap<&'static str, u64>> {
        let (dir, twin) = (&self.image.dir, self.guests.guest(Mode::Twin.name()).run());
        let files = [
            ("bzImage", dir.bzimage()),
            ("initrd", dir.initrd()),
            ("initrd with twin", twin.initrd()),
            ("twin", dir.twin()),
        ];
        let size = |(name, path): (&'static str, std::path::PathBuf)| Ok((name, fs::metadata(path)?.len()));
        files.into_iter().map(size).collect()
    }

    /// The least memory, in whole MiB, with which the server still answers.
    fn least_memory(&mut self, mode: Mode) -> Result<u32> {
        // Too little memory shows as a panic, as silence, or as a server that was killed.
        super::least(TOO_LITTLE, self.image.info.memory_mib, |memory_mib| self.answers_with(mode, memory_mib).is_ok())
    }

    fn answers_with(&mut self, mode: Mode, memory_mib: u32) -> Result<()> {
        let running = self.start(mode, Some(memory_mib), SMALL_LIMIT)?;
        self.meet(&running)?;
        self.send(&running, self.exchanges.len(), 1, 1)?;
        self.send(&running, SMALL_LOAD, self.options.connections, 1)?;
        guests::stop(&self.guests, mode.name(), END_LIMIT)?;
        Ok(())
    }
}

/// The first number of `/proc/loadavg`; zero where there is none.
fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or_default()
}
