//! The load tools that everybody uses, against a server in app mode and then as its twin: a million requests, no error,
//! no complaint of the kernel, as much memory as before, and the same answers afterwards.

use std::fs;
use std::process::Command;
use std::time::Instant;

use libtest_mimic::Failed;
use ukl::program::toolchain::which;

use crate::server::{until, wants, Server};
use crate::talk;

/// Requests of one load.
const MILLION: u64 = 1_000_000;
/// Requests before the memory is looked at for the first time.
const WARM_UP: u64 = 20_000;
/// What the guest may lose of its memory, in KiB: a million of the kernel's smallest objects, of 8 bytes, are more.
const MAY_LOSE_KIB: u64 = 7 << 10;
/// QEMU's user-mode network lets two new connections wait; others are tried again, later each time.
const CONNECTIONS: &str = "16";
/// Seconds for a tool, far more than it takes on a busy machine: nothing here judges by time.
const LIMIT: &str = "7200";
/// Redis gets so many of each.
const REDIS_COMMANDS: [&str; 7] = ["set", "get", "incr", "lpush", "lpop", "sadd", "hset"];
/// Memcached has 64 MB, which so many SETs of memaslap (350,000 items) and of memslap (2.6 KB each) fill.
const FILLED_BY: [&str; 2] = ["400000", "30000"];
/// Only SETs, as large as those of the load.
const MEMASLAP_FILLS: &str = "key\n64 64 1\nvalue\n64 64 1\ncmd\n0 1\n";

/// A server and a tool that loads it.
pub struct Load {
    /// The server's example.
    pub example: &'static str,
    /// What the tool's authors call it.
    pub name: &'static str,
    /// Its program, as Debian calls it.
    program: &'static str,
    /// Arguments of the server; none stands for the example's own.
    args: &'static [&'static str],
    /// What comes before the first look at the memory, beside a few requests.
    prepare: fn(&Server) -> Result<(), Failed>,
    /// Sends at least so many requests, none of which may fail; how many they were, by the tool's own words.
    send: fn(&Server, u64) -> Result<u64, Failed>,
    /// What the server holds and answers afterwards.
    answers: fn(&Server) -> Result<String, Failed>,
}

/// Every one of them.
pub const ALL: [Load; 6] = [
    Load {
        example: "redis",
        name: "redis_benchmark",
        program: "redis-benchmark",
        args: &[],
        prepare: |_| Ok(()),
        send: redis_benchmark,
        answers: redis_answers,
    },
    Load {
        example: "memcached",
        name: "memaslap",
        program: "memcaslap",
        args: &[],
        prepare: fill_by_memaslap,
        send: memaslap,
        answers: memcached_answers,
    },
    Load {
        example: "memcached",
        name: "memslap",
        program: "memcslap",
        // When it moves pages between sizes, a full store gives up values that were set just now.
        args: &["-u", "root", "-m", "64", "-o", "slab_automove=0"],
        prepare: fill_by_memslap,
        send: memslap,
        answers: memcached_answers,
    },
    web("nginx", "wrk", wrk),
    web("nginx", "ab", ab),
    web("lighttpd", "ab", ab),
];

const fn web(example: &'static str, name: &'static str, send: fn(&Server, u64) -> Result<u64, Failed>) -> Load {
    Load { example, name, program: name, args: &[], prepare: |_| Ok(()), send, answers: web_answers }
}

/// Loads the server in both modes; what it answers afterwards must be the same.
pub fn test(load: &Load) -> Result<(), Failed> {
    if is_missing(load.program) {
        return Ok(());
    }
    let world = Server::new(load.example)?;
    let app = serve(&world, load, "app mode", &[])?;
    let twin = serve(&world, load, "the twin", &["--twin"])?;
    the_same(&app, &twin)
}

/// Every case of libmemcached's test of the protocol, in both modes.
pub fn memcapable() -> Result<(), Failed> {
    if is_missing("memccapable") {
        return Ok(());
    }
    let world = Server::new("memcached")?;
    let run = |options: &[&str]| -> Result<String, Failed> {
        world.start(options, &[])?;
        let said = tool(&["memccapable", "-h", "127.0.0.1", "-p", &world.port.to_string(), "-t", "120"])?;
        world.stop()?;
        wants("memcapable", &said, "All tests passed")?;
        Ok(said)
    };
    let app = run(&[])?;
    println!("{} cases pass", app.matches("[pass]").count());
    the_same(&app, &run(&["--twin"])?)
}

fn is_missing(program: &str) -> bool {
    let is_missing = which(program).is_none();
    if is_missing {
        eprintln!("skip: {program} is not installed");
    }
    is_missing
}

fn the_same(app: &str, twin: &str) -> Result<(), Failed> {
    match app == twin && !app.is_empty() {
        true => Ok(()),
        false => Err(format!("app mode answers\n{app}\n-- and the twin\n{twin}").into()),
    }
}

/// One boot with its load; what the server answers afterwards.
fn serve(world: &Server, load: &Load, mode: &str, options: &[&str]) -> Result<String, Failed> {
    world.start(options, load.args)?;
    (load.prepare)(world)?;
    (load.send)(world, WARM_UP)?;
    let before = world.guest()?.rested_kib()?;
    let begun = Instant::now();
    let sent = (load.send)(world, MILLION)?;
    let seconds = begun.elapsed().as_secs();
    let after = world.guest()?.rested_kib()?;
    let memory = format!("{before} KiB available before and {after} after");
    println!("{} under {}, {mode}: {sent} requests in {seconds} s, {memory}", load.example, load.name);
    if sent < MILLION {
        return Err(format!("only {sent} requests").into());
    }
    if after + MAY_LOSE_KIB < before {
        return Err(format!("{mode}: {memory}").into());
    }
    let answers = (load.answers)(world)?;
    world.stop()?;
    Ok(answers)
}

/// What a tool says that ends with status 0 and has no complaint: some complain and end with 0 all the same.
fn tool(words: &[&str]) -> Result<String, Failed> {
    let output = Command::new("timeout").arg(LIMIT).args(words).output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, complaints) = (text(&output.stdout), text(&output.stderr));
    match output.status.success() && complaints.is_empty() {
        true => Ok(said),
        false => Err(format!("{words:?}: {}\n{said}{complaints}", output.status).into()),
    }
}

/// The number that follows `mark` in each line that has it.
fn after(text: &str, mark: &str) -> Vec<u64> {
    let digits = |rest: &str| rest.chars().take_while(char::is_ascii_digit).collect::<String>();
    text.lines().filter_map(|line| digits(line.split_once(mark)?.1.trim_start()).parse().ok()).collect()
}

/// The number that stands before `mark` in each line that has it.
fn before(text: &str, mark: &str) -> Vec<u64> {
    text.lines().filter_map(|line| line.split_once(mark)?.0.split_whitespace().last()?.parse().ok()).collect()
}

/// A tool's count, when it tells of no error.
fn count(sent: u64, errors: bool, said: &str) -> Result<u64, Failed> {
    match sent == 0 || errors {
        true => Err(format!("not without errors:\n{said}").into()),
        false => Ok(sent),
    }
}

/// Pipelines of 16 commands; with its log as it is, which grows and is rewritten by children meanwhile.
fn redis_benchmark(world: &Server, requests: u64) -> Result<u64, Failed> {
    let (port, requests_word, commands) = (world.port.to_string(), requests.to_string(), REDIS_COMMANDS.join(","));
    let words = ["redis-benchmark", "-p", &port, "-c", CONNECTIONS, "-P", "16", "-r", "1000", "-n", &requests_word];
    let sent = read_redis_benchmark(&tool(&[&words[..], &["-t", &commands]].concat())?, requests)?;
    // The log lies in the RAM disk: as short as it can be, it is the same before and after the load.
    redis_is_idle(world)?;
    wants("rewrite", &world.redis(&["bgrewriteaof"])?, "append only file rewriting")?;
    redis_is_idle(world)?;
    Ok(sent)
}

/// An error of the server ends the tool with another status than 0.
fn read_redis_benchmark(said: &str, requests: u64) -> Result<u64, Failed> {
    let sent: Vec<u64> = before(said, " requests completed in");
    let errors = sent.len() != REDIS_COMMANDS.len() || sent.iter().any(|sent| *sent < requests);
    count(sent.iter().sum(), errors, said)
}

fn redis_is_idle(world: &Server) -> Result<(), Failed> {
    let marks = ["rdb_bgsave_in_progress:0", "aof_rewrite_in_progress:0", "aof_rewrite_scheduled:0"];
    until("the end of the rewrite", || {
        let info = world.redis(&["info", "persistence"])?;
        Ok(marks.iter().all(|mark| info.contains(mark)))
    })
}

/// Every command was carried out as often as the server counted it, and every key has its value.
fn redis_answers(world: &Server) -> Result<String, Failed> {
    redis_has_no_errors(world)?;
    let counted = after(&world.redis(&["info", "commandstats"])?, "cmdstat_incr:calls=").pop();
    let sum =
        "local n = 0 for _, k in pairs(redis.call('keys', 'counter:*')) do n = n + redis.call('get', k) end return n";
    wants("the sum of the counters", &world.redis(&["eval", sum, "0"])?, &counted.ok_or("no count")?.to_string())?;
    // The tool leaves when it has its replies, so a last LPUSH or LPOP may be one too many.
    world.redis(&["del", "mylist"])?;
    let get = "local t = redis.call('keys', 'key:*') table.sort(t) \
               for i, k in ipairs(t) do t[i] = k .. '=' .. redis.call('get', k) end return t";
    let hash = "local t, h = {}, redis.call('hgetall', 'myhash') \
                for i = 1, #h, 2 do t[#t + 1] = h[i] .. '=' .. h[i + 1] end table.sort(t) return t";
    let ask: [&[&str]; 4] = [&["dbsize"], &["eval", get, "0"], &["eval", hash, "0"], &["sort", "myset", "alpha"]];
    let said: Vec<String> = ask.iter().map(|words| world.redis(words)).collect::<Result<_, _>>()?;
    Ok(said.join("\n"))
}

fn redis_has_no_errors(world: &Server) -> Result<(), Failed> {
    let stats = world.redis(&["info", "commandstats"])?;
    let failed =
        stats.lines().find(|line| line.contains("calls=") && !line.contains("rejected_calls=0,failed_calls=0"));
    if let Some(line) = failed {
        return Err(format!("Redis has counted errors: {line}").into());
    }
    let info = world.redis(&["info", "persistence"])?;
    for what in ["rdb_last_bgsave_status:ok", "aof_last_bgrewrite_status:ok", "aof_last_write_status:ok"] {
        wants("persistence", &info, what)?;
    }
    // We asked for two.
    match after(&info, "aof_rewrites:").pop() {
        Some(3..) => Ok(()),
        rewrites => Err(format!("no rewrite of the log during the load: {rewrites:?}").into()),
    }
}

fn server(world: &Server) -> String {
    format!("127.0.0.1:{}", world.port)
}

/// One SET of another key for nine GETs, and each value that comes back is compared. With `--overwrite` the tool
/// would compare with what is no longer there, in either mode.
fn memaslap(world: &Server, requests: u64) -> Result<u64, Failed> {
    read_memaslap(&run_memaslap(world, &requests.to_string(), &["-X", "64", "-v", "1"])?)
}

fn run_memaslap(world: &Server, requests: &str, options: &[&str]) -> Result<String, Failed> {
    let server = server(world);
    let words = ["memcaslap", "-s", &server, "-T", "2", "-c", CONNECTIONS, "-w", "1k", "-x", requests];
    tool(&[&words[..], options].concat())
}

fn read_memaslap(said: &str) -> Result<u64, Failed> {
    let sum = |marks: &[&str]| marks.iter().flat_map(|mark| after(said, mark)).sum();
    let errors: u64 = sum(&["get_misses:", "verify_misses:", "verify_failed:"]);
    count(sum(&["cmd_get:", "cmd_set:"]), errors != 0, said)
}

/// SETs and GETs in turn, each of a process and connections of its own: two, since the tool waits 5 s for a reply and
/// gives up, and what is written to a connection that was turned away may be sent again later than that.
fn memslap(world: &Server, requests: u64) -> Result<u64, Failed> {
    let mut sent = 0;
    while sent < requests {
        for what in ["set", "get"] {
            let words = ["memcslap", "-s", &server(world), "-t", what, "-c", "2", "-e", "8000"];
            sent += read_memslap(&tool(&words)?)?;
        }
    }
    // The tool does not say what it was told of a key that is not there.
    let stats = tool(&["memcstat", "-s", &server(world)])?;
    let misses = after(&stats, "\tget_misses:");
    count(sent, misses != [0], &format!("{misses:?} GETs found nothing\n{stats}"))
}

fn read_memslap(said: &str) -> Result<u64, Failed> {
    count(before(said, " keys by").iter().sum(), false, said)
}

/// Fills the store, which takes memory once.
fn fill_by_memaslap(world: &Server) -> Result<(), Failed> {
    let file = world.path("fill");
    fs::write(&file, MEMASLAP_FILLS)?;
    let said = run_memaslap(world, FILLED_BY[0], &["-F", &file.display().to_string()])?;
    read_memaslap(&said).and_then(|_| is_full(world))
}

/// The same with values of the other tool: each size has pages of its own.
fn fill_by_memslap(world: &Server) -> Result<(), Failed> {
    let words = ["memcslap", "-s", &server(world), "-t", "set", "-c", "1", "-e", FILLED_BY[1]];
    read_memslap(&tool(&words)?).and_then(|_| is_full(world))
}

fn is_full(world: &Server) -> Result<(), Failed> {
    let stats = tool(&["memcstat", "-s", &server(world)])?;
    match after(&stats, "\tevictions:").iter().any(|evictions| *evictions > 0) {
        true => Ok(()),
        false => Err(format!("the store is not full:\n{stats}").into()),
    }
}

/// A value comes back as it was, and the example's own client hears what it always does.
fn memcached_answers(world: &Server) -> Result<String, Failed> {
    let text: String = (0..10_000).map(|i| format!("{i} ")).collect();
    let file = world.path("kept");
    fs::write(&file, &text)?;
    tool(&["memccp", "-s", &server(world), &file.display().to_string()])?;
    let got = tool(&["memccat", "-s", &server(world), "kept"])?;
    if got.trim_end() != text.trim_end() {
        return Err(format!("what was kept came back as\n{got}").into());
    }
    client(world)
}

/// In pieces, since the tool knows seconds and no number of requests.
fn wrk(world: &Server, requests: u64) -> Result<u64, Failed> {
    let url = format!("http://{}/", server(world));
    let mut sent = 0;
    while sent < requests {
        let words = ["wrk", "-t", "2", "-c", CONNECTIONS, "-d", "30s", "--timeout", "600s", &url];
        sent += read_wrk(&tool(&words)?)?;
    }
    Ok(sent)
}

fn read_wrk(said: &str) -> Result<u64, Failed> {
    let errors = ["Socket errors", "Non-2xx"].iter().any(|word| said.contains(word));
    count(before(said, " requests in ").iter().sum(), errors, said)
}

fn ab(world: &Server, requests: u64) -> Result<u64, Failed> {
    let url = format!("http://{}/", server(world));
    read_ab(&tool(&["ab", "-q", "-k", "-c", CONNECTIONS, "-s", "600", "-n", &requests.to_string(), &url])?)
}

fn read_ab(said: &str) -> Result<u64, Failed> {
    let errors = ["Failed requests:", "Write errors:", "Non-2xx responses:"];
    let errors: u64 = errors.iter().flat_map(|mark| after(said, mark)).sum();
    count(after(said, "Complete requests:").iter().sum(), errors != 0, said)
}

fn web_answers(world: &Server) -> Result<String, Failed> {
    let page = fs::read_to_string(world.folder.join("www/index.html"))?;
    wants("the page", &world.get("/")?, page.trim())?;
    client(world)
}

/// What the example's own client hears.
fn client(world: &Server) -> Result<String, Failed> {
    let output = talk::client(&world.folder, world.port).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.success() {
        true => Ok(said),
        false => Err(format!("the client failed ({}):\n{said}", output.status).into()),
    }
}

/// Errors are found in what the tools print, and so is a tool that prints something else than it did.
pub fn words_are_understood() -> Result<(), Failed> {
    let redis: String =
        REDIS_COMMANDS.iter().map(|name| format!("== {name} ==\n  20 requests completed in 0.1 s\n")).collect();
    let memaslap = "cmd_get: 90\ncmd_set: 10\nget_misses: 0\nverify_misses: 0\nverify_failed: 0\n";
    let memslap = "Time to set  5 keys: 6.5 s\nTime to get  20 keys by 4 threads: 9.4 s\n";
    let wrk = "Running 10s test\n  37418 requests in 10.04s, 9.78MB read\nRequests/sec: 3725.36\n";
    let ab = "Complete requests:      10000\nFailed requests:        0\nKeep-Alive requests:    9997\n";
    let errors = "  Socket errors: connect 0, read 1, write 0, timeout 0\n";
    type Read = fn(&str) -> Result<u64, Failed>;
    let cases: [(Read, &str, u64, &str); 8] = [
        (|said| read_redis_benchmark(said, 20), &redis, 140, &redis.replacen("20 req", "19 req", 1)),
        (|said| read_redis_benchmark(said, 20), &redis, 140, "== set ==\n  20 requests completed in 0.1 s\n"),
        (read_memaslap, memaslap, 100, &memaslap.replace("misses: 0", "misses: 1")),
        (read_memslap, memslap, 20, "Time to set  5 keys: 6.5 s\n"),
        (read_wrk, wrk, 37418, &format!("{wrk}{errors}")),
        (read_wrk, wrk, 37418, &format!("{wrk}  Non-2xx or 3xx responses: 3\n")),
        (read_ab, ab, 10000, &ab.replace("Failed requests:        0", "Failed requests:        12")),
        (read_ab, ab, 10000, &format!("{ab}Non-2xx responses:      7\n")),
    ];
    for (read, good, sent, bad) in cases {
        if read(good)? != sent || read(bad).is_ok() || read("").is_ok() {
            return Err(format!("not understood:\n{good}{bad}").into());
        }
    }
    Ok(())
}
