"""A training step in PyTorch: forward, cross entropy, backward, optimiser."""
import os

import numpy
import torch
from rival import arguments, load
from torch import nn
from training import serve_training

network, adam, batch, steps, *size = arguments
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
makers = [
    lambda: nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3, 2), nn.ReLU(), nn.Conv2d(16, 32, 2), nn.ReLU(), nn.Flatten(), nn.Linear(32, 10)),
    lambda: nn.Sequential(nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10)),
    lambda: nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                          nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
]
x = torch.from_numpy(load("x").copy()).view(-1, *size).split(batch)
y = torch.from_numpy(load("y", numpy.int32)).long().split(batch)
initial = torch.from_numpy(load("parameters").copy())


def fresh():
    model = makers[network]()
    with torch.no_grad():
        nn.utils.vector_to_parameters(initial.clone(), model.parameters())
    return model, torch.optim.Adam(model.parameters(), lr=0.001) if adam else torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)


serve_training(fresh, x, y, steps)
