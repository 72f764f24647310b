"""What a network answers to each occluded picture: by the incremental engine where that is exact and cheaper, else by
brute force.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from zfcuda.network import Network, evaluating, trace
from zfcuda.network.hooks import hooked
from zfcuda.occlusion.brute_force import Probe, chunk_size, free_memory, out_of_memory, run_batched, total_activity
from zfcuda.occlusion.incremental import Plan, Result, costs
from zfcuda.occlusion.incremental.precision import convolutions_in_tf32
from zfcuda.occlusion.occluded_image import OccludedImage
from zfcuda.occlusion.windows import grid

# Windows that are run in float32 too where a smaller dtype was asked for.
_SAMPLE = 8


@dataclass(frozen=True)
class Answers:
    """outputs: float32 [N,windows,classes], windows in row-major order of the grid. base: float32 [N,classes], of the
    whole pictures. activity, base_activity: float32 [N,windows,units] and [N,units], total activation of a layer's
    units. method: "incremental" or "batched". reason: why that one, in a sentence.
    way: for more pictures of this size.
    """

    outputs: Tensor
    base: Tensor
    activity: Tensor | None
    base_activity: Tensor | None
    method: str
    reason: str
    way: Way | None = None


class RefusedError(Exception):
    """Why the engine cannot be used."""


@dataclass
class Way:
    """The engine's plan for pictures of this size, or why there is none."""

    plan: Plan | None
    reason: str
    network: Network | None = None
    values: dict[int, Any] = field(default_factory=dict)


def answers(
    model: nn.Module,
    pictures: Tensor,
    fill: Tensor,
    window: tuple[int, int],
    stride: tuple[int, int],
    *,
    layer: str | None = None,
    method: str = "auto",
    dtype: torch.dtype | None = None,
    memory_budget: int | None = None,
    progress: bool = False,
    check: Callable[[Tensor, Tensor | None], None] | None = None,
    way: Way | None = None,
) -> Answers:
    """The answers to every picture with every window covered.

    Args:
        model: [N,C,H,W] -> [N,classes]; run as in eval mode, under inference_mode, and left as it was.
        pictures: [N,C,H,W], of the model's dtype and device, finite.
        fill: broadcastable to pictures.
        window, stride: (rows, columns).
        layer: whose units' total activation is recorded.
        method, dtype, memory_budget, progress: as in occlusion_map.
        check: called with each picture's base [classes] and base activity [units] before its windows are run.
        way: of an earlier call with the same model, size of pictures, window, stride, layer and method.

    Raises:
        ValueError: the model does not give [N,classes], gives NaN, is random, or writes to its input.
        RuntimeError: method="incremental" where that cannot be done.
    """
    origins = grid((pictures.shape[2], pictures.shape[3]), window, stride).to(pictures.device).flatten(0, 1)
    budget, repeated = budget_of(memory_budget, pictures.device), way is not None
    paints = fill.expand_as(pictures)
    with torch.inference_mode(), evaluating(model):
        probe, reduced = Probe(model, layer, None), Probe(model, layer, dtype)
        bases, base_activity, outputs, activity = [], [], [], []
        with tqdm(total=len(origins) * len(pictures), desc="occlusion", unit="window", disable=not progress) as bar:
            for picture, paint in zip(pictures, paints, strict=True):
                occluded = OccludedImage(picture, paint, origins, window)
                base = _base(probe, picture)
                base_activity.append(None if probe.activity is None else probe.activity[0])
                if check is not None:
                    check(base, base_activity[-1])
                way = _way(probe, picture, base, window, stride, method, way)
                result = None
                if way.plan is not None:
                    way.plan.repeated = repeated or len(pictures) > 1
                    try:
                        found = computed(way, probe, occluded, dtype, budget, bar)
                        check_computed(way, found, dtype, picture.dtype)
                        result = found.result
                    except (ValueError, RuntimeError, IndexError, RefusedError) as error:
                        if out_of_memory(error):
                            raise
                        way = _refused(str(error).splitlines()[0], method)
                if result is None:
                    _check_steady(probe, picture, base)
                    base = base if reduced.dtype is None else reduced(picture[None].clone())[0]
                    chunk = chunk_size(probe, picture, budget)
                    if chunk > 1 and not _independent(reduced, occluded):
                        chunk = 1
                    result = Result(*run_batched(reduced, occluded, chunk, bar))
                bases.append(base)
                outputs.append(result.logits)
                activity.append(result.activity)
    # Clones made outside of inference mode: autograd accepts them later.
    activities = [t for t in activity if t is not None]
    before = [t for t in base_activity if t is not None]
    return Answers(
        torch.stack(outputs).clone() if outputs else pictures.new_empty(0, len(origins), 0),
        torch.stack(bases).clone() if bases else pictures.new_empty(0, 0),
        torch.stack(activities).clone() if activities else None,
        torch.stack(before).clone() if before else None,
        "batched" if way is None or way.plan is None else "incremental",
        "there was no picture" if way is None else way.reason,
        way,
    )


def budget_of(asked: int | None, device: torch.device) -> int:
    """Bytes; without a wish a quarter of what is free, at most 2 GiB."""
    return asked if asked is not None else min(free_memory(device) // 4, 2 << 30)


def _base(probe: Probe, picture: Tensor) -> Tensor:
    """[classes], of the whole picture."""
    batch = picture[None].clone()
    base = probe.measure(batch)[0]
    if not torch.equal(batch[0], picture):
        raise ValueError("model: it writes to its input, so that it would spoil the picture that it is given")
    check_finite(base)
    return base


def check_finite(base: Tensor) -> None:
    """base: the model's answer to the whole picture."""
    if not torch.isfinite(base).all():
        raise ValueError("model: its output for the whole picture holds NaN or infinity")


def _check_steady(probe: Probe, picture: Tensor, base: Tensor) -> None:
    if not _agree(probe(picture[None].clone())[0], base, picture.dtype):
        raise ValueError("model: two runs on the same picture differ, so it is random even in eval mode")


def _way(
    probe: Probe,
    picture: Tensor,
    base: Tensor,
    window: tuple[int, int],
    stride: tuple[int, int],
    method: str,
    before: Way | None,
) -> Way:
    """The plan for this picture; that of the picture before, where there is one."""
    if method == "batched":
        return Way(None, "every window was run through the whole network, as was asked")
    if before is not None and before.network is None:
        return before
    try:
        hooks = hooked(probe.model, renewing=False)
        if hooks:
            raise RefusedError(f"there are hooks on {', '.join(hooks)}, which the engine would not run")
        network = trace(probe.model, picture[None]) if before is None else before.network
        assert network is not None
        watched = None if probe.layer is None else network.node(probe.layer).index
        wanted = [network.names[""], *([] if watched is None else [watched])]
        values = base_values(network, picture, wanted)
        _check_same(values[network.names[""]], base)
        if watched is not None and probe.activity is not None:
            _check_same(total_activity(values[watched]), probe.activity[0])
        plan = None if before is None else before.plan
        if plan is None:
            plan = Plan(network, values, (picture.shape[1], picture.shape[2]), window, stride, watched)
    except (ValueError, KeyError, RuntimeError, RefusedError) as error:
        _check_steady(probe, picture, base)
        return _refused(str(error).splitlines()[0], method)
    if method == "auto" and before is None:
        engine, brute = costs(plan, values)
        if engine > brute:
            return Way(None, "every window was run through the whole network, which is predicted to be cheaper here")
    return Way(plan, plan.reason, network, {i: values[i] for i in plan.needed})


def base_values(network: Network, picture: Tensor, wanted: list[int]) -> dict[int, Any]:
    """The whole picture [C,H,W] through the network."""
    # Not clone(memory_format=...): its strides for one channel lead torch 2.13 to a convolution that reads too far.
    return network.run(picture[None].clone().contiguous(memory_format=torch.channels_last), wanted)


def _refused(reason: str, method: str) -> Way:
    if method == "incremental":
        raise RuntimeError(f"method: 'incremental' cannot be done: {reason}")
    return Way(None, f"every window was run through the whole network: {reason}")


def _check_same(value: Any, base: Tensor) -> None:
    """The graph has to give what the model itself gives."""
    if not isinstance(value, Tensor) or value.numel() != base.numel():
        raise RefusedError("what the model returns is not what its layers compute")
    if not _agree(value.flatten().float(), base, value.dtype):
        raise RefusedError("something outside of the layers changes what the model answers")


@dataclass(frozen=True)
class Computed:
    """What the engine answers to one picture, and what that is held against.

    sample: int64 [m], windows that were also run in the picture's dtype, where that is another; exact: float32
        [m,classes], their answers. alone: float32 [classes], the model's own answer to window sample[0].
    """

    result: Result
    sample: list[int]
    exact: Tensor
    alone: Tensor


def computed(
    way: Way,
    probe: Probe,
    occluded: OccludedImage,
    dtype: torch.dtype | None,
    budget: int,
    bar: tqdm[Any],
) -> Computed:
    """The engine's answers; nothing in here waits for a GPU, so that it can be captured."""
    plan, own = way.plan, occluded.image.dtype
    kind = own if dtype is None else dtype
    assert plan is not None
    result = plan.run(occluded.fill, way.values, kind, budget, bar)
    middle = plan.grid[0] // 2 * plan.grid[1] + plan.grid[1] // 2
    sample = np.array([middle])
    exact = result.logits[middle : middle + 1]
    if kind != own:
        others = np.linspace(0, len(occluded) - 1, _SAMPLE).astype(np.int64)
        sample = np.concatenate([sample, np.setdiff1d(others, sample)])
        exact = plan.run(occluded.fill, way.values, own, budget, tqdm(disable=True), sample).logits
    alone = probe(occluded.batch(slice(middle, middle + 1)))[0]
    return Computed(result, sample.tolist(), exact, alone)


def check_computed(way: Way, found: Computed, dtype: torch.dtype | None, picture_dtype: torch.dtype) -> None:
    """Refuses answers that are not the model's own; says how far those in another dtype are off."""
    assert way.plan is not None
    if not _agree(found.exact[0], found.alone, picture_dtype):
        raise RefusedError("the engine's answer to one window is not the model's own")
    if dtype is not None and dtype != picture_dtype:
        rough = found.result.logits[found.sample]
        way.reason = f"{way.plan.reason}; {_deviation(rough, found.exact, dtype, picture_dtype)}"


def _agree(a: Tensor, b: Tensor, dtype: torch.dtype) -> bool:
    """Whether two answers are the same but for the rounding of a network's many layers."""
    eps = 2.0**-10 if convolutions_in_tf32(a.device, dtype) else torch.finfo(dtype).eps
    rounding = max(eps, torch.finfo(torch.float32).eps) ** 0.5
    scale = b[b.isfinite()].abs().max() if b.isfinite().any() else b.new_ones(())
    return torch.allclose(a, b, rtol=0, atol=float(rounding * scale), equal_nan=True)


def _deviation(rough: Tensor, exact: Tensor, dtype: torch.dtype, from_dtype: torch.dtype) -> str:
    largest = (rough - exact).abs().max()
    name, of = (str(d).removeprefix("torch.") for d in (dtype, from_dtype))
    return (
        f"in {name} the outputs of {len(exact)} windows are at most {largest:.2g} from those in {of}, "
        f"{largest / exact.std():.2g} of their standard deviation"
    )


def _independent(probe: Probe, occluded: OccludedImage) -> bool:
    """Whether a picture's answer is the same in company.

    It is not where a layer takes statistics of its batch, and there is none where a model takes one picture alone.
    """
    both = occluded.batch([0, len(occluded) // 2])
    try:
        in_company = probe(both)[0]
    except (ValueError, RuntimeError):
        return False
    return _agree(in_company, probe(both[:1])[0], probe.dtype or both.dtype)
