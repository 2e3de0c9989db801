//! From the bytes of a JPEG or PNG file to pixels, bit for bit what Pillow 12's `Image.open(f).convert("RGB")` yields.
//!
//! One exception in form, not in content: a gray image keeps its one channel here, and becomes three when a batch is filled.
//! As in Pillow, transparency is dropped (not blended), colour profiles and EXIF orientation are ignored.

use std::io::Cursor;

use turbojpeg::{Colorspace, Decompressor, PixelFormat};

use super::image::Image;

/// More pixels than this are refused as an attack or an accident (Pillow's limit for `DecompressionBombError`).
pub const MAX_PIXELS: usize = 178_956_970;

/// Why bytes are not an image.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The first bytes belong to no format that is read here.
    #[error("{0}, not JPEG or PNG; convert it, or move it out of the data folder")]
    Format(&'static str),
    /// The file ends before the image does.
    #[error("the image is cut off: copy the file again")]
    Truncated,
    /// The JPEG decoder gave up.
    #[error("broken JPEG: {0}")]
    Jpeg(String),
    /// The PNG decoder gave up.
    #[error("broken PNG: {0}")]
    Png(String),
    /// Absurdly large.
    #[error("{0}×{1} pixels are more than {MAX_PIXELS}")]
    TooLarge(usize, usize),
}

/// The formats that are told apart by their first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JPEG, baseline or progressive.
    Jpeg,
    /// PNG.
    Png,
}

impl Format {
    /// What `bytes` begin like; the error says what else they are.
    pub fn of(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Ok(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Ok(Self::Png),
            [] => Err(DecodeError::Format("an empty file")),
            [b'G', b'I', b'F', b'8', ..] => Err(DecodeError::Format("a GIF")),
            [b'B', b'M', ..] => Err(DecodeError::Format("a BMP")),
            [b'R', b'I', b'F', b'F', ..] => Err(DecodeError::Format("a WebP or other RIFF file")),
            [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..] => Err(DecodeError::Format("a TIFF")),
            _ => Err(DecodeError::Format("an unknown kind of file")),
        }
    }
}

/// Decodes a JPEG or PNG file, told apart by content.
pub fn decode(bytes: &[u8]) -> Result<Image, DecodeError> {
    match Format::of(bytes)? {
        Format::Jpeg => decode_jpeg(bytes),
        Format::Png => decode_png(bytes),
    }
}

fn checked_len(width: usize, height: usize, channels: usize) -> Result<usize, DecodeError> {
    match width.checked_mul(height) {
        Some(pixels) if pixels <= MAX_PIXELS => Ok(pixels * channels),
        _ => Err(DecodeError::TooLarge(width, height)),
    }
}

fn decode_jpeg(bytes: &[u8]) -> Result<Image, DecodeError> {
    let failed = |error: turbojpeg::Error| {
        if jpeg_is_complete(bytes) { DecodeError::Jpeg(message(error)) } else { DecodeError::Truncated }
    };
    // TurboJPEG's defaults are Pillow's: accurate integer DCT, smooth chroma upsampling.
    let mut decoder = Decompressor::new().map_err(failed)?;
    let header = decoder.read_header(bytes).map_err(failed)?;
    let (width, height) = (header.width, header.height);
    let (format, channels) = match header.colorspace {
        Colorspace::Gray => (PixelFormat::GRAY, 1),
        Colorspace::RGB | Colorspace::YCbCr => (PixelFormat::RGB, 3),
        Colorspace::CMYK | Colorspace::YCCK => (PixelFormat::CMYK, 4),
    };
    let mut pixels = vec![0; checked_len(width, height, channels)?];
    let output = turbojpeg::Image { pixels: pixels.as_mut_slice(), width, pitch: width * channels, height, format };
    match decoder.decompress(bytes, output) {
        Ok(()) => {}
        // TurboJPEG reports libjpeg's warnings as errors although the image is there. Pillow shrugs, except where the data end early.
        Err(error) if is_warning(&error) && jpeg_is_complete(bytes) => {}
        Err(error) => return Err(failed(error)),
    }
    if channels == 4 {
        return Ok(Image { width, height, channels: 3, pixels: inverted_cmyk_to_rgb(&pixels) });
    }
    Ok(Image { width, height, channels, pixels })
}

fn message(error: turbojpeg::Error) -> String {
    match error {
        turbojpeg::Error::TurboJpegError(text) => text,
        other => other.to_string(),
    }
}

/// Whether libjpeg only warned: these are all its messages of that level, of which each leaves a full image behind.
fn is_warning(error: &turbojpeg::Error) -> bool {
    const WARNINGS: [&str; 7] = [
        "Corrupt JPEG data",
        "Premature end of JPEG file",
        "Inconsistent progression sequence",
        "Invalid SOS parameters",
        "Unknown Adobe color transform",
        "Warning: ",
        "Application transferred too many scanlines",
    ];
    matches!(error, turbojpeg::Error::TurboJpegError(text) if WARNINGS.iter().any(|w| text.starts_with(w)))
}

/// Whether an end-of-image marker follows the first scan. (Embedded thumbnails have one too, but lie before it.)
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(&[0xff, marker]) = bytes.get(at..at + 2) {
        match marker {
            0xff => at += 1,
            0xda => return bytes[at..].windows(2).any(|pair| pair == [0xff, 0xd9]),
            _ => match bytes.get(at + 2..at + 4) {
                Some(&[high, low]) => at += 2 + usize::from(u16::from_be_bytes([high, low])),
                _ => return false,
            },
        }
    }
    at < bytes.len() // Not a marker where one must be: broken, but not cut.
}

/// Pillow takes every CMYK JPEG for an inverted one (as Adobe writes them) and multiplies the inks with black.
fn inverted_cmyk_to_rgb(cmyk: &[u8]) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(cmyk.len() / 4 * 3);
    for pixel in cmyk.chunks_exact(4) {
        let light = u32::from(pixel[3]);
        for &ink in &pixel[..3] {
            let product = (255 - u32::from(ink)) * light + 128;
            let dark = (product + (product >> 8)) >> 8;
            rgb.push(light.saturating_sub(dark) as u8);
        }
    }
    rgb
}

fn decode_png(bytes: &[u8]) -> Result<Image, DecodeError> {
    use png::{BitDepth, ColorType};
    let failed = |error: png::DecodingError| match error {
        png::DecodingError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => DecodeError::Truncated,
        other => DecodeError::Png(other.to_string()),
    };
    let limits = png::Limits { bytes: MAX_PIXELS * 8 };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    let header = decoder.read_header_info().map_err(failed)?;
    let (width, height) = (header.width as usize, header.height as usize);
    checked_len(width, height, 8)?;
    let mut reader = decoder.read_info().map_err(failed)?;
    let mut raw = vec![0; reader.output_buffer_size().ok_or(DecodeError::TooLarge(width, height))?];
    let frame = reader.next_frame(&mut raw).map_err(failed)?;
    let palette = reader.info().palette.as_deref().unwrap_or_default();

    let samples = frame.color_type.samples();
    let colours = if matches!(frame.color_type, ColorType::Grayscale | ColorType::GrayscaleAlpha) { 1 } else { 3 };
    let mut pixels = Vec::with_capacity(width * height * colours);
    for row in raw.chunks_exact(frame.line_size).take(height) {
        match (frame.color_type, frame.bit_depth) {
            (ColorType::Indexed, depth) => {
                for index in packed(row, depth as usize, width) {
                    // As Pillow has it, a colour beyond the palette is black.
                    pixels.extend_from_slice(palette.get(3 * index..3 * index + 3).unwrap_or(&[0; 3]));
                }
            }
            (ColorType::Grayscale, BitDepth::Sixteen) => {
                // Pillow's mode "I;16" saturates at 255 instead of scaling.
                pixels.extend(row.chunks_exact(2).map(|v| if v[0] > 0 { 255 } else { v[1] }));
            }
            (_, BitDepth::Sixteen) => {
                for pixel in row.chunks_exact(2 * samples) {
                    pixels.extend(pixel.iter().step_by(2).take(colours));
                }
            }
            (_, BitDepth::Eight) => {
                for pixel in row.chunks_exact(samples) {
                    pixels.extend_from_slice(&pixel[..colours]);
                }
            }
            (_, depth) => {
                let white = (1 << depth as usize) - 1;
                pixels.extend(packed(row, depth as usize, width).map(|v| (v * 255 / white) as u8));
            }
        }
    }
    Ok(Image { width, height, channels: colours, pixels })
}

/// The first `count` values of `bits` bits (1, 2, 4 or 8) each, the leftmost in the high bits.
fn packed(row: &[u8], bits: usize, count: usize) -> impl Iterator<Item = usize> + '_ {
    let per_byte = 8 / bits;
    (0..count).map(move |i| {
        let shift = 8 - bits - (i % per_byte) * bits;
        usize::from(row[i / per_byte] >> shift) & ((1 << bits) - 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_image_is_named() {
        for (bytes, expected) in [
            (&b""[..], "an empty file"),
            (b"GIF89a", "a GIF"),
            (b"BM....", "a BMP"),
            (b"RIFF....WEBP", "a WebP"),
            (b"hello", "an unknown kind"),
        ] {
            let text = decode(bytes).expect_err("no image").to_string();
            assert!(text.starts_with(expected), "{text}");
        }
    }

    #[test]
    fn a_png_of_absurd_size_is_refused_before_its_pixels() {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 100_000, 100_000);
        encoder.set_color(png::ColorType::Grayscale);
        drop(encoder.write_header());
        assert_eq!(decode(&bytes), Err(DecodeError::TooLarge(100_000, 100_000)));
    }
}
