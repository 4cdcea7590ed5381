//! Recorded measurements in, tables and pictures out: nothing in this library touches a file.
//!
//! [`record`] reads what was recorded (`docs/data/`), [`blocks`] makes the tables of the documentation from it,
//! [`plot`] the plots, and [`pictures`] the drawings that need no data. [`page`] puts a table where a page asks for it.
//! The program `report` (`main.rs`) reads and writes the files.

pub mod blocks;
pub mod drawing;
pub mod markdown;
pub mod page;
pub mod pictures;
pub mod plot;
pub mod record;
pub mod tool;
pub mod values;

use std::collections::BTreeMap;

use anyhow::{Context, Result};

/// Recorded files: path from the top of the repository → text.
pub type Files = BTreeMap<String, String>;

/// Every picture: its file name in `docs/pictures/` and its SVG.
pub fn pictures(files: &Files) -> Result<Vec<(String, String)>> {
    let drawn = pictures::all().into_iter().chain(plot::all(files)?);
    drawn
        .map(|(name, drawing)| {
            let faults = drawing.faults();
            anyhow::ensure!(faults.is_empty(), "{name}:\n  {}", faults.join("\n  "));
            Ok((format!("{name}.svg"), drawing.svg()))
        })
        .collect()
}

/// `page` with every table that it asks for made anew.
pub fn page(page: &str, files: &Files) -> Result<String> {
    page::fill(page, |name| blocks::block(name, files).with_context(|| format!("block `{name}`")))
}
