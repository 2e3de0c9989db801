//! A decoded picture.

use std::ops::Range;

/// Pixels of one image: 8 bits a channel, rows from the top, channels interleaved (HWC).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Columns, at least 1.
    pub width: usize,
    /// Rows, at least 1.
    pub height: usize,
    /// 1 (gray) or 3 (RGB).
    pub channels: usize,
    /// `height · width · channels` bytes.
    pub pixels: Vec<u8>,
}

impl Image {
    /// The rectangle of `width` × `height` pixels whose upper left corner is (`left`, `top`), without copying.
    ///
    /// # Panics
    /// If the rectangle leaves the image.
    pub fn view(&self, left: usize, top: usize, width: usize, height: usize) -> View<'_> {
        assert!(
            left + width <= self.width && top + height <= self.height,
            "{width}×{height} at ({left}, {top}) leaves an image of {}×{}",
            self.width,
            self.height
        );
        self.full().part(left..left + width, top..top + height)
    }

    /// The whole image as a view.
    pub fn full(&self) -> View<'_> {
        View::new(&self.pixels, self.width, self.channels)
    }
}

/// A rectangle of an [`Image`].
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pixels: &'a [u8],
    stride: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 1 or 3.
    pub channels: usize,
}

impl<'a> View<'a> {
    /// As many rows of `width` pixels as `pixels` holds.
    pub fn new(pixels: &'a [u8], width: usize, channels: usize) -> Self {
        let stride = width * channels;
        Self { pixels, stride, width, height: pixels.len() / stride, channels }
    }

    /// The columns and rows of these ranges, which must lie in the view.
    #[must_use]
    pub fn part(self, columns: Range<usize>, rows: Range<usize>) -> Self {
        let first = rows.start * self.stride + columns.start * self.channels;
        let pixels = self.pixels.get(first..).unwrap_or_default();
        Self { pixels, width: columns.len(), height: rows.len(), ..self }
    }

    /// Row `y`: `width · channels` bytes.
    pub fn row(&self, y: usize) -> &'a [u8] {
        assert!(y < self.height, "row {y} of {}", self.height);
        &self.pixels[y * self.stride..][..self.width * self.channels]
    }
}
