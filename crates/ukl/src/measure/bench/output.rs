//! How long a mebibyte of output takes on its way out of the guest: by the serial console and by the port of its own.

use super::Measure;
use crate::base::env::Env;
use crate::base::error::{fail, Class, Result};
use crate::base::workdir::{self, ImageDir};
use crate::boot::{self, Outcome};
use crate::image::folder::Image;
use crate::machine::{Input, Output, Request, What};
use crate::manifest::{self, Manifest};

const PROGRAM: (&str, &str) = ("output.c", include_str!("output.c"));
/// What the program writes.
const BYTES: usize = 1 << 20;
const WAYS: [(&str, Output); 2] = [("by the serial console", Output::Console), ("by the port", Output::Pipe)];

/// The manifest of the program that writes; its source is written to the image folder.
pub fn manifest(dir: &ImageDir) -> Result<Manifest> {
    let source = dir.stage("source").join(PROGRAM.0);
    workdir::write_atomic(&source, PROGRAM.1.as_bytes())?;
    manifest::from_files(&[source])
}

/// Boots the image of [`manifest`] in turn with each way out: the time from the first byte's arrival to the last one's.
///
/// Error (class `Boot`): the program ended otherwise than it should, or not every byte arrived.
pub fn output(env: &Env, image: &Image, rounds: usize) -> Result<Vec<Measure>> {
    let block: Vec<u8> = (b' '..=b'~').cycle().take(BYTES).collect();
    let mut measures = WAYS.map(|(name, _)| Measure { name, unit: "s", samples: Vec::new() });
    for _ in 0..rounds {
        for (measure, (name, way)) in measures.iter_mut().zip(WAYS) {
            let request = Request { attach: false, ..Request::new(What::Program(None)) };
            let run = boot::run_through(env, image, &request, (Input::None, way))?;
            let is_whole = run.console.windows(BYTES).any(|bytes| bytes == block);
            let (Outcome::Exited(0), true, Some(seconds)) = (&run.outcome, is_whole, run.output_s) else {
                let text = format!("{name}: the program ended with {:?}, all bytes arrived: {is_whole}", run.outcome);
                return Err(fail(Class::Boot, text).log(image.dir.console()).into());
            };
            measure.samples.push(seconds);
        }
    }
    Ok(measures.into())
}

/// The measures as a table, and how many times as fast the port is.
pub fn output_table(measures: &[Measure]) -> String {
    let mut text = super::table(measures);
    if let [console, port] = measures {
        text += &format!("the port is {:.0} times as fast, by the medians\n", console.median() / port.median());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_how_many_times_as_fast_the_port_is() {
        let measure = |name, samples: &[f64]| Measure { name, unit: "s", samples: samples.to_vec() };
        let text = output_table(&[measure("a", &[20.0, 30.0, 22.0]), measure("b", &[0.5, 0.4, 0.6])]);
        assert!(text.ends_with("the port is 44 times as fast, by the medians\n"), "{text}");
    }
}
