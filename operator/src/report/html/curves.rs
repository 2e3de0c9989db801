//! Top-1 over the epochs: a thin line a run, a thick one for the mean of a cell.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use mixbench_crds::metric::percent;

use super::super::escape::escape;
use super::super::{Report, RunRow};
use super::facet::Facet;
use super::svg::{Scale, Svg};

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 42.0;
/// From so many epochs on, the picture leaves out how low the first quarter began: what is compared lies at the end.
const LONG: u32 = 20;

/// The picture and its legend; none where no epoch was validated yet.
pub(super) fn render(report: &Report, facet: &Facet<'_>) -> Option<String> {
    let runs = |cell: usize| report.runs.iter().filter(move |r| r.cell == cell && !r.curve.is_empty());
    let all: Vec<&RunRow> = facet.series.iter().flat_map(|s| runs(s.index)).collect();
    let values = || all.iter().flat_map(|r| &r.curve);
    let last = values().map(|p| p.epoch).max()?;
    let from = if last < LONG { 1 } else { last / 4 };
    let low = values().filter(|p| p.epoch >= from).map(|p| p.top1).reduce(f64::min)?;
    let high = values().map(|p| p.top1).reduce(f64::max)?;
    let x = Scale::whole(1, last, 10, (LEFT, WIDTH - RIGHT));
    let y = Scale::covering(low, high, 5, (HEIGHT - BOTTOM, TOP));

    let mut svg = Svg::new(WIDTH, HEIGHT);
    axes(&mut svg, &x, &y);
    let place = |(epoch, top1): (u32, f64)| (x.at(f64::from(epoch)), y.at(top1));
    svg.open_clip((LEFT, TOP), (WIDTH - RIGHT - LEFT, HEIGHT - BOTTOM - TOP));
    let mut legend = String::new();
    let mut data = Vec::new();
    for series in &facet.series {
        let runs: Vec<&RunRow> = runs(series.index).collect();
        let Some(mean) = mean(&runs) else { continue };
        for run in &runs {
            let points: Vec<_> = run.curve.iter().map(|p| place((p.epoch, p.top1))).collect();
            let end = run.curve.last().map_or(0.0, |p| p.top1);
            let title = format!("{} trial {}: {} % after epoch {}", series.name, run.trial, percent(end), run.epochs);
            svg.path(&format!("run {} s{}", series.class, series.index), &points, &title);
        }
        let points: Vec<_> = mean.iter().map(|p| place(*p)).collect();
        svg.path(&format!("mean {} s{}", series.class, series.index), &points, &format!("{}: mean", series.name));
        if let [(cx, cy)] = points[..] {
            svg.dot(&format!("point {} s{}", series.class, series.index), (cx, cy), 3.5, series.name);
        }
        let (_, end) = mean[mean.len() - 1];
        write!(
            legend,
            "<li data-series=\"s{}\"><svg class=\"swatch\" viewBox=\"0 0 24 8\" aria-hidden=\"true\"><path class=\"mean {}\" d=\"M0 4L24 4\"/></svg>{} <small>{} %</small></li>",
            series.index,
            series.class,
            escape(series.name),
            percent(end)
        )
        .expect("a string");
        data.push(serde_json::json!({ "name": series.name, "class": series.class, "points": mean }));
    }
    svg.close_clip();
    let geometry = serde_json::json!({
        "x": [x.low, x.high, LEFT, WIDTH - RIGHT], "top": TOP, "bottom": HEIGHT - BOTTOM, "width": WIDTH, "series": data,
    });
    let label = format!("Top-1 of {} over the epochs", facet.title);
    let attributes = format!(" data-curves=\"{}\"", escape(&geometry.to_string()));
    Some(format!("{}<ul class=\"legend\">{legend}</ul>\n", svg.finish("chart curves", &label, &attributes)))
}

fn axes(svg: &mut Svg, x: &Scale, y: &Scale) {
    for tick in y.ticks() {
        let at = y.at(tick);
        svg.line("grid", (LEFT, at), (WIDTH - RIGHT, at));
        svg.text("tick", "end", (LEFT - 7.0, at + 4.0), &y.label(tick));
    }
    let base = HEIGHT - BOTTOM;
    svg.line("axis", (LEFT, base), (WIDTH - RIGHT, base));
    for tick in x.ticks().into_iter().filter(|t| *t >= x.low) {
        svg.line("axis", (x.at(tick), base), (x.at(tick), base + 4.0));
        svg.text("tick", "middle", (x.at(tick), base + 17.0), &x.label(tick));
    }
    svg.text("label", "middle", ((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 6.0), "epoch");
}

/// Mean top-1 of every epoch that all the runs have; none where they share no epoch.
fn mean(runs: &[&RunRow]) -> Option<Vec<(u32, f64)>> {
    let mut epochs: BTreeMap<u32, (usize, f64)> = BTreeMap::new();
    for point in runs.iter().flat_map(|r| &r.curve) {
        let (count, sum) = epochs.entry(point.epoch).or_default();
        *count += 1;
        *sum += point.top1;
    }
    let shared = epochs.into_iter().filter(|(_, (count, _))| *count == runs.len());
    let mean: Vec<_> = shared.map(|(epoch, (count, sum))| (epoch, sum / count as f64)).collect();
    (!mean.is_empty()).then_some(mean)
}

#[cfg(test)]
mod tests {
    use super::super::facet::facets;
    use super::*;
    use crate::report::Point;
    use crate::report::fixture::report;

    #[test]
    fn there_is_a_line_for_every_run_and_every_mean() {
        let report = report();
        let picture = render(&report, &facets(&report)[0]).expect("curves");
        let with_curve = report.runs.iter().filter(|r| !r.curve.is_empty()).count();
        assert_eq!(picture.matches("class=\"run ").count(), with_curve);
        assert!(picture.contains("&lt;fmix&gt;") && !picture.contains("<fmix>"));
    }

    #[test]
    fn a_mean_covers_only_the_epochs_that_all_runs_have() {
        let report = report();
        let (mut short, long) = (report.runs[0].clone(), report.runs[1].clone());
        short.curve.truncate(3);
        assert_eq!(mean(&[&short, &long]).expect("shared epochs").len(), 3);
        assert!(mean(&[]).is_none());
    }

    #[test]
    fn a_long_picture_shows_the_range_that_is_compared() {
        let mut report = report();
        let point = |epoch| Point { epoch, top1: f64::from(epoch), train_loss: 1.0, lr: 0.1 };
        report.runs.iter_mut().for_each(|r| r.curve = (1..=40).map(point).collect());
        let picture = render(&report, &facets(&report)[0]).expect("curves");
        assert!(picture.contains(">10<") && !picture.contains(">0<"));
    }

    #[test]
    fn nothing_is_drawn_before_the_first_epoch() {
        let mut report = report();
        report.runs.iter_mut().for_each(|r| r.curve.clear());
        assert!(render(&report, &facets(&report)[0]).is_none());
    }
}
