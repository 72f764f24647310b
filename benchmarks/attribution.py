"""What speaks for a class, method by method, beside Captum's and pytorch-grad-cam's: the same answer first, then timed.

All get the same images and the same classes. The others run torch's own layers, in place where the network has them so
(but for guided backpropagation, where Captum's hooks do not allow it), and Captum the best of some batch sizes.
pytorch-grad-cam scales its maps to 0 ... 1, and its guided backpropagation takes one image. float32 is float32 here:
TF32 is off on a GPU.

- zfcuda: all images in one call. zfcuda, one by one: a call for each.
- captum: captum.attr's class of that name.
- pytorch-grad-cam: of Grad-CAM and guided backpropagation, where it is installed (pip install grad-cam).
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

import zfcuda
from benchmarks import opponents, zoo
from benchmarks.deconvnet import Case
from benchmarks.explainers import METHODS, Method, Scene, grad_cam, grad_cam_missing
from benchmarks.failures import Failures
from benchmarks.measure import Run, full_float32, race, timed

OURS, SINGLE, CAPTUM, GRAD_CAM = "zfcuda", "zfcuda, one by one", "captum", "pytorch-grad-cam"
OPPONENTS = (CAPTUM, GRAD_CAM)
BATCHES = (1, 16)
TOLERANCE = 1e-5  # a part of the norm of a map, in float64
# The same in float32, where sums in another order may let another of two values win that differ in their last bit: that
# moves what goes back through it, and the mean over a few noisy copies by as many parts.
LOOSE = 0.05
_CAM_TOLERANCE = 1e-4  # of pytorch-grad-cam's Grad-CAM, which is resized by OpenCV and divided by its maximum + 1e-7
_EXACT = 2  # images that are verified in float64
SECONDS = 30.0  # of a row, about, within these limits of its rounds
ROUNDS = (5, 15)


# The layer is that whose maps Grad-CAM weighs.
CASES = (
    Case("zfnet", "ZFNet", "relu5", lambda: zoo.made(zfcuda.models.zfnet)),
    Case("alexnet", "AlexNet", "features.11", lambda: zoo.NETWORKS["alexnet"]()),
    Case("resnet18", "ResNet-18", "layer4", lambda: zoo.NETWORKS["resnet18"]()),
)


def run(
    device: torch.device, dtype: torch.dtype, quick: bool, networks: Sequence[str] | None = None
) -> Iterator[dict[str, Any]]:
    """One row per network, method and number of images, as soon as it is measured; in float32 and float64 alone.

    quick: two images instead of 16, and few repeats.
    """
    if dtype not in (torch.float32, torch.float64):
        print(f"attribution: not measured in {dtype}, whose rounding leaves no answer to verify")
        return
    failures = Failures()
    for case in CASES:
        if networks is not None and case.network not in networks:
            continue
        network = case.build().to(device, dtype).eval()
        for count in (1, 2) if quick else BATCHES:
            images = torch.cat([zoo.picture(seed=seed) for seed in range(count)]).to(device, dtype)
            with torch.inference_mode():
                scene = Scene(images, network(images).argmax(1).tolist(), case.layer)
            for name, method in METHODS.items():
                row = None
                what = f"{case.title}, {method.title}, {count} images"
                with failures.noted(what), full_float32(), warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # ours of so few steps, Captum's of its hooks, on each call
                    row = _row(case, name, network, scene, quick)
                if row is not None:
                    print(describe(row), flush=True)
                    yield row
    failures.end()


def _row(case: Case, name: str, network: nn.Module, scene: Scene, quick: bool) -> dict[str, Any]:
    method, device = METHODS[name], scene.images.device
    left_out = {CAPTUM: opponents.captum_missing(), GRAD_CAM: grad_cam_missing()}
    if method.grad_cam is None:
        del left_out[GRAD_CAM]
    settings: dict[str, Any] = {"tolerance": TOLERANCE, "in float32": LOOSE}
    there = [side for side in (CAPTUM, GRAD_CAM) if left_out.get(side, "") is None]
    exact = Scene(scene.images[:_EXACT].double(), scene.targets[:_EXACT], scene.layer)
    what = f"{case.title}, {method.title}, {len(scene.images)} images"
    deviation = {}
    # Copies are made for each part, since pytorch-grad-cam puts modules of its own into the network.
    for part, tolerance, subject in ((exact, TOLERANCE, copy.deepcopy(network).double()), (scene, LOOSE, network)):
        theirs = _theirs(subject, in_place=name != "guided")
        for side in there:
            off = verified(what, side, method, subject, theirs, part, tolerance)
            deviation[side if part is exact else f"{side}, {part.images.dtype}"] = off
    theirs = _theirs(network, in_place=name != "guided")
    sides = _sides(method, network, theirs, scene, there, settings)
    times = race(sides, device, repeats=_repeats(sides, device, quick), warmup=1)
    ours = times[OURS].median
    return {
        "network": case.network,
        "title": case.title,
        "method": name,
        "what": method.title,
        "batch": len(scene.images),
        "shape": list(scene.images.shape),
        "dtype": str(scene.images.dtype).removeprefix("torch."),
        "deviation": deviation,
        **timed(times),
        "ratio": {side: round(times[side].median / ours, 3) for side in (*OPPONENTS, SINGLE) if side in times},
        "required": required(case.network, name),
        "settings": settings,
        "left_out": {side: why for side, why in left_out.items() if why is not None},
    }


def _sides(
    method: Method, network: nn.Module, theirs: nn.Module, scene: Scene, there: Sequence[str], settings: dict[str, Any]
) -> dict[str, Run]:
    sides: dict[str, Run] = {OURS: lambda: method.ours(network, scene)}
    if len(scene.images) > 1:
        sides[SINGLE] = lambda: [method.ours(network, one) for one in scene.alone()]
    if CAPTUM in there:
        tried: list[Run] = [
            lambda way=way: way(theirs, scene)  # type: ignore[misc]
            for way in method.captum(len(scene.images))
        ]
        best = _fastest(tried, scene.images.device)
        sides[CAPTUM] = tried[best]
        settings["captum's way"] = f"{best + 1} of {len(tried)}"
    if GRAD_CAM in there:
        way = method.grad_cam
        assert way is not None
        sides[GRAD_CAM] = lambda: way(theirs, scene)
    return sides


def required(network: str, method: str) -> float:
    """How many times our time the quickest other one has to take at least."""
    return 1.3 if (network, method) == ("zfnet", "guided") else 1.0


def _theirs(network: nn.Module, in_place: bool) -> nn.Module:
    """The network as the others run it: torch's layers."""
    theirs = copy.deepcopy(opponents.torch_form(network, torch.float32))
    for module in theirs.modules():
        if isinstance(module, nn.ReLU) and not in_place:
            module.inplace = False
    return theirs


def _fastest(tried: Sequence[Run], device: torch.device) -> int:
    """Which of several ways takes the least time."""
    if len(tried) == 1:
        return 0
    times = race({str(i): way for i, way in enumerate(tried)}, device, repeats=2, warmup=1)
    return min(range(len(tried)), key=lambda i: times[str(i)].median)


def _repeats(sides: dict[str, Run], device: torch.device, quick: bool) -> int:
    """How many rounds fit into SECONDS, within ROUNDS."""
    if quick:
        return 2
    once = race(sides, device, repeats=1, warmup=0)
    return max(ROUNDS[0], min(ROUNDS[1], int(SECONDS / sum(timing.median for timing in once.values()))))


def verified(
    what: str, side: str, method: Method, network: nn.Module, theirs: nn.Module, scene: Scene, tolerance: float
) -> float:
    """How far a side's maps are from ours at most, as a part of the norm of each.

    Raises:
        RuntimeError: they are further off than is allowed.
    """
    ours, other = method.check or (method.ours, method.captum(len(scene.images))[0])
    if side == GRAD_CAM:
        assert method.grad_cam is not None
        other = method.grad_cam
    expected, found = ours(network, scene), other(theirs, scene).detach()
    if other is grad_cam:
        expected, tolerance = _stretched(expected), max(tolerance, _CAM_TOLERANCE)
    if found.shape != expected.shape:
        raise RuntimeError(f"{what}: {side!r} gives maps of shape {list(found.shape)}, not {list(expected.shape)}")
    off = (found.to(expected) - expected).flatten(1).norm(dim=1) / expected.flatten(1).norm(dim=1)
    worst = float(off.max())
    if not worst <= tolerance:  # NaN too
        raise RuntimeError(f"{what}: {side!r} is off by {worst:.3g} of the norm, allowed are {tolerance}")
    return float(f"{worst:.2g}")


def _stretched(maps: Tensor) -> Tensor:
    """Each map from 0 to 1, as pytorch-grad-cam gives it."""
    flat = maps.flatten(1)
    low = flat.amin(1, keepdim=True)
    return ((flat - low) / (1e-7 + (flat - low).amax(1, keepdim=True))).view_as(maps)


def describe(row: dict[str, Any]) -> str:
    """A few lines for people."""
    worst = max(row["deviation"].values(), default=0.0)
    images = f"{row['batch']} image{'s'[: row['batch'] > 1]}"
    lines = [f"{row['title']}, {row['what']}, {images}, {row['dtype']}: verified, off by at most {worst:.2g}"]
    for name, seconds in row["seconds"].items():
        low, high = row["quartiles"][name]
        ratio = f"{row['ratio'][name]:6.2f}x" if name in row["ratio"] else ""
        short = "  SLOWER" if name in OPPONENTS and row["ratio"][name] < row["required"] else ""
        lines.append(f"  {name:34} {seconds * 1e3:9.3f} ms ({low * 1e3:.3f} to {high * 1e3:.3f}) {ratio}{short}")
    lines += [f"  {name}: {why}" for name, why in row["left_out"].items()]
    return "\n".join(lines)
