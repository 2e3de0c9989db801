//! The picture: one row for each image, A | B | mixed | mask, with titles. Pure: pixels in, pixels out.

use super::font::{SIZE, glyph};

/// Small images are enlarged by whole pixels until a side has at least this many.
const CELL: usize = 112;
const GAP: usize = 8;
/// A dot of a title is a square of so many pixels.
const DOT: usize = 2;
const LINE: usize = SIZE.1 * DOT + GAP;
const INK: [u8; 3] = [32, 32, 32];
/// Neither black nor white, so that a mask shows where it ends.
const PAPER: [u8; 3] = [205, 214, 226];

/// One row of the picture.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// What stands above it.
    pub title: String,
    /// The four images: `h · w · 3` bytes each, HWC.
    pub cells: [Vec<u8>; 4],
}

/// A picture in RGB, rows from the top.
#[derive(Debug)]
pub(super) struct Picture {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<u8>,
}

/// Sets `rows` of images of `h` × `w` under a title and the names of the columns.
pub(super) fn picture(title: &str, columns: [&str; 4], rows: &[Row], h: usize, w: usize) -> Picture {
    let zoom = CELL.div_ceil(h.min(w)).max(1);
    let (cell_h, cell_w) = (h * zoom, w * zoom);
    let texts = rows.iter().map(|row| row.title.as_str()).chain([title]);
    let longest = texts.map(|text| text.chars().count()).max().unwrap_or(0) * (SIZE.0 + 1) * DOT;
    let width = 2 * GAP + (4 * (cell_w + GAP) - GAP).max(longest);
    let height = GAP + 2 * LINE + rows.len() * (LINE + cell_h + GAP);
    let mut picture = Picture { width, height, pixels: PAPER.repeat(width * height) };
    let left = |column: usize| GAP + column * (cell_w + GAP);
    picture.write(GAP, GAP, title);
    for (column, name) in columns.into_iter().enumerate() {
        picture.write(left(column), GAP + LINE, name);
    }
    for (i, row) in rows.iter().enumerate() {
        let top = GAP + 2 * LINE + i * (LINE + cell_h + GAP);
        picture.write(GAP, top, &row.title);
        for (column, cell) in row.cells.iter().enumerate() {
            for y in 0..cell_h {
                for x in 0..cell_w {
                    let at = (y / zoom * w + x / zoom) * 3;
                    picture.set(left(column) + x, top + LINE + y, [cell[at], cell[at + 1], cell[at + 2]]);
                }
            }
        }
    }
    picture
}

impl Picture {
    fn set(&mut self, x: usize, y: usize, colour: [u8; 3]) {
        let at = (y * self.width + x) * 3;
        self.pixels[at..at + 3].copy_from_slice(&colour);
    }

    /// Writes a line with its upper left corner at (`left`, `top`).
    fn write(&mut self, left: usize, top: usize, text: &str) {
        for (i, c) in text.chars().enumerate() {
            for (y, bits) in glyph(c).into_iter().enumerate() {
                for x in (0..SIZE.0).filter(|x| bits >> (SIZE.0 - 1 - x) & 1 == 1) {
                    for dot in 0..DOT * DOT {
                        let (dx, dy) = (dot % DOT, dot / DOT);
                        self.set(left + (i * (SIZE.0 + 1) + x) * DOT + dx, top + y * DOT + dy, INK);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_in_their_columns_enlarged_and_nothing_is_cut_off() {
        let cells = [10, 20, 30, 40].map(|v| vec![v; 2 * 4 * 3]);
        let rows = vec![Row { title: "a".into(), cells: cells.clone() }, Row { title: "λ".repeat(60), cells }];
        let picture = picture("title", ["A", "B", "mixed", "mask"], &rows, 2, 4);
        assert_eq!(picture.pixels.len(), picture.width * picture.height * 3);
        assert!(picture.width >= 60 * (SIZE.0 + 1) * DOT);
        for value in [10, 20, 30, 40] {
            let pixels = picture.pixels.chunks_exact(3).filter(|p| *p == [value; 3]).count();
            assert_eq!(pixels, 2 * 112 * 224, "{value}");
        }
        assert!(picture.pixels.chunks_exact(3).any(|p| p == INK));
    }
}
