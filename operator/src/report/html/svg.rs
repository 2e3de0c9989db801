//! A picture as text: elements, a scale with round ticks, and nothing else. Colours are CSS classes of the page, so that one picture serves
//! light and dark.

use std::fmt::Write as _;

use super::super::escape::escape;

/// A picture in the making; its unit is a CSS pixel at full width.
pub(super) struct Svg {
    body: String,
    width: f64,
    height: f64,
}

impl Svg {
    pub(super) const fn new(width: f64, height: f64) -> Self {
        Self { body: String::new(), width, height }
    }

    /// The element; `label` is what a screen reader says, `attributes` are trusted and start with a space or are empty.
    pub(super) fn finish(self, class: &str, label: &str, attributes: &str) -> String {
        format!(
            "<svg class=\"{class}\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\"{attributes}>\n{}</svg>\n",
            short(self.width),
            short(self.height),
            escape(label),
            self.body
        )
    }

    /// What follows is cut at the edges of this rectangle, until [`close_clip`](Self::close_clip).
    pub(super) fn open_clip(&mut self, (x, y): (f64, f64), (w, h): (f64, f64)) {
        // Lines on the edge keep their full width.
        let [x, y, w, h] = [x - 2.0, y - 2.0, w + 4.0, h + 4.0].map(short);
        self.put(&format!("<svg x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" viewBox=\"{x} {y} {w} {h}\">"));
    }

    pub(super) fn close_clip(&mut self) {
        self.put("</svg>");
    }

    pub(super) fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(short);
        self.put(&format!("<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>"));
    }

    /// A rectangle that says `title` when the mouse rests on it.
    pub(super) fn bar(&mut self, class: &str, (x, y): (f64, f64), (w, h): (f64, f64), title: &str) {
        let [x, y, w, h] = [x, y, w.max(0.0), h].map(short);
        self.put(&format!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" rx=\"2\">{}</rect>",
            title_of(title)
        ));
    }

    pub(super) fn dot(&mut self, class: &str, (x, y): (f64, f64), r: f64, title: &str) {
        let [x, y, r] = [x, y, r].map(short);
        self.put(&format!("<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"{r}\">{}</circle>", title_of(title)));
    }

    pub(super) fn path(&mut self, class: &str, points: &[(f64, f64)], title: &str) {
        if points.is_empty() {
            return;
        }
        let mut d = String::new();
        for (i, (x, y)) in points.iter().enumerate() {
            write!(d, "{}{} {}", if i == 0 { 'M' } else { 'L' }, short(*x), short(*y)).expect("a string");
        }
        self.put(&format!("<path class=\"{class}\" d=\"{d}\">{}</path>", title_of(title)));
    }

    /// Text whose anchor is `start`, `middle` or `end`.
    pub(super) fn text(&mut self, class: &str, anchor: &str, (x, y): (f64, f64), text: &str) {
        let [x, y] = [x, y].map(short);
        let text = escape(text);
        self.put(&format!("<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{x}\" y=\"{y}\">{text}</text>"));
    }

    fn put(&mut self, element: &str) {
        self.body.push_str(element);
        self.body.push('\n');
    }
}

fn title_of(title: &str) -> String {
    if title.is_empty() { String::new() } else { format!("<title>{}</title>", escape(title)) }
}

/// A coordinate with at most one decimal.
fn short(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// From values to coordinates, with round ticks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    /// Value at the start.
    pub(super) low: f64,
    /// Value at the end.
    pub(super) high: f64,
    /// Distance between ticks.
    step: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// A scale over coordinates `from..to` that covers the values `low..high` and ends on ticks, of which there are about `ticks`.
    pub(super) fn covering(low: f64, high: f64, ticks: usize, (from, to): (f64, f64)) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        let step = round_step((high - low) / ticks as f64);
        Self { low: (low / step).floor() * step, high: (high / step).ceil() * step, step, from, to }
    }

    /// A scale over whole numbers that ends where the values end.
    pub(super) fn whole(low: u32, high: u32, ticks: usize, (from, to): (f64, f64)) -> Self {
        let (low, high) = (f64::from(low), f64::from(high.max(low + 1)));
        Self { low, high, step: round_step((high - low) / ticks as f64).max(1.0), from, to }
    }

    /// The coordinate of a value.
    pub(super) fn at(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// The values that carry a tick.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let first = (self.low / self.step).ceil() as i64;
        let last = (self.high / self.step + 1e-9).floor() as i64;
        (first..=last).map(|i| i as f64 * self.step).collect()
    }

    /// A tick's text, with as many decimals as neighbours need to differ.
    pub(super) fn label(&self, value: f64) -> String {
        let decimals = [1.0, 0.1, 0.01, 0.001].iter().position(|unit| self.step >= unit * (1.0 - 1e-9)).unwrap_or(4);
        // Rounding first: −0.0 must not be written.
        let value = if value.abs() < self.step / 2.0 { 0.0 } else { value };
        format!("{value:.decimals$}")
    }
}

/// The next of 1, 2, 5 × a power of ten.
fn round_step(raw: f64) -> f64 {
    let power = 10_f64.powf(raw.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= raw * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_values() {
        let scale = Scale::covering(68.13, 71.25, 5, (0.0, 100.0));
        assert_eq!(scale.ticks(), [68.0, 69.0, 70.0, 71.0, 72.0]);
        assert_eq!(scale.label(68.0), "68");
        assert!((scale.at(70.0) - 50.0).abs() < 1e-9);
        let fine = Scale::covering(-0.31, 0.12, 5, (0.0, 1.0));
        assert_eq!(
            fine.ticks().iter().map(|t| fine.label(*t)).collect::<Vec<_>>(),
            ["-0.4", "-0.3", "-0.2", "-0.1", "0.0", "0.1", "0.2"]
        );
    }

    #[test]
    fn a_single_value_still_has_a_scale() {
        let scale = Scale::covering(5.0, 5.0, 4, (0.0, 10.0));
        assert!(scale.at(5.0).is_finite());
        assert_eq!(Scale::whole(1, 1, 5, (0.0, 10.0)).ticks(), [1.0, 2.0]);
    }

    #[test]
    fn titles_and_texts_are_escaped() {
        let mut svg = Svg::new(1.0, 1.0);
        svg.text("t", "start", (0.0, 0.0), "<b>");
        svg.dot("d", (0.0, 0.0), 1.0, "\"&");
        let text = svg.finish("c", "'", "");
        assert!(text.contains("&lt;b&gt;") && text.contains("&quot;&amp;") && text.contains("&#39;"));
    }
}
