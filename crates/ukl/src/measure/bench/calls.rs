//! Instructions of single system calls, faults and signals, in app mode and as the twin, in one boot.

use serde::Serialize;

use super::count;
use super::table;
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::workdir::{self, ImageDir};
use crate::boot::Outcome;
use crate::image::folder::Image;
use crate::machine::What;
use crate::manifest::{self, Manifest};
use crate::measure::pair;

/// The program that measures; what every operation includes.
const PROGRAM: (&str, &str) = ("calls.c", include_str!("calls/calls.c"));
const HEADER: (&str, &str) = ("calls.h", include_str!("calls/calls.h"));

/// Each operation and the file that has it: a new one is a file and a row.
const OPERATIONS: [(&str, &str); 9] = [
    ("nothing", include_str!("calls/nothing.c")),
    ("getppid", include_str!("calls/getppid.c")),
    ("read", include_str!("calls/read.c")),
    ("write", include_str!("calls/write.c")),
    ("clock_gettime", include_str!("calls/clock_gettime.c")),
    ("pipe", include_str!("calls/pipe.c")),
    ("fault", include_str!("calls/fault.c")),
    ("signal", include_str!("calls/signal.c")),
    ("timer", include_str!("calls/timer.c")),
];

/// What the program's lines begin with.
const SAYS: &str = "calls: ";

/// One operation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// Instructions in app mode, the call of a function and the loop around it included.
    pub app: f64,
    /// Instructions of the twin.
    pub twin: f64,
}

/// The manifest of the program that measures; its sources, which are part of this program, are written to the image folder.
pub fn manifest(dir: &ImageDir) -> Result<Manifest> {
    let folder = dir.stage("source");
    let table: String = OPERATIONS.iter().map(|(name, _)| format!("ROW({name})\n")).collect();
    for (name, text) in [PROGRAM, HEADER, ("table.h", &table)] {
        workdir::write_atomic(&folder.join(name), text.as_bytes())?;
    }
    let mut sources = vec![folder.join(PROGRAM.0)];
    for (name, text) in OPERATIONS {
        let source = folder.join(name).with_extension("c");
        workdir::write_atomic(&source, text.as_bytes())?;
        sources.push(source);
    }
    manifest::from_files(&sources)
}

/// Boots the image of [`manifest`] once. Error (class `Boot`): the program did not come to its end, the kernel complains.
pub fn calls(env: &Env, image: &Image) -> Result<Vec<Call>> {
    let run = count::boot(env, image, What::Both(None), 1)?;
    let text = String::from_utf8_lossy(&run.console);
    pair::no_complaint(&text, image.dir.console())?;
    if run.ends != [Outcome::Exited(0), Outcome::Exited(0)] {
        let text = format!("the program that measures ended otherwise than it should: {:?}", run.ends);
        return Err(fail(Class::Boot, text).log(image.dir.console()).into());
    }
    Ok(read(&text))
}

/// Both modes side by side, and the difference.
pub fn calls_table(calls: &[Call]) -> String {
    let number = |value: f64| format!("{value:.1}");
    let mut text = table::row("instructions", "app mode", "twin", "app-twin");
    for call in calls {
        text += &table::row(&call.name, &number(call.app), &number(call.twin), &number(call.app - call.twin));
    }
    text
}

/// The lines of both runs, side by side.
fn read(text: &str) -> Vec<Call> {
    let line = |line: &str| {
        let [name, operations, ticks] = *line.trim_end().strip_prefix(SAYS)?.split(' ').collect::<Vec<_>>() else {
            return None;
        };
        Some((name.to_owned(), ticks.parse::<f64>().ok()? / operations.parse::<f64>().ok()?))
    };
    let lines: Vec<(String, f64)> = text.lines().filter_map(line).collect();
    let (app, twin) = lines.split_at(lines.len() / 2);
    app.iter().zip(twin).map(|((name, app), (_, twin))| Call { name: name.clone(), app: *app, twin: *twin }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_is_a_file_that_names_it() {
        for (name, text) in OPERATIONS {
            assert!(text.contains(&format!("OPERATION({name}) = ")), "{name}");
        }
        let dir = tempfile::tempdir().unwrap();
        let manifest = manifest(&ImageDir::at(dir.path())).unwrap();
        assert_eq!((manifest.name.as_str(), manifest.sources.len()), ("calls", OPERATIONS.len() + 1));
    }

    #[test]
    fn both_runs_stand_side_by_side() {
        let lines = |ticks: [u32; 2]| format!("calls: read 200 {}\r\ncalls: write 200 {}\r\n", ticks[0], ticks[1]);
        let calls = read(&format!("x\n{}[   0.1] y\n{}", lines([40_000, 50_000]), lines([30_000, 50_100])));
        assert_eq!(calls[0], Call { name: "read".into(), app: 200.0, twin: 150.0 });
        assert_eq!((calls.len(), calls[1].name.as_str()), (2, "write"));
        let table = calls_table(&calls);
        let row: Vec<&str> = table.lines().nth(2).unwrap().split_whitespace().collect();
        assert_eq!(row, ["write", "250.0", "250.5", "-0.5"]);
    }
}
