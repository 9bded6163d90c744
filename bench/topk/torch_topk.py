"""The mask of torch.nn.utils.prune.l1_unstructured, without its hooks."""
import os

import torch
from rival import arguments, load, serve
from torch.nn.utils import prune

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
weight = torch.from_numpy(load("weight").copy())
ones = torch.ones_like(weight)
method = prune.L1Unstructured(amount=arguments[0])
mask = None


def run():
    global mask
    mask = method.compute_mask(weight, ones)


serve(run, lambda: mask.numpy())
