//! What docs/operations.md promises to name, it names: every reason, every end, every exit code, every right.

use mixbench_crds::benchmark::EndReason;
use mixbench_crds::exit::Exit;
use strum::IntoEnumIterator as _;

use super::events;
use crate::decide::policy::budget;
use crate::status::Reason;

const HANDBOOK: &str = include_str!("../../../docs/operations.md");

/// How the head of the table of ends begins.
const ENDS: &str = "| what happened | exit |";

/// Rows of the table whose head begins with this.
fn table(head: &str) -> Vec<&'static str> {
    let rows = HANDBOOK.lines().skip_while(|line| !line.starts_with(head)).skip(2);
    let rows: Vec<&str> = rows.take_while(|line| line.starts_with('|')).collect();
    assert!(!rows.is_empty(), "there is no table {head}");
    rows
}

#[test]
fn every_reason_of_a_condition_has_one_row_and_no_row_is_of_another() {
    let mut named: Vec<&str> =
        table("| reason | of |").iter().filter_map(|row| row.strip_prefix("| `")?.split('`').next()).collect();
    let mut known: Vec<&str> = Reason::iter().map(Into::into).collect();
    named.sort_unstable();
    known.sort_unstable();
    assert_eq!(named, known);
}

#[test]
fn every_reason_of_an_event_is_named() {
    for reason in events::Reason::iter() {
        let name = <&str>::from(reason);
        assert!(HANDBOOK.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn every_end_is_charged_in_the_handbook_as_it_is_in_the_policy() {
    for reason in EndReason::ALL {
        let cell = format!("| `{reason:?}` |");
        let rows: Vec<&str> = table(ENDS).into_iter().filter(|row| row.contains(&cell)).collect();
        let word = match <&str>::from(budget(reason)) {
            "Free" => "nobody".to_owned(),
            other => other.to_lowercase(),
        };
        assert!(!rows.is_empty(), "{reason:?}");
        assert!(rows.iter().all(|row| row.ends_with(&format!("| {word} |"))), "{word}: {rows:?}");
    }
}

#[test]
fn every_exit_of_the_trainer_is_in_the_table_of_ends() {
    for exit in Exit::ALL {
        let cell = |line: &&'static str| {
            line.contains(&format!("| {} |", exit.code())) || line.contains(&format!("| {},", exit.code()))
        };
        assert!(table(ENDS).iter().any(cell), "{exit:?}");
    }
}

#[test]
fn every_right_of_the_chart_has_its_reason() {
    let chart = include_str!("../../../charts/mixbench/templates/_helpers.tpl");
    let rules = chart.split("define \"mixbench.rules\"").nth(1).expect("the rules of the chart");
    let list = |line: &str, key: &str| -> Option<Vec<String>> {
        let inside = line.trim().strip_prefix(key)?.trim().strip_prefix('[')?.strip_suffix(']')?.to_owned();
        Some(inside.split(", ").map(str::to_owned).collect())
    };
    let (mut resources, mut seen) = (Vec::new(), 0);
    for line in rules.lines() {
        if let Some(found) = list(line, "resources:") {
            resources = found;
        }
        for verb in list(line, "verbs:").unwrap_or_default() {
            for resource in &resources {
                assert!(allows(resource, &verb), "{verb} {resource} is in the chart and not in the handbook");
                seen += 1;
            }
        }
    }
    assert!(seen > 10, "{seen} rights were found: the chart is written otherwise than this test reads");
}

/// Whether the table of rights has this verb of this resource; rows without a resource go on with the one before.
fn allows(resource: &str, verb: &str) -> bool {
    let mut current = "";
    table("| resource | verbs |").into_iter().any(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, what, verbs, ..] = cells.as_slice() else { return false };
        if !what.is_empty() {
            current = what.rsplit(' ').next().unwrap_or_default();
        }
        current == resource && verbs.split(", ").any(|v| v == verb)
    })
}
