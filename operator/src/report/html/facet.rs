//! Which cells share a picture, and in which colour: one picture a backbone and one colour a method, the same in every picture.

use super::super::{CellRow, Report};

/// Colours before they repeat with dashes.
const COLOURS: usize = 10;

/// One picture.
pub(super) struct Facet<'a> {
    /// Its heading.
    pub(super) title: String,
    /// Its cells.
    pub(super) series: Vec<Series<'a>>,
}

/// A cell in a picture.
pub(super) struct Series<'a> {
    /// Index into [`Report::cells`].
    pub(super) index: usize,
    /// The cell.
    pub(super) row: &'a CellRow,
    /// Its name within the picture.
    pub(super) name: &'a str,
    /// CSS classes of its colour.
    pub(super) class: String,
}

/// The pictures of a report, in the order of the plan. With a single method the backbones share one picture and have the colours.
pub(super) fn facets(report: &Report) -> Vec<Facet<'_>> {
    let cells = &report.cells;
    let methods = distinct(cells.iter().map(|c| c.cell.label.as_str()));
    let backbones = distinct(cells.iter().map(|c| c.cell.backbone.as_str()));
    let swap = methods.len() == 1 && backbones.len() > 1;
    let (outer, inner) = if swap { (methods, backbones) } else { (backbones, methods) };
    let key = |row: &'_ CellRow| {
        if swap {
            (row.cell.label.clone(), row.cell.backbone.clone())
        } else {
            (row.cell.backbone.clone(), row.cell.label.clone())
        }
    };
    let facet = |title: &str| {
        let mine = cells.iter().enumerate().filter(|(_, row)| key(row).0 == title);
        let series = mine.map(|(index, row)| {
            let name = if swap { &row.cell.backbone } else { &row.cell.label };
            let colour = inner.iter().position(|n| n == name).unwrap_or(0);
            let dash = if colour >= COLOURS { " dash" } else { "" };
            Series { index, row, name, class: format!("c{}{dash}", colour % COLOURS) }
        });
        Facet { title: title.to_owned(), series: series.collect() }
    };
    outer.into_iter().map(facet).collect()
}

/// Each name once, in order.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for name in names {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::report;

    #[test]
    fn a_method_has_one_colour_in_all_pictures() {
        let mut report = report();
        let mut more = report.cells[1].clone();
        more.cell.backbone = "resnet50".into();
        report.cells.push(more);
        let facets = facets(&report);
        assert_eq!(facets.iter().map(|f| f.title.as_str()).collect::<Vec<_>>(), ["resnet18", "resnet50"]);
        assert_eq!(facets[1].series[0].class, facets[0].series[1].class);
        assert_eq!(facets[1].series[0].index, 6);
    }

    #[test]
    fn backbones_share_a_picture_where_there_is_one_method() {
        let mut report = report();
        report.cells.truncate(2);
        report.cells[1].cell.label = report.cells[0].cell.label.clone();
        report.cells[1].cell.backbone = "resnet50".into();
        let facets = facets(&report);
        assert_eq!(facets.len(), 1);
        assert_eq!(facets[0].series[1].name, "resnet50");
        assert_eq!(facets[0].series[1].class, "c1");
    }
}
