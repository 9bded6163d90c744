"""torch.ao's sparsifier by blocks of weights: of each four neighbours two stay."""

import os

import torch
from rival import arguments, load, serve
from torch import nn

try:
    from torch.ao.pruning import WeightNormSparsifier
except ImportError:  # its name before torch 2.0
    from torch.ao.sparsity import WeightNormSparsifier

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
model = nn.Sequential(nn.Linear(*reversed(arguments), bias=False))
with torch.no_grad():
    model[0].weight.copy_(torch.from_numpy(load("weight").copy()).view(*arguments))
sparsifier = WeightNormSparsifier(sparsity_level=1.0, sparse_block_shape=(1, 4), zeros_per_block=2)
sparsifier.prepare(model, config=None)
serve(sparsifier.step, lambda: model[0].parametrizations.weight[0].mask.numpy().astype("float32").reshape(-1))
