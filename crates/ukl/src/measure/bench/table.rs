//! What was measured of a server, as a table for a person.

use super::count::{CountBoot, CountResult, Counted};
use super::serve::{Sample, ServeBoot, ServeResult};
use super::Measure;
use crate::measure::pair::{Mode, BOTH};

/// A row's name, its number of digits, and what it shows of a load.
type Row = (&'static str, usize, fn(&Sample) -> f64);

const ROWS: [Row; 4] = [
    ("requests/s", 0, |load| load.requests_per_s),
    ("p50 (ms)", 2, |load| f64::from(load.p50_us) / 1000.0),
    ("p99 (ms)", 2, |load| f64::from(load.p99_us) / 1000.0),
    ("QEMU CPU (µs/request)", 1, |load| load.qemu_us_per_request),
];

impl ServeResult {
    /// Both modes side by side: median (least to most), and the ratio of the medians.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{}: {} requests by {} connections after {} to warm up; {} boots of each mode in turn; load average {} to {}\n",
            self.server,
            self.requests,
            self.connections,
            self.warm_up,
            self.rounds,
            self.load_average[0],
            self.load_average[1],
        );
        text += &row("", "app mode", "twin", "app/twin");
        text += &self.compared("first answer (s)", 2, |boot| boot.first_answer_s);
        let depths: Vec<usize> = self.boots.first().map_or(Vec::new(), |boot| boot.loads.iter().map(depth).collect());
        for (i, depth) in depths.into_iter().enumerate() {
            for (name, digits, get) in ROWS {
                let name = format!("{depth} deep: {name}");
                text += &self.compared(&name, digits, |boot| boot.loads.get(i).map_or(f64::NAN, get));
            }
        }
        let taken = |boot: &ServeBoot| boot.available_kib[0] as f64 - boot.available_kib[1] as f64;
        text += &self.compared("memory taken (KiB)", 0, taken);
        if let [Some(app), Some(twin)] = BOTH.map(|mode| self.least_memory_mib.get(&mode)) {
            text += &row("least memory (MiB)", &app.to_string(), &twin.to_string(), &ratio(*app as f64, *twin as f64));
        }
        let size = |name: &str| self.bytes.get(name).map_or(String::new(), u64::to_string);
        text += &row("bzImage (bytes)", &size("bzImage"), &size("bzImage"), "");
        text += &row("initrd (bytes)", &size("initrd"), &size("initrd with twin"), "");
        text
    }

    fn compared(&self, name: &str, digits: usize, get: impl Fn(&ServeBoot) -> f64) -> String {
        let [app, twin] = by_mode(self.boots.iter().map(|boot| (boot.mode, get(boot))));
        // This difference may be zero or below: a quotient would say nothing.
        let quotient = if name.contains("taken") { String::new() } else { ratio(app.median(), twin.median()) };
        row(name, &spread(&app, digits), &spread(&twin, digits), &quotient)
    }
}

impl CountResult {
    /// Both modes side by side: instructions for each request, and their ratio.
    pub fn table(&self) -> String {
        let loads: &[Counted] = self.boots.first().map_or(&[], |boot| &boot.loads);
        let requests = loads.iter().map(|load| load.requests).max().unwrap_or_default();
        let mut text = format!(
            "{}: instructions/request of server, client and kernel; {requests} requests after {} to warm up; {} boots of each mode\n",
            self.server, self.warm_up, self.rounds,
        );
        text += &row("", "app mode", "twin", "app/twin");
        for (i, load) in loads.iter().enumerate() {
            let each = |boot: &CountBoot| boot.loads.get(i).map_or(f64::NAN, |load| load.instructions_per_request);
            let [app, twin] = by_mode(self.boots.iter().map(|boot| (boot.mode, each(boot))));
            text += &row(
                &load.name(),
                &spread(&app, 1),
                &spread(&twin, 1),
                &format!("{:.4}", app.median() / twin.median()),
            );
        }
        text
    }
}

/// The samples of app mode and of the twin.
fn by_mode(samples: impl Iterator<Item = (Mode, f64)>) -> [Measure; 2] {
    let samples: Vec<(Mode, f64)> = samples.collect();
    BOTH.map(|mode| {
        let samples = samples.iter().filter(|(of, _)| *of == mode).map(|(_, sample)| *sample).collect();
        Measure { name: "", unit: "", samples }
    })
}

fn depth(load: &Sample) -> usize {
    load.depth
}

pub(super) fn row(name: &str, app: &str, twin: &str, quotient: &str) -> String {
    format!("{name:<32} {app:>28} {twin:>28} {quotient:>9}\n")
}

fn ratio(app: f64, twin: f64) -> String {
    format!("{:.2}", app / twin)
}

fn spread(measure: &Measure, digits: usize) -> String {
    let (least, most) = measure.range();
    format!("{:.digits$} ({least:.digits$} to {most:.digits$})", measure.median())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_stand_side_by_side_with_a_ratio_that_shows_a_thousandth() {
        let boot = |mode, instructions| {
            let instructions_per_request = instructions as f64 / 10.0;
            let load =
                Counted { connections: 8, depth: 1, requests: 10, instructions, instructions_per_request, idle_ns: 0 };
            CountBoot { mode, round: 1, loads: vec![load], end: "exited 0".into() }
        };
        let boots = vec![boot(Mode::App, 10_020), boot(Mode::Twin, 10_000)];
        let report =
            CountResult { server: "redis", rounds: 1, warm_up: 1, kernel: "6.12".into(), boots, qemu: [].into() };
        let table = report.table();
        let row: Vec<&str> = table.lines().nth(2).unwrap().split_whitespace().collect();
        assert_eq!(row.join(" "), "8 connections, 1 deep 1002.0 (1002.0 to 1002.0) 1000.0 (1000.0 to 1000.0) 1.0020");
    }

    #[test]
    fn both_modes_stand_side_by_side_with_their_spread() {
        let boot = |mode, requests_per_s| {
            let load = Sample {
                depth: 16,
                seconds: 1.0,
                requests_per_s,
                p50_us: 1500,
                p99_us: 3000,
                qemu_us_per_request: 50.0,
            };
            let (available_kib, end) = ([1000, 996], "exited 0".into());
            ServeBoot { mode, round: 1, first_answer_s: 1.5, loads: vec![load], available_kib, end }
        };
        let boots =
            vec![boot(Mode::App, 300.0), boot(Mode::Twin, 200.0), boot(Mode::App, 100.0), boot(Mode::Twin, 50.0)];
        let report = ServeResult {
            server: "redis",
            rounds: 2,
            requests: 1000,
            warm_up: 100,
            connections: 4,
            kernel: "6.12".into(),
            load_average: [0.5, 1.0],
            boots,
            least_memory_mib: [(Mode::App, 40), (Mode::Twin, 50)].into(),
            bytes: [("bzImage", 2_000_000), ("initrd", 7), ("initrd with twin", 9)].into(),
            qemu: [].into(),
        };
        let table = report.table();
        let squeezed: Vec<String> =
            table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        for want in [
            "first answer (s) 1.50 (1.50 to 1.50) 1.50 (1.50 to 1.50) 1.00",
            "16 deep: requests/s 200 (100 to 300) 125 (50 to 200) 1.60",
            "16 deep: p99 (ms) 3.00 (3.00 to 3.00) 3.00 (3.00 to 3.00) 1.00",
            "memory taken (KiB) 4 (4 to 4) 4 (4 to 4)",
            "least memory (MiB) 40 50 0.80",
            "initrd (bytes) 7 9",
        ] {
            assert!(squeezed.iter().any(|line| line == want), "no `{want}` in\n{table}");
        }
    }
}
