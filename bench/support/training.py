"""A training loop as a rival: what it times is an epoch, what it answers the losses of the first steps."""

import torch
from rival import serve
from torch import nn


def serve_training(fresh, x, y, steps):
    """`fresh` makes a model and its optimiser, alike each time; x and y are batches."""

    def step(model, optimizer, i):
        loss = nn.functional.cross_entropy(model(x[i]), y[i])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    def losses():
        model, optimizer = fresh()
        return torch.stack([step(model, optimizer, i % len(x)).detach() for i in range(steps)]).numpy()

    model, optimizer = fresh()

    def epoch():
        for i in range(len(x)):
            step(model, optimizer, i)

    serve(epoch, losses)
