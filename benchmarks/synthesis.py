"""What images made by a network cost: nine units in one batch beside nine runs, and each method as it comes.

The same answer first: each image of the batch is that of its own run, up to what another order of sums does to it.
Methods run with their own numbers of steps, on the network for photographs and on the one in the package; where the
weights for photographs are not installed it has random ones, which take as long. The tree of textures and adversaries
have benchmarks of their own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import zfcuda
from benchmarks.failures import Failures
from benchmarks.measure import Run, full_float32, race, timed
from zfcuda.data import HELD_OUT_SEED, Parts
from zfcuda.synthesis import StyleNetwork, each, unit

BATCH, RUNS = "nine in one batch", "nine runs"
REQUIRED = 1.2  # times as fast as nine runs
SIDE = 224
STYLED = 512  # of the picture that a StyleNetwork is applied to
_STEPS = 16  # of the race of nine units
# How far an image of the batch may be from that of its own run, after one step, as a part of its norm. Adam divides a
# gradient by its own size, so that one near zero may step either way.
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3, torch.bfloat16: 0.2, torch.float16: 0.1}


@dataclass(frozen=True)
class Case:
    """A network, the layer whose nine units are maximised, and layers for methods that need one."""

    network: str
    title: str
    layer: str
    build: Callable[[], nn.Module]


CASES = (
    Case("efficientnet_lite0", "EfficientNet-Lite0", "_blocks.10._relu0", lambda: _lite0()),
    Case("demo", "the demo network", "conv4", zfcuda.models.load_demo),
)

# What is timed of a method: (network, image [1,3,H,W], case, keyword arguments) -> a call.
METHODS: dict[str, Callable[[nn.Module, Tensor, Case, dict[str, Any]], Run]] = {
    "maximize": lambda model, image, case, few: partial(
        zfcuda.maximize, model, f"{case.layer}:1", size=image.shape[-1], **few
    ),
    "fool": lambda model, image, case, few: partial(zfcuda.fool, model, image, _other(model, image), **few),
    "adversarial": lambda model, image, case, few: partial(zfcuda.adversarial, model, image, **few),
    "deep_dream": lambda model, image, case, few: partial(zfcuda.deep_dream, model, image, case.layer, **few),
    "invert": lambda model, image, case, few: partial(zfcuda.invert, model, image, case.layer, **few),
}


def run(device: torch.device, dtype: torch.dtype, quick: bool) -> Iterator[dict[str, Any]]:
    """One row for each network and method, as soon as it is measured. quick: small images, few steps and repeats."""
    failures = Failures()
    for case in CASES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # random weights
            network = case.build().to(device, dtype).eval()
        side = 64 if quick and case.network != "demo" else SIDE
        image = network.preprocess(Parts(seed=HELD_OUT_SEED)[0].image)  # type: ignore[operator]
        image = image.to(device, dtype)[..., :side, :side].contiguous()
        row = None
        with failures.noted(f"{case.title}, nine units"), full_float32(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of units that so few steps do not wake
            row = _nine(case, network, side, device, dtype, quick)
        if row is not None:
            print(describe(row), flush=True)
            yield row
        for name, method in METHODS.items():
            row = None
            with failures.noted(f"{case.title}, {name}"), full_float32(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of few steps, and of images that excite nothing
                call = method(network, image, case, {"steps": 2} if quick else {})
                row = _alone(case.title, name, call, device, dtype, quick, side)
            if row is not None:
                print(describe(row), flush=True)
                yield row
    row = None
    with failures.noted("StyleNetwork"), full_float32():
        row = _styled(device, dtype, quick)
    if row is not None:
        print(describe(row), flush=True)
        yield row
    failures.end()


def _nine(
    case: Case, network: nn.Module, side: int, device: torch.device, dtype: torch.dtype, quick: bool
) -> dict[str, Any]:
    units = [unit(case.layer, index) for index in range(9)]

    def batch(steps: int) -> Tensor:
        return zfcuda.maximize(network, each(units), count=9, size=side, steps=steps)

    def runs(steps: int) -> Tensor:
        return torch.cat(
            [zfcuda.maximize(network, one, size=side, steps=steps, seed=seed) for seed, one in enumerate(units)]
        )

    one, other = batch(1).double(), runs(1).double()
    off = float(((one - other).flatten(1).norm(dim=1) / other.flatten(1).norm(dim=1)).max())
    if not off <= TOLERANCE[dtype]:  # NaN too
        raise RuntimeError(f"the batch is off by {off:.3g} of the norm, allowed are {TOLERANCE[dtype]}")
    steps = 2 if quick else _STEPS
    times = race({BATCH: lambda: batch(steps), RUNS: lambda: runs(steps)}, device, repeats=2 if quick else 5, warmup=1)
    row = _row(case.title, "nine units", side, dtype, times)
    ratio = round(times[RUNS].median / times[BATCH].median, 3)
    return row | {"steps": steps, "deviation": float(f"{off:.2g}"), "ratio": {RUNS: ratio}, "required": REQUIRED}


def _alone(
    title: str, name: str, call: Run, device: torch.device, dtype: torch.dtype, quick: bool, side: int
) -> dict[str, Any]:
    times = race({name: call}, device, repeats=2 if quick else 3, warmup=0 if quick else 1)
    return _row(title, name, side, dtype, times)


def _styled(device: torch.device, dtype: torch.dtype, quick: bool) -> dict[str, Any]:
    side = 64 if quick else STYLED
    torch.manual_seed(0)
    network = StyleNetwork().to(device, dtype).eval()
    image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(device, dtype)
    times = race({"stylize": lambda: network.stylize(image)}, device, repeats=2 if quick else 9, warmup=1)
    return _row("StyleNetwork", "stylize", side, dtype, times)


def _row(title: str, what: str, side: int, dtype: torch.dtype, times: dict[str, Any]) -> dict[str, Any]:
    name = str(dtype).removeprefix("torch.")
    return {"title": title, "what": what, "side": side, "dtype": name, **timed(times), "ratio": {}, "left_out": {}}


def _other(model: nn.Module, image: Tensor) -> int:
    """A class that the network does not say."""
    with torch.inference_mode():
        logits = model(image)
    return (int(logits.argmax()) + 1) % logits.shape[1]


def _lite0() -> nn.Module:
    network: nn.Module = zfcuda.models.load("efficientnet_lite0")
    return network


def describe(row: dict[str, Any]) -> str:
    """A few lines for people."""
    lines = [f"{row['title']}, {row['what']}, {row['side']} x {row['side']}, {row['dtype']}"]
    for name, seconds in row["seconds"].items():
        low, high = row["quartiles"][name]
        ratio = f"{row['ratio'][name]:6.2f}x" if name in row["ratio"] else ""
        lines.append(f"  {name:20} {seconds:9.3f} s ({low:.3f} to {high:.3f}) {ratio}")
    if row["ratio"].get(RUNS, REQUIRED) < row.get("required", 0):
        lines[-1] += "  LESS THAN REQUIRED"
    return "\n".join(lines)
