#!/usr/bin/env python3
"""Writes crds/published.csv, the published ImageNet top-1 numbers that a report sets beside ours.

    python3 scripts/published.py RESULTS.csv > crds/published.csv

The input is a transcription of OpenMixup's results page, configs/classification/imagenet/mixups/README.md: one row a cell of its
four tables, with the columns table, setting, epochs, backbone, method, alpha, top1, metric_rule, source_flag, cell_kind,
alpha_effective, newer_docs_top1 and note. Only cells that hold a number are kept; a dash or a blank is no reference.

The output, in the order of the page:
  recipe    the recipe of crds/recipes that the table trains by
  epochs    its length
  backbone  our name of the network
  method    our name of the mixup method
  alpha     the Beta parameter that was really used, which the page's text corrects for some cells; empty where the method has
            none, and two values "MIXUP;CUTMIX" for the rows that switch between the two
  top1      per cent, as printed
  metric    how the number sums up a training: median-last-5, median-last-10 (epochs), best-mean-of-3 (trials)
  source    openmixup: trained by its authors; reimplemented: their re-implementation of a method that had no public code;
            official: trained with the method's own code
  note      what the page or its configurations say that makes the number weaker
"""

import csv
import decimal
import pathlib
import sys

RECIPES = {
    ("T1_pytorch_100ep", "PyTorch-style", "100"): "pytorch-100ep",
    ("T2_pytorch_300ep", "PyTorch-style", "300"): "pytorch-300ep",
    ("T3_rsb", "RSB A3", "100"): "rsb-a3",
    ("T3_rsb", "RSB A2", "300"): "rsb-a2",
    ("T4_deit", "DeiT", "300"): "deit",
}
BACKBONES = {
    "ResNet-18": "resnet18",
    "ResNet-34": "resnet34",
    "ResNet-50": "resnet50",
    "ResNet-101": "resnet101",
    "ResNeXt-101": "resnext101_32x4d",
    "EfficientNet-B0": "efficientnet_b0",
    "MobileNetV2-1x": "mobilenet_v2",
    "DeiT-T": "deit_tiny",
    "DeiT-S": "deit_small",
    "PVT-T": "pvt_tiny",
    "Swin-T": "swin_tiny",
    "ConvNeXt-T": "convnext_tiny",
    "MogaNet-T": "moganet_tiny",
}
METHODS = {
    "Vanilla": "vanilla",
    "MixUp": "mixup",
    "CutMix": "cutmix",
    "ManifoldMix": "manifoldmix",
    "SaliencyMix": "saliencymix",
    "AttentiveMix+": "attentivemix",
    "FMix": "fmix",
    "GridMix": "gridmix",
    "PuzzleMix": "puzzlemix",
    "Co-Mixup": "comixup",
    "SuperMix": "supermix",
    "ResizeMix": "resizemix",
    "AlignMix": "alignmix",
    "Grafting": "grafting",
    "AutoMix": "automix",
    "SAMix": "samix",
    "RSB": "rsb",
    "DeiT": "deit",
    "TransMix": "transmix",
    "TokenMix": "tokenmix",
}
METRICS = {
    "median of top-1 over last 5 epochs": "median-last-5",
    "median of top-1 over last 10 epochs": "median-last-10",
    "mean over 3 trials of best top-1": "best-mean-of-3",
}
SOURCES = {"repo": "openmixup", "arxiv_reimpl(*)": "reimplemented", "official_repro": "official"}
COLUMNS = ["recipe", "epochs", "backbone", "method", "alpha", "top1", "metric", "source", "note"]


def alpha(text: str) -> str:
    """`0.8, 1` becomes `0.8;1.0`: every value a decimal with at least one place, as manifests write it."""
    values = [decimal.Decimal(part.strip()) for part in text.split(",") if part.strip()]
    return ";".join(f"{v:.1f}" if v == round(v, 1) else str(v.normalize()) for v in values)


def note(row: dict[str, str]) -> str:
    """The row's remarks in words that stand alone, with the newer documentation's number where it differs."""
    text = row["note"].replace("repo HEAD", "OpenMixup's HEAD").replace("repo ", "OpenMixup's ")
    if newer := row["newer_docs_top1"]:
        text = text.replace("newer docs page prints a different value", f"the newer documentation prints {newer}")
    return text


def published(row: dict[str, str]) -> dict[str, str]:
    """One cell of the page as one of our rows; an unknown name is an error, so that no number is dropped silently."""
    return {
        "recipe": RECIPES[row["table"], row["setting"], row["epochs"]],
        "epochs": row["epochs"],
        "backbone": BACKBONES[row["backbone"]],
        "method": METHODS[row["method"]],
        "alpha": alpha(row["alpha_effective"]),
        "top1": str(decimal.Decimal(row["top1"])),
        "metric": METRICS[row["metric_rule"]],
        "source": SOURCES[row["source_flag"]],
        "note": note(row),
    }


def main() -> None:
    """Reads the file named by the only argument and writes the table to standard output."""
    if len(sys.argv) != 2:
        sys.exit("usage: published.py RESULTS.csv > crds/published.csv")
    with pathlib.Path(sys.argv[1]).open(newline="", encoding="utf-8") as file:
        rows = [published(row) for row in csv.DictReader(file) if row["cell_kind"] == "number"]
    keys = {(row["recipe"], row["backbone"], row["method"]) for row in rows}
    if len(keys) != len(rows):
        sys.exit("two rows name the same recipe, backbone and method")
    out = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    out.writeheader()
    out.writerows(rows)


if __name__ == "__main__":
    main()
