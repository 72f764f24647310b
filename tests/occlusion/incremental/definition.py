"""The definition that a map is held against: a plain loop over occluded copies, and what may differ from it."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

import zfcuda
from tests.harness.random_networks import calibrate, randomise

METHOD = "incremental"  # what is judged; "batched" judges the tests


def places(length: int, window: int, stride: int) -> list[int]:
    """Another window follows while the last one does not reach the border, and as long as it starts inside."""
    found = [0]
    while found[-1] + window < length and found[-1] + stride < length:
        found.append(found[-1] + stride)
    return found


def made_of(image: Tensor, fill: str, window: tuple[int, int]) -> Tensor:
    """What covers the image where that is made of it: float64 [C,1,1] or [C,H,W]."""
    exact = image.double()
    mean = exact.mean((1, 2), keepdim=True)
    if fill == "mean":
        return mean
    if fill == "noise":
        noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        return mean + (exact - mean).square().mean((1, 2), keepdim=True).sqrt() * noise.to(image.device)
    assert fill == "blur"
    blurred = torch.empty_like(exact)
    rows, columns = (torch.arange(n, dtype=torch.float64, device=image.device) for n in image.shape[1:])
    for y in range(len(rows)):
        for x in range(len(columns)):
            down, right = (rows - y) / (window[0] / 2), (columns - x) / (window[1] / 2)
            weights = torch.exp(-(down[:, None] ** 2 + right**2) / 2)
            blurred[:, y, x] = (weights * exact).sum((1, 2)) / weights.sum()
    return blurred


def occluded(image: Tensor, window: tuple[int, int], stride: tuple[int, int], fill: Any) -> tuple[Tensor, int]:
    """[C,H,W] -> one copy per window [n,C,H,W], row by row; how many make a row."""
    if isinstance(fill, str):
        paint = made_of(image, fill, window)
    else:
        paint = torch.tensor(fill, dtype=image.dtype)[:, None, None] if isinstance(fill, list) else torch.as_tensor(fill)
    paint = paint.to(image).expand(1, *image.shape)[0]
    rows, columns = (places(image.shape[1 + i], window[i], stride[i]) for i in (0, 1))
    copies = []
    for y in rows:
        for x in columns:
            copies.append(image.detach().clone())
            there = (..., slice(y, y + window[0]), slice(x, x + window[1]))
            copies[-1][there] = paint[there]
    return torch.stack(copies), len(columns)


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    was_training = [module for module in model.modules() if module.training]
    for module in model.modules():
        module.training = False
    yield
    for module in was_training:
        module.training = True


def brute_force(
    model: nn.Module,
    image: Tensor,
    window: tuple[int, int],
    stride: tuple[int, int],
    fill: Any,
    layer: str | None = None,
    together: int = 1,
) -> tuple[Tensor, Tensor | None, float]:
    """logits [rows,cols,classes], in the model's own precision; the total activation of each unit of the layer
    [rows,cols,units], and the largest sum of magnitudes behind one of them, the whole picture included.
    """
    if image.dim() == 4:
        image = image[0]
    copies, columns = occluded(image, window, stride, fill)
    logits, totals, largest = [], [], 0.0

    def keep(_: nn.Module, __: Any, output: Tensor) -> None:
        nonlocal largest
        values = output.double().flatten(2) if output.dim() > 2 else output.double()[:, :, None]
        calls[:] = [values.sum(2)]  # of the last call
        largest = max(largest, float(values.abs().sum(2).max()))

    handle = model.get_submodule(layer).register_forward_hook(keep) if layer else None
    with torch.no_grad(), in_eval_mode(model):
        calls: list[Tensor] = []
        model(image.detach()[None].clone())
        for batch in copies.split(together):
            calls = []
            output = model(batch.clone())
            logits.append(output[:, None] if output.dim() == 1 else output)
            totals += calls
    if handle is not None:
        handle.remove()
    activity = torch.cat(totals).unflatten(0, (-1, columns)) if layer else None
    return torch.cat(logits).unflatten(0, (-1, columns)), activity, largest


def deviation(logits: Tensor, expected: Tensor, base: Tensor | None = None) -> Tensor:
    """In units of what is allowed; from 1 on it is too much. base: of the whole picture, which is an answer too."""
    assert logits.shape == expected.shape and logits.dtype == torch.float32
    spread, largest = expected.double().std(unbiased=False), expected.double().abs().max()
    if base is not None:
        largest = largest.maximum(base.double().abs().max())
    allowed = 1e-4 * spread + 1e-5 * largest
    if expected.dtype == torch.float64:  # what remains is the rounding of the answer to float32
        allowed = 1e-9 * spread + 1e-10 * largest + 2**-24 * expected.abs()
    difference = (logits.double() - expected.double()).abs()
    return torch.where(difference == 0, 0.0, difference / allowed).max()


def pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def least_budget(model: nn.Module, image: Tensor, **arguments: Any) -> int:
    """The bytes that the engine asks for where it is given one; where it needs some to tell, what it asks for then."""
    budget = 1
    for _ in range(2):
        try:
            zfcuda.occlusion_map(model, image, **arguments | {"method": "incremental", "memory_budget": budget})
        except RuntimeError as refused:
            found = re.search(r"memory_budget: .* needs ([\d,]+) bytes", str(refused))
            assert found is not None, refused
            budget = int(found[1].replace(",", ""))
    assert budget > 1
    return budget


def check(
    model: nn.Module,
    image: Tensor,
    *,
    window: Any = 6,
    stride: Any = 5,
    fill: Any = 0.0,
    together: int = 1,
    **more: Any,
) -> zfcuda.OcclusionMap:
    """The map, after comparing it with brute force. memory_budget: also "least", which the engine just fits into."""
    more = {"method": METHOD, **more}
    if more.get("memory_budget") == "least":
        more["memory_budget"] = least_budget(model, image, window=window, stride=stride, fill=fill, **more)
    how = (pair(window), pair(stride), fill)
    expected, activity, largest = brute_force(model, image, *how, layer=more.get("layer"), together=together)
    result = zfcuda.occlusion_map(model, image, window=window, stride=stride, fill=fill, **more)
    if more["method"] != "auto":
        assert result.method == more["method"], result.reason
    assert isinstance(result.reason, str) and result.reason
    error = deviation(result.logits, expected, result.base_logits)
    if not error <= 1 and expected.dtype == torch.float32:
        # A network may magnify rounding itself: no method can be closer than brute force is to the truth.
        fine = copy.deepcopy(model).double()
        precise = brute_force(fine, image.double(), *how, together=together)[0]
        error /= 1 + 4 * deviation(expected, precise.float())
    assert error <= 1, f"{error:.3g} times what is allowed; {result.reason}"
    if activity is not None and result.activity is not None:
        rounding = 1e-5 if expected.dtype == torch.float32 else 3e-7
        allowed = rounding * (largest + 10 * activity.std(unbiased=False))
        difference = (result.activity - activity[..., result.unit]).abs().max()
        wrong = difference / allowed if difference else difference
        assert wrong <= 1, f"activity of {more['layer']!r}: {wrong:.3g} times what is allowed; {result.reason}"
    return result


def refused_or_exact(model: nn.Module, image: Tensor, **arguments: Any) -> zfcuda.OcclusionMap:
    """Where "incremental" need not be possible: it says so, and "auto" is exact all the same. Returns auto's map."""
    try:
        check(model, image, **arguments)
    except RuntimeError as error:
        assert "incremental" in str(error)
    return check(model, image, **arguments, method="auto")


def prepared(model: nn.Module, image: Tensor, seed: int = 0) -> nn.Module:
    calibrate(randomise(model, seed), image)
    return model
