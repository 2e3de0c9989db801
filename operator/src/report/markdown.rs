//! A GitHub-flavoured Markdown table.

use std::fmt::Write as _;

use super::Report;
use super::grid::{COLUMNS, Value, rows};

pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    writeln!(out, "### {}\n", text(&report.name)).expect("a string");
    writeln!(out, "Recipe {}, data {}: {}.\n", text(&report.recipe), text(&report.data), report.rule())
        .expect("a string");
    let titles: Vec<&str> = COLUMNS.iter().map(|c| c.title).collect();
    writeln!(out, "| {} |", titles.join(" | ")).expect("a string");
    let divider: Vec<&str> = COLUMNS.iter().map(|c| if c.numeric { "---:" } else { "---" }).collect();
    writeln!(out, "| {} |", divider.join(" | ")).expect("a string");
    for row in rows(report) {
        let cells: Vec<String> = row.iter().map(Value::human).map(|v| text(&v)).collect();
        writeln!(out, "| {} |", cells.join(" | ")).expect("a string");
    }
    let problems: Vec<String> = report.problems().collect();
    if !problems.is_empty() {
        out.push('\n');
        for problem in problems {
            writeln!(out, "- {}", text(&problem)).expect("a string");
        }
    }
    out
}

/// Text that can open no markup and leave no table cell.
fn text(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '~' | '&' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::report;

    #[test]
    fn rows_become_a_table_with_alignment() {
        insta::assert_snapshot!(render(&report()), @r#"
        ### resnets

        Recipe pytorch-100ep, data imagenet-1k: median of top-1 over the last 5 epochs; mean over trials.

        | backbone | method | n | top-1 % | std | 95 % CI | published | diff | verdict | images/s | s/run |
        | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: | ---: |
        | resnet18 | vanilla | 2/2 | 70.20 | 0.14 | 68.93 – 71.47 | 70.04 | +0.16 | pass | 1234 | 100.0 |
        | resnet18 | mixup | 2/2 | 68.10 | 0.14 | 66.83 – 69.37 | 69.98 | -1.88 | regressed | 1234 | 100.0 |
        | resnet18 | cutmix | 2/2 | 69.10 | 0.14 | 67.83 – 70.37 | 68.95 | +0.15 | inconclusive | 1234 | 100.0 |
        | resnet18 | \<fmix\> "a\|b" | 2/2 | 71.12 | 0.14 | 69.86 – 72.39 | – | – | no-reference | 1234 | 100.0 |
        | resnet18 | puzzlemix | 1/2 | 50.00 | – | – | – | – | failed | 1234 | 100.0 |
        | resnet18 | resizemix | 0/2 | – | – | – | 69.50 | – | incomplete | – | – |

        - resnet18 × puzzlemix: trial 1 failed (diverged): the loss is not finite at step 12; log: runs/x/log.txt
        "#);
    }

    #[test]
    fn a_label_cannot_leave_its_cell() {
        assert_eq!(text("a|b\n<script>"), "a\\|b \\<script\\>");
    }
}
