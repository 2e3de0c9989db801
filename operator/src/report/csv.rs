//! Comma-separated values (RFC 4180): a header and one row a cell.

use super::Report;
use super::grid::{COLUMNS, Value, rows};

pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    let keys: Vec<String> = COLUMNS.iter().flat_map(|c| c.keys).map(|k| (*k).to_owned()).collect();
    line(&mut out, &keys);
    for row in rows(report) {
        let fields: Vec<String> = row.iter().flat_map(Value::machine).collect();
        line(&mut out, &fields);
    }
    out
}

fn line(out: &mut String, fields: &[String]) {
    let quoted: Vec<String> = fields.iter().map(|f| field(f)).collect();
    out.push_str(&quoted.join(","));
    out.push('\n');
}

fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::report;

    #[test]
    fn rows_hold_plain_numbers() {
        insta::assert_snapshot!(render(&report()), @r#"
        backbone,method,n,trials,top1_mean,top1_std,ci95_low,ci95_high,published,difference,verdict,images_per_second,seconds_per_run
        resnet18,vanilla,2,2,70.2000,0.1414,68.9300,71.4700,70.0400,0.1600,pass,1234.5000,100.0000
        resnet18,mixup,2,2,68.1000,0.1414,66.8300,69.3700,69.9800,-1.8800,regressed,1234.5000,100.0000
        resnet18,cutmix,2,2,69.1000,0.1414,67.8300,70.3700,68.9500,0.1500,inconclusive,1234.5000,100.0000
        resnet18,"<fmix> ""a|b""",2,2,71.1250,0.1414,69.8550,72.3950,,,no-reference,1234.5000,100.0000
        resnet18,puzzlemix,1,2,50.0000,,,,,,failed,1234.5000,100.0000
        resnet18,resizemix,0,2,,,,,69.5000,,incomplete,,
        "#);
    }

    #[test]
    fn a_field_with_a_comma_or_a_quote_is_quoted() {
        assert_eq!(field("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
