//! What a server lives through: it is asked to end and started again, its configuration changes, its workers die.

use std::fs;
use std::io::Write;
use std::process::{Child, Stdio};

use libtest_mimic::Failed;

use crate::server::{until, wants, Server};
use crate::talk;

/// Each server ends with status 0 when it gets SIGTERM.
pub fn stops_cleanly(example: &str) -> Result<(), Failed> {
    let world = Server::with_storage(example)?;
    world.start(&[], &[])?;
    world.stop()
}

/// Redis writes its data to a disk when it is asked to end, and has it after the next start.
pub fn redis_keeps_a_snapshot() -> Result<(), Failed> {
    let world = Server::with_storage("redis")?;
    let disk = format!("{}:64M:/data", world.path("data.img").display());
    let args = ["--protected-mode", "no", "--dir", "/data", "--save", "3600 1"];
    world.start(&["--disk", &disk], &args)?;
    wants("set", &world.redis(&["set", "kept", "yes"])?, "OK")?;
    fill(&world, 2000)?;
    let size = world.redis(&["dbsize"])?;
    world.stop()?;
    world.start(&["--disk", &disk], &args)?;
    wants("get", &world.redis(&["get", "kept"])?, "yes")?;
    wants("dbsize", &world.redis(&["dbsize"])?, &size)?;
    world.stop()
}

fn fill(world: &Server, keys: usize) -> Result<(), Failed> {
    let script = format!("for i = 1, {keys} do redis.call('set', 'k' .. i, i) end return {keys}");
    wants("eval", &world.redis(&["eval", &script, "0"])?, &keys.to_string())
}

/// What Redis acknowledged with `appendfsync always` is there after its process was killed, and after a power cut.
pub fn redis_keeps_a_log() -> Result<(), Failed> {
    let world = Server::with_storage("redis")?;
    let disk = format!("{}:64M:/data", world.path("data.img").display());
    let log = ["--dir", "/data", "--save", "", "--appendonly", "yes", "--appendfsync", "always"];
    let args = [&["--protected-mode", "no"], &log[..]].concat();
    world.start(&["--disk", &disk], &args)?;
    fill(&world, 1000)?;
    wants("rewrite", &world.redis(&["bgrewriteaof"])?, "started")?;
    wants("set", &world.redis(&["set", "first", "1"])?, "OK")?;
    world.ukl(&["kill", "--signal", "KILL", "it"])?;
    until("the end", || Ok(!world.is_running()?))?;
    world.start(&["--disk", &disk], &args)?;
    wants("after SIGKILL", &world.redis(&["get", "first"])?, "1")?;
    wants("set", &world.redis(&["set", "second", "2"])?, "OK")?;
    // QEMU is ended, as if the plug were pulled.
    world.ukl(&["rm", "--force", "it"])?;
    world.start(&["--disk", &disk], &args)?;
    wants("after a power cut", &world.redis(&["mget", "first", "second"])?, "1\n2")?;
    wants("dbsize", &world.redis(&["dbsize"])?, "1002")?;
    world.stop()
}

/// nginx.conf of two workers that tell their numbers and `word`.
fn nginx_conf(word: &str) -> String {
    format!(
        "worker_processes 2;\nerror_log /dev/console notice;\nevents {{}}\nhttp {{\n    access_log off;\n    \
         client_body_temp_path /tmp/b;\n    proxy_temp_path /tmp/p;\n    fastcgi_temp_path /tmp/f;\n    \
         uwsgi_temp_path /tmp/u;\n    scgi_temp_path /tmp/s;\n    keepalive_timeout 0;\n    server {{\n        \
         listen 80;\n        location /pid {{ return 200 \"$pid\\n\"; }}\n        \
         location /word {{ return 200 \"{word}\\n\"; }}\n    }}\n}}\n"
    )
}

/// The worker that answers now.
fn worker(world: &Server) -> Result<u32, Failed> {
    let mut pid = 0;
    until("an answer", || {
        pid = world.get("/pid")?.parse().unwrap_or(0);
        Ok(pid != 0)
    })?;
    Ok(pid)
}

/// SIGHUP lets nginx read its configuration again: other workers, other answers, no connection refused.
pub fn nginx_reloads() -> Result<(), Failed> {
    let world = Server::with_storage("nginx")?;
    let conf = world.path("conf");
    fs::create_dir(&conf)?;
    fs::write(conf.join("nginx.conf"), nginx_conf("before"))?;
    world.start(&["--share", &format!("{}:/etc/nginx", conf.display())], &[])?;
    wants("the first answer", &world.get("/word")?, "before")?;
    let old = worker(&world)?;
    fs::write(conf.join("nginx.conf"), nginx_conf("after"))?;
    world.ukl(&["kill", "--signal", "HUP", "it"])?;
    let mut refused = 0;
    until("the new configuration", || {
        let word = world.get("/word")?;
        refused += u32::from(word.is_empty());
        Ok(word == "after")
    })?;
    let new = worker(&world)?;
    if new == old || refused != 0 {
        return Err(format!("worker {old} became {new}, {refused} requests got no answer").into());
    }
    // A configuration that nginx refuses changes nothing.
    fs::write(conf.join("nginx.conf"), "nonsense;\n")?;
    world.ukl(&["kill", "--signal", "HUP", "it"])?;
    world.guest_says("[emerg]")?;
    wants("after nonsense", &world.get("/word")?, "after")?;
    world.stop()
}

/// A worker of nginx that is killed is replaced by its master.
pub fn nginx_replaces_a_worker() -> Result<(), Failed> {
    let world = Server::with_storage("nginx")?;
    let conf = world.path("conf");
    fs::create_dir(&conf)?;
    fs::write(conf.join("nginx.conf"), nginx_conf("here"))?;
    let mut run = world.command(&["run", "--shell", "--timeout", "600", "-p", &format!("{}:80", world.port)]);
    run.args(talk::LOUD);
    run.args(["--share", &format!("{}:/etc/nginx", conf.display())]).arg(world.image.dir.root());
    let log = fs::File::create(world.path("console"))?;
    let child = run.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log).spawn()?;
    let mut guest = Shell(child);
    guest.types("/UKL")?;
    // Whoever answers is killed; with both of the first workers dead, one that the master started answers.
    let first = worker(&world)?;
    guest.types(&format!("kill -9 {first}"))?;
    world.console_says(&format!("worker process {first} exited on signal 9"))?;
    let second = started(&world)?.into_iter().find(|pid| *pid != first).ok_or("one worker only")?;
    guest.types(&format!("kill -9 {second}"))?;
    world.console_says(&format!("worker process {second} exited on signal 9"))?;
    let now = worker(&world)?;
    let all = started(&world)?;
    if [first, second].contains(&now) || all.len() != 4 || !all.contains(&now) {
        return Err(format!("{now} answers after {first} and {second} were killed; started were {all:?}").into());
    }
    guest.types("exit")
}

/// The workers that nginx has started, by its own words.
fn started(world: &Server) -> Result<Vec<u32>, Failed> {
    let console = fs::read_to_string(world.path("console"))?;
    let pids = console.lines().filter_map(|line| line.split("start worker process ").nth(1)?.trim().parse().ok());
    Ok(pids.collect())
}

/// A guest with a shell at its console.
struct Shell(Child);

impl Shell {
    fn types(&mut self, line: &str) -> Result<(), Failed> {
        let input = self.0.stdin.as_mut().ok_or("no input")?;
        writeln!(input, "{line}")?;
        Ok(input.flush()?)
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        talk::interrupt(&mut self.0);
    }
}
