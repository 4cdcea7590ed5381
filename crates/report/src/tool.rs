//! What `ukl --json bench …` and `ukl --json test` print, as what is recorded of it: every sample, and no path of a machine.

use anyhow::{bail, Context, Result};
use serde_json::Value;

use crate::record::{Recording, Row};
use crate::values::Values;

/// The modes of a comparison, as the tool names them, and the columns that they become.
const MODES: [(&str, &str); 2] = [("app", "app mode"), ("twin", "twin")];

/// What `ukl bench count --against debian` compares, and the columns that they become.
pub const SETUPS: [(&str, &str); 5] = [
    ("debian", "Debian"),
    ("unmitigated", "Debian, `mitigations=off`"),
    ("kernel", "our kernel, Debian's program"),
    ("twin", "twin"),
    ("app", "app mode"),
];

/// What the tool does not say about a measurement.
#[derive(Debug, Clone)]
pub struct Circumstances {
    /// The day, as 2026-11-25.
    pub measured: String,
    /// Processors, distribution, QEMU.
    pub machine: String,
}

/// The recording of one `ukl --json bench …`.
pub fn recording(json: &str, circumstances: Circumstances) -> Result<Recording> {
    let result = result(json)?;
    let name = |key: &str| result.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let rounds = result.get("rounds").and_then(Value::as_u64).unwrap_or_default();
    let libc = result.get("libc").and_then(Value::as_str).map(|libc| format!(" --libc {libc}")).unwrap_or_default();
    let mut note = None;
    let (what, command, columns, rows) = if let Some(measures) = result.get("measures") {
        let rows = list(measures)?.iter().map(measure).collect::<Result<_>>()?;
        ("hello".into(), format!("ukl bench build --rounds {rounds}"), vec!["hello".to_owned()], rows)
    } else if let Some(ways) = result.get("ways") {
        let rows = list(ways)?.iter().map(measure).collect::<Result<_>>()?;
        ("a mebibyte of output".into(), format!("ukl bench output --rounds {rounds}"), vec!["1 MiB".to_owned()], rows)
    } else if let Some(calls) = result.get("calls") {
        let rows = list(calls)?.iter().map(call).collect::<Result<_>>()?;
        ("single operations".into(), "ukl bench calls".into(), both(), rows)
    } else if result.get("connections").is_some() {
        let requests = number(&result, "requests")?;
        let command = format!("ukl bench serve {}{libc} --rounds {rounds} --requests {requests}", name("server"));
        (
            format!("{}, {} connections", name("server"), number(&result, "connections")?),
            command,
            both(),
            served(&result)?,
        )
    } else if result.get("setups").is_some() {
        let command = format!("ukl bench count {}{libc} --against debian --rounds {rounds}", name("server"));
        note = Some(packages(&result, &name("server"))?);
        let (columns, rows) = against(&result)?;
        (name("server"), command, columns, rows)
    } else if result.get("boots").is_some() {
        let command = format!("ukl bench count {}{libc} --rounds {rounds}", name("server"));
        (name("server"), command, both(), counted(&result)?)
    } else {
        bail!("this is not a result of `ukl --json bench`");
    };
    let Circumstances { measured, mut machine } = circumstances;
    if let Some([first, last]) = result.get("load_average").and_then(Value::as_array).map(Vec::as_slice) {
        machine += &format!("; load average {first} to {last}");
    }
    Ok(Recording { what, command, measured, machine, note, columns, rows })
}

/// The results of one `ukl --json test` as the lines of `results.txt`: verdict, how the case ended in each mode, name.
pub fn results(json: &str) -> Result<String> {
    let result = result(json)?;
    let mut text =
        "# The conformance suite, by `ukl --json test`: verdict, how the case ended in ring 3, in app mode, name.\n"
            .to_owned();
    for case in list(result.get("cases").context("this is not a result of `ukl --json test`")?)? {
        let word = |key: &str| case.get(key).and_then(Value::as_str).with_context(|| format!("a case without `{key}`"));
        let ends = list(case.get("ends").context("a case without `ends`")?)?;
        let ends: String = ends.iter().map(|end| format!("{:<10} ", end.as_str().unwrap_or_default())).collect();
        text += &format!("{:<8} {ends}{}\n", word("verdict")?, word("case")?);
    }
    Ok(text)
}

fn result(json: &str) -> Result<Value> {
    let answer: Value = serde_json::from_str(json).context("standard input is not what `ukl --json` prints")?;
    let result = answer.get("result").context("`ukl` reported an error, or this is not its output")?;
    Ok(result.clone())
}

fn both() -> Vec<String> {
    MODES.map(|(_, column)| column.to_owned()).to_vec()
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().context("a list is wanted")
}

fn number(value: &Value, key: &str) -> Result<f64> {
    value.get(key).and_then(Value::as_f64).with_context(|| format!("no number `{key}`"))
}

/// A row with the samples of both modes.
fn row(name: String, unit: &str, digits: usize, values: Vec<Values>) -> Row {
    Row { name, unit: unit.into(), digits, values, quotient: None }
}

fn measure(measure: &Value) -> Result<Row> {
    let word =
        |key: &str| measure.get(key).and_then(Value::as_str).with_context(|| format!("a measure without `{key}`"));
    let unit = word("unit")?;
    let samples = list(measure.get("samples").context("a measure without samples")?)?;
    let digits = if matches!(unit, "bytes" | "MiB") { 0 } else { 2 };
    let samples = samples.iter().filter_map(Value::as_f64).collect();
    Ok(row(word("name")?.to_owned(), unit, digits, vec![Values::Samples(samples)]))
}

fn call(call: &Value) -> Result<Row> {
    let name = call.get("name").and_then(Value::as_str).context("a call without a name")?;
    let values = MODES.iter().map(|(mode, _)| Ok(Values::Samples(vec![number(call, mode)?]))).collect::<Result<_>>()?;
    Ok(row(name.to_owned(), "instructions", 0, values))
}

/// The samples of each mode: what `get` finds in each of its boots.
fn samples(result: &Value, get: impl Fn(&Value) -> Result<f64>) -> Result<Vec<Values>> {
    MODES.iter().map(|(mode, _)| samples_of(result, "mode", mode, &get)).collect()
}

/// What `get` finds in each boot that has the `word` under `key`.
fn samples_of(result: &Value, key: &str, word: &str, get: impl Fn(&Value) -> Result<f64>) -> Result<Values> {
    let boots = list(result.get("boots").context("no boots")?)?;
    let boots = boots.iter().filter(|boot| boot.get(key).and_then(Value::as_str) == Some(word));
    Ok(Values::Samples(boots.map(get).collect::<Result<_>>()?))
}

/// The loads of the first boot, which are those of all.
fn loads(result: &Value) -> Result<Vec<Value>> {
    let boots = list(result.get("boots").context("no boots")?)?;
    let first = boots.first().and_then(|boot| boot.get("loads")).context("no boot with loads")?;
    Ok(list(first)?.clone())
}

fn load_at(boot: &Value, i: usize) -> Result<&Value> {
    boot.get("loads").and_then(|loads| loads.get(i)).context("a boot without this load")
}

fn counted(result: &Value) -> Result<Vec<Row>> {
    counted_in(result, |get| samples(result, get))
}

/// A row for each load: the instructions of each request, in the boots that `samples` chooses.
fn counted_in(
    result: &Value,
    samples: impl Fn(&dyn Fn(&Value) -> Result<f64>) -> Result<Vec<Values>>,
) -> Result<Vec<Row>> {
    let named = |(i, load): (usize, &Value)| {
        let (connections, depth) = (number(load, "connections")?, number(load, "depth")?);
        let plural = if connections == 1.0 { "" } else { "s" };
        let name = format!("{connections} connection{plural}, {depth} deep");
        let values = samples(&|boot| number(load_at(boot, i)?, "instructions_per_request"))?;
        Ok(row(name, "instructions/request", 0, values))
    };
    loads(result)?.iter().enumerate().map(named).collect()
}

/// The setups that took part, and their rows.
fn against(result: &Value) -> Result<(Vec<String>, Vec<Row>)> {
    let named = list(result.get("setups").context("no setups")?)?;
    let names = named.iter().filter_map(|setup| setup.get("name").and_then(Value::as_str)).collect::<Vec<_>>();
    let column = |name: &&str| {
        let known = SETUPS.iter().find(|(setup, _)| setup == name);
        known.map(|(_, column)| (*column).to_owned()).with_context(|| format!("the setup `{name}` is not known here"))
    };
    let columns = names.iter().map(column).collect::<Result<_>>()?;
    let rows = counted_in(result, |get| names.iter().map(|name| samples_of(result, "setup", name, get)).collect())?;
    Ok((columns, rows))
}

/// The packages that decide most: the kernel, the server's own, its C library.
fn packages(result: &Value, server: &str) -> Result<String> {
    let all = result.get("packages").and_then(Value::as_object).context("no packages")?;
    let decides = |name: &str| name.starts_with("linux-image-") || name.starts_with(server) || name == "libc6";
    let version = |(name, version): (&String, &Value)| format!("{name} {}", version.as_str().unwrap_or_default());
    let named: Vec<String> = all.iter().filter(|(name, _)| decides(name)).map(version).collect();
    Ok(format!("{server}: {}.", named.join(", ")))
}

/// Name, unit, digits, key and divisor of what is recorded of a load.
const LOAD: [(&str, &str, usize, &str, f64); 4] = [
    ("requests", "1/s", 0, "requests_per_s", 1.0),
    ("p50", "ms", 2, "p50_us", 1000.0),
    ("p99", "ms", 2, "p99_us", 1000.0),
    ("QEMU CPU", "µs/request", 1, "qemu_us_per_request", 1.0),
];

fn served(result: &Value) -> Result<Vec<Row>> {
    let first = samples(result, |boot| number(boot, "first_answer_s"))?;
    let mut rows = vec![row("first answer".into(), "s", 2, first)];
    for (i, load) in loads(result)?.iter().enumerate() {
        let depth = number(load, "depth")?;
        for (name, unit, digits, key, divisor) in LOAD {
            let values = samples(result, |boot| Ok(number(load_at(boot, i)?, key)? / divisor))?;
            rows.push(row(format!("{depth} deep: {name}"), unit, digits, values));
        }
    }
    let bytes = result.get("bytes").context("no sizes")?;
    let initrd = ["initrd", "initrd with twin"].map(|key| Ok(Values::Samples(vec![number(bytes, key)?])));
    rows.push(row("initrd".into(), "bytes", 0, initrd.into_iter().collect::<Result<_>>()?));
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> Circumstances {
        Circumstances { measured: "2026-11-25".into(), machine: "a machine".into() }
    }

    #[test]
    fn counts_keep_every_sample_and_no_path() {
        let boot = |mode, n| {
            format!(
                r#"{{"mode": "{mode}", "round": 1, "end": "exited 0",
                "loads": [{{"connections": 8, "depth": 1, "requests": 10, "instructions_per_request": {n}}}]}}"#
            )
        };
        let boots = [boot("app", 10), boot("twin", 20), boot("app", 12), boot("twin", 24)].join(",");
        let json = format!(
            r#"{{"ukl": "0", "command": "bench", "exit_code": 0, "result": {{"server": "redis", "rounds": 2, "libc": "glibc",
            "qemu": {{"app": "qemu -kernel /home/me/vmlinux"}}, "boots": [{boots}]}}}}"#
        );
        let recording = recording(&json, here()).unwrap();
        assert_eq!(recording.command, "ukl bench count redis --libc glibc --rounds 2");
        assert_eq!(recording.rows[0].name, "8 connections, 1 deep");
        assert_eq!(recording.rows[0].values, [Values::Samples(vec![10.0, 12.0]), Values::Samples(vec![20.0, 24.0])]);
        assert!(!recording.text().unwrap().contains("/home"));
    }

    #[test]
    fn what_is_compared_becomes_columns_and_its_packages_a_note() {
        let boot = |setup, n| {
            format!(
                r#"{{"setup": "{setup}", "round": 1,
                "loads": [{{"connections": 1, "depth": 16, "instructions_per_request": {n}}}]}}"#
            )
        };
        let boots = [boot("debian", 10), boot("app", 6)].join(",");
        let json = format!(
            r#"{{"result": {{"server": "redis", "rounds": 1, "packages": {{"libc6": "2", "redis-server": "7", "x": "1"}},
            "setups": [{{"name": "debian"}}, {{"name": "app"}}], "boots": [{boots}]}}}}"#
        );
        let recording = super::recording(&json, here()).unwrap();
        assert_eq!(recording.columns, ["Debian", "app mode"]);
        assert_eq!(recording.rows[0].values, [Values::Samples(vec![10.0]), Values::Samples(vec![6.0])]);
        assert_eq!(recording.note.as_deref(), Some("redis: libc6 2, redis-server 7."));
        assert!(super::recording(&json.replace("\"debian\"", "\"hurd\""), here()).is_err());
    }

    #[test]
    fn serving_is_recorded_in_the_units_of_the_table() {
        let boot = |mode| {
            format!(
                r#"{{"mode": "{mode}", "first_answer_s": 0.5, "loads": [{{"depth": 16, "requests_per_s": 100.5,
                "p50_us": 1500, "p99_us": 3000, "qemu_us_per_request": 7.5}}]}}"#
            )
        };
        let json = format!(
            r#"{{"result": {{"server": "redis", "rounds": 1, "requests": 30, "connections": 16, "load_average": [0.5, 1],
            "bytes": {{"initrd": 7, "initrd with twin": 9}}, "boots": [{}, {}]}}}}"#,
            boot("app"),
            boot("twin"),
        );
        let recording = recording(&json, here()).unwrap();
        assert_eq!(recording.machine, "a machine; load average 0.5 to 1");
        let names: Vec<_> = recording.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names[..3], ["first answer", "16 deep: requests", "16 deep: p50"]);
        assert_eq!(recording.row("16 deep: p50").unwrap().values[0], Values::Samples(vec![1.5]));
        assert_eq!(recording.row("initrd").unwrap().values[1], Values::Samples(vec![9.0]));
    }

    #[test]
    fn a_suite_is_recorded_case_by_case() {
        let json = r#"{"result": {"cases": [{"case": "tcp_echo", "ends": ["exit=0", "exit=0"], "verdict": "same"}]}}"#;
        assert_eq!(results(json).unwrap().lines().last(), Some("same     exit=0     exit=0     tcp_echo"));
    }

    #[test]
    fn anything_else_is_an_error() {
        assert!(recording("{}", here()).unwrap_err().to_string().contains("not its output"));
        assert!(recording(r#"{"result": {"guests": []}}"#, here()).is_err());
        assert!(results(r#"{"result": {"guests": []}}"#).is_err());
        assert!(recording("hello", here()).is_err());
    }
}
