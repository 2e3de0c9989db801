//! The table of cells, once: what stands in which column. Formats only decide how a value looks.

use mixbench_crds::metric::{percent, points};

use super::{CellRow, Mood, Report};

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name for machines; a [`Value`] of two numbers has two names.
    pub keys: &'static [&'static str],
    /// Its name for people.
    pub title: &'static str,
    /// Whether it holds numbers, which stand on the right.
    pub numeric: bool,
}

/// What stands in a cell of the table.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A name.
    Text(String),
    /// So many of so many.
    Of(u32, u32),
    /// A number with so many decimals for people.
    Number(f64, usize),
    /// A number whose sign matters.
    Signed(f64),
    /// From low to high.
    Range(f64, f64),
    /// A judgement.
    Verdict(&'static str, Mood),
    /// Nothing, in so many machine columns.
    Missing(usize),
}

impl Value {
    /// For people.
    pub fn human(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Of(n, of) => format!("{n}/{of}"),
            Self::Number(value, decimals) => format!("{value:.decimals$}"),
            Self::Signed(value) => points(*value),
            Self::Range(low, high) => format!("{} – {}", percent(*low), percent(*high)),
            Self::Verdict(word, _) => (*word).to_owned(),
            Self::Missing(_) => "–".to_owned(),
        }
    }

    /// For machines, one text for each of the column's keys.
    pub fn machine(&self) -> Vec<String> {
        match self {
            Self::Text(text) => vec![text.clone()],
            Self::Of(n, of) => vec![n.to_string(), of.to_string()],
            Self::Number(value, _) | Self::Signed(value) => vec![format!("{value:.4}")],
            Self::Range(low, high) => vec![format!("{low:.4}"), format!("{high:.4}")],
            Self::Verdict(word, _) => vec![(*word).to_owned()],
            Self::Missing(columns) => vec![String::new(); *columns],
        }
    }

    /// What it is sorted by, where that is a number.
    pub fn order(&self) -> Option<f64> {
        match self {
            Self::Of(n, _) => Some(f64::from(*n)),
            Self::Number(value, _) | Self::Signed(value) => Some(*value),
            Self::Range(low, _) => Some(*low),
            Self::Text(_) | Self::Verdict(..) | Self::Missing(_) => None,
        }
    }
}

/// The columns of the table of cells.
pub const COLUMNS: [Column; 11] = [
    Column { keys: &["backbone"], title: "backbone", numeric: false },
    Column { keys: &["method"], title: "method", numeric: false },
    Column { keys: &["n", "trials"], title: "n", numeric: true },
    Column { keys: &["top1_mean"], title: "top-1 %", numeric: true },
    Column { keys: &["top1_std"], title: "std", numeric: true },
    Column { keys: &["ci95_low", "ci95_high"], title: "95 % CI", numeric: true },
    Column { keys: &["published"], title: "published", numeric: true },
    Column { keys: &["difference"], title: "diff", numeric: true },
    Column { keys: &["verdict"], title: "verdict", numeric: false },
    Column { keys: &["images_per_second"], title: "images/s", numeric: true },
    Column { keys: &["seconds_per_run"], title: "s/run", numeric: true },
];

/// One row for every cell, as wide as [`COLUMNS`].
pub fn rows(report: &Report) -> Vec<Vec<Value>> {
    report.cells.iter().map(row).collect()
}

fn row(row: &CellRow) -> Vec<Value> {
    let cell = &row.cell;
    let number = |value: Option<f64>, decimals| value.map_or(Value::Missing(1), |v| Value::Number(v, decimals));
    let interval = cell.mean.zip(cell.ci95);
    vec![
        Value::Text(cell.backbone.clone()),
        Value::Text(cell.label.clone()),
        Value::Of(cell.n, cell.trials),
        number(cell.mean, 2),
        number(cell.std, 2),
        interval.map_or(Value::Missing(2), |(mean, half)| Value::Range(mean - half, mean + half)),
        number(cell.reference.top1(), 2),
        cell.delta.map_or(Value::Missing(1), Value::Signed),
        Value::Verdict(row.word(), row.mood()),
        number(cell.images_per_second, 0),
        number(row.seconds_per_run(), 1),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::report;

    #[test]
    fn every_row_fills_every_column_for_people_and_for_machines() {
        let keys: usize = COLUMNS.iter().map(|c| c.keys.len()).sum();
        for row in rows(&report()) {
            assert_eq!(row.len(), COLUMNS.len());
            assert_eq!(row.iter().flat_map(Value::machine).count(), keys);
            for (column, value) in COLUMNS.iter().zip(&row) {
                assert_eq!(value.machine().len(), column.keys.len(), "{}", column.title);
                assert!(!value.human().is_empty());
            }
        }
    }
}
