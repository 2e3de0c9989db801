//! A decoded picture.

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
        let stride = self.width * self.channels;
        let first = top * stride + left * self.channels;
        View { pixels: &self.pixels[first..], stride, width, height, channels: self.channels }
    }

    /// The whole image as a view.
    pub fn full(&self) -> View<'_> {
        self.view(0, 0, self.width, self.height)
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
    /// Row `y`: `width · channels` bytes.
    pub fn row(&self, y: usize) -> &'a [u8] {
        assert!(y < self.height, "row {y} of {}", self.height);
        &self.pixels[y * self.stride..][..self.width * self.channels]
    }
}
