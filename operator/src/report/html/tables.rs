//! The two tables of the page.

use std::fmt::Write as _;

use mixbench_crds::metric::percent;

use super::super::{Report, RunRow, RunStatus};
use super::{COLUMNS, Value, bars, escape, rows};

/// A cell of a table: CSS class, what it is sorted by, and trusted HTML.
struct Td {
    class: &'static str,
    sort: Option<String>,
    html: String,
}

/// The table of cells.
pub(super) fn cells(report: &Report) -> String {
    let heads: Vec<(&str, bool)> = COLUMNS.iter().map(|c| (c.title, c.numeric)).collect();
    let body = rows(report).into_iter().map(|row| {
        let cells = row.iter().zip(&COLUMNS).map(|(value, column)| Td {
            class: match (column.numeric, column.keys[0]) {
                (_, "top1_mean") => "number main",
                (true, _) => "number",
                (false, "method") => "main",
                (false, _) => "",
            },
            sort: column.numeric.then(|| value.order().map_or(String::new(), |v| v.to_string())),
            html: match value {
                Value::Verdict(word, mood) => {
                    format!("<span class=\"badge {}\">{}</span>", bars::mood(*mood), escape(word))
                }
                value => escape(&value.human()),
            },
        });
        cells.collect()
    });
    table(&heads, body)
}

/// The table of runs.
pub(super) fn runs(report: &Report) -> String {
    let mut heads = vec![
        ("backbone", false),
        ("method", false),
        ("trial", true),
        ("seed", true),
        ("status", false),
        ("top-1 %", true),
        ("top-5 %", true),
        ("epochs", true),
        ("images/s", true),
        ("seconds", true),
        ("attempts", true),
    ];
    let remarks = report.runs.iter().any(|r| r.message.is_some());
    if remarks {
        heads.push(("remark", false));
    }
    heads.push(("run", false));
    let cells = |run: &RunRow| {
        let mut cells = run_cells(report, run);
        if remarks {
            let why = escape(run.message.as_deref().unwrap_or(""));
            cells.push(Td { class: "why", sort: None, html: why });
        }
        cells.push(Td { class: "", sort: None, html: format!("<code>{}</code>", escape(&run.id)) });
        cells
    };
    table(&heads, report.runs.iter().map(cells))
}

fn run_cells(report: &Report, run: &RunRow) -> Vec<Td> {
    let cell = report.cells.get(run.cell).map(|row| &row.cell);
    let text = |value: &str| Td { class: "", sort: None, html: escape(value) };
    let number = |value: Option<f64>, shown: Option<String>| Td {
        class: "number",
        sort: Some(value.map_or(String::new(), |v| v.to_string())),
        html: shown.unwrap_or_else(|| "–".to_owned()),
    };
    let whole = |value: f64, shown: String| number(Some(value), Some(shown));
    let badge = match run.status {
        RunStatus::Finished => "good",
        RunStatus::Failed => "bad",
        RunStatus::Running => "unsure",
        RunStatus::Stopped | RunStatus::Waiting => "",
    };
    vec![
        text(cell.map_or("", |c| &c.backbone)),
        Td { class: "main", ..text(cell.map_or("", |c| &c.label)) },
        whole(f64::from(run.trial), run.trial.to_string()),
        whole(run.seed as f64, run.seed.to_string()),
        Td { class: "", sort: None, html: format!("<span class=\"badge {badge}\">{}</span>", run.status) },
        number(run.top1, run.top1.map(percent)),
        number(run.top5, run.top5.map(percent)),
        whole(f64::from(run.epochs), format!("{}/{}", run.epochs, run.epochs_planned)),
        number(run.images_per_second, run.images_per_second.map(|v| format!("{v:.0}"))),
        whole(run.train_seconds, format!("{:.1}", run.train_seconds)),
        whole(f64::from(run.attempts), run.attempts.to_string()),
    ]
}

fn table(heads: &[(&str, bool)], rows: impl Iterator<Item = Vec<Td>>) -> String {
    let mut out = String::from("<div class=\"scroll\"><table class=\"sortable\">\n<thead><tr>");
    for (title, numeric) in heads {
        let class = if *numeric { " class=\"number\"" } else { "" };
        write!(out, "<th scope=\"col\"{class}><button type=\"button\">{}</button></th>", escape(title))
            .expect("a string");
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for td in row {
            let sort = td.sort.map_or(String::new(), |s| format!(" data-sort=\"{}\"", escape(&s)));
            write!(out, "<td class=\"{}\"{sort}>{}</td>", td.class, td.html).expect("a string");
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table></div>\n");
    out
}
