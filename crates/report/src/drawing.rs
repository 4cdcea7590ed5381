//! An SVG that is readable on light and on dark pages, and knows when its labels collide.
//!
//! Colours are classes, so that one file has both schemes; the picture brings its own background, so that it is
//! readable where a viewer knows only one. Widths of text are estimated from above, by the widest of the common fonts.

use std::fmt::Write;

/// Colours of both schemes, sizes of text, strokes.
const STYLE: &str = include_str!("style.css");
/// How near to a label, in units of the picture, nothing else may come.
const CLEAR: f64 = 1.0;

/// A picture: its size in pixels at which the text is 14 of them high.
#[derive(Debug)]
pub struct Drawing {
    size: (f64, f64),
    title: String,
    body: String,
    labels: Vec<(Area, String)>,
    /// Lines, edges and dots, which no label may touch.
    marks: Vec<Area>,
}

/// Where a text begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Anchor {
    /// At its left end.
    Start,
    /// In its middle.
    Middle,
    /// At its right end.
    End,
}

#[derive(Debug, Clone, Copy)]
struct Area {
    from: (f64, f64),
    to: (f64, f64),
}

impl Area {
    fn meets(&self, other: &Area) -> bool {
        let apart = |a: (f64, f64), b: (f64, f64)| a.1 <= b.0 || b.1 <= a.0;
        !apart((self.from.0, self.to.0), (other.from.0, other.to.0))
            && !apart((self.from.1, self.to.1), (other.from.1, other.to.1))
    }

    fn grown(&self, by: f64) -> Area {
        Area { from: (self.from.0 - by, self.from.1 - by), to: (self.to.0 + by, self.to.1 + by) }
    }
}

impl Drawing {
    /// An empty picture. `title` is what it shows, for those who cannot see it.
    pub fn new(width: f64, height: f64, title: &str) -> Self {
        let title = title.to_owned();
        Drawing { size: (width, height), title, body: String::new(), labels: Vec::new(), marks: Vec::new() }
    }

    /// A rectangle with its upper left corner at `at`.
    pub fn rect(&mut self, class: &str, at: (f64, f64), size: (f64, f64)) {
        let ((x, y), (w, h)) = (at, size);
        self.element(format_args!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" rx=\"4\"/>"
        ));
        for (from, to) in
            [((x, y), (x + w, y)), ((x, y + h), (x + w, y + h)), ((x, y), (x, y + h)), ((x + w, y), (x + w, y + h))]
        {
            self.marks.push(Area { from, to }.grown(CLEAR));
        }
    }

    /// A line through `points`; horizontal and vertical pieces only, so that collisions are told exactly.
    pub fn line(&mut self, class: &str, points: &[(f64, f64)]) {
        let list: Vec<String> = points.iter().map(|(x, y)| format!("{x},{y}")).collect();
        self.element(format_args!("<polyline class=\"{class}\" points=\"{}\"/>", list.join(" ")));
        for pair in points.windows(2) {
            let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
            let piece = Area { from: (x0.min(x1), y0.min(y1)), to: (x0.max(x1), y0.max(y1)) };
            self.marks.push(piece.grown(CLEAR));
        }
    }

    /// A line with a head at its end.
    pub fn arrow(&mut self, points: &[(f64, f64)]) {
        self.line("arrow", points);
        let [.., before, end] = points else { return };
        let (dx, dy) = ((end.0 - before.0).signum() * 7.0, (end.1 - before.1).signum() * 7.0);
        let (dx, dy) = (if end.0 == before.0 { 0.0 } else { dx }, if end.1 == before.1 { 0.0 } else { dy });
        let (x, y) = (end.0 - dx, end.1 - dy);
        let (sx, sy) = (dy * 0.6, dx * 0.6);
        let points = format!("{},{} {},{} {},{}", end.0, end.1, x + sx, y + sy, x - sx, y - sy);
        self.element(format_args!("<polygon class=\"head\" points=\"{points}\"/>"));
        let head =
            Area { from: (end.0.min(x - 5.0), end.1.min(y - 5.0)), to: (end.0.max(x + 5.0), end.1.max(y + 5.0)) };
        self.marks.push(head);
    }

    /// A dot.
    pub fn dot(&mut self, class: &str, at: (f64, f64), radius: f64) {
        self.element(format_args!("<circle class=\"{class}\" cx=\"{:.2}\" cy=\"{}\" r=\"{radius}\"/>", at.0, at.1));
        self.marks.push(Area { from: at, to: at }.grown(radius));
    }

    /// One line of text on the baseline at `at`. Classes: `small`, `soft`, `strong`, `mono`, and those of colours.
    pub fn text(&mut self, class: &str, anchor: Anchor, at: (f64, f64), text: &str) {
        let (size, width) = (text_size(class), text_width(class, text));
        let (name, from) = match anchor {
            Anchor::Start => ("start", at.0),
            Anchor::Middle => ("middle", at.0 - width / 2.0),
            Anchor::End => ("end", at.0 - width),
        };
        let (x, y, words) = (at.0, at.1, escape(text));
        self.element(format_args!(
            "<text class=\"{class}\" text-anchor=\"{name}\" x=\"{x:.2}\" y=\"{y}\">{words}</text>"
        ));
        let area = Area { from: (from, at.1 - size * 0.78), to: (from + width, at.1 + size * 0.22) };
        self.labels.push((area, text.to_owned()));
    }

    /// A rectangle with lines of text in its middle: the first one strong, the others small.
    pub fn box_of(&mut self, class: &str, at: (f64, f64), size: (f64, f64), lines: &[&str]) {
        self.rect(class, at, size);
        let height = 17.0;
        let top = at.1 + (size.1 - height * lines.len() as f64) / 2.0 + 13.0;
        for (i, line) in lines.iter().enumerate() {
            let style = if i == 0 { "strong" } else { "small" };
            self.text(style, Anchor::Middle, (at.0 + size.0 / 2.0, top + height * i as f64), line);
        }
    }

    /// Labels that leave the picture, cover each other, or are crossed by a line.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (i, (area, text)) in self.labels.iter().enumerate() {
            if area.from.0 < 2.0 || area.from.1 < 2.0 || area.to.0 > self.size.0 - 2.0 || area.to.1 > self.size.1 - 2.0
            {
                faults.push(format!("`{text}` leaves the picture"));
            }
            let others = self.labels[i + 1..].iter().filter(|(other, _)| area.meets(other));
            faults.extend(others.map(|(_, other)| format!("`{text}` covers `{other}`")));
            if let Some(mark) = self.marks.iter().find(|mark| area.meets(mark)) {
                faults.push(format!("`{text}` is crossed by the line at {:?}", mark.from));
            }
        }
        faults
    }

    /// The file.
    pub fn svg(&self) -> String {
        let ((w, h), title) = (self.size, escape(&self.title));
        let open = format!("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" role=\"img\">");
        let page = format!("<rect class=\"page\" width=\"{w}\" height=\"{h}\" rx=\"6\"/>");
        format!("{open}\n<title>{title}</title>\n<style>\n{STYLE}</style>\n{page}\n{}</svg>\n", self.body)
    }

    fn element(&mut self, element: std::fmt::Arguments) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.body, "{element}");
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn text_size(class: &str) -> f64 {
    if class.split(' ').any(|word| word == "small") {
        12.0
    } else {
        14.0
    }
}

/// An upper estimate, in units of the picture: the widths of DejaVu Sans, the widest font that a browser is likely to take.
fn text_width(class: &str, text: &str) -> f64 {
    let has = |word: &str| class.split(' ').any(|other| other == word);
    let one = |c: char| match c {
        _ if has("mono") => 0.61,
        'i' | 'j' | 'l' | '\'' | 'I' | 'J' => 0.3,
        '.' | ',' | ':' | ';' | '|' | ' ' | '!' | '/' | 'f' | '-' => 0.37,
        't' | 'r' | '(' | ')' => 0.42,
        'c' | 's' | 'z' | '_' => 0.56,
        'a' | 'e' | 'o' | 'k' | 'v' | 'x' | 'y' | 'L' | 'F' | 'P' | 'T' | 'Y' => 0.62,
        'm' | 'M' | 'W' | '@' | '%' | '—' | '…' => 0.99,
        'w' | 'O' | 'Q' | 'D' | 'G' | '→' | '×' | '=' | '+' | '<' | '>' => 0.84,
        c if c.is_uppercase() => 0.76,
        _ => 0.64,
    };
    let bold = if has("strong") { 1.13 } else { 1.0 };
    text.chars().map(one).sum::<f64>() * text_size(class) * bold
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawing(draw: impl Fn(&mut Drawing)) -> Vec<String> {
        let mut drawing = Drawing::new(200.0, 100.0, "a test");
        draw(&mut drawing);
        drawing.faults()
    }

    #[test]
    fn labels_that_collide_are_found() {
        assert!(drawing(|d| d.text("", Anchor::Start, (10.0, 50.0), "alone")).is_empty());
        let covered = drawing(|d| {
            d.text("", Anchor::Start, (10.0, 50.0), "one");
            d.text("", Anchor::Start, (20.0, 55.0), "two");
        });
        assert_eq!(covered, ["`one` covers `two`"]);
        let clipped = drawing(|d| d.text("", Anchor::Start, (150.0, 50.0), "a long label"));
        assert_eq!(clipped, ["`a long label` leaves the picture"]);
        let crossed = drawing(|d| {
            d.text("", Anchor::Start, (10.0, 50.0), "words");
            d.line("line", &[(20.0, 0.0), (20.0, 100.0)]);
        });
        assert!(crossed[0].starts_with("`words` is crossed"), "{crossed:?}");
        let narrow = drawing(|d| d.box_of("linux", (10.0, 10.0), (40.0, 30.0), &["too long for it"]));
        assert!(narrow.iter().any(|fault| fault.contains("is crossed")), "{narrow:?}");
    }

    #[test]
    fn text_is_escaped() {
        let mut drawing = Drawing::new(200.0, 100.0, "a < b");
        drawing.text("", Anchor::Start, (10.0, 50.0), "x & y");
        let svg = drawing.svg();
        assert!(svg.contains("<title>a &lt; b</title>") && svg.contains(">x &amp; y</text>"), "{svg}");
    }
}
