//! Tables in Markdown, and numbers as people read them.

use crate::record::{Recording, Row};
use crate::values::{Summary, Values};

/// A table; the first row is its head.
pub fn table(rows: &[Vec<String>]) -> String {
    let Some((head, body)) = rows.split_first() else { return String::new() };
    let line = |cells: &Vec<String>| format!("| {} |\n", cells.join(" | "));
    let rule = format!("|{}\n", "---|".repeat(head.len()));
    line(head) + &rule + &body.iter().map(line).collect::<String>()
}

/// A recording's rows: a column for each of its own, and the quotient of the first two when `quotient` has its digits.
pub fn comparison(recording: &Recording, corner: &str, quotient: Option<usize>) -> String {
    let mut head = vec![corner.to_owned()];
    head.extend(recording.columns.iter().cloned());
    head.extend(quotient.map(|_| "app/twin".to_owned()));
    let mut rows = vec![head];
    rows.extend(recording.rows.iter().map(|row| cells(row, quotient)));
    table(&rows)
}

fn cells(row: &Row, quotient: Option<usize>) -> Vec<String> {
    let name = match row.unit.as_str() {
        "" => row.name.clone(),
        unit => format!("{} ({unit})", row.name),
    };
    let mut cells = vec![name];
    cells.extend(row.values.iter().map(|values| spread(values, row.digits)));
    if let Some(digits) = quotient {
        // Sizes differ by what is in the files: a quotient says nothing.
        let quotient = row.quotient().filter(|_| row.unit != "bytes");
        cells.push(quotient.map_or(String::new(), |value| format!("{value:.digits$}")));
    }
    cells
}

/// `median (least to most)`, or the only sample.
pub fn spread(values: &Values, digits: usize) -> String {
    match values.summary() {
        Summary { median, least: Some(least), most: Some(most), count } if count > 1 => {
            format!("{} ({} to {})", number(median, digits), number(least, digits), number(most, digits))
        }
        Summary { median, .. } => number(median, digits),
    }
}

/// With a comma between thousands.
pub fn number(value: f64, digits: usize) -> String {
    let text = format!("{:.digits$}", value.abs());
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if value < 0.0 && text.contains(|c| ('1'..='9').contains(&c)) { "-" } else { "" };
    let point = if rest.is_empty() { "" } else { "." };
    format!("{sign}{grouped}{point}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas_and_digits() {
        assert_eq!(number(1_991_680.0, 0), "1,991,680");
        assert_eq!(number(-1234.567, 2), "-1,234.57");
        assert_eq!((number(999.0, 0), number(-0.001, 1)), ("999".into(), "0.0".into()));
    }

    #[test]
    fn one_sample_has_no_spread() {
        assert_eq!(spread(&Values::Samples(vec![5.0]), 0), "5");
        assert_eq!(spread(&Values::Samples(vec![5.0, 7.0, 6.0]), 1), "6.0 (5.0 to 7.0)");
    }

    #[test]
    fn a_table_has_a_head_and_a_rule() {
        let rows = [vec!["".into(), "a".into()], vec!["b".into(), "1".into()]];
        assert_eq!(table(&rows), "|  | a |\n|---|---|\n| b | 1 |\n");
    }
}
