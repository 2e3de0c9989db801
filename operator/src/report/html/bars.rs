//! Mean top-1 with its interval beside the published number, as bars from zero; and how far the two lie apart, on a scale of its own, since
//! bars that honestly start at zero cannot show three tenths of a point.

use mixbench_crds::metric::{percent, points};

use super::super::{CellRow, Mood, Report, trials};
use super::facet::Facet;
use super::svg::{Scale, Svg};

const WIDTH: f64 = 600.0;
const RIGHT: f64 = 56.0;
const TOP: f64 = 6.0;
const BOTTOM: f64 = 40.0;
const BAR: f64 = 13.0;

/// Bars of one backbone; none where no trial is finished yet.
pub(super) fn render(facet: &Facet<'_>) -> Option<String> {
    let shown: Vec<_> = facet.series.iter().filter_map(|s| Some((s, s.row.cell.mean?))).collect();
    if shown.is_empty() {
        return None;
    }
    let left = label_width(shown.iter().map(|(s, _)| s.name));
    let ends = shown.iter().map(|(s, mean)| {
        (mean + s.row.cell.ci95.unwrap_or(0.0)).min(100.0).max(s.row.cell.reference.top1().unwrap_or(0.0))
    });
    let x = Scale::covering(0.0, ends.fold(1.0, f64::max), 8, (left, WIDTH - RIGHT));
    let rows: Vec<f64> = shown
        .iter()
        .map(|(s, _)| if s.row.cell.reference.top1().is_some() { 2.0 * BAR + 15.0 } else { BAR + 13.0 })
        .collect();
    let base = TOP + rows.iter().sum::<f64>();
    let mut svg = Svg::new(WIDTH, base + BOTTOM);
    axis(&mut svg, &x, base, "top-1 in %");
    let mut y = TOP;
    for ((series, mean), height) in shown.iter().zip(rows) {
        let cell = &series.row.cell;
        svg.text("name", "end", (left - 9.0, y + (height - 4.0) / 2.0 + 2.0), series.name);
        svg.bar(&format!("bar {}", series.class), (left, y + 3.0), (x.at(*mean) - left, BAR), &told(series.row, *mean));
        let middle = y + 3.0 + BAR / 2.0;
        if let Some(half) = cell.ci95 {
            let (low, high) = (x.at((mean - half).max(0.0)), x.at((mean + half).min(100.0)));
            whisker(&mut svg, "whisker", (low, high), middle);
        }
        let after = x.at((mean + cell.ci95.unwrap_or(0.0)).clamp(0.0, 100.0));
        svg.text("value", "start", (after + 6.0, middle + 4.0), &percent(*mean));
        if let Some(published) = cell.reference.top1() {
            let y = y + 5.0 + BAR;
            let title = format!("{}: published {} %", series.name, percent(published));
            svg.bar("bar published", (left, y), (x.at(published) - left, BAR), &title);
            svg.text("value muted", "start", (x.at(published) + 6.0, y + BAR / 2.0 + 4.0), &percent(published));
        }
        y += height;
    }
    let label = format!("Mean top-1 of {} by method, with 95 % intervals, beside the published numbers", facet.title);
    Some(svg.finish("chart bars", &label, ""))
}

/// Differences of all cells that have a reference; none where no cell has one.
pub(super) fn differences(report: &Report) -> Option<String> {
    let shown: Vec<(&CellRow, f64)> = report.cells.iter().filter_map(|row| Some((row, row.cell.delta?))).collect();
    if shown.is_empty() {
        return None;
    }
    let names: Vec<String> =
        shown.iter().map(|(row, _)| format!("{} · {}", row.cell.backbone, row.cell.label)).collect();
    let left = label_width(names.iter().map(String::as_str));
    let tolerance = report.gate.tolerance;
    let half = |row: &CellRow| row.cell.ci95.unwrap_or(0.0);
    let low = shown.iter().map(|(row, d)| d - half(row)).fold(-1.5 * tolerance - 0.05, f64::min);
    let high = shown.iter().map(|(row, d)| d + half(row)).fold(0.5 * tolerance + 0.05, f64::max);
    let x = Scale::covering(low, high, 8, (left, WIDTH - RIGHT));
    let height = 24.0;
    let base = TOP + height * shown.len() as f64;
    let mut svg = Svg::new(WIDTH, base + BOTTOM);
    let edge = x.at(-tolerance);
    svg.bar("zone", (edge, TOP), (WIDTH - RIGHT - edge, base - TOP), "");
    axis(&mut svg, &x, base, "difference to the published top-1 in points");
    svg.line("zero", (x.at(0.0), TOP), (x.at(0.0), base));
    svg.line("edge", (edge, TOP), (edge, base));
    for (i, ((row, delta), name)) in shown.iter().zip(&names).enumerate() {
        let y = TOP + height * (i as f64 + 0.5);
        svg.text("name", "end", (left - 9.0, y + 4.0), name);
        let mood = mood(row.mood());
        if let Some(half) = row.cell.ci95 {
            whisker(&mut svg, &format!("whisker {mood}"), (x.at(delta - half), x.at(delta + half)), y);
        }
        let title = format!("{name}: {} points, {}", points(*delta), row.word());
        svg.dot(&format!("delta {mood}"), (x.at(*delta), y), 5.0, &title);
        svg.text("value", "start", (WIDTH - RIGHT + 8.0, y + 4.0), &points(*delta));
    }
    Some(svg.finish("chart differences", "Difference to the published top-1 of every cell, with 95 % intervals", ""))
}

/// The CSS class of a mood.
pub(super) const fn mood(mood: Mood) -> &'static str {
    match mood {
        Mood::Good => "good",
        Mood::Bad => "bad",
        Mood::Unsure => "unsure",
        Mood::Neutral => "neutral",
    }
}

fn axis(svg: &mut Svg, x: &Scale, base: f64, label: &str) {
    for tick in x.ticks() {
        svg.line("grid", (x.at(tick), TOP), (x.at(tick), base));
        svg.text("tick", "middle", (x.at(tick), base + 16.0), &x.label(tick));
    }
    svg.line("axis", (x.at(x.low), base), (x.at(x.high), base));
    svg.text("label", "middle", (f64::midpoint(x.at(x.low), x.at(x.high)), base + 34.0), label);
}

fn whisker(svg: &mut Svg, class: &str, (low, high): (f64, f64), y: f64) {
    svg.line(class, (low, y), (high, y));
    for end in [low, high] {
        svg.line(class, (end, y - 3.5), (end, y + 3.5));
    }
}

fn told(row: &CellRow, mean: f64) -> String {
    let cell = &row.cell;
    let interval = cell.ci95.map_or(String::new(), |half| format!(" ± {} (95 %)", percent(half)));
    format!("{}: {} %{interval} over {}", cell.label, percent(mean), trials(cell.n))
}

/// Room for names: text cannot be measured here, so each character gets what an average one takes.
fn label_width<'a>(names: impl Iterator<Item = &'a str>) -> f64 {
    let longest = names.map(|n| n.chars().count()).max().unwrap_or(0);
    (7.2 * longest as f64 + 18.0).clamp(70.0, 300.0)
}

#[cfg(test)]
mod tests {
    use super::super::facet::facets;
    use super::*;
    use crate::report::fixture::report;

    #[test]
    fn every_finished_cell_has_a_bar_and_every_reference_too() {
        let report = report();
        let picture = render(&facets(&report)[0]).expect("bars");
        assert_eq!(picture.matches("class=\"bar c").count(), 5);
        assert_eq!(picture.matches("bar published").count(), 3);
        assert!(picture.contains("&lt;fmix&gt;"));
    }

    #[test]
    fn differences_are_drawn_for_cells_with_a_reference_only() {
        let mut report = report();
        assert_eq!(differences(&report).expect("a picture").matches("class=\"delta").count(), 3);
        report.cells.retain(|c| c.cell.delta.is_none());
        assert!(differences(&report).is_none());
        assert!(render(&facets(&report)[0]).is_some());
    }
}
