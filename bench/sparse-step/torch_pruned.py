"""A training step of a pruned MLP in PyTorch: masks by torch.nn.utils.prune."""
import os

import numpy
import torch
from rival import arguments, load, serve
from torch import nn
from torch.nn.utils import prune

batch, steps = arguments
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
x = torch.from_numpy(load("x").copy()).view(batch, 784)
y = torch.from_numpy(load("y", numpy.int32)).long()
initial = torch.from_numpy(load("parameters").copy())
masks = torch.from_numpy(load("masks").copy())


def fresh():
    model = nn.Sequential(nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))
    with torch.no_grad():
        nn.utils.vector_to_parameters(initial.clone(), model.parameters())
    at = 0
    for layer in (model[0], model[2]):
        size = layer.weight.numel()
        prune.custom_from_mask(layer, "weight", masks[at : at + size].view_as(layer.weight))
        at += size
    return model, torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)


def train(model, optimizer):
    loss = nn.functional.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


def losses():
    model, optimizer = fresh()
    return torch.stack([train(model, optimizer).detach() for _ in range(steps)]).numpy()


model, optimizer = fresh()
serve(lambda: train(model, optimizer), losses)
