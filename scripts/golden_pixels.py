#!/usr/bin/env python3
"""Writes the golden vectors of the pixel path to trainer/tests/golden/pixels: what Pillow 12 makes of a set of images.

    python3 -m venv /tmp/v && /tmp/v/bin/pip install 'pillow==12.*' 'numpy==2.*' 'simplejpeg==1.9.*'
    /tmp/v/bin/python scripts/golden_pixels.py

The vectors are committed; tests need no Python. torchvision's rules are restated here in its own words (Python's round and
int, its order of draws), and so is the generator, so that the Rust code is compared with something written apart from it.
"""
import hashlib
import io
import json
import math
import pathlib
import struct
import zlib

import numpy
import PIL
import simplejpeg
from PIL import Image

assert PIL.__version__.startswith("12."), "Pillow 13 resizes in another order; the vectors are those of Pillow 12"
OUT = pathlib.Path(__file__).resolve().parent.parent / "trainer/tests/golden/pixels"
FILTERS = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}


# --- Images ---------------------------------------------------------------------------------------------------------------
def picture(width, height, channels=3, seed=0):
    """Smooth shapes, hard edges and grain, as photographs have them."""
    rng = numpy.random.default_rng(seed)
    y, x = numpy.mgrid[0:height, 0:width].astype(float)
    planes = []
    for c in range(channels):
        plane = 120 + 70 * numpy.sin(x / (9 + 3 * c) + c) * numpy.cos(y / (13 - 2 * c)) + 40 * ((x // 11 + y // 17) % 2)
        planes.append(plane + rng.normal(0, 6, (height, width)))
    return numpy.clip(numpy.stack(planes, -1), 0, 255).astype(numpy.uint8)


def jpeg(array, mode, **options):
    data = io.BytesIO()
    Image.frombytes(mode, (array.shape[1], array.shape[0]), array.tobytes()).save(data, "JPEG", **options)
    return data.getvalue()


def adobe_transform(data, transform):
    """The same file with another colour transform announced in its Adobe marker."""
    at = data.index(b"Adobe") + 11
    return data[:at] + bytes([transform]) + data[at + 1 :]


def jpegs():
    rgb, odd = picture(96, 72), picture(67, 45, seed=1)
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90°": decoders of training data do not look
    plain = jpeg(odd, "RGB", quality=80)
    yield "444.jpg", jpeg(rgb, "RGB", quality=90, subsampling=0)
    yield "422-odd.jpg", jpeg(odd, "RGB", quality=85, subsampling=1)
    yield "420-odd.jpg", jpeg(odd, "RGB", quality=75, subsampling=2)
    yield "420-restart.jpg", jpeg(rgb, "RGB", quality=85, subsampling=2, restart_marker_blocks=3)
    yield "420-progressive.jpg", jpeg(odd, "RGB", quality=85, subsampling=2, progressive=True, optimize=True)
    yield "440-odd.jpg", simplejpeg.encode_jpeg(odd, 85, "RGB", "440")
    yield "411-odd.jpg", simplejpeg.encode_jpeg(odd, 85, "RGB", "411")
    yield "rgb.jpg", jpeg(odd, "RGB", quality=85, keep_rgb=True)
    yield "gray.jpg", jpeg(picture(61, 40, 1), "L", quality=85)
    yield "gray-progressive.jpg", jpeg(picture(33, 70, 1), "L", quality=60, progressive=True)
    cmyk = jpeg(picture(45, 38, 4), "CMYK", quality=90)
    yield "cmyk.jpg", cmyk
    yield "ycck.jpg", adobe_transform(cmyk, 2)
    yield "orientation.jpg", jpeg(odd, "RGB", quality=75, exif=exif)
    yield "one-pixel.jpg", jpeg(rgb[:1, :1], "RGB")
    yield "one-row.jpg", jpeg(rgb[:1, :37], "RGB", subsampling=2)
    yield "one-column.jpg", jpeg(rgb[:29, :1], "RGB", subsampling=2)
    yield "tall.jpg", jpeg(picture(3, 330), "RGB", quality=90)
    yield "junk-after.jpg", plain + b"junk"
    yield "junk-before-end.jpg", plain[:-2] + b"\0\1\2\3" + plain[-2:]
    yield "scan-ends-early.jpg", plain[: len(plain) * 2 // 3] + b"\xff\xd9"
    yield "cut-off.jpg", plain[: len(plain) * 2 // 3]
    yield "end-missing.jpg", plain[:-2]
    yield "header-only.jpg", plain[:120]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, colour, rows, extra=b"", interlace=0):
    """A PNG from packed rows (or, interlaced, from the rows of its passes), for what Pillow cannot write."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    body = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def adam7(array):
    for x0, y0, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
        part = array[y0::dy, x0::dx]
        if part.size:
            yield from (row.tobytes() for row in part)


def packed(array, depth):
    bits = numpy.unpackbits(array[..., None], axis=-1)[..., 8 - depth :]
    return [numpy.packbits(row.reshape(-1)).tobytes() for row in bits]


def pngs():
    def saved(image, **options):
        data = io.BytesIO()
        image.save(data, "PNG", optimize=True, **options)
        return data.getvalue()

    w, h = 29, 19
    rgba = picture(w, h, 4)
    wide = (picture(w, h, 4).astype(">u2") * 251 + 77).astype(">u2")
    palette = chunk(b"PLTE", bytes(range(0, 240, 5)))
    yield "rgb.png", saved(Image.fromarray(rgba[..., :3]))
    yield "rgba.png", saved(Image.fromarray(rgba))
    yield "gray.png", saved(Image.fromarray(rgba[..., 0]))
    yield "gray-alpha.png", saved(Image.fromarray(rgba).convert("LA"))
    yield "palette.png", saved(Image.fromarray(rgba[..., :3]).quantize(200))
    yield "palette-4bit.png", saved(Image.fromarray(rgba[..., :3]).quantize(13), bits=4)
    yield "palette-alpha.png", saved(Image.fromarray(rgba[..., :3]).quantize(60), transparency=bytes(range(60)))
    yield "palette-beyond.png", png(w, h, 8, 3, [row.tobytes() for row in rgba[..., 0] // 8], palette)
    yield "palette-1bit.png", png(w, h, 1, 3, packed(rgba[..., 0] >> 7, 1), palette)
    for depth in (1, 2, 4):
        yield f"gray-{depth}bit.png", png(w, h, depth, 0, packed(rgba[..., 0] >> (8 - depth), depth))
    dark = wide[..., 0] // 150  # on both sides of 255, where Pillow saturates
    yield "gray-16bit.png", png(w, h, 16, 0, [row.tobytes() for row in dark.astype(">u2")])
    yield "gray-alpha-16bit.png", png(w, h, 16, 4, [row.tobytes() for row in wide[..., :2]])
    yield "rgb-16bit.png", png(w, h, 16, 2, [row.tobytes() for row in wide[..., :3]])
    yield "rgba-16bit.png", png(w, h, 16, 6, [row.tobytes() for row in wide])
    yield "rgb-key.png", png(w, h, 8, 2, [row.tobytes() for row in rgba[..., :3]], chunk(b"tRNS", bytes(6)))
    yield "rgb-interlaced.png", png(w, h, 8, 2, list(adam7(rgba[..., :3])), interlace=1)
    whole = saved(Image.fromarray(rgba[..., :3]))
    yield "cut-off.png", whole[: len(whole) // 2]


# --- Answers --------------------------------------------------------------------------------------------------------------
def digest(image):
    return hashlib.sha256(image.tobytes()).hexdigest()


def decoded(data):
    try:
        return Image.open(io.BytesIO(data)).convert("RGB")
    except OSError:
        return None


def answer(image):
    row = {"width": image.width, "height": image.height, "sha256": digest(image)}
    return row | ({"pixels": image.tobytes().hex()} if image.width * image.height <= 64 else {})


def decodes(files):
    for name, data in files:
        image = decoded(data)
        yield {"file": name} | ({"error": True} if image is None else answer(image))


def crops(files):
    """Crop, then resize to a square: the training path. Ratios below and above 1, single pixels, identity, odd sizes."""
    boxes = {
        "444.jpg": [(0, 0, 96, 72), (13, 7, 41, 29), (95, 71, 1, 1), (0, 40, 96, 1), (50, 0, 1, 72), (20, 20, 32, 32)],
        "420-odd.jpg": [(0, 0, 67, 45), (3, 5, 11, 37), (33, 22, 7, 5)],
        "gray.jpg": [(0, 0, 61, 40), (5, 5, 20, 33)],
        "tall.jpg": [(0, 0, 3, 330), (1, 10, 2, 201), (0, 10, 2, 200)],  # Pillow 12 swaps the passes above 1 : 100
        "palette.png": [(0, 0, 29, 19), (4, 2, 9, 9)],
    }
    for name, places in boxes.items():
        image = decoded(files[name])
        for left, top, width, height in places:
            part = image.crop((left, top, left + width, top + height))
            for size in (1, 5, 8, 32, 224):
                for filter_name, code in FILTERS.items():
                    out = part.resize((size, size), code)
                    yield {"file": name, "box": [left, top, width, height], "size": size, "filter": filter_name} | answer(out)


def resized_size(width, height, size):
    """torchvision.transforms.functional._compute_resized_image_output_size"""
    short, long = (width, height) if width <= height else (height, width)
    new_short, new_long = size, int(size * long / short)
    return (new_short, new_long) if width <= height else (new_long, new_short)


def center_crop(image, size):
    """torchvision.transforms.functional.center_crop, its padding with zeros included."""
    width, height = image.size
    if size > width or size > height:
        left = (size - width) // 2 if size > width else 0
        top = (size - height) // 2 if size > height else 0
        right = (size - width + 1) // 2 if size > width else 0
        bottom = (size - height + 1) // 2 if size > height else 0
        padded = Image.new("RGB", (width + left + right, height + top + bottom))
        padded.paste(image, (left, top))
        image, (width, height) = padded, padded.size
    top, left = int(round((height - size) / 2.0)), int(round((width - size) / 2.0))
    return image.crop((left, top, left + size, top + size))


def evals(files):
    for name in ("444.jpg", "420-odd.jpg", "gray-progressive.jpg", "one-pixel.jpg", "one-row.jpg", "tall.jpg"):
        image = decoded(files[name])
        for resize, crop in ((2, 32), (64, 56), (73, 64), (45, 45), (20, 32), (None, 32), (None, 97), (256, 224)):
            for filter_name, code in FILTERS.items():
                out = image if resize is None else image.resize(resized_size(*image.size, resize), code)
                row = {"file": name, "resize": resize, "crop": crop, "filter": filter_name}
                yield row | answer(center_crop(out, crop))


def pads(files):
    for name, padding, size, top, left, flip in (
        ("palette.png", 4, 16, 0, 0, False),
        ("palette.png", 4, 16, 11, 21, True),
        ("gray.png", 2, 23, 0, 10, True),
        ("gray.png", 6, 8, 3, 1, False),
        ("rgb.png", 0, 19, 0, 5, True),
    ):
        image = decoded(files[name])
        padded = Image.new("RGB", (image.width + 2 * padding, image.height + 2 * padding))
        padded.paste(image, (padding, padding))
        out = padded.crop((left, top, left + size, top + size))
        out = out.transpose(Image.FLIP_LEFT_RIGHT) if flip else out
        row = {"file": name, "padding": padding, "size": size, "top": top - padding, "left": left - padding, "flip": flip}
        yield row | answer(out)


# --- Draws ----------------------------------------------------------------------------------------------------------------
M32 = 0xFFFFFFFF


def philox(c, k):
    """Philox4x32-10 (Salmon et al., 2011)."""
    for _ in range(10):
        a, b = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(b >> 32) ^ c[1] ^ k[0], b & M32, (a >> 32) ^ c[3] ^ k[1], a & M32]
        k = [(k[0] + 0x9E3779B9) & M32, (k[1] + 0xBB67AE85) & M32]
    return c


class Draws:
    """The generator of (seed, stream, epoch, sample)."""

    def __init__(self, seed, stream, epoch, index):
        k0, k1, salt, _ = philox([stream, epoch, 0, 0x6D697862], [seed & M32, seed >> 32])
        self.key, self.counter, self.words = [k0, k1], [0, index & M32, index >> 32, salt], []

    def word(self):
        if not self.words:
            self.words = philox(self.counter, self.key)
            self.counter[0] += 1
        return self.words.pop(0)

    def word64(self):
        low = self.word()
        return low | self.word() << 32

    def uniform(self, low=0.0, high=1.0):
        return low + (high - low) * ((self.word64() >> 11) * 2.0**-53)

    def randint(self, low, high):
        n = high - low
        while True:
            product = self.word64() * n
            if product & (2**64 - 1) >= (2**64 - n) % n:
                return low + (product >> 64)


def get_params(draws, width, height, scale, ratio):
    """torchvision.transforms.RandomResizedCrop.get_params"""
    area = height * width
    log_ratio = (math.log(ratio[0]), math.log(ratio[1]))
    for _ in range(10):
        target_area = area * draws.uniform(*scale)
        aspect_ratio = math.exp(draws.uniform(*log_ratio))
        w = int(round(math.sqrt(target_area * aspect_ratio)))
        h = int(round(math.sqrt(target_area / aspect_ratio)))
        if 0 < w <= width and 0 < h <= height:
            i = draws.randint(0, height - h + 1)
            j = draws.randint(0, width - w + 1)
            return i, j, h, w
    in_ratio = float(width) / float(height)
    if in_ratio < min(ratio):
        w = width
        h = int(round(w / min(ratio)))
    elif in_ratio > max(ratio):
        h = height
        w = int(round(h * max(ratio)))
    else:
        w, h = width, height
    return (height - h) // 2, (width - w) // 2, h, w


def draws():
    crop, flip = 2, 3  # streams
    for index, (width, height) in enumerate([(500, 375), (375, 500), (32, 32), (7, 400), (400, 7), (1, 1), (64, 64), (3, 2)]):
        for scale, ratio in (((0.08, 1.0), (3 / 4, 4 / 3)), ((0.9, 1.0), (0.5, 2.0)), ((1.0, 1.0), (1.0, 1.0))):
            for epoch in (0, 7):
                seed = (index << 40) + 12345
                params = get_params(Draws(seed, crop, epoch, index), width, height, scale, ratio)
                yield {
                    "image": [width, height], "scale": scale, "ratio": ratio, "seed": seed, "epoch": epoch, "index": index,
                    "crop": params, "flip": Draws(seed, flip, epoch, index).uniform() < 0.5,
                }


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    files = dict([*jpegs(), *pngs()])
    for old in OUT.iterdir():
        old.unlink()
    for name, data in files.items():
        (OUT / name).write_bytes(data)
    vectors = {
        "pillow": PIL.__version__,
        "decode": list(decodes(files.items())),
        "crop": list(crops(files)),
        "eval": list(evals(files)),
        "pad": list(pads(files)),
        "draw": list(draws()),
    }
    lines = ",\n".join(
        f' "{name}": ' + (json.dumps(rows) if isinstance(rows, str) else "[\n  " + ",\n  ".join(map(json.dumps, rows)) + "\n ]")
        for name, rows in vectors.items()
    )
    (OUT / "vectors.json").write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
