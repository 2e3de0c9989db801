//! Aligned columns for terminals.

/// A table: the first row is its head; columns named in `right` hold numbers.
pub(super) fn render(rows: &[Vec<String>], right: &[usize], colour: bool) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |i: usize| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for (n, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row
            .iter()
            .enumerate()
            .map(|(i, text)| {
                let space = " ".repeat(widths[i] - text.chars().count());
                if right.contains(&i) { format!("{space}{text}") } else { format!("{text}{space}") }
            })
            .collect();
        let line = cells.join("  ");
        let line = line.trim_end();
        let (on, off) = if n == 0 && colour { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        out.extend([on, line, off, "\n"]);
    }
    out
}
