"""A training step of quantised networks in PyTorch's operations: forward, cross entropy, backward, Adam."""
import os

import numpy
import torch
from rival import arguments, load
from torch import nn
from training import serve_training

network, learned, input_learned, bits, batch, steps, *size = arguments
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def rounded(x):
    """Half to even; the gradient passes straight through."""
    return x + (x.round() - x).detach()


def quantised_weight(w):
    top = 2 ** (bits - 1) - 1
    scale = w.abs().max().clamp_min(1e-10) / top
    codes = rounded(w / scale)
    return (codes + (codes.clamp(-top, top) - codes).detach()) * scale


class Conv2d(nn.Conv2d):
    def forward(self, x):
        return nn.functional.conv2d(x, quantised_weight(self.weight), self.bias, self.stride)


class Linear(nn.Linear):
    def forward(self, x):
        return nn.functional.linear(x, quantised_weight(self.weight), self.bias)


class Activation(nn.Module):
    """Codes of a threshold that is learned, or that follows the batches: their largest magnitude, which the percentile 99.999 is here."""

    def __init__(self, signed, given=False):
        super().__init__()
        self.given = given
        self.threshold = torch.ones(()) if given else nn.Parameter(torch.ones(()))
        self.running = torch.ones(())
        self.signed = signed
        self.low, self.high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        self.top = 2 ** (bits - 1) if signed else 2**bits - 1

    def forward(self, x):
        x = x if self.signed else x.relu()
        follows = not (learned or self.given)
        threshold = x.abs().max() if follows else self.threshold
        if follows:
            self.running = 0.9 * self.running + 0.1 * threshold.detach()
        scale = threshold.clamp_min(1e-10) / self.top
        return rounded(x / scale).clamp(self.low, self.high) * scale


first = lambda: Activation(True, given=not input_learned)
relu = lambda: Activation(False)
makers = [
    lambda: nn.Sequential(first(), Conv2d(1, 8, 3), relu(), Conv2d(8, 16, 3, 2), relu(), Conv2d(16, 32, 2), relu(), nn.Flatten(), Linear(32, 10)),
    lambda: nn.Sequential(first(), Linear(784, 1024), relu(), Linear(1024, 1024), relu(), Linear(1024, 10)),
]
x = torch.from_numpy(load("x").copy()).view(-1, *size).split(batch)
y = torch.from_numpy(load("y", numpy.int32)).long().split(batch)
initial = torch.from_numpy(load("parameters").copy())
thresholds = load("thresholds")


def fresh():
    model = makers[network]()
    with torch.no_grad():
        nn.utils.vector_to_parameters(initial.clone(), model.parameters())
        for layer, running in zip((layer for layer in model if isinstance(layer, Activation) and not layer.given), thresholds):
            layer.running = torch.tensor(running)
    return model, torch.optim.Adam(model.parameters(), lr=0.001)


serve_training(fresh, x, y, steps)
