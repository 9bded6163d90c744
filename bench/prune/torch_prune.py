"""torch.nn.utils.prune as users call it, on layers that are not pruned yet: by arguments, globally or filter by filter."""

import os

import numpy
import torch
from rival import arguments, load, serve
from torch import nn
from torch.nn.utils import prune

structured, amount, layers, *shape = arguments
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


class Layer(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)


modules = [Layer(weight) for weight in torch.from_numpy(load("weight").copy()).view(layers, *shape)]
masks = []


def run():
    global masks
    if structured:
        for module in modules:
            prune.ln_structured(module, "weight", amount, n=2, dim=0)
    else:
        prune.global_unstructured([(module, "weight") for module in modules], prune.L1Unstructured, amount=amount)
    masks = [module.weight_mask for module in modules]
    # As they were, without touching a weight.
    for module in modules:
        weight = module.weight_orig
        module._forward_pre_hooks.clear()
        del module._parameters["weight_orig"], module._buffers["weight_mask"], module.weight
        module.register_parameter("weight", weight)


serve(run, lambda: numpy.concatenate([mask.numpy().reshape(-1) for mask in masks]))
