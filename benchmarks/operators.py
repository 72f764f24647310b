"""The operators beside torch's, each result verified before it is timed.

Bytes are those that must move: every input read once, every output written once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measure import race
from zfcuda import ops

# conv1 of ZFNet: a training batch, and one picture.
SIZES = {"cpu": [(16, 96, 110, 110), (1, 96, 110, 110)], "cuda": [(256, 96, 110, 110), (1, 96, 110, 110)]}
QUICK = [(2, 96, 110, 110)]
SIZE, ALPHA, BETA, K = 5, 5e-4, 0.75, 2.0


@dataclass
class Case:
    """One operator on one input: ours, torch's, the bytes that must move, and a check that raises where they differ."""

    name: str
    ours: Callable[[], Any]
    torch: Callable[[], Any]
    bytes: int
    verify: Callable[[], None]


def _size(*tensors: Tensor) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def _added(values: Tensor, indices: Tensor, height: int, width: int) -> Tensor:
    """Unpooling with overlapping windows added, through torch's indices."""
    flat = values.new_zeros(*values.shape[:2], height * width)
    return flat.scatter_add_(2, indices.flatten(2), values.flatten(2)).view(*values.shape[:2], height, width)


def cases(x: Tensor) -> Iterator[Case]:
    """The four operators on x [N,C,H,W], 3x3 windows of stride 2 with padding 1."""
    height, width = x.shape[2:]
    pooled, switches = ops.max_pool2d_with_switches(x, 3, 2, 1, relu=True)
    # torch has no bfloat16 LRN on the CPU: there its best is to go through float32 and back.
    widened = x.dtype == torch.bfloat16 and x.device.type == "cpu"

    def torch_pool(y: Tensor) -> tuple[Tensor, Tensor]:
        values, indices = F.max_pool2d(F.relu(y), 3, 2, 1, return_indices=True)
        return values, indices

    def torch_lrn(y: Tensor) -> Tensor:
        normed = F.local_response_norm(y.float() if widened else y, SIZE, ALPHA, BETA, K)
        return normed.to(y.dtype)

    def torch_stage(y: Tensor) -> Tensor:
        return torch_lrn(F.max_pool2d(F.relu(y), 3, 2, 1))

    def lrn() -> Tensor:
        return ops.local_response_norm(x, SIZE, ALPHA, BETA, K)

    def stage() -> Tensor:
        return ops.relu_max_pool2d_lrn(x, 3, 2, 1, size=SIZE, alpha=ALPHA, beta=BETA, k=K)[0]

    def unpool() -> Tensor:
        return ops.max_unpool2d(pooled, switches, 3, 2, 1, output_size=(height, width))

    expected, indices = torch_pool(x)
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-12}.get(x.dtype, 2e-2)

    def close(a: Tensor, b: Tensor) -> None:
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)

    yield Case(
        "relu + pool + switches",
        lambda: ops.max_pool2d_with_switches(x, 3, 2, 1, relu=True),
        lambda: torch_pool(x),
        _size(x, pooled, switches),
        lambda: torch.testing.assert_close(pooled, expected, rtol=0, atol=0),
    )
    yield Case(
        "unpool",
        unpool,
        lambda: F.max_unpool2d(pooled, indices, (3, 3), (2, 2), (1, 1), output_size=[height, width]),
        _size(x, pooled, switches),
        lambda: close(unpool(), _added(pooled, indices, height, width)),
    )
    yield Case("lrn", lrn, lambda: torch_lrn(x), 2 * _size(x), lambda: close(lrn(), torch_lrn(x)))
    yield Case(
        "stage: relu + pool + switches + lrn",
        stage,
        lambda: torch_stage(x),
        _size(x, pooled, switches),
        lambda: close(stage(), torch_stage(x)),
    )


def run(device: torch.device, dtype: torch.dtype, bandwidth: float, quick: bool) -> list[dict[str, Any]]:
    """One row per operator and memory format; torch's side is eager and, on CUDA, also torch.compile's version."""
    shapes = QUICK if quick else SIZES.get(device.type, QUICK)
    formats = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
    rows = []
    with torch.inference_mode():
        for shape, (name, format) in itertools.product(shapes, formats.items()):
            x = torch.randn(shape, device=device, dtype=dtype).contiguous(memory_format=format)
            for case in cases(x):
                case.verify()
                sides: dict[str, Callable[[], object]] = {"zfcuda": case.ours, "torch": case.torch}
                if device.type == "cuda":
                    sides["torch.compile"] = torch.compile(case.torch)
                times = race(sides, device, repeats=3 if quick else 15, warmup=2 if quick else 10)
                ours = times["zfcuda"]
                rows.append(
                    {
                        "operator": case.name,
                        "format": name,
                        "dtype": str(dtype).removeprefix("torch."),
                        "shape": list(shape),
                        "milliseconds": {side: round(t.median * 1e3, 4) for side, t in times.items()},
                        "quartiles": {side: [round(s * 1e3, 4) for s in t.spread] for side, t in times.items()},
                        "ratio": {side: round(t.median / ours.median, 2) for side, t in times.items() if t is not ours},
                        "gigabytes_per_second": round(case.bytes / ours.median / 1e9, 1),
                        "of_copy": round(case.bytes / ours.median / bandwidth, 2),
                    }
                )
                print(_line(rows[-1]), flush=True)
    return rows


def _line(row: dict[str, Any]) -> str:
    ratios = "  ".join(f"{value:5.1f}x {side}" for side, value in row["ratio"].items())
    return (
        f"{row['operator']:36} {row['shape'][0]:4} {row['format']:14} {row['dtype']:9} "
        f"{row['milliseconds']['zfcuda']:9.3f} ms  {ratios}  "
        f"{row['gigabytes_per_second']:7.1f} GB/s ({row['of_copy']:.0%} of copy)"
    )
