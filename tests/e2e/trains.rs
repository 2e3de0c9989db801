//! What goes well.

use crate::bench::{Bench, epochs, result};

#[test]
fn the_smoke_manifest_ends_with_a_table_in_every_format_and_is_never_repeated() {
    let bench = Bench::committed("smoke.yaml");
    let first = bench.run(&[]);
    assert_eq!(first.code, 0, "{first:?}");
    for wanted in ["vanilla", "cutmix", "report.html"] {
        assert!(first.stdout.contains(wanted), "{}", first.stdout);
    }
    let runs = bench.runs();
    assert_eq!(runs.len(), 2);
    for run in &runs {
        let result = result(run);
        assert_eq!((result.attempt, result.epochs, result.n, result.images), (1, 2, 1000, 2 * 2016));
        assert!(result.top1() > 15.0, "better than chance: {}", result.top1());
        let losses: Vec<f64> = epochs(run).values().map(|epoch| epoch.train_loss).collect();
        assert!(losses.len() == 2 && losses[1] < losses[0], "{losses:?}");
    }

    let formats = [
        ("markdown", "| resnet20 |"),
        ("csv", "resnet20,cutmix,"),
        ("json", "\"curve\""),
        ("junit", "<testcase"),
        ("html", "<svg"),
    ];
    for (format, holds) in formats {
        let report = bench.report(format);
        assert!(report.code == 0 && report.stdout.contains(holds), "{format}: {report:?}");
    }

    let written = || runs.iter().map(|run| run.result().metadata().unwrap().modified().unwrap()).collect::<Vec<_>>();
    let before = written();
    let second = bench.run(&[]);
    assert_eq!((second.code, &second.stdout), (0, &first.stdout));
    assert_eq!(written(), before);
}
