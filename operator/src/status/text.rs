//! Words of others, made harmless: they come out of containers, and go into objects, terminals and reports.

use std::fmt::Write as _;

/// The text on one line, without characters that steer terminals or the direction of writing, in at most `limit` bytes of JSON.
pub fn plain(text: &str, limit: usize) -> String {
    let mut out = String::new();
    let mut cost = 0;
    for word in text.split_whitespace() {
        if !out.is_empty() && !push(&mut out, &mut cost, limit, ' ') {
            return cut(out);
        }
        for c in word.chars() {
            if !push(&mut out, &mut cost, limit, c) {
                return cut(out);
            }
        }
    }
    out
}

/// The beginning of bytes that should not be there, in quotes, everything but plain ASCII escaped.
pub fn quoted(text: &str, limit: usize) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        if shown.len() >= limit {
            shown.push('…');
            break;
        }
        let _ = write!(shown, "{}", c.escape_default());
    }
    format!("\"{shown}\"")
}

/// Adds a character unless it does not fit any more; room for the sign of a cut is kept.
fn push(out: &mut String, cost: &mut usize, limit: usize, c: char) -> bool {
    let printable: String = if steers(c) { c.escape_unicode().collect() } else { c.to_string() };
    let bytes = printable.len() + printable.matches(['"', '\\']).count();
    if *cost + bytes + '…'.len_utf8() > limit {
        return false;
    }
    *cost += bytes;
    out.push_str(&printable);
    true
}

fn cut(mut out: String) -> String {
    out.push('…');
    out
}

/// Controls, and what turns the direction of writing or shows nothing.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        || matches!(c, '\u{fff0}'..='\u{ffff}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_steers_is_shown_and_lines_become_one() {
        assert_eq!(plain("rank 1:\n  \u{1b}[31mred\u{202e}", 200), "rank 1: \\u{1b}[31mred\\u{202e}");
        assert_eq!(plain("a long story", 9), "a long…");
        assert_eq!(quoted("{\"top1\": NaN\n\u{7f}é", 100), r#""{\"top1\": NaN\n\u{7f}\u{e9}""#);
        assert_eq!(quoted("abcdef", 3), "\"abc…\"");
    }

    proptest! {
        #[test]
        fn whatever_a_container_says_fits_and_steers_nothing(text in any::<String>(), limit in 3_usize..300) {
            let said = plain(&text, limit);
            prop_assert!(serde_json::to_string(&said).expect("a string").len() <= limit + 2, "{said}");
            prop_assert!(!said.chars().any(steers));
            prop_assert!(quoted(&text, 80).chars().all(|c| c == '…' || (' '..='~').contains(&c)));
        }
    }
}
