//! Plots of recorded measurements: every sample is a dot where it was kept, the range a line where it was not.

use anyhow::{bail, Context, Result};

use crate::blocks::{compared, GLIBC, SERVERS};
use crate::drawing::{Anchor, Drawing};
use crate::markdown::number;
use crate::record::{Recording, Row};
use crate::values::Values;
use crate::Files;

/// Left and right end of the plotting area, in a picture 680 wide.
const AREA: (f64, f64) = (190.0, 560.0);
const WIDTH: f64 = 680.0;
/// App mode and the twin, and their classes.
const MODES: [(&str, &str); 2] = [("app mode", "app"), ("twin in ring 3", "twin")];

/// Every plot with its name.
pub fn all(files: &Files) -> Result<Vec<(&'static str, Drawing)>> {
    Ok(vec![("serve", serve(files)?), ("count", count(files)?), ("against", against(files)?)])
}

/// What a plot shows of one quantity.
struct Bar {
    median: f64,
    range: Option<(f64, f64)>,
    samples: Vec<f64>,
}

impl Bar {
    /// Everything divided by `base`.
    fn of(values: &Values, base: f64) -> Self {
        let summary = values.summary();
        let range = summary.least.zip(summary.most).map(|(least, most)| (least / base, most / base));
        let samples = values.samples().iter().map(|sample| sample / base).collect();
        Bar { median: summary.median / base, range, samples }
    }
}

/// An axis from left to right.
struct Axis {
    from: f64,
    to: f64,
    step: f64,
}

/// Steps between two lines of an axis, and their digits behind the point.
const STEPS: [(f64, usize); 6] = [(0.01, 2), (0.02, 2), (0.05, 2), (0.1, 1), (0.2, 1), (0.5, 1)];
/// With more lines than this, their numbers would cover each other.
const LINES_MAX: f64 = 10.0;

impl Axis {
    fn x(&self, value: f64) -> f64 {
        let x = AREA.0 + (value - self.from) / (self.to - self.from) * (AREA.1 - AREA.0);
        // A tenth of a pixel is enough, and the same on every machine.
        (x * 10.0).round() / 10.0
    }

    /// An axis around `values` whose ends are whole steps.
    fn around(values: impl Iterator<Item = f64>) -> Self {
        let (least, most) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        let with = |step: f64| Axis { from: (least / step).floor() * step, to: (most / step).ceil() * step, step };
        let mut axes = STEPS.map(|(step, _)| with(step)).into_iter();
        axes.find(|axis| (axis.to - axis.from) / axis.step <= LINES_MAX).unwrap_or_else(|| with(1.0))
    }

    fn draw(&self, d: &mut Drawing, y: (f64, f64), caption: &str) {
        let step = self.step;
        let digits = STEPS.iter().find(|(known, _)| *known == step).map_or(0, |(_, digits)| *digits);
        let steps = ((self.to - self.from) / step).round() as usize;
        for i in 0..=steps {
            let value = self.from + step * i as f64;
            let is_one = (value - 1.0).abs() < step / 100.0;
            let x = self.x(value);
            d.line(if is_one { "line" } else { "grid" }, &[(x, y.0), (x, y.1)]);
            d.text("small soft", Anchor::Middle, (x, y.1 + 18.0), &format!("{value:.digits$}"));
        }
        d.text("small", Anchor::Middle, ((AREA.0 + AREA.1) / 2.0, y.1 + 38.0), caption);
    }
}

/// Requests per second of each server, relative to its twin.
fn serve(files: &Files) -> Result<Drawing> {
    let mut servers = Vec::new();
    for name in SERVERS {
        let recording = Recording::read(files, &format!("serve-{name}"))?;
        let values = recording.row("16 deep: requests")?.values.clone();
        let [_, twin] = values.as_slice() else { bail!("{name}: two modes are wanted") };
        let base = twin.summary().median;
        let bars: Vec<Bar> = values.iter().map(|values| Bar::of(values, base)).collect();
        servers.push((name, base, bars));
    }
    let height = 58.0 + 56.0 * SERVERS.len() as f64 + 58.0;
    let title = "Requests per second of four servers in app mode and in ring 3, with their spread";
    let mut d = Drawing::new(WIDTH, height, title);
    let ends = servers.iter().flat_map(|(_, _, bars)| bars).flat_map(|bar| {
        let (least, most) = bar.range.unwrap_or((bar.median, bar.median));
        [least, most]
    });
    let axis = Axis::around(ends);
    let caption = "requests per second, relative to the twin's median: more is better";
    axis.draw(&mut d, (46.0, height - 58.0), caption);
    for (i, (name, class)) in MODES.iter().enumerate() {
        let x = AREA.0 + 10.0 + 170.0 * i as f64;
        d.dot(class, (x, 24.0), 5.0);
        d.text("small", Anchor::Start, (x + 12.0, 28.0), name);
    }
    d.text("small soft", Anchor::End, (WIDTH - 12.0, 28.0), "median");
    for (i, (name, base, bars)) in servers.iter().enumerate() {
        let y = 72.0 + 56.0 * i as f64;
        d.text("strong", Anchor::End, (AREA.0 - 24.0, y + 5.0), name);
        for (j, bar) in bars.iter().enumerate() {
            let y = y - 10.0 + 20.0 * j as f64;
            spread(&mut d, &axis, MODES[j].1, y, bar);
            let median = format!("{}/s", number(bar.median * base, 0));
            d.text("small", Anchor::End, (WIDTH - 12.0, y + 4.0), &median);
        }
    }
    Ok(d)
}

/// A line from the least to the most, small dots for the samples, a dot at the median.
fn spread(d: &mut Drawing, axis: &Axis, class: &str, y: f64, bar: &Bar) {
    if let Some((least, most)) = bar.range {
        let (least, most, ranged) = (axis.x(least), axis.x(most), format!("{class}-range"));
        d.line(&ranged, &[(least, y), (most, y)]);
        d.line(&ranged, &[(least, y - 4.0), (least, y + 4.0)]);
        d.line(&ranged, &[(most, y - 4.0), (most, y + 4.0)]);
    }
    for sample in &bar.samples {
        d.dot(&format!("{class}-sample"), (axis.x(*sample), y), 4.0);
    }
    d.dot(class, (axis.x(bar.median), y), 5.0);
}

/// Instructions per request in app mode, divided by the twin's of the same round.
fn count(files: &Files) -> Result<Drawing> {
    let mut rows = Vec::new();
    for server in SERVERS {
        let recording = Recording::read(files, &format!("count-{server}"))?;
        rows.extend(recording.rows.into_iter().enumerate().map(|(i, row)| ((i == 0).then_some(server), row)));
    }
    let quotients: Vec<(f64, Vec<f64>)> = rows.iter().map(|(_, row)| paired(row)).collect::<Result<_>>()?;
    let height = 56.0 + 24.0 * rows.len() as f64 + 58.0;
    let title = "Instructions for each request in app mode, divided by those of the twin; every round is a dot";
    let mut d = Drawing::new(WIDTH, height, title);
    let axis =
        Axis::around(quotients.iter().flat_map(|(median, all)| all.iter().chain([median])).copied().chain([1.0]));
    let caption = "instructions per request, app mode divided by twin: less is better";
    axis.draw(&mut d, (36.0, height - 58.0), caption);
    d.text("small soft", Anchor::End, (AREA.0 - 16.0, 24.0), "connections × depth");
    d.text("small soft", Anchor::End, (WIDTH - 12.0, 24.0), "median");
    for (i, ((server, row), (median, all))) in rows.iter().zip(&quotients).enumerate() {
        let y = 52.0 + 24.0 * i as f64;
        if let Some(server) = server {
            d.text("small strong", Anchor::Start, (12.0, y + 4.0), server);
        }
        let load =
            row.name.replace(" connections", "").replace(" connection", "").replace(" deep", "").replace(", ", " × ");
        d.text("small", Anchor::End, (AREA.0 - 16.0, y + 4.0), &load);
        for quotient in all {
            d.dot("app-sample", (axis.x(*quotient), y), 4.0);
        }
        d.line("app-range", &[(axis.x(*median), y - 7.0), (axis.x(*median), y + 7.0)]);
        d.text("small", Anchor::End, (WIDTH - 12.0, y + 4.0), &format!("{median:.4}"));
    }
    Ok(d)
}

/// What people run today and what each difference buys: instructions per request, divided by Debian's median.
fn against(files: &Files) -> Result<Drawing> {
    const SHOWN: [(&str, &str, &str); 5] = [
        ("Debian, `mitigations=off`", "Debian, mitigations=off", "debian"),
        ("our kernel, Debian's program", "our kernel, Debian's program", "kernel"),
        ("twin", "twin in ring 3", "twin"),
        ("app mode", "app mode", "app"),
        (GLIBC, "app mode with glibc", "glibc"),
    ];
    let mut rows = Vec::new();
    for server in SERVERS {
        let recording = compared(files, server)?;
        for row in recording.rows.iter().filter(|row| row.name.starts_with("1 connection,")) {
            let base = row.values.first().with_context(|| format!("{server}: nothing was measured"))?.summary().median;
            let bars = SHOWN.iter().filter_map(|(column, _, class)| {
                let at = recording.columns.iter().position(|name| name == column)?;
                Some((*class, Bar::of(&row.values[at], base)))
            });
            rows.push((format!("{server}, {}", row.name.replace("1 connection, ", "")), bars.collect::<Vec<_>>()));
        }
    }
    let height = 86.0 + 30.0 * rows.len() as f64 + 58.0;
    let title = "Instructions for each request, divided by those of Debian's kernel with Debian's package";
    let mut d = Drawing::new(WIDTH, height, title);
    let axis = Axis::around(rows.iter().flat_map(|(_, bars)| bars).map(|(_, bar)| bar.median).chain([1.0]));
    axis.draw(
        &mut d,
        (74.0, height - 58.0),
        "instructions per request; Debian's kernel and package are 1: less is better",
    );
    for (i, (_, label, class)) in SHOWN.iter().enumerate() {
        let (x, y) = (16.0 + 220.0 * (i % 3) as f64, 24.0 + 24.0 * (i / 3) as f64);
        d.dot(class, (x, y), 5.0);
        d.text("small", Anchor::Start, (x + 12.0, y + 4.0), label);
    }
    d.text("small soft", Anchor::End, (WIDTH - 12.0, 52.0), "with glibc");
    for (i, (name, bars)) in rows.iter().enumerate() {
        let y = 92.0 + 30.0 * i as f64;
        d.text("small strong", Anchor::End, (AREA.0 - 24.0, y + 4.0), name);
        for (class, bar) in bars {
            spread(&mut d, &axis, class, y, bar);
        }
        if let Some((_, app)) = bars.last() {
            d.text("small", Anchor::End, (WIDTH - 12.0, y + 4.0), &format!("{:.2}", app.median));
        }
    }
    Ok(d)
}

/// The quotient of the medians, and that of each round: both modes of a round begin with the same seed.
fn paired(row: &Row) -> Result<(f64, Vec<f64>)> {
    let median = row.quotient().with_context(|| format!("`{}` has no two modes", row.name))?;
    let [app, twin, ..] = row.values.as_slice() else { return Ok((median, Vec::new())) };
    Ok((median, app.samples().iter().zip(twin.samples()).map(|(app, twin)| app / twin).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wider_the_values_the_wider_the_steps() {
        let axis = |values: &[f64]| {
            let axis = Axis::around(values.iter().copied());
            [axis.from, axis.to, axis.step].map(|value| (value * 100.0).round() as i64)
        };
        assert_eq!(axis(&[0.984, 1.003]), [98, 101, 1]);
        assert_eq!(axis(&[0.72, 1.04]), [70, 105, 5]);
        assert_eq!(axis(&[0.5, 1.5]), [50, 150, 10]);
        assert_eq!(axis(&[1.0, 40.0]), [100, 4000, 100]);
    }
}
