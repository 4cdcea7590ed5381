//! What stands in each marked place of a page, by the name that the page gives it.

use anyhow::{bail, Context, Result};

use crate::markdown::{comparison, number, spread, table};
use crate::record::{verdicts, Recording, Results};
use crate::tool::SETUPS;
use crate::Files;

/// Servers that are measured.
pub const SERVERS: [&str; 4] = ["redis", "memcached", "nginx", "tcp_server"];
/// The column of app mode with the other C library.
pub const GLIBC: &str = "app mode, glibc";
/// Public suites: name, title, where the results are.
const SUITES: [(&str, &str); 2] = [("posix", "Open POSIX Test Suite 1.5.2"), ("uring", "liburing 2.3")];

/// What `ukl bench calls` measures under its short names.
const CALLS: [(&str, &str); 7] = [
    ("nothing", "nothing: the loop alone"),
    ("read", "`read`, a byte of `/dev/zero`"),
    ("write", "`write`, a byte to `/dev/null`"),
    ("pipe", "`pipe`: a byte to another process and one back"),
    ("fault", "`fault`: the first write to a page"),
    ("signal", "`signal`: `raise` and a handler, four system calls"),
    ("timer", "`timer`: an interrupt of the timer"),
];

/// The text of the block `name`. Error: there is no such block, or what it is made from is missing.
pub fn block(name: &str, files: &Files) -> Result<String> {
    match name.split_once(' ').unwrap_or((name, "")) {
        ("serve", server) => serve(files, server),
        ("count", "") => count(files),
        ("against", "") => against(files, |_| true),
        ("against", "one connection") => against(files, |row| row.starts_with("1 connection,")),
        ("calls", "") => calls(files),
        ("getppid", "") => getppid(files),
        ("build", "") => Ok(comparison(&Recording::read(files, "build")?, "", None)),
        ("output", "") => output(files),
        ("sizes", "") => sizes(files),
        ("million", "") => Ok(comparison(&Recording::read(files, "million")?, "", None)),
        ("guest", "") => guest(files),
        ("suites", "") => suites(files),
        ("results", name) => results(files, name),
        ("measured", recording) => measured(files, recording),
        ("notes", recordings) => notes(files, recordings),
        _ => bail!("there is no block of this name"),
    }
}

fn serve(files: &Files, server: &str) -> Result<String> {
    let name = format!("serve-{server}");
    let recording = Recording::read(files, &name)?;
    Ok(format!("{}\n{}", comparison(&recording, server, Some(2)), measured(files, &name)?))
}

fn count(files: &Files) -> Result<String> {
    let mut all: Option<Recording> = None;
    for server in SERVERS {
        let mut recording = Recording::read(files, &format!("count-{server}"))?;
        for row in &mut recording.rows {
            (row.name, row.unit) = (format!("{server}: {}", row.name), String::new());
        }
        match &mut all {
            None => all = Some(recording),
            Some(all) => all.rows.extend(recording.rows),
        }
    }
    Ok(comparison(&all.context("no servers")?, "instructions/request", Some(4)))
}

/// What people run today beside ours, and app mode with glibc, from a recording of its own.
pub fn compared(files: &Files, server: &str) -> Result<Recording> {
    let mut recording = Recording::read(files, &format!("against-{server}"))?;
    let glibc = Recording::read(files, &format!("count-{server}-glibc"))?;
    recording.columns.push(GLIBC.to_owned());
    for row in &mut recording.rows {
        row.values.push(glibc.row(&row.name)?.values.first().context("a row without values")?.clone());
    }
    Ok(recording)
}

/// Every setup's medians, divided by the first's.
fn against(files: &Files, wanted: impl Fn(&str) -> bool) -> Result<String> {
    let columns: Vec<&str> = SETUPS.iter().map(|(_, column)| *column).chain([GLIBC]).collect();
    let mut rows = vec![["instructions/request"].iter().chain(&columns).map(|&word| word.to_owned()).collect()];
    for server in SERVERS {
        let recording = compared(files, server)?;
        for row in recording.rows.iter().filter(|row| wanted(&row.name)) {
            let medians: Vec<f64> = row.values.iter().map(|values| values.summary().median).collect();
            let cell = |column: &&str| {
                let at = recording.columns.iter().position(|name| name == column);
                let median = at.and_then(|at| medians.get(at));
                median.map_or(String::new(), |median| format!("{} ({:.2})", number(*median, 0), median / medians[0]))
            };
            rows.push([format!("{server}: {}", row.name)].into_iter().chain(columns.iter().map(cell)).collect());
        }
    }
    Ok(table(&rows))
}

fn calls(files: &Files) -> Result<String> {
    let recording = Recording::read(files, "calls")?;
    let mut rows = vec![["instructions", "app mode", "twin", "app-twin"].map(str::to_owned).to_vec()];
    for row in &recording.rows {
        let medians: Vec<f64> = row.values.iter().map(|values| values.summary().median).collect();
        let [app, twin] = medians.as_slice() else { bail!("`{}` has not two values", row.name) };
        let known = CALLS.iter().find(|(name, _)| *name == row.name);
        let name = known.map_or(format!("`{}`", row.name), |(_, text)| (*text).to_owned());
        rows.push(vec![name, number(*app, 0), number(*twin, 0), number(app - twin, 0)]);
    }
    Ok(table(&rows))
}

/// The cheapest system call, in a sentence.
fn getppid(files: &Files) -> Result<String> {
    let recording = Recording::read(files, "calls")?;
    let [app, twin] = recording.row("getppid")?.values.as_slice() else { bail!("`getppid` has not two values") };
    let (app, twin) = (app.summary().median, twin.summary().median);
    Ok(format!(
        "A `getppid` takes {} instructions in app mode and {} in ring 3, the loop around it included.\n",
        number(app, 0),
        number(twin, 0)
    ))
}

fn sizes(files: &Files) -> Result<String> {
    let (memory, bytes) = (Recording::read(files, "memory")?, Recording::read(files, "bzimage")?);
    let mut rows =
        vec![["", "`bzImage` (bytes)", "least memory: app mode (MiB)", "twin (MiB)"].map(str::to_owned).to_vec()];
    for server in SERVERS {
        let mut row = vec![server.to_owned()];
        row.extend(bytes.row(server)?.values.iter().chain(&memory.row(server)?.values).map(|v| spread(v, 0)));
        rows.push(row);
    }
    Ok(table(&rows))
}

/// Both ways out of the guest, and the quotient of their medians in a sentence.
fn output(files: &Files) -> Result<String> {
    let recording = Recording::read(files, "output")?;
    let median = |name| Ok::<_, anyhow::Error>(recording.row(name)?.values[0].summary().median);
    let times = median("by the serial console")? / median("by the port")?;
    let table = comparison(&recording, "seconds", None);
    Ok(format!("{table}\nBy the medians, the port is {} times as fast.\n", number(times, 0)))
}

fn counts(verdicts: &[&str], words: &[&str]) -> Vec<usize> {
    words.iter().map(|word| verdicts.iter().filter(|verdict| *verdict == word).count()).collect()
}

fn guest(files: &Files) -> Result<String> {
    let all = verdicts(files, "tests/conformance/results.txt")?;
    let found = counts(&all, &["same", "known"]);
    let [same, known] = found.as_slice() else { bail!("two words have two counts") };
    anyhow::ensure!(
        !all.is_empty() && same + known == all.len(),
        "tests/conformance/results.txt: not every case is `same` or `known`"
    );
    Ok(format!(
        "Of {} cases {same} answer the same in ring 3 and in app mode; {known} differ, each for a reason that `tests/conformance/known.txt` gives.\n",
        all.len()
    ))
}

fn suites(files: &Files) -> Result<String> {
    let head = ["suite", "cases", "passed in both", "fail in both", "do not apply", "differ"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (name, title) in SUITES {
        let all = verdicts(files, &format!("tests/suites/{name}/results.txt"))?;
        let mut row = vec![format!("`{name}`: {title}"), all.len().to_string()];
        row.extend(counts(&all, &["passed", "fails", "skipped", "differs"]).iter().map(usize::to_string));
        rows.push(row);
    }
    Ok(table(&rows))
}

fn results(files: &Files, name: &str) -> Result<String> {
    let Results { measured, machine, columns, rows, .. } = Results::read(files, name)?;
    let rows: Vec<_> = [columns].into_iter().chain(rows).collect();
    Ok(format!("{}\n{measured}. {machine}.\n", table(&rows)))
}

/// How, when and where a recording was made.
fn measured(files: &Files, name: &str) -> Result<String> {
    let recording = Recording::read(files, name)?;
    Ok(format!("`{}`, {}. {}.\n", recording.command, recording.measured, recording.machine))
}

/// What readers of these recordings must know, each remark once.
fn notes(files: &Files, names: &str) -> Result<String> {
    let mut notes: Vec<String> = Vec::new();
    for name in names.split(' ') {
        let note = Recording::read(files, name)?.note.unwrap_or_default();
        if !note.is_empty() && !notes.contains(&note) {
            notes.push(note);
        }
    }
    Ok(notes.iter().map(|note| format!("{note}\n")).collect())
}
