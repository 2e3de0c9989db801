//! JUnit's XML, one test case a cell: regressed is a failure, a failed run an error, and what cannot be judged is skipped.

use std::fmt::Write as _;

use super::escape::escape;
use super::{CellRow, CellStatus, Report, trials};
use crate::aggregate::Verdict;
use crate::plan::Reference;
use mixbench_crds::metric::{percent, points};

/// How a test case ended, other than well.
enum Mark {
    Failure(String),
    Error(String),
    Skipped(String),
}

pub(super) fn render(report: &Report) -> String {
    let marks: Vec<Option<Mark>> = report.cells.iter().map(mark).collect();
    let count = |wanted: fn(&Mark) -> bool| marks.iter().flatten().filter(|m| wanted(m)).count();
    let totals = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{:.3}\"",
        report.cells.len(),
        count(|m| matches!(m, Mark::Failure(_))),
        count(|m| matches!(m, Mark::Error(_))),
        count(|m| matches!(m, Mark::Skipped(_))),
        report.cells.iter().map(|c| c.cell.train_seconds).sum::<f64>()
    );
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    writeln!(out, "<testsuites name=\"mixbench\" {totals}>").expect("a string");
    writeln!(
        out,
        "  <testsuite name=\"{}\" {totals} timestamp=\"{}\">",
        escape(&report.name),
        report.generated.strftime("%Y-%m-%dT%H:%M:%S")
    )
    .expect("a string");
    writeln!(out, "    <properties>").expect("a string");
    for (name, value) in
        [("recipe", &report.recipe), ("data", &report.data), ("metric", &report.rule()), ("gate", &report.gate_rule())]
    {
        writeln!(out, "      <property name=\"{name}\" value=\"{}\"/>", escape(value)).expect("a string");
    }
    writeln!(out, "    </properties>").expect("a string");
    for (row, mark) in report.cells.iter().zip(marks) {
        case(&mut out, report, row, mark);
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

fn case(out: &mut String, report: &Report, row: &CellRow, mark: Option<Mark>) {
    let cell = &row.cell;
    write!(
        out,
        "    <testcase classname=\"{}.{}\" name=\"{}\" time=\"{:.3}\">",
        escape(&report.name),
        escape(&cell.backbone),
        escape(&cell.label),
        cell.train_seconds
    )
    .expect("a string");
    match mark {
        None => {}
        Some(Mark::Failure(why)) => {
            write!(out, "\n      <failure type=\"regressed\" message=\"{}\"/>", escape(&why)).expect("a string");
        }
        Some(Mark::Error(why)) => {
            let all = row.problems.join("\n");
            write!(out, "\n      <error type=\"failed\" message=\"{}\">{}</error>", escape(&why), escape(&all))
                .expect("a string");
        }
        Some(Mark::Skipped(why)) => {
            write!(out, "\n      <skipped message=\"{}\"/>", escape(&why)).expect("a string");
        }
    }
    if let Some(mean) = cell.mean {
        let spread = cell.std.map_or(String::new(), |std| format!(" ± {}", percent(std)));
        write!(out, "\n      <system-out>top-1 {}{spread} over {}</system-out>", percent(mean), trials(cell.n))
            .expect("a string");
    }
    out.push_str("\n    </testcase>\n");
}

fn mark(row: &CellRow) -> Option<Mark> {
    let cell = &row.cell;
    match (row.status, cell.verdict) {
        (CellStatus::Failed, _) => {
            Some(Mark::Error(row.problems.first().cloned().unwrap_or_else(|| "a run failed".to_owned())))
        }
        (CellStatus::Incomplete, _) => Some(Mark::Skipped(format!("{} of {} are in", cell.n, trials(cell.trials)))),
        (CellStatus::Complete, Verdict::Pass) => None,
        (CellStatus::Complete, Verdict::Regressed) => Some(Mark::Failure(compared(row))),
        (CellStatus::Complete, Verdict::Inconclusive) => {
            Some(Mark::Skipped(format!("inconclusive: {}", compared(row))))
        }
        (CellStatus::Complete, Verdict::NoReference) => Some(Mark::Skipped(match &cell.reference {
            Reference::None { why } => format!("no reference: {why}"),
            Reference::Known { .. } => "no reference".to_owned(),
        })),
    }
}

fn compared(row: &CellRow) -> String {
    let cell = &row.cell;
    let text = |value: Option<f64>| value.map_or("–".to_owned(), percent);
    format!(
        "top-1 {} over {}, published {}, difference {}",
        text(cell.mean),
        trials(cell.n),
        text(cell.reference.top1()),
        cell.delta.map_or("–".to_owned(), points)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::report;

    #[test]
    fn a_cell_is_a_test_case() {
        insta::assert_snapshot!(render(&report()), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="mixbench" tests="6" failures="1" errors="1" skipped="3" time="900.000">
          <testsuite name="resnets" tests="6" failures="1" errors="1" skipped="3" time="900.000" timestamp="1970-01-01T00:00:00">
            <properties>
              <property name="recipe" value="pytorch-100ep"/>
              <property name="data" value="imagenet-1k"/>
              <property name="metric" value="median of top-1 over the last 5 epochs; mean over trials"/>
              <property name="gate" value="a cell passes if top-1 is at most 0.30 points below the published number with 95 % confidence (one-sided t-bound, at least 2 trials)"/>
            </properties>
            <testcase classname="resnets.resnet18" name="vanilla" time="200.000">
              <system-out>top-1 70.20 ± 0.14 over 2 trials</system-out>
            </testcase>
            <testcase classname="resnets.resnet18" name="mixup" time="200.000">
              <failure type="regressed" message="top-1 68.10 over 2 trials, published 69.98, difference -1.88"/>
              <system-out>top-1 68.10 ± 0.14 over 2 trials</system-out>
            </testcase>
            <testcase classname="resnets.resnet18" name="cutmix" time="200.000">
              <skipped message="inconclusive: top-1 69.10 over 2 trials, published 68.95, difference +0.15"/>
              <system-out>top-1 69.10 ± 0.14 over 2 trials</system-out>
            </testcase>
            <testcase classname="resnets.resnet18" name="&lt;fmix&gt; &quot;a|b&quot;" time="200.000">
              <skipped message="no reference: not published"/>
              <system-out>top-1 71.12 ± 0.14 over 2 trials</system-out>
            </testcase>
            <testcase classname="resnets.resnet18" name="puzzlemix" time="100.000">
              <error type="failed" message="trial 1 failed (diverged): the loss is not finite at step 12; log: runs/x/log.txt">trial 1 failed (diverged): the loss is not finite at step 12; log: runs/x/log.txt</error>
              <system-out>top-1 50.00 over 1 trial</system-out>
            </testcase>
            <testcase classname="resnets.resnet18" name="resizemix" time="0.000">
              <skipped message="0 of 2 trials are in"/>
            </testcase>
          </testsuite>
        </testsuites>
        "#);
    }
}
