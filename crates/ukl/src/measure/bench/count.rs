//! Instructions of the guest for each request of a server, in app mode and as its twin: what else runs here does not count.

use std::collections::BTreeMap;

use serde::Serialize;

use super::load::wrong;
use super::serve::LIMIT;
use super::server::Server;
use crate::base::env::Env;
use crate::base::error::{fail, Class, Failure, Result};
use crate::base::term;
use crate::base::workdir::{self, ImageDir};
use crate::boot::BootRun;
use crate::image::folder::Image;
use crate::image::initrd;
use crate::machine::{Accel, Request, What};
use crate::manifest::{GuestFile, Libc, Manifest, Net, Network};
use crate::measure::pair::{self, Mode};
use crate::program::userland;

/// The client, and what it sends, in the guest.
const CLIENT: &str = "/bench/client";
const EXCHANGES: &str = "/bench/exchanges";
const SOURCE: (&str, &str) = ("client.c", include_str!("client.c"));
/// What the client's lines begin with.
const SAYS: &str = "client: ";

/// What to count.
#[derive(Debug, Clone)]
pub struct CountOptions {
    /// Which server.
    pub server: Server,
    /// How often each mode is booted; each round has its own seed, the same when the command is repeated.
    pub rounds: u32,
    /// Requests of one load.
    pub requests: usize,
    /// Connections at once, and requests that a connection sends before it waits: a load for each pair.
    pub connections: Vec<usize>,
    /// See `connections`.
    pub depths: Vec<usize>,
}

/// Everything that was counted.
#[derive(Debug, Clone, Serialize)]
pub struct CountResult {
    /// The server.
    pub server: &'static str,
    /// Boots of each mode.
    pub rounds: u32,
    /// Requests before each load, which are not counted.
    pub warm_up: usize,
    /// The kernel's version.
    pub kernel: String,
    /// Every boot, in order.
    pub boots: Vec<CountBoot>,
    /// The QEMU command of each mode's last boot.
    pub qemu: BTreeMap<Mode, String>,
}

/// One boot and its loads.
#[derive(Debug, Clone, Serialize)]
pub struct CountBoot {
    /// The mode.
    pub mode: Mode,
    /// The round, from 1.
    pub round: u32,
    /// The loads, in order.
    pub loads: Vec<Counted>,
    /// How the server ended when it was asked to.
    pub end: String,
}

/// One load: every reply was right.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Counted {
    /// Connections at once.
    pub connections: usize,
    /// Requests that a connection sends before it waits.
    pub depth: usize,
    /// Requests of all connections.
    pub requests: usize,
    /// Of the server, the client and the kernel, from the first request to the last reply.
    pub instructions: u64,
    /// The same for each request.
    pub instructions_per_request: f64,
    /// For so many nanoseconds of the guest's clock nobody had anything to do.
    pub idle_ns: u64,
}

impl Counted {
    /// The load in words.
    pub(super) fn name(&self) -> String {
        let plural = if self.connections == 1 { "" } else { "s" };
        format!("{} connection{plural}, {} deep", self.connections, self.depth)
    }
}

/// Gives the image's guest the client and what it sends. Errors are those of the compiler.
pub fn equip(env: &Env, manifest: &mut Manifest, dir: &ImageDir, server: Server) -> Result<()> {
    let userland = userland::find(env, &manifest.compiler, Libc::Musl)?;
    let client = initrd::program(env, &userland, "client", &[SOURCE])?.value;
    let exchanges = dir.stage("exchanges");
    workdir::write_atomic(&exchanges, &strings(server)?)?;
    manifest.files.push(GuestFile { src: client, dst: CLIENT.into(), mode: Some(0o755) });
    manifest.files.push(GuestFile { src: exchanges, dst: EXCHANGES.into(), mode: Some(0o644) });
    Ok(())
}

/// The file that the client reads: strings that each end with a NUL.
fn strings(server: Server) -> Result<Vec<u8>> {
    let (first, end) = server.first();
    let exchanges = server.exchanges_ahead()?;
    let pairs = exchanges.into_iter().flat_map(|exchange| [exchange.request, exchange.reply]);
    Ok([first, end].into_iter().chain(pairs).flat_map(|string| [string, vec![0]].concat()).collect())
}

/// Boots `image`, which was [`equip`]ped, in both modes in turn and loads its server from inside.
///
/// Errors: a reply is wrong or missing, the server does not end, the kernel complains (class `Boot`).
pub fn count(env: &Env, image: &Image, options: &CountOptions) -> Result<CountResult> {
    let mut qemu = BTreeMap::new();
    let boots = pair::rounds(options.rounds as usize, |mode, round| {
        let round = round as u32;
        let run = boot(env, image, client(image, options, mode.path(image))?, round)?;
        let said = judge(image, options, &run)?;
        say(options, round, mode.name(), &said);
        let line = workdir::read(&image.dir.run().qemu_line())?;
        qemu.insert(mode, String::from_utf8_lossy(&line).into_owned());
        Ok(CountBoot { mode, round, loads: said.loads, end: said.end })
    })?;
    let (server, kernel) = (options.server.name(), image.info.kernel.version.clone());
    Ok(CountResult { server, rounds: options.rounds, warm_up: warm_up(options), kernel, boots, qemu })
}

pub(super) fn warm_up(options: &CountOptions) -> usize {
    (options.requests / 10).max(1)
}

/// Tells a person what a boot's loads took.
pub(super) fn say(options: &CountOptions, round: u32, name: &str, said: &Said) {
    let each = said.loads.iter().map(|load| format!("{:.0}", load.instructions_per_request));
    let each = each.collect::<Vec<_>>().join(", ");
    term::say(&format!("round {round} of {}, {name}: {each} instructions/request", options.rounds));
}

/// One boot as [`request`] says.
pub(super) fn boot(env: &Env, image: &Image, what: What, round: u32) -> Result<BootRun> {
    pair::boot(env, image, request(what, round), LIMIT)
}

/// One processor and nothing from outside; each round has another seed.
pub(super) fn request(what: What, round: u32) -> Request {
    Request {
        accel: Accel::Tcg,
        cpus: Some(1),
        ports: Some(Vec::new()),
        network: Network { net: Some(Net::None), ..Network::default() },
        icount: true,
        seed: Some(round),
        ..Request::new(what)
    }
}

/// The client, which starts the server at `path`.
pub(super) fn client(image: &Image, options: &CountOptions, path: &str) -> Result<What> {
    let info = &image.info;
    let Some(port) = info.ready else {
        return Err(fail(Class::App, format!("`{}` does not say which port answers", info.name)).into());
    };
    let list = |numbers: &[usize]| numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    let limit = options.server.connection_requests();
    let numbers = [usize::from(port), options.requests, warm_up(options), limit].map(|number| number.to_string());
    let lists = [list(&options.connections), list(&options.depths)];
    let server = [path.to_owned(), info.name.clone()];
    let args = options.server.args_in_foreground().unwrap_or_else(|| info.args.clone());
    let words = [EXCHANGES.to_owned()].into_iter().chain(numbers).chain(lists).chain(server).chain(args);
    Ok(What::Commands(vec![initrd::command("client", CLIENT, &words.collect::<Vec<_>>(), &info.env)]))
}

/// What the client said.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Said {
    first: Vec<u8>,
    /// Its loads, in order.
    pub(super) loads: Vec<Counted>,
    /// How the server ended.
    pub(super) end: String,
}

/// What a boot's client said, if all is as it should be.
pub(super) fn judge(image: &Image, options: &CountOptions, run: &BootRun) -> Result<Said> {
    let text = String::from_utf8_lossy(&run.console);
    let broken = |what: String| fail(Class::Boot, what).log(image.dir.console());
    pair::no_complaint(&text, image.dir.console())?;
    let said = read(&text).map_err(|failure| failure.log(image.dir.console()))?;
    if said.end.is_empty() || said.loads.len() != options.connections.len() * options.depths.len() {
        return Err(broken(format!("the client in the guest did not come to its end: {:?}", run.outcome)).into());
    }
    // What later answers were compared with must be right itself.
    options.server.exchanges(&said.first)?;
    Ok(said)
}

fn read(text: &str) -> std::result::Result<Said, Failure> {
    let mut said = Said::default();
    for line in text.lines().filter_map(|line| line.trim_end().strip_prefix(SAYS)) {
        let words: Vec<&str> = line.split(' ').collect();
        match *words.as_slice() {
            ["error", ..] => return Err(fail(Class::Boot, format!("the client in the guest: {}", &line[6..]))),
            ["wrong", got, wanted] => return Err(wrong(&bytes(got), &bytes(wanted))),
            ["ticks", ticks, "of", instructions, _] => check_counter(ticks, instructions)?,
            ["first", answer] => said.first = bytes(answer),
            ["load", ref numbers @ ..] => said.loads.extend(load(numbers)),
            ["end", ref how @ ..] => said.end = how.join(" "),
            _ => return Err(fail(Class::Boot, format!("the client in the guest: `{line}`"))),
        }
    }
    Ok(said)
}

/// A counter that does not count as we think would make every number wrong.
fn check_counter(ticks: &str, instructions: &str) -> std::result::Result<(), Failure> {
    let number = |word: &str| word.parse::<f64>().unwrap_or_default();
    let each = number(ticks) / number(instructions);
    // The two that read the counter, and what stands between them.
    if (each - 1.0).abs() < 0.01 {
        return Ok(());
    }
    Err(fail(Class::Host, format!("this QEMU counts {each:.3} ticks for an instruction: nothing can be counted")))
}

/// Connections, depth, requests, ticks, nanoseconds without work. A tick is an instruction or a nanosecond of waiting.
fn load(numbers: &[&str]) -> Option<Counted> {
    let number = |i: usize| numbers.get(i)?.parse::<u64>().ok();
    let (requests, idle_ns) = (number(2)?, number(4)?);
    let instructions = number(3)?.saturating_sub(idle_ns);
    Some(Counted {
        connections: number(0)? as usize,
        depth: number(1)? as usize,
        requests: requests as usize,
        instructions,
        instructions_per_request: instructions as f64 / requests as f64,
        idle_ns,
    })
}

/// Bytes from their hexadecimal digits.
fn bytes(digits: &str) -> Vec<u8> {
    let pair = |pair: &[u8]| u8::from_str_radix(&String::from_utf8_lossy(pair), 16).unwrap_or_default();
    digits.as_bytes().chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_says_is_read() {
        let text = "[    1.0] x\nclient: ticks 10006 of 10000 instructions\r\nserver: hello\nclient: first 6142\n\
                    client: load 8 16 1000 8100000 100000\nclient: end exited 0\n";
        let said = read(text).unwrap();
        assert_eq!((said.first.as_slice(), said.end.as_str()), (&b"aB"[..], "exited 0"));
        let load = &said.loads[0];
        assert_eq!((load.connections, load.depth, load.requests, load.idle_ns), (8, 16, 1000, 100_000));
        assert_eq!(load.instructions_per_request, 8000.0);
    }

    #[test]
    fn a_client_that_is_not_content_is_an_error() {
        for (line, want) in [
            ("error connect: No route", "the client in the guest: connect: No route"),
            ("wrong 21 6f6b", "the server answered `!` instead of `ok`"),
            ("ticks 20010 of 10000 instructions", "counts 2.001 ticks"),
            ("who knows", "`who knows`"),
        ] {
            let text = read(&format!("client: {line}\n")).unwrap_err().to_string();
            assert!(text.contains(want), "{text}");
        }
    }

    #[test]
    fn the_client_gets_strings_in_pairs() {
        let file = strings(Server::Nginx).unwrap();
        let strings: Vec<&[u8]> = file.split(|byte| *byte == 0).collect();
        // Behind the last NUL there is nothing; the reply is learned from the server.
        assert!(strings.len() == 5 && strings[0] == strings[2] && strings[3..] == [b"", b""], "{strings:?}");
        let redis = super::strings(Server::Redis).unwrap();
        assert_eq!(redis.iter().filter(|byte| **byte == 0).count(), 2 + 2 * 32);
    }
}
