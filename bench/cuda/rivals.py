"""PyTorch on this machine's GPU, for the table of scripts/check-cuda.mjs.

Usage: python3 bench/cuda/rivals.py [--only text] [--seconds n] > rivals.json

Prints a list of rows: task and case as the check program calls them (the beginning of a case), the rival
and its time in ms. Times are medians by the device's own clock. One that fails tells why on stderr, and the others go on.
"""

import argparse
import json
import statistics
import sys
import time

RIVALS = []


def rival(function):
    RIVALS.append(function)
    return function


def timed(body, repeats=15, warmup=4):
    """The median time of body in ms, by events on the current stream."""
    for _ in range(warmup):
        body()
    torch.cuda.synchronize()
    times = []
    for _ in range(repeats):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        body()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end))
    return statistics.median(times)


def noise(*shape, dtype=None):
    return torch.rand(*shape, device="cuda", dtype=torch.float32).sub_(0.5).to(dtype or torch.float32)


@rival
def products():
    for name, dtype in (("bf16", torch.bfloat16), ("f16", torch.float16)):
        a, b = noise(8192, 8192, dtype=dtype), noise(8192, 8192, dtype=dtype)
        yield "gemm", f"{name} 8192x8192x8192, B transposed", "PyTorch", timed(lambda: a @ b.t())
        if dtype == torch.bfloat16:
            # The case without transposition goes last: its name begins the others'.
            yield "gemm", f"{name} 8192x8192x8192, A transposed", "PyTorch", timed(lambda: a.t() @ b)
            yield "gemm", f"{name} 8192x8192x8192", "PyTorch", timed(lambda: a @ b)
    a, b = noise(4096, 4096), noise(4096, 4096)
    yield "gemm", "f32 4096x4096x4096", "PyTorch", timed(lambda: a @ b)
    torch.backends.cuda.matmul.allow_tf32 = True
    yield "gemm", "tf32 4096x4096x4096", "PyTorch", timed(lambda: a @ b)
    torch.backends.cuda.matmul.allow_tf32 = False


@rival
def semi_structured():
    from torch.sparse import SparseSemiStructuredTensor, to_sparse_semi_structured

    dense = noise(8192, 8192, dtype=torch.bfloat16)
    keep = torch.zeros(8192, 2048, 4, device="cuda", dtype=torch.bool)
    keep[:, :, :2] = True
    weight = dense * keep.view(8192, 8192)
    x = noise(8192, 8192, dtype=torch.bfloat16)
    for name, force in (("cuSPARSELt", False), ("CUTLASS", True)):
        try:
            SparseSemiStructuredTensor._FORCE_CUTLASS = force
            packed = to_sparse_semi_structured(weight)
            yield "2:4", "bf16 8192x8192x8192", f"PyTorch semi-structured, {name}", timed(lambda: torch.mm(packed, x))
        except Exception as error:
            print(f"semi-structured, {name}: {str(error)[:200]}", file=sys.stderr)


@rival
def unstructured():
    x = noise(8192, 128)
    dense = noise(8192, 8192)
    yield "dense", "f32 8192x8192 n128", "PyTorch", timed(lambda: dense @ x)
    torch.backends.cuda.matmul.allow_tf32 = True
    yield "dense", "tf32 8192x8192 n128", "PyTorch", timed(lambda: dense @ x)
    torch.backends.cuda.matmul.allow_tf32 = False
    for sparsity in (0.9, 0.95, 0.99):
        csr = (dense * (torch.rand_like(dense) > sparsity)).to_sparse_csr()
        yield "sparse forward", f" f32 {100 * sparsity:.0f}% 8192x8192 n128", "PyTorch CSR (cuSPARSE)", timed(lambda: csr @ x)


@rival
def selection():
    scores = noise(1 << 30)
    kept = scores.numel() // 2
    # Once: it takes seconds, and none of them are a warm-up's.
    yield "global_top_k", "1 G of 4 arrays, half fall", "PyTorch kthvalue, then a comparison", timed(
        lambda: scores.abs().gt(scores.abs().kthvalue(kept).values), repeats=1, warmup=0
    )
    del scores
    torch.cuda.empty_cache()
    scores = noise(1 << 28)
    yield "global_top_k", "256 M, half fall", "PyTorch topk", timed(lambda: torch.topk(scores.abs(), scores.numel() // 2, sorted=False), repeats=3, warmup=1)


@rival
def masked_steps():
    n = 1 << 28
    mask = (torch.rand(n, device="cuda") > 0.5).float()
    for case, make in (
        ("sgd momentum, float32 mask, 256 M", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-4, fused=True)),
        ("adam, float32 mask, 256 M", lambda p: torch.optim.AdamW(p, lr=1e-3, fused=True)),
    ):
        parameter = torch.nn.Parameter(noise(n))
        gradient = noise(n)
        parameter.grad = gradient
        optimizer = make([parameter])

        def step():
            gradient.mul_(mask)
            optimizer.step()

        yield "masked_step", case, "PyTorch, mask then fused step", timed(step)
        del parameter, gradient, optimizer
        torch.cuda.empty_cache()


def resnet18(classes=1000):
    """ResNet-18 (He et al. 2016) for 224×224 images."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, inside, outside, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(outside)
            self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outside)
            self.skip = None
            if stride != 1 or inside != outside:
                self.skip = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))

        def forward(self, x):
            y = torch.relu(self.bn1(self.conv1(x)))
            y = self.bn2(self.conv2(y))
            return torch.relu(y + (x if self.skip is None else self.skip(x)))

    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    inside = 64
    for outside, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(inside, outside, stride), Block(outside, outside, 1)]
        inside = outside
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes))


@rival
def training_step():
    torch.backends.cudnn.benchmark = True
    for layout, memory_format, kinds in (
        ("channels last", torch.channels_last, ("bf16 autocast", "bf16 throughout")),
        ("channels first", torch.contiguous_format, ("bf16 autocast",)),
    ):
        for kind in kinds:
            model = resnet18().cuda().to(memory_format=memory_format)
            x = noise(256, 3, 224, 224).to(memory_format=memory_format)
            target = torch.randint(0, 1000, (256,), device="cuda")
            if kind == "bf16 throughout":
                model, x = model.bfloat16(), x.bfloat16()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4, fused=True)

            def step():
                optimizer.zero_grad(set_to_none=True)
                with torch.autocast("cuda", torch.bfloat16, enabled=kind == "bf16 autocast"):
                    loss = torch.nn.functional.cross_entropy(model(x), target)
                loss.backward()
                optimizer.step()

            yield "train-step", "resnet18 B=256 224x224 bf16", f"PyTorch eager, {layout}, {kind}", timed(step, repeats=8, warmup=4)
            del model, x, optimizer
            torch.cuda.empty_cache()


@rival
def elementwise():
    n = 1 << 28
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        x = noise(n, dtype=dtype)
        for call in ("relu", "exp", "tanh"):
            yield "elementwise", f"{call} of 2^28 {name}", "PyTorch", timed(lambda: getattr(torch, call)(x))
        yield "reduce", f"sums of rows of 1024 of 2^28 {name}", "PyTorch", timed(lambda: x.view(-1, 1024).sum(1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="")
    parser.add_argument("--seconds", type=float, default=3600, help="after so long nothing more is begun")
    options = parser.parse_args()
    until = time.time() + options.seconds
    rows = []
    for function in RIVALS:
        if options.only not in function.__name__:
            continue
        began = time.time()
        if began > until:
            print(f"{function.__name__}: not begun, the time is up", file=sys.stderr)
            continue
        try:
            for task, case, name, ms in function():
                rows.append({"task": task, "case": case, "rival": f"{name} {torch.__version__}", "rivalMs": ms})
                print(f"  {task:28} {case:44} {ms:9.4f} ms  {name}", file=sys.stderr)
        except Exception as error:
            print(f"{function.__name__} failed: {type(error).__name__}: {str(error)[:300]}", file=sys.stderr)
        torch.cuda.empty_cache()
        print(f"{function.__name__}: {time.time() - began:.1f} s", file=sys.stderr)
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    try:
        import torch
    except ImportError:
        print("PyTorch is not installed", file=sys.stderr)
        print("[]")
        sys.exit(0)
    if not torch.cuda.is_available():
        print("PyTorch sees no GPU", file=sys.stderr)
        print("[]")
        sys.exit(0)
    main()
