//! `ukl stats`: what guests use, once for a person or a script, or for Prometheus whenever it asks.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{json, Value};

use super::answer::Answer;
use crate::base::error::{fail, Class, Result};
use crate::base::run::interrupted;
use crate::base::term;
use crate::base::units;
use crate::base::workdir::Guests;
use crate::guests::{self, Guest, Sample};

/// The longest request that is read: Prometheus sends some hundred bytes.
const REQUEST: usize = 8 << 10;
/// How long a client may take.
const CLIENT: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(50);

/// `ukl stats`.
#[derive(Debug, Clone, Args)]
pub struct StatsArgs {
    /// The guests [default: all that run]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// How long the use of the processor is measured
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = units::time)]
    pub interval: Duration,
    /// Answer Prometheus at 127.0.0.1:PORT until Ctrl-C; 0 takes a free one
    #[arg(long, value_name = "PORT")]
    pub prometheus: Option<u16>,
    /// One look, which it always is
    #[arg(long, hide = true)]
    pub no_stream: bool,
}

/// Tells what guests use.
pub(super) fn stats(args: &StatsArgs, json: bool) -> Result<Answer> {
    let all = Guests::from_env()?;
    if let Some(port) = args.prometheus {
        if json {
            return Err(fail(Class::Usage, "`--prometheus` goes on until Ctrl-C: it takes no `--json`").into());
        }
        meant(&all, &args.names)?;
        return serve(&all, &args.names, port);
    }
    let guests = meant(&all, &args.names)?;
    let before: Vec<(Instant, Duration)> =
        guests.iter().map(|guest| Ok((Instant::now(), guest.qemu()?.cpu()?))).collect::<Result<_>>()?;
    let begun = Instant::now();
    while !guests.is_empty() && begun.elapsed() < args.interval {
        anyhow::ensure!(!interrupted(), "interrupted");
        std::thread::sleep(TICK.min(args.interval.saturating_sub(begun.elapsed())));
    }
    let mut rows = Vec::new();
    for (guest, (since, cpu)) in guests.iter().zip(before) {
        let used = guest.qemu()?.cpu()?.saturating_sub(cpu);
        let share = used.as_secs_f64() / since.elapsed().as_secs_f64().max(1e-6) * 100.0;
        rows.push((guest.sample()?, share));
    }
    let json = json!({ "guests": rows.iter().map(|(sample, share)| describe(sample, *share)).collect::<Vec<_>>() });
    Ok(Answer::new(table(&rows), json))
}

/// The guests in question. Error (class `Usage`): a named one does not run.
fn meant(all: &Guests, names: &[String]) -> Result<Vec<Guest>> {
    if names.is_empty() {
        return Ok(guests::list(all)?.into_iter().filter(|guest| guest.state.is_alive()).collect());
    }
    let find = |name: &String| {
        let guest = guests::find(all, name)?;
        if !guest.state.is_alive() {
            return Err(fail(Class::Usage, format!("the guest `{name}` does not run ({})", guest.state)).into());
        }
        Ok(guest)
    };
    names.iter().map(find).collect()
}

fn used_kib(sample: &Sample) -> Option<u64> {
    sample.available_kib.map(|available| sample.memory_kib.saturating_sub(available))
}

fn describe(sample: &Sample, share: f64) -> Value {
    json!({
        "name": sample.name,
        "state": sample.state,
        "cpu_percent": (share * 10.0).round() / 10.0,
        "cpu_s": sample.cpu.as_secs_f64(),
        "cpus": sample.cpus,
        "memory_kib": sample.memory_kib,
        "available_kib": sample.available_kib,
        "used_kib": used_kib(sample),
        "qemu_kib": sample.resident_kib,
        "time_s": sample.uptime.as_secs(),
    })
}

fn table(rows: &[(Sample, f64)]) -> String {
    let mib = |kib: u64| format!("{:.1} MiB", kib as f64 / 1024.0);
    let cells = |(sample, share): &(Sample, f64)| {
        let memory = format!("{} of {}", used_kib(sample).map_or("?".into(), mib), mib(sample.memory_kib));
        let cpu = format!("{share:.1} % of {}", sample.cpus);
        [sample.name.clone(), cpu, format!("{:.1} s", sample.cpu.as_secs_f64()), memory, mib(sample.resident_kib)]
    };
    let title = ["NAME", "CPU", "CPU TIME", "MEMORY", "QEMU"].map(String::from);
    let rows: Vec<[String; 5]> = std::iter::once(title).chain(rows.iter().map(cells)).collect();
    let width = |i: usize| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
    let line = |row: &[String; 5]| {
        let cells: Vec<String> = row.iter().enumerate().map(|(i, cell)| format!("{cell:<0$}", width(i))).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// Answers until Ctrl-C.
fn serve(all: &Guests, names: &[String], port: u16) -> Result<Answer> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| {
        let failure = fail(Class::Usage, format!("cannot listen at 127.0.0.1:{port}: {error}"));
        failure.hint("another port, or 0 for a free one")
    })?;
    listener.set_nonblocking(true)?;
    term::say(&format!("metrics at http://{}/metrics; Ctrl-C ends", listener.local_addr()?));
    loop {
        anyhow::ensure!(!interrupted(), "interrupted");
        match listener.accept() {
            // A client that goes away or asks nonsense is no reason to end.
            Ok((client, _)) => drop(answer(client, || samples(all, names))),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                std::thread::sleep(TICK);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The guests that run now, of those that are asked for.
fn samples(all: &Guests, names: &[String]) -> Vec<Sample> {
    let guests = guests::list(all).unwrap_or_default();
    let counts = |guest: &Guest| guest.state.is_alive() && (names.is_empty() || names.contains(&guest.name));
    guests.iter().filter(|guest| counts(guest)).filter_map(|guest| guest.sample().ok()).collect()
}

fn answer(mut client: TcpStream, samples: impl FnOnce() -> Vec<Sample>) -> Result<()> {
    client.set_nonblocking(false)?;
    client.set_read_timeout(Some(CLIENT))?;
    client.set_write_timeout(Some(CLIENT))?;
    let (mut request, mut bytes, begun) = (Vec::new(), [0; 1024], Instant::now());
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let n = client.read(&mut bytes)?;
        request.extend_from_slice(&bytes[..n]);
        if n == 0 || request.len() > REQUEST || begun.elapsed() > CLIENT {
            return Ok(());
        }
    }
    let (status, text) = respond(&String::from_utf8_lossy(&request), samples);
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    client.write_all(head.as_bytes())?;
    Ok(client.write_all(text.as_bytes())?)
}

fn respond(request: &str, samples: impl FnOnce() -> Vec<Sample>) -> (&'static str, String) {
    let mut words = request.split_whitespace();
    match (words.next(), words.next().map(|path| path.split('?').next().unwrap_or_default())) {
        (Some("GET"), Some("/metrics" | "/")) => ("200 OK", exposition(&samples())),
        (Some("GET"), _) => ("404 Not Found", "see /metrics\n".into()),
        _ => ("405 Method Not Allowed", "GET /metrics\n".into()),
    }
}

/// A metric: its name, type, meaning, and its value of a sample.
type Metric = (&'static str, &'static str, &'static str, fn(&Sample) -> Option<f64>);

const METRICS: [Metric; 6] = [
    ("cpu_seconds_total", "counter", "Processor time that the guest's QEMU has used.", |s| Some(s.cpu.as_secs_f64())),
    ("cpus", "gauge", "Processors of the guest.", |s| Some(f64::from(s.cpus))),
    ("memory_bytes", "gauge", "Memory of the guest.", |s| Some(bytes(s.memory_kib))),
    ("memory_available_bytes", "gauge", "What the guest's kernel would still give to programs.", |s| {
        s.available_kib.map(bytes)
    }),
    ("qemu_resident_bytes", "gauge", "What the guest's QEMU takes of this machine's memory.", |s| {
        Some(bytes(s.resident_kib))
    }),
    ("uptime_seconds", "gauge", "How long the guest runs.", |s| Some(s.uptime.as_secs_f64())),
];

fn bytes(kib: u64) -> f64 {
    (kib << 10) as f64
}

/// Prometheus' text format.
fn exposition(samples: &[Sample]) -> String {
    let mut text = String::new();
    for (name, kind, help, value) in METRICS {
        text.push_str(&format!("# HELP ukl_guest_{name} {help}\n# TYPE ukl_guest_{name} {kind}\n"));
        for sample in samples {
            if let Some(value) = value(sample) {
                // Names of guests have no quotes.
                text.push_str(&format!("ukl_guest_{name}{{guest=\"{}\"}} {value}\n", sample.name));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str, available_kib: Option<u64>) -> Sample {
        Sample {
            name: name.into(),
            state: "ready",
            cpu: Duration::from_millis(1500),
            cpus: 2,
            memory_kib: 256 << 10,
            available_kib,
            resident_kib: 100 << 10,
            uptime: Duration::from_secs(60),
        }
    }

    #[test]
    fn a_row_says_what_is_known() {
        let text = table(&[(sample("web", Some(192 << 10)), 12.34), (sample("p", None), 0.0)]);
        let lines: Vec<Vec<&str>> =
            text.lines().map(|line| line.split("  ").filter(|w| !w.is_empty()).map(str::trim).collect()).collect();
        assert_eq!(lines[0], ["NAME", "CPU", "CPU TIME", "MEMORY", "QEMU"]);
        assert_eq!(lines[1], ["web", "12.3 % of 2", "1.5 s", "64.0 MiB of 256.0 MiB", "100.0 MiB"]);
        assert_eq!(lines[2], ["p", "0.0 % of 2", "1.5 s", "? of 256.0 MiB", "100.0 MiB"]);
        assert_eq!(describe(&sample("p", None), 1.26)["used_kib"], Value::Null);
        assert_eq!(describe(&sample("p", None), 1.26)["cpu_percent"], 1.3);
    }

    #[test]
    fn prometheus_gets_each_metric_once_with_all_guests() {
        let text = exposition(&[sample("a", Some(1)), sample("b", None)]);
        assert!(
            text.contains("# TYPE ukl_guest_cpu_seconds_total counter\nukl_guest_cpu_seconds_total{guest=\"a\"} 1.5\n"),
            "{text}"
        );
        assert!(text.contains("ukl_guest_memory_available_bytes{guest=\"a\"} 1024\n"), "{text}");
        assert!(
            !text.contains("available_bytes{guest=\"b\"}") && text.contains("memory_bytes{guest=\"b\"} 268435456\n"),
            "{text}"
        );
        assert_eq!(text.lines().filter(|line| line.starts_with("# TYPE")).count(), METRICS.len());
    }

    #[test]
    fn only_metrics_are_there_to_get() {
        let ask = |request: &str| respond(request, Vec::new).0;
        assert_eq!(ask("GET /metrics?x=1 HTTP/1.1\r\n\r\n"), "200 OK");
        assert_eq!(ask("GET /etc HTTP/1.1\r\n\r\n"), "404 Not Found");
        assert_eq!(
            (ask("POST /metrics HTTP/1.1\r\n\r\n"), ask("\r\n\r\n")),
            ("405 Method Not Allowed", "405 Method Not Allowed")
        );
    }

    #[test]
    fn a_client_is_answered_over_the_loopback() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = std::thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        });
        answer(listener.accept().unwrap().0, || vec![sample("a", None)]).unwrap();
        let text = client.join().unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 200 OK") && head.contains(&format!("Content-Length: {}", body.len())),
            "{text}"
        );
    }
}
