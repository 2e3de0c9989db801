//! `mixbench report` on real folders.

use crate::bench::Bench;

#[test]
fn every_format_is_made_from_a_folder_with_a_failure() {
    let bench = Bench::new(2, 3).script(r#"{"mixup": ["data"]}"#);
    assert_eq!(bench.run(&[]).code, 3);
    let formats = [
        ("table", "resnet20  vanilla"),
        ("markdown", "| resnet20 | vanilla |"),
        ("csv", "resnet20,vanilla,2,2,53.0500"),
        ("json", "\"curve\""),
        ("junit", "<error type=\"failed\""),
        ("html", "<svg class=\"chart curves\""),
    ];
    for (format, holds) in formats {
        let came = bench.report(&["--format", format]);
        assert_eq!(came.code, 3, "{}", came.stderr);
        assert!(came.stdout.contains(holds), "{format}: {}", came.stdout);
    }
    let file = bench.out().join("junit.xml");
    let came = bench.report(&["--format", "junit", "--output", file.to_str().unwrap()]);
    assert_eq!((came.code, came.stdout.as_str()), (3, ""));
    assert!(std::fs::read_to_string(file).unwrap().starts_with("<?xml"));
}

#[test]
fn what_is_no_output_folder_is_named_with_the_way_out() {
    let bench = Bench::new(1, 3);
    let came = bench.report(&[]);
    assert_eq!(came.code, 4);
    assert!(came.stderr.contains("plan.json") && came.stderr.contains("--out"), "{}", came.stderr);
}
