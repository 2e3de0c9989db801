#!/usr/bin/env python3
"""Writes trainer/data/fashion-mnist-2k: 2,000 + 1,000 images of Fashion-MNIST's *training* split, balanced over the classes.

    apt-get download dataset-fashion-mnist && dpkg-deb -x dataset-fashion-mnist_*.deb deb
    scripts/vendor_fashion_mnist.py deb/usr/share/datasets/fashion-mnist

The test split stays untouched, so that a number measured on it later means something. Which images are taken depends on
nothing but the sha256 of their number, so that any Python makes the same subset.
"""
import gzip
import hashlib
import pathlib
import struct
import sys

SEED = "fashion-mnist-2k"
CLASSES, TRAIN, VAL = 10, 2000, 1000
OUT = pathlib.Path(__file__).resolve().parent.parent / "trainer/data/fashion-mnist-2k"
# sha256 of the unpacked files that the subset is taken from.
IMAGES = "c59f468a2f672dc8"
LABELS = "bad3541b69d91243"


def unpacked(path, digest):
    data = gzip.decompress(path.read_bytes())
    found = hashlib.sha256(data).hexdigest()
    if not found.startswith(digest):
        sys.exit(f"{path}: sha256 {found[:16]}… is not Fashion-MNIST's {digest}…")
    return data


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    source = pathlib.Path(sys.argv[1])
    images = unpacked(source / "train-images-idx3-ubyte.gz", IMAGES)[16:]
    labels = unpacked(source / "train-labels-idx1-ubyte.gz", LABELS)[8:]
    rank = {i: hashlib.sha256(f"{SEED}:{i}".encode()).digest() for i in range(len(labels))}
    train, val = [], []
    for label in range(CLASSES):
        chosen = sorted((i for i, l in enumerate(labels) if l == label), key=rank.get)
        train += chosen[: TRAIN // CLASSES]
        val += chosen[TRAIN // CLASSES : (TRAIN + VAL) // CLASSES]

    OUT.mkdir(parents=True, exist_ok=True)
    for split, indices in (("train", sorted(train)), ("t10k", sorted(val))):
        pixels = b"".join(images[i * 784 : (i + 1) * 784] for i in indices)
        classes = bytes(labels[i] for i in indices)
        for name, data in (
            (f"{split}-images-idx3-ubyte", struct.pack(">IIII", 0x803, len(indices), 28, 28) + pixels),
            (f"{split}-labels-idx1-ubyte", struct.pack(">II", 0x801, len(indices)) + classes),
        ):
            (OUT / f"{name}.gz").write_bytes(gzip.compress(data, 9, mtime=0))
            print(f"{hashlib.sha256(data).hexdigest()}  {name}")


if __name__ == "__main__":
    main()
