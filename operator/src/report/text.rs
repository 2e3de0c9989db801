//! Aligned columns for people.

use std::fmt::Write as _;

use super::grid::{COLUMNS, Value, rows};
use super::{Mood, Report};

/// Colours of terminals.
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";

pub(super) fn render(report: &Report, colour: bool) -> String {
    let paint = |text: String, code: &str| if colour { format!("{code}{text}{RESET}") } else { text };
    let rows = rows(report);
    let widths: Vec<usize> = (0..COLUMNS.len())
        .map(|i| {
            let title = COLUMNS[i].title.chars().count();
            rows.iter().map(|row| row[i].human().chars().count()).chain([title]).max().unwrap_or(title)
        })
        .collect();
    let mut out = String::new();
    writeln!(out, "{}", paint(format!("{} · recipe {} · data {}", report.name, report.recipe, report.data), BOLD))
        .expect("a string");
    writeln!(out, "{}", report.rule()).expect("a string");
    if report.cells.iter().any(|c| c.cell.reference.top1().is_some()) {
        writeln!(out, "{}", report.gate_rule()).expect("a string");
    }
    out.push('\n');
    let header: Vec<String> = COLUMNS.iter().zip(&widths).map(|(c, w)| pad(c.title, *w, c.numeric)).collect();
    writeln!(out, "{}", paint(header.join("  ").trim_end().to_owned(), BOLD)).expect("a string");
    let line: Vec<String> = widths.iter().map(|w| "─".repeat(*w)).collect();
    writeln!(out, "{}", paint(line.join("  "), DIM)).expect("a string");
    for row in &rows {
        let mut cells = Vec::new();
        for ((value, width), column) in row.iter().zip(&widths).zip(&COLUMNS) {
            let text = pad(&value.human(), *width, column.numeric);
            cells.push(match value {
                Value::Verdict(_, mood) => paint(text, code(*mood)),
                _ => text,
            });
        }
        writeln!(out, "{}", cells.join("  ").trim_end()).expect("a string");
    }
    let problems: Vec<String> = report.problems().collect();
    if !problems.is_empty() {
        out.push('\n');
        for problem in problems {
            writeln!(out, "{}", paint(problem, code(Mood::Bad))).expect("a string");
        }
    }
    out
}

const fn code(mood: Mood) -> &'static str {
    match mood {
        Mood::Good => "\x1b[32m",
        Mood::Bad => "\x1b[31m",
        Mood::Unsure => "\x1b[33m",
        Mood::Neutral => "\x1b[2m",
    }
}

fn pad(text: &str, width: usize, right: bool) -> String {
    let space = " ".repeat(width.saturating_sub(text.chars().count()));
    if right { format!("{space}{text}") } else { format!("{text}{space}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::report;

    #[test]
    fn columns_are_aligned_and_problems_stand_below() {
        insta::assert_snapshot!(render(&report(), false), @r#"
        resnets · recipe pytorch-100ep · data imagenet-1k
        median of top-1 over the last 5 epochs; mean over trials
        a cell passes if top-1 is at most 0.30 points below the published number with 95 % confidence (one-sided t-bound, at least 2 trials)

        backbone  method          n  top-1 %   std        95 % CI  published   diff  verdict       images/s  s/run
        ────────  ────────────  ───  ───────  ────  ─────────────  ─────────  ─────  ────────────  ────────  ─────
        resnet18  vanilla       2/2    70.20  0.14  68.93 – 71.47      70.04  +0.16  pass              1234  100.0
        resnet18  mixup         2/2    68.10  0.14  66.83 – 69.37      69.98  -1.88  regressed         1234  100.0
        resnet18  cutmix        2/2    69.10  0.14  67.83 – 70.37      68.95  +0.15  inconclusive      1234  100.0
        resnet18  <fmix> "a|b"  2/2    71.12  0.14  69.86 – 72.39          –      –  no-reference      1234  100.0
        resnet18  puzzlemix     1/2    50.00     –              –          –      –  failed            1234  100.0
        resnet18  resizemix     0/2        –     –              –      69.50      –  incomplete           –      –

        resnet18 × puzzlemix: trial 1 failed (diverged): the loss is not finite at step 12; log: runs/x/log.txt
        "#);
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let coloured = render(&report(), true);
        assert!(coloured.contains("\x1b[32mpass"));
        let mut plain = String::new();
        let mut inside = false;
        for c in coloured.chars() {
            match c {
                '\x1b' => inside = true,
                'm' if inside => inside = false,
                c if !inside => plain.push(c),
                _ => {}
            }
        }
        let trimmed: Vec<&str> = plain.lines().map(str::trim_end).collect();
        assert_eq!(trimmed.join("\n"), render(&report(), false).trim_end());
    }
}
