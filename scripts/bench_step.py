#!/usr/bin/env python3
"""Times the trainer's CPU train step beside PyTorch eager, in turns, and prints the ratio.

    cargo bench -p mixbench-trainer --bench step -- [--rounds N] [--steps N]
    $(scripts/torch-env.sh) scripts/bench_step.py BENCH [--rounds N] [--steps N]

BENCH is the compiled trainer/benches/step.rs, which calls this script with itself. It is started once a setting, reads a number of
steps from a line of its input, does them and answers with the seconds they took. This script does the same number with torchvision's
network, then it is BENCH's turn again: what else the machine does falls on both. BENCH loads the libtorch_cpu.so of this very Python,
so the kernels are the same and only what calls them differs.

A step is forward, cross-entropy with soft targets, backward and fused SGD with momentum and weight decay, in float32, on a batch
that is already there. Printed are the median images a second of both, and the median over rounds of the ratio ours / PyTorch (above
1: we are faster) with its quartiles.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import time

import torch
import torchvision


def eager(backbone: str, batch: int, side: int):
    """A function that does so many steps of PyTorch eager and returns the seconds."""
    model = getattr(torchvision.models, backbone)(weights=None, num_classes=1000).train()
    sgd = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4, fused=True)
    images = torch.randn(batch, 3, side, side)
    targets = torch.softmax(torch.randn(batch, 1000), 1)

    def run(steps: int) -> float:
        start = time.perf_counter()
        for _ in range(steps):
            sgd.zero_grad()
            torch.nn.functional.cross_entropy(model(images), targets).backward()
            sgd.step()
        return time.perf_counter() - start

    return run


def ours(bench: str, backbone: str, batch: int, side: int, threads: int):
    """The same for BENCH, which runs until its input closes."""
    libtorch = pathlib.Path(torch.__file__).parent / "lib"
    env = {**os.environ, "LD_LIBRARY_PATH": str(libtorch), "OMP_NUM_THREADS": str(threads)}
    child = subprocess.Popen([bench, backbone, str(batch), str(side), str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def run(steps: int) -> float:
        child.stdin.write(f"{steps}\n")
        child.stdin.flush()
        line = child.stdout.readline()
        if not line:
            raise SystemExit(f"{bench} ended with code {child.wait()}")
        return float(line)

    return run, child


def compare(args: argparse.Namespace, threads: int) -> None:
    """Measures one setting and prints its line."""
    torch.set_num_threads(threads)
    run, child = ours(args.bench, args.backbone, args.batch, args.side, threads)
    reference = eager(args.backbone, args.batch, args.side)
    run(2), reference(2)  # first steps allocate and choose kernels
    pairs = [(run(args.steps), reference(args.steps)) for _ in range(args.rounds)]
    child.stdin.close()
    child.wait()
    images = args.steps * args.batch
    low, middle, high = statistics.quantiles([theirs / mine for mine, theirs in pairs], n=4)
    mine, theirs = (images / statistics.median(seconds) for seconds in zip(*pairs))
    setting = f"{args.backbone}, {args.batch} x {args.side} px, {threads} thread{'s' if threads > 1 else ''}"
    print(f"{setting}: {mine:.2f} images/s, PyTorch {theirs:.2f}, ratio {middle:.3f} [{low:.3f}, {high:.3f}], {args.rounds} rounds")


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description="The trainer's CPU train step beside PyTorch eager")
    parser.add_argument("bench")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--steps", type=int, default=4, help="steps in one turn")
    parser.add_argument("--rounds", type=int, default=12, help="turns of each side")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    args = parser.parse_args()
    print(f"PyTorch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}")
    for threads in args.threads:
        compare(args, threads)


if __name__ == "__main__":
    main()
