"""The operators and their gradients beside torch's, each result verified before it is timed.

Bytes are those that must move: every input read once, every output written once; beside them what must move at best
where torch.compile makes the kernels from torch's layers, and the bandwidth of a copy of the same input. On a GPU the
device's time counts alone: inputs are read from memory, never from the L2 cache, and what is small is launched many
times from one CUDA graph.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import opponents
from benchmarks.failures import Failures
from benchmarks.measure import Run, copy_bandwidth, inputs_beyond_cache, race, rotated
from zfcuda import ops

# conv1 of ZFNet: a training batch, and one image.
SIZES = {"cpu": [(16, 96, 110, 110), (1, 96, 110, 110)], "cuda": [(256, 96, 110, 110), (1, 96, 110, 110)]}
QUICK = [(2, 96, 110, 110)]
SIZE, ALPHA, BETA, K = 5, 5e-4, 0.75, 2.0
OURS, TORCH, COMPILED = "zfcuda", "torch", "torch.compile"
FORMATS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}


@dataclass(frozen=True)
class Case:
    """One operator on one input, ours and torch's.

    bytes, compiled_bytes: what must move, and what must at best where torch.compile makes the kernels.
    verify: raises where the results differ.
    gradient: None; or that of the output, and then the time is that of the way back to the first argument.
    """

    name: str
    ours: Callable[..., Any]
    torch: Callable[..., Any]
    our_arguments: Sequence[Tensor]
    torch_arguments: Sequence[Tensor]
    bytes: int
    compiled_bytes: int
    verify: Callable[[], None]
    gradient: Tensor | None = None

    def run(self, function: Callable[..., Any], arguments: Sequence[Tensor]) -> Run:
        """Returns what is timed, ready to be called."""
        if self.gradient is None:
            return lambda: function(*arguments)
        output, gradient = function(*arguments), self.gradient
        return lambda: torch.autograd.grad(output, arguments[0], gradient, retain_graph=True)[0]


def _size(*tensors: Tensor) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def _added(values: Tensor, indices: Tensor, height: int, width: int) -> Tensor:
    """Unpooling with overlapping windows added, through torch's indices."""
    flat = values.new_zeros(*values.shape[:2], height * width)
    return flat.scatter_add_(2, indices.flatten(2), values.flatten(2)).view(*values.shape[:2], height, width)


# ---------------------------------------------------------------- both sides


def _pool(y: Tensor) -> tuple[Tensor, Tensor]:
    return ops.max_pool2d_with_switches(y, 3, 2, 1, relu=True)


def _torch_pool(y: Tensor) -> tuple[Tensor, Tensor]:
    values, indices = F.max_pool2d(F.relu(y), 3, 2, 1, return_indices=True)
    return values, indices


def _pooled(y: Tensor) -> Tensor:
    return _pool(y)[0]


def _torch_pooled(y: Tensor) -> Tensor:
    return F.max_pool2d(F.relu(y), 3, 2, 1)


def _lrn(y: Tensor) -> Tensor:
    return ops.local_response_norm(y, SIZE, ALPHA, BETA, K)


def _torch_lrn(y: Tensor) -> Tensor:
    # torch has no bfloat16 LRN on the CPU; there its best is to go through float32 and back.
    widened = y.dtype == torch.bfloat16 and y.device.type == "cpu"
    return F.local_response_norm(y.float() if widened else y, SIZE, ALPHA, BETA, K).to(y.dtype)


def _stage(y: Tensor) -> Tensor:
    return ops.relu_max_pool2d_lrn(y, 3, 2, 1, size=SIZE, alpha=ALPHA, beta=BETA, k=K)[0]


def _torch_stage(y: Tensor) -> Tensor:
    return _torch_lrn(_torch_pooled(y))


# ---------------------------------------------------------------- cases


def cases(x: Tensor) -> Iterator[Case]:
    """The operators on x [N,C,H,W], 3x3 windows of stride 2 with padding 1; of a batch also the gradients."""
    height, width = int(x.shape[2]), int(x.shape[3])
    pooled, switches = _pool(x)
    expected, indices = _torch_pool(x)
    large, small = _size(x), _size(pooled)
    offsets = switches.numel()  # bytes, one each
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-12}.get(x.dtype, 2e-2)

    # torch's own bfloat16 LRN is rounded at each of its steps, so what is held against is float32's.
    wide = torch.promote_types(x.dtype, torch.float32)

    def close(a: Tensor, b: Tensor) -> None:
        torch.testing.assert_close(a, b.to(a.dtype), rtol=tolerance, atol=tolerance)

    def unpool(values: Tensor, switches: Tensor) -> Tensor:
        return ops.max_unpool2d(values, switches, 3, 2, 1, output_size=(height, width))

    def torch_unpool(values: Tensor, indices: Tensor) -> Tensor:
        return F.max_unpool2d(values, indices, (3, 3), (2, 2), (1, 1), output_size=[height, width])

    # torch's indices are int64; its unpooling fills with zeros, then scatters.
    yield Case(
        "relu + pool + switches",
        _pool,
        _torch_pool,
        [x],
        [x],
        large + small + offsets,
        large + small + 8 * offsets,
        lambda: torch.testing.assert_close(pooled, expected, rtol=0, atol=0),
    )
    yield Case(
        "unpool",
        unpool,
        torch_unpool,
        [pooled, switches],
        [pooled, indices],
        small + offsets + large,
        small + 8 * offsets + large + small,
        lambda: close(unpool(pooled, switches), _added(pooled, indices, height, width)),
    )
    yield Case("lrn", _lrn, _torch_lrn, [x], [x], 2 * large, 2 * large, lambda: close(_lrn(x), _torch_lrn(x.to(wide))))
    # Pooling and a sum over channels cannot be one of its kernels: what was pooled is written and read again.
    yield Case(
        "stage: relu + pool + switches + lrn",
        _stage,
        _torch_stage,
        [x],
        [x],
        large + small + offsets,
        large + 3 * small,
        lambda: close(_stage(x), _torch_stage(x.to(wide))),
    )
    if len(x) == 1:
        return

    leaf = x.detach().requires_grad_()

    def back(ours: Callable[..., Tensor], theirs: Callable[..., Tensor], gradient: Tensor) -> None:
        same = x.detach().to(wide, copy=True).requires_grad_()
        (truth,) = torch.autograd.grad(theirs(same), same, gradient.to(wide))
        close(torch.autograd.grad(ours(leaf), leaf, gradient)[0], truth)

    of_x, of_pooled = torch.randn_like(x), torch.randn_like(pooled)
    # What was pooled tells where the ReLU let through; torch keeps a mask of the input.
    yield Case(
        "gradient of relu + pool",
        _pooled,
        _torch_pooled,
        [leaf],
        [leaf],
        2 * small + offsets + large,
        small + offsets + x.numel() + large,
        lambda: back(_pooled, _torch_pooled, of_pooled),
        of_pooled,
    )
    yield Case(
        "gradient of lrn",
        _lrn,
        _torch_lrn,
        [leaf],
        [leaf],
        3 * large,
        3 * large,
        lambda: back(_lrn, _torch_lrn, of_x),
        of_x,
    )


# ---------------------------------------------------------------- measuring


def run(device: torch.device, dtypes: Sequence[torch.dtype], quick: bool) -> Iterator[dict[str, Any]]:
    """One row per size, dtype, memory format and operator, as soon as it is measured.

    quick: small inputs, and without torch.compile.
    """
    shapes = QUICK if quick else SIZES.get(device.type, QUICK)
    failures = Failures()
    for shape, dtype, format in itertools.product(shapes, dtypes, FORMATS):
        x = torch.randn(shape, device=device, dtype=dtype).contiguous(memory_format=FORMATS[format])
        bandwidth = copy_bandwidth(x, repeats=3 if quick else 15)
        for sets in zip(*_inputs(x), strict=True):
            row = None
            with failures.noted(f"{sets[0].name}, {list(shape)}, {dtype}, {format}"), opponents.repeatable_gradients():
                row = _row(sets, format, x, bandwidth, quick)
            if row is not None:
                print(describe(row), flush=True)
                yield row
        if not quick:
            torch._dynamo.reset()  # it keeps a few variants of a function alone
    failures.end()


def _inputs(x: Tensor) -> list[Iterator[Case]]:
    """The cases on as many inputs as do not fit into the cache."""
    count = inputs_beyond_cache(_size(x), x.device)
    return [cases(x if i == 0 else torch.randn_like(x)) for i in range(count)]


def _row(sets: Sequence[Case], format: str, x: Tensor, bandwidth: float, quick: bool) -> dict[str, Any]:
    case, device = sets[0], x.device
    case.verify()
    if case.gradient is not None:
        sets = sets[:1]  # of large inputs alone, and autograd's threads do not work for a graph
    left_out: dict[str, str] = {}
    launches: dict[str, str] = {}
    with torch.inference_mode(case.gradient is None):
        sides: dict[str, Run] = {}
        for name, runs in (
            (OURS, [one.run(one.ours, one.our_arguments) for one in sets]),
            (TORCH, [one.run(one.torch, one.torch_arguments) for one in sets]),
            (COMPILED, _compiled(sets, left_out) if not quick else []),
        ):
            if runs:
                sides[name], launches[name] = rotated(runs, device)
        times = race(sides, device, repeats=3 if quick else 15, warmup=2 if quick else 10, queued=True)
    times = {name: timing.each(len(sets)) for name, timing in times.items()}
    ours = times[OURS].median
    return {
        "operator": case.name,
        "format": format,
        "dtype": str(x.dtype).removeprefix("torch."),
        "shape": list(x.shape),
        "milliseconds": {side: round(t.median * 1e3, 5) for side, t in times.items()},
        "quartiles": {side: [round(s * 1e3, 5) for s in t.spread] for side, t in times.items()},
        "ratio": {side: round(t.median / ours, 3) for side, t in times.items() if side != OURS},
        "bytes": case.bytes,
        "byte_ratio": round(case.compiled_bytes / case.bytes, 3),
        "gigabytes_per_second": round(case.bytes / ours / 1e9, 1),
        "copy_gigabytes_per_second": round(bandwidth / 1e9, 1),
        "of_copy": round(case.bytes / ours / bandwidth, 3),
        "settings": {"launches": launches},
        "left_out": {COMPILED: "not in --quick"} if quick else left_out,
    }


def _compiled(sets: Sequence[Case], left_out: dict[str, str]) -> list[Run]:
    """torch's side under torch.compile; none where that fails."""
    case = sets[0]
    compiled, why = opponents.compiled_function(case.torch, case.torch_arguments)
    if compiled is None:
        left_out[COMPILED] = why
        return []
    try:
        runs = [one.run(compiled, one.torch_arguments) for one in sets]
        runs[0]()
    except Exception as error:  # whatever its compiler raises for the way back
        left_out[COMPILED] = opponents.reason(error)
        return []
    return runs


def describe(row: dict[str, Any]) -> str:
    """A line for people."""
    ratios = "  ".join(f"{value:5.2f}x {side}" for side, value in row["ratio"].items())
    low, high = row["quartiles"][OURS]
    return (
        f"{row['operator']:36} {row['shape'][0]:4} {row['format']:14} {row['dtype']:9} "
        f"{row['milliseconds'][OURS]:9.4f} ms ({low:.4g} to {high:.4g})  {ratios}  "
        f"{row['gigabytes_per_second']:7.1f} GB/s, {row['of_copy']:.0%} of a copy's "
        f"{row['copy_gigabytes_per_second']:.0f}; torch.compile moves {row['byte_ratio']:.2f}x the bytes at best"
    )
