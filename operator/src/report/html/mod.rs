//! One self-contained page: no request leaves it, and every string that comes from outside is escaped.

use std::fmt::Write as _;

use jiff::Timestamp;
use mixbench_crds::metric::percent;

use super::escape::escape;
use super::grid::{COLUMNS, Value, rows};
use super::{Mood, Report, RunStatus};
use crate::aggregate::Outcome;

mod bars;
mod curves;
mod facet;
mod svg;
mod tables;

const CSS: &str = include_str!("page.css");
const JS: &str = include_str!("page.js");

pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    head(&mut out, report);
    out.push_str("<main>\n");
    out.push_str("<h2>Results</h2>\n");
    line(&mut out, "p", &format!("Top-1 of a run is the {}.", report.rule()));
    out.push_str(&tables::cells(report));
    pictures(&mut out, report);
    out.push_str("<h2>Runs</h2>\n");
    out.push_str(&tables::runs(report));
    out.push_str("</main>\n");
    writeln!(
        out,
        "<footer>Made by mixbench {} at {} UTC. <code>{} --format html</code> makes this page anew.</footer>",
        escape(&report.environment.mixbench),
        time(report.generated),
        escape(&report.command)
    )
    .expect("a string");
    write!(out, "<script>{JS}</script>\n</body>\n</html>\n").expect("a string");
    out
}

fn head(out: &mut String, report: &Report) {
    let name = escape(&report.name);
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\n\
         <title>{name} · mixbench</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>{CSS}</style>\n</head>\n<body>\n<header>\n"
    )
    .expect("a string");
    let (word, mood) = standing(report);
    writeln!(out, "<div class=\"title\"><h1>{name}</h1><span class=\"badge {}\">{word}</span></div>", bars::mood(mood))
        .expect("a string");
    facts(out, report);
    let problems: Vec<String> = report.problems().collect();
    if !problems.is_empty() {
        out.push_str("<div class=\"problems\"><strong>Runs that failed</strong><ul>\n");
        for problem in problems {
            line(out, "li", &problem);
        }
        out.push_str("</ul></div>\n");
    }
    out.push_str("</header>\n");
}

/// What stands beside the name.
fn standing(report: &Report) -> (&'static str, Mood) {
    let failed = report.runs.iter().any(|r| r.status == RunStatus::Failed);
    let referenced = report.cells.iter().any(|c| c.cell.reference.top1().is_some());
    match report.outcome {
        Outcome::Failed if !failed => ("in progress", Mood::Unsure),
        Outcome::Failed | Outcome::Invalid => ("failed", Mood::Bad),
        Outcome::Regressed => ("regressed", Mood::Bad),
        Outcome::Inconclusive => ("inconclusive", Mood::Unsure),
        Outcome::Pass if referenced => ("pass", Mood::Good),
        Outcome::Pass => ("complete", Mood::Neutral),
    }
}

fn facts(out: &mut String, report: &Report) {
    let environment = &report.environment;
    let finished = report.runs.iter().filter(|r| r.status == RunStatus::Finished).count();
    let span = match (environment.first_event, environment.last_event) {
        (Some(first), Some(last)) => format!("{} to {} UTC", time(first), time(last)),
        _ => "not yet".to_owned(),
    };
    let some = |list: &[String]| if list.is_empty() { "not known yet".to_owned() } else { list.join(", ") };
    let fingerprints: Vec<String> =
        environment.data_fingerprints.iter().map(|f| f.chars().take(16).collect()).collect();
    let recipe = if report.recipe_source.is_empty() {
        report.recipe_title.clone()
    } else {
        format!("{} ({}; {})", report.recipe_title, report.recipe, report.recipe_source)
    };
    out.push_str("<dl class=\"facts\">\n");
    fact(out, "", "Recipe", &recipe);
    fact(out, "", "Data", &format!("{}, fingerprint {}", report.data, some(&fingerprints)));
    fact(out, "", "Runs", &format!("{finished} of {} finished", report.runs.len()));
    fact(out, "", "Measured", &span);
    fact(out, "", "Device", &some(&environment.devices));
    fact(out, "", "Versions", &format!("mixbench {}, libtorch {}", environment.mixbench, some(&environment.libtorch)));
    fact(out, "wide", "Metric", &report.rule());
    if report.cells.iter().any(|c| c.cell.reference.top1().is_some()) {
        fact(out, "wide", "Verdict", &report.gate_rule());
    }
    if !report.overrides.is_empty() {
        fact(out, "wide", "Changed from the recipe", &report.overrides.join(", "));
    }
    out.push_str("</dl>\n");
}

fn fact(out: &mut String, class: &str, name: &str, value: &str) {
    writeln!(out, "<div class=\"{class}\"><dt>{name}</dt><dd>{}</dd></div>", escape(value)).expect("a string");
}

fn pictures(out: &mut String, report: &Report) {
    let facets = facet::facets(report);
    let bars: Vec<_> = facets.iter().filter_map(|f| Some((f.title.as_str(), bars::render(f)?))).collect();
    if !bars.is_empty() {
        out.push_str("<h2>Mean top-1</h2>\n<p>Whiskers are 95 % intervals of the mean over trials.<span class=\"key ours\"></span>measured");
        if report.cells.iter().any(|c| c.cell.reference.top1().is_some()) {
            out.push_str("<span class=\"key theirs\"></span>published");
        }
        out.push_str("</p>\n");
        charts(out, &bars);
    }
    if let Some(picture) = bars::differences(report) {
        out.push_str("<h2>Difference to the published numbers</h2>\n");
        let tolerance = percent(report.gate.tolerance);
        line(
            out,
            "p",
            &format!(
                "The dashed line is the tolerance of {tolerance} points; whiskers are two-sided 95 % intervals, the verdict rests on one-sided bounds."
            ),
        );
        charts(out, &[("all cells", picture)]);
    }
    let curves: Vec<_> = facets.iter().filter_map(|f| Some((f.title.as_str(), curves::render(report, f)?))).collect();
    if !curves.is_empty() {
        out.push_str("<h2>Top-1 over the epochs</h2>\n");
        line(
            out,
            "p",
            "In %. Thin lines are runs, thick lines the mean of a cell over the epochs that all its runs have.",
        );
        charts(out, &curves);
    }
}

fn charts(out: &mut String, pictures: &[(&str, String)]) {
    out.push_str("<div class=\"charts\">\n");
    for (title, picture) in pictures {
        writeln!(out, "<div class=\"chart-card\"><h3>{}</h3>\n{picture}</div>", escape(title)).expect("a string");
    }
    out.push_str("</div>\n");
}

fn line(out: &mut String, tag: &str, text: &str) {
    writeln!(out, "<{tag}>{}</{tag}>", escape(text)).expect("a string");
}

/// A point in time (UTC) to the minute.
fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::report;

    #[test]
    fn no_string_from_outside_opens_a_tag_and_no_request_leaves_the_page() {
        let mut report = report();
        report.name = "<script>alert(1)</script>".into();
        report.runs[0].message = Some("</td><img src=x onerror=alert(1)>".into());
        report.overrides = vec!["</style><script>".into()];
        let page = render(&report);
        assert_eq!(page.matches("<script>").count(), 1);
        assert!(!page.contains("<img") && !page.contains("<fmix>"));
        let links = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!links.contains("http://") && !links.contains("https://") && !links.contains("url("));
    }

    #[test]
    fn a_page_can_be_made_before_anything_has_finished() {
        let mut report = report();
        report.cells.iter_mut().for_each(|c| {
            (c.cell.n, c.cell.mean, c.cell.std, c.cell.ci95, c.cell.delta) = (0, None, None, None, None);
        });
        report.runs.iter_mut().for_each(|r| {
            r.curve.clear();
            r.status = RunStatus::Waiting;
        });
        let page = render(&report);
        assert!(page.contains("in progress") && !page.contains("Mean top-1"));
    }
}
