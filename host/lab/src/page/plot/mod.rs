//! Plots as SVG text: two scales, a frame with axes, and marks in it.
//!
//! A plot is drawn once, into a view box of fixed size; the page scales it. Colours are classes (`s0` the first strategy, `p0` the first part of a
//! cycle, ...), which `plot.css` fills in, for light and dark. What can be pointed at is told as `data-tips`: places and texts, in the order in
//! which the arrow keys go through them.
//!
//! 1. Every text that comes from outside goes through [`escape`].
//! 2. No number that is not finite is ever drawn: a mark whose place is not finite is left out.

mod scale;
mod text;

use std::fmt::Write as _;

pub(super) use scale::{Axis, Scale};
pub(super) use text::{escape, width};

/// Colours by name, for light and for dark surroundings, and the rules that use them. The palette is that of Okabe and Ito (2008), which people with any
/// kind of colour vision can tell apart, darkened or lightened where thin lines need more contrast.
pub(super) const LIGHT: &str = include_str!("light.css");
pub(super) const DARK: &str = include_str!("dark.css");
pub(super) const RULES: &str = include_str!("plot.css");

/// The style that a plot in a file of its own carries.
pub(super) fn style() -> String {
    format!(
        "svg.plot {{ {LIGHT} }}\n@media (prefers-color-scheme: dark) {{ svg.plot {{ {DARK} }} }}\n{RULES}"
    )
}

/// How wide plots are that want the whole page, in the view box.
pub(super) const WIDE: f64 = 1300.0;
/// How wide most plots are, in the view box.
pub(super) const WIDTH: f64 = 480.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 14.0;
const BOTTOM: f64 = 44.0;
const LEGEND_ROW: f64 = 18.0;

/// A plot being drawn.
pub(super) struct Plot {
    width: f64,
    height: f64,
    left: f64,
    top: f64,
    x: Axis,
    y: Axis,
    marks: String,
    /// Class and path that are still being added to: neighbours of one class become one element.
    open: Option<(String, String)>,
    tips: Vec<(f64, f64, String)>,
    legend: Vec<(String, Swatch)>,
}

/// How an entry of the legend looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Swatch {
    Line,
    Block,
    Dot,
}

impl Plot {
    /// An empty plot of the usual width, so high without its legend.
    pub(super) fn new(x: Axis, y: Axis, height: f64) -> Plot {
        Plot {
            width: WIDTH,
            height,
            left: LEFT,
            top: 12.0,
            x,
            y,
            marks: String::new(),
            open: None,
            tips: Vec::new(),
            legend: Vec::new(),
        }
    }

    /// The same with another width and room on the left for longer labels.
    pub(super) fn sized(self, width: f64, left: f64) -> Plot {
        Plot { width, left, ..self }
    }

    /// An entry of the legend: text, classes, looks.
    pub(super) fn legend(&mut self, text: &str, class: &str, swatch: Swatch) {
        let entry = (format!("{class}\u{0}{text}"), swatch);
        if !self.legend.contains(&entry) {
            self.legend.push(entry);
        }
    }

    fn place(&self, x: f64, y: f64) -> Option<(f64, f64)> {
        let across = self.left + self.x.scale.place(x)? * (self.width - self.left - RIGHT);
        let down = self.top + (1.0 - self.y.scale.place(y)?) * (self.height - self.top - BOTTOM);
        Some((across, down))
    }

    /// A line through points; a gap where one is not finite.
    pub(super) fn line(&mut self, class: &str, points: &[(f64, f64)]) {
        let mut path = String::new();
        let mut pen = 'M';
        for &(x, y) in points {
            match self.place(x, y) {
                Some((x, y)) => {
                    let _ = write!(path, "{pen}{x:.1} {y:.1}");
                    pen = 'L';
                }
                None => pen = 'M',
            }
        }
        self.path(&format!("line {class}"), &path);
    }

    /// A line that keeps its value until the next point.
    pub(super) fn steps(&mut self, class: &str, points: &[(f64, f64)]) {
        let mut stepped = Vec::with_capacity(points.len() * 2);
        for (at, &(x, y)) in points.iter().enumerate() {
            if let Some(&(_, before)) = at.checked_sub(1).and_then(|before| points.get(before)) {
                stepped.push((x, before));
            }
            stepped.push((x, y));
        }
        self.line(class, &stepped);
    }

    /// The area between two lines over the same places: `(x, low, high)`.
    pub(super) fn band(&mut self, class: &str, points: &[(f64, f64, f64)]) {
        let upper = points.iter().map(|&(x, _, high)| (x, high));
        let lower = points.iter().rev().map(|&(x, low, _)| (x, low));
        let corners: Vec<String> = upper
            .chain(lower)
            .filter_map(|(x, y)| self.place(x, y))
            .map(|(x, y)| format!("{x:.1} {y:.1}"))
            .collect();
        if corners.len() > 2 {
            self.path(&format!("band {class}"), &format!("M{}Z", corners.join("L")));
        }
    }

    fn path(&mut self, class: &str, path: &str) {
        match &mut self.open {
            Some((open, grown)) if open == class => grown.push_str(path),
            _ => {
                self.close();
                self.open = Some((class.to_owned(), path.to_owned()));
            }
        }
    }

    /// Writes the path that is being added to.
    fn close(&mut self) {
        if let Some((class, path)) = self.open.take().filter(|(_, path)| !path.is_empty()) {
            let _ = writeln!(self.marks, r#"<path class="{class}" d="{path}"/>"#);
        }
    }

    /// A small round dot of which there are many: all neighbours of one class are one element.
    pub(super) fn speck(&mut self, class: &str, x: f64, y: f64) {
        if let Some((x, y)) = self.place(x, y) {
            self.path(&format!("speck {class}"), &format!("M{x:.1} {y:.1}h0"));
        }
    }

    /// A dot; its shape goes with the class, so that colour is not all that tells strategies apart.
    pub(super) fn dot(&mut self, class: &str, shape: usize, x: f64, y: f64, radius: f64) {
        let Some((x, y)) = self.place(x, y) else { return };
        self.close();
        let r = radius;
        let _ = match shape % 4 {
            0 => writeln!(self.marks, r#"<circle class="dot {class}" cx="{x:.1}" cy="{y:.1}" r="{r}"/>"#),
            1 => writeln!(
                self.marks,
                r#"<rect class="dot {class}" x="{:.1}" y="{:.1}" width="{:.1}" height="{:.1}"/>"#,
                x - r * 0.9,
                y - r * 0.9,
                r * 1.8,
                r * 1.8
            ),
            2 => writeln!(
                self.marks,
                r#"<path class="dot {class}" d="M{x:.1} {:.1}l{:.1} {:.1}h{:.1}z"/>"#,
                y - r * 1.15,
                r * 1.15,
                r * 2.0,
                -r * 2.3
            ),
            _ => writeln!(
                self.marks,
                r#"<path class="dot {class}" d="M{x:.1} {:.1}l{:.1} {:.1}l{:.1} {:.1}l{:.1} {:.1}z"/>"#,
                y - r * 1.3,
                r * 1.3,
                r * 1.3,
                -r * 1.3,
                r * 1.3,
                -r * 1.3,
                -r * 1.3
            ),
        };
    }

    /// A filled rectangle between two corners.
    pub(super) fn bar(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let (Some(from), Some(to)) = (self.place(from.0, from.1), self.place(to.0, to.1)) else { return };
        let (left, right) = (from.0.min(to.0), from.0.max(to.0));
        let (top, bottom) = (from.1.min(to.1), from.1.max(to.1));
        let path = format!("M{left:.1} {top:.1}h{:.1}v{:.1}H{left:.1}z", right - left, bottom - top);
        self.path(&format!("bar {class}"), &path);
    }

    /// A line from one point to another.
    pub(super) fn stroke(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        if let (Some(from), Some(to)) = (self.place(from.0, from.1), self.place(to.0, to.1)) {
            self.path(
                &format!("line {class}"),
                &format!("M{:.1} {:.1}L{:.1} {:.1}", from.0, from.1, to.0, to.1),
            );
        }
    }

    /// A level line over the whole width.
    pub(super) fn across(&mut self, class: &str, y: f64) {
        if let Some((_, y)) = self.place(self.x.scale.low(), y) {
            self.path(
                &format!("line {class}"),
                &format!("M{:.1} {y:.1}H{:.1}", self.left, self.width - RIGHT),
            );
        }
    }

    /// What is told of a point when somebody points at it.
    pub(super) fn tip(&mut self, x: f64, y: f64, text: impl Into<String>) {
        if let Some((x, y)) = self.place(x, y) {
            self.tips.push((x, y, text.into()));
        }
    }

    /// The finished plot: one `svg` element. `title` is what it is called for those who cannot see it.
    pub(super) fn finish(mut self, id: &str, title: &str) -> String {
        self.close();
        let (legend, rows) = self.legend_rows();
        let shift = rows as f64 * LEGEND_ROW;
        let (right, bottom) = (self.width - RIGHT, self.height - BOTTOM);
        let mut out = format!(
            r#"<svg class="plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {:.0} {:.0}" role="img" aria-label="{}" data-tips="{}" data-shift="{shift:.0}">
<rect class="ground" width="{:.0}" height="{:.0}"/>
{legend}<g transform="translate(0 {shift:.0})">
"#,
            self.width,
            self.height + shift,
            escape(title),
            escape(&self.tips_text()),
            self.width,
            self.height + shift,
        );
        out.push_str(&self.axes(right, bottom));
        let _ = writeln!(
            out,
            r#"<clipPath id="{id}-inside"><rect x="{:.1}" y="{:.1}" width="{:.1}" height="{:.1}"/></clipPath>"#,
            self.left - 7.0,
            self.top - 7.0,
            right - self.left + 14.0,
            bottom - self.top + 14.0
        );
        let _ = write!(out, "<g clip-path=\"url(#{id}-inside)\">\n{}</g>\n</g>\n</svg>", self.marks);
        out
    }

    /// Places and texts as lines, parted by tabs and line ends.
    fn tips_text(&self) -> String {
        let mut text = String::new();
        for (x, y, tip) in &self.tips {
            let tip: String =
                tip.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
            let _ = writeln!(text, "{x:.0}\t{y:.0}\t{tip}");
        }
        text
    }

    fn axes(&self, right: f64, bottom: f64) -> String {
        let mut out = String::new();
        for (value, text) in self.x.scale.ticks(&self.x, ((right - self.left) / 52.0) as usize) {
            let Some((x, _)) = self.place(value, self.y.scale.low()) else { continue };
            let _ = writeln!(out, r#"<path class="grid" d="M{x:.1} {:.1}V{bottom:.1}"/>"#, self.top);
            if !text.is_empty() {
                // The last one stays inside of the picture.
                let middle = x.min(self.width - width(&text) / 2.0);
                let _ = writeln!(
                    out,
                    r#"<text class="tick" text-anchor="middle" x="{middle:.1}" y="{:.1}">{}</text>"#,
                    bottom + 16.0,
                    escape(&text)
                );
            }
        }
        for (value, text) in self.y.scale.ticks(&self.y, ((bottom - self.top) / 34.0) as usize) {
            let Some((_, y)) = self.place(self.x.scale.low(), value) else { continue };
            if self.y.lines {
                let _ = writeln!(out, r#"<path class="grid" d="M{:.1} {y:.1}H{right:.1}"/>"#, self.left);
            }
            if !text.is_empty() {
                let _ = writeln!(
                    out,
                    r#"<text class="tick" text-anchor="end" x="{:.1}" y="{:.1}">{}</text>"#,
                    self.left - 7.0,
                    y + 4.0,
                    escape(&text)
                );
            }
        }
        let _ = writeln!(
            out,
            r#"<path class="axis" d="M{:.1} {:.1}V{bottom:.1}H{right:.1}"/>"#,
            self.left, self.top
        );
        let _ = writeln!(
            out,
            r#"<text class="name" text-anchor="middle" x="{:.1}" y="{:.1}">{}</text>"#,
            (self.left + right) / 2.0,
            self.height - 7.0,
            escape(&self.x.name)
        );
        let middle = (self.top + bottom) / 2.0;
        let _ = writeln!(
            out,
            r#"<text class="name" text-anchor="middle" transform="translate(13 {middle:.1}) rotate(-90)">{}</text>"#,
            escape(&self.y.name)
        );
        out
    }

    /// The legend, broken into rows, and how many there are.
    fn legend_rows(&self) -> (String, usize) {
        let (mut out, mut rows, mut x) = (String::new(), 0, f64::INFINITY);
        for (entry, swatch) in &self.legend {
            let (class, text) = entry.split_once('\u{0}').unwrap_or(("", entry));
            let needed = width(text) + 38.0;
            if x + needed > self.width {
                rows += 1;
                x = 12.0;
            }
            let y = rows as f64 * LEGEND_ROW - 4.0;
            let _ = match swatch {
                Swatch::Line => {
                    writeln!(out, r#"<path class="line {class}" d="M{x:.1} {:.1}h20"/>"#, y - 4.0)
                }
                Swatch::Block => {
                    writeln!(
                        out,
                        r#"<rect class="bar {class}" x="{:.1}" y="{:.1}" width="14" height="10"/>"#,
                        x + 4.0,
                        y - 9.0
                    )
                }
                Swatch::Dot => {
                    writeln!(
                        out,
                        r#"<circle class="dot {class}" cx="{:.1}" cy="{:.1}" r="4"/>"#,
                        x + 10.0,
                        y - 4.0
                    )
                }
            };
            let _ =
                writeln!(out, r#"<text class="key" x="{:.1}" y="{y:.1}">{}</text>"#, x + 25.0, escape(text));
            x += needed;
        }
        (out, rows)
    }
}
