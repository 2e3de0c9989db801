#!/usr/bin/env python3
"""Writes the vectors that the trainer's networks and optimizer are tested against, made by torchvision and torch.optim.

    $(scripts/torch-env.sh) scripts/golden_torch.py     writes trainer/tests/golden/{networks,sgd}.json

Everything is computed in double precision, which travels between CPUs (single precision does not: AVX2 and AVX-512 differ by 4e-4 on
these logits). No weights are stored: both sides compute them from a counter, see `values`.
"""
import json
import math
import os
import re
import sys

os.environ["CUDA_VISIBLE_DEVICES"] = ""
import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

CLASSES, IMAGES, SIDE = 16, 8, 64
MASK = (1 << 64) - 1


def unit(name, count):
    """`count` numbers in [0, 1): splitmix64 of (FNV-1a of the name) + (i + 1) times the golden ratio."""
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) & MASK
    with np.errstate(over="ignore"):
        z = np.uint64(h) + (np.arange(count, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


def values(name, shape):
    """The value of a parameter or buffer: plain numbers of a size that keeps activations near 1."""
    u = unit(name, math.prod(shape))
    if len(shape) > 1:
        v = (2.0 * u - 1.0) * math.sqrt(3.0 / math.prod(shape[1:]))
    elif name.endswith(("weight", "running_var")):
        v = 0.5 + u
    else:
        v = 0.2 * (u - 0.5)
    return torch.from_numpy(v.reshape(shape))


class CifarBlock(nn.Module):
    """He et al. 2016, section 4.2, shortcut A: strided identity, zeros for the new channels."""

    def __init__(self, c_in, c_out):
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, 1 if c_in == c_out else 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.new = c_out - c_in

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.new:
            x = torch.cat([x[:, :, ::2, ::2], x.new_zeros(x.shape[0], self.new, x.shape[2] // 2, x.shape[3] // 2)], 1)
        return F.relu(y + x)


class ResNet20(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        c_in = 16
        for i, c in enumerate((16, 32, 64), 1):
            blocks = [CifarBlock(c_in if j == 0 else c, c) for j in range(3)]
            setattr(self, f"layer{i}", nn.Sequential(*blocks))
            c_in = c
        self.fc = nn.Linear(64, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


def network(name, stem):
    if name == "resnet20":
        return ResNet20(CLASSES)
    net = getattr(torchvision.models, name)(num_classes=CLASSES)
    if stem == "small":
        net.conv1, net.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    return net


def probe(t, count=24):
    """Evenly spaced elements of a tensor, and the sum of its squares."""
    flat = t.detach().reshape(-1)
    step = max(1, flat.numel() // count)
    return {"step": step, "values": flat[::step][:count].tolist(), "norm": flat.pow(2).sum().sqrt().item()}


def networks():
    out = []
    cases = [("resnet20", "small", 32), ("resnet18", "imagenet", SIDE), ("resnet18", "small", 32)]
    cases += [(n, "imagenet", SIDE) for n in ("resnet34", "resnet50", "resnet101")]
    for name, stem, side in cases:
        net = network(name, stem).double()
        with torch.no_grad():
            for key, tensor in net.state_dict().items():
                if not key.endswith("num_batches_tracked"):
                    tensor.copy_(values(key, tensor.shape))
        x = (2.0 * values("images", (IMAGES * 3 * side * side,)) / 0.2).reshape(IMAGES, 3, side, side).clone()
        x.requires_grad_(True)
        y = torch.arange(IMAGES) * 5 % CLASSES
        with torch.no_grad():
            evaluated = net.eval()(x)
        trained = net.train()(x)
        loss = F.cross_entropy(trained, y)
        loss.backward()
        grads = torch.cat([p.grad.reshape(-1) for p in net.parameters()])
        out.append({
            "name": name, "stem": stem, "side": side,
            "eval_logits": evaluated.reshape(-1).tolist(), "train_logits": trained.detach().reshape(-1).tolist(),
            "loss": loss.item(), "conv1_grad": probe(net.conv1.weight.grad), "input_grad": probe(x.grad),
            "fc_grad": probe(net.fc.weight.grad), "all_grads_norm": grads.norm().item(),
            "bn1_running_mean": probe(net.bn1.running_mean, 8), "bn1_running_var": probe(net.bn1.running_var, 8),
        })
        print(name, stem, evaluated.std().item(), trained.std().item(), file=sys.stderr)
    return {"made_by": f"scripts/golden_torch.py, torch {torch.__version__}, torchvision {torchvision.__version__}",
            "classes": CLASSES, "images": IMAGES, "networks": out}


def sgd():
    """Six steps on two parameters whose gradient is (p - target) · scale, so that a gradient depends on the step before."""
    out = []
    for momentum, nesterov, decay, norm_decays in [
        (0.9, False, 1e-4, True), (0.9, True, 5e-4, True), (0.9, False, 5e-4, False), (0.0, False, 1e-4, True), (0.0, False, 0.0, True),
        (0.9, True, 0.0, True),
    ]:
        weight = torch.nn.Parameter(values("weight", (3, 4)))
        bias = torch.nn.Parameter(values("bias", (3,)))
        groups = [{"params": [weight]}, {"params": [bias], "weight_decay": decay if norm_decays else 0.0}]
        opt = torch.optim.SGD(groups, lr=0.1, momentum=momentum, nesterov=nesterov, weight_decay=decay)
        steps = []
        for lr in (0.1, 0.1, 0.05, 0.2, 0.01, 0.3):
            for group in opt.param_groups:
                group["lr"] = lr
            for p, name in ((weight, "weight"), (bias, "bias")):
                p.grad = (p.detach() - values(name + ".target", p.shape)) * 1.5
            opt.step()
            steps.append({"lr": lr, "weight": weight.detach().reshape(-1).tolist(), "bias": bias.detach().tolist()})
        out.append({"momentum": momentum, "nesterov": nesterov, "weightDecay": decay, "decayNormAndBias": norm_decays, "steps": steps})
    return {"made_by": f"scripts/golden_torch.py, torch.optim.SGD of torch {torch.__version__}", "cases": out}


def write(path, value):
    text = json.dumps(value, indent=1)
    text = re.sub(r"\[[^][{}]*\]", lambda m: " ".join(m.group(0).split()), text)  # lists of numbers on one line
    with open(path, "w") as f:
        f.write(text + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "trainer", "tests", "golden")
    write(os.path.join(folder, "sgd.json"), sgd())
    write(os.path.join(folder, "networks.json"), networks())
