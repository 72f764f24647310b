"""What a network answers to each occluded picture: by the incremental engine where that is exact and cheaper, else by
brute force.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from zfcuda.network import Network, evaluating, trace
from zfcuda.occlusion.batched import Probe, chunk_size, free_memory, run_batched
from zfcuda.occlusion.incremental import Plan, Result, costs
from zfcuda.occlusion.windows import grid

# Windows that are run in float32 too where a smaller dtype was asked for.
_SAMPLE = 8


@dataclass(frozen=True)
class Answers:
    """outputs: float32 [N,windows,classes], windows in row-major order of the grid. base: float32 [N,classes], of the
    whole pictures. activity, base_activity: float32 [N,windows,units] and [N,units], total activation of a layer's
    units. method: "incremental" or "batched". reason: why that one, in a sentence.
    """

    outputs: Tensor
    base: Tensor
    activity: Tensor | None
    base_activity: Tensor | None
    method: str
    reason: str


class RefusedError(Exception):
    """Why the engine cannot be used."""


@dataclass
class _Way:
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

    Raises:
        ValueError: the model does not give [N,classes], gives NaN, is random, or writes to its input.
        RuntimeError: method="incremental" where that cannot be done.
    """
    origins = grid((pictures.shape[2], pictures.shape[3]), window, stride).to(pictures.device).flatten(0, 1)
    budget = memory_budget if memory_budget is not None else min(free_memory(pictures.device) // 4, 2 << 30)
    paints = fill.expand_as(pictures)
    with torch.inference_mode(), evaluating(model):
        probe, reduced = Probe(model, layer, None), Probe(model, layer, dtype)
        bases, base_activity, outputs, activity = [], [], [], []
        way: _Way | None = None
        with tqdm(total=len(origins) * len(pictures), desc="occlusion", unit="window", disable=not progress) as bar:
            for picture, paint in zip(pictures, paints, strict=True):
                base = _base(probe, picture)
                base_activity.append(None if probe.activity is None else probe.activity[0])
                if check is not None:
                    check(base, base_activity[-1])
                way = _way(probe, picture, base, window, stride, method, way)
                if way.plan is not None:
                    result, said = _incremental(way, picture, paint, dtype, budget, bar)
                    way.reason = way.reason if not said else f"{way.reason.split('; in ')[0]}; {said}"
                else:
                    base = base if reduced.dtype is None else reduced(picture[None].clone())[0]
                    chunk = chunk_size(probe, picture, budget)
                    result = Result(*run_batched(reduced, picture, paint, origins, window, chunk, bar))
                bases.append(base)
                outputs.append(result.logits)
                activity.append(result.activity)
    # Clones made outside of inference mode: autograd accepts them later.
    found = [t for t in activity if t is not None]
    before = [t for t in base_activity if t is not None]
    return Answers(
        torch.stack(outputs).clone() if outputs else pictures.new_empty(0, len(origins), 0),
        torch.stack(bases).clone() if bases else pictures.new_empty(0, 0),
        torch.stack(found).clone() if found else None,
        torch.stack(before).clone() if before else None,
        "batched" if way is None or way.plan is None else "incremental",
        "there was no picture" if way is None else way.reason,
    )


def _base(probe: Probe, picture: Tensor) -> Tensor:
    """[classes], of the whole picture; two runs have to agree."""
    batch = picture[None].clone()
    once = probe.measure(batch)[0]
    if not torch.equal(batch[0], picture):
        raise ValueError("model: it writes to its input, so that it would spoil the picture that it is given")
    base = probe(batch)[0]
    if not torch.isfinite(base).all():
        raise ValueError("model: its output for the whole picture holds NaN or infinity")
    if not torch.allclose(once, base, rtol=1e-2, atol=1e-2 * float(base.abs().max())):
        raise ValueError("model: two runs on the same picture differ, so it is random even in eval mode")
    return base


def _way(
    probe: Probe,
    picture: Tensor,
    base: Tensor,
    window: tuple[int, int],
    stride: tuple[int, int],
    method: str,
    before: _Way | None,
) -> _Way:
    """The plan for this picture; that of the picture before, where there is one."""
    if method == "batched":
        return _Way(None, "every window was run through the whole network, as was asked")
    if before is not None and before.network is None:
        return before
    try:
        network = trace(probe.model, picture[None]) if before is None else before.network
        assert network is not None
        watched = None if probe.layer is None else network.node(probe.layer).index
        wanted = [network.names[""], *([] if watched is None else [watched])]
        values = network.run(picture[None].clone(memory_format=torch.channels_last), wanted)
        _check_same(values[network.names[""]], base)
        plan = None if before is None else before.plan
        if plan is None:
            plan = Plan(network, values, (picture.shape[1], picture.shape[2]), window, stride, watched)
    except (ValueError, KeyError, RuntimeError, RefusedError) as error:
        reason = str(error).splitlines()[0]
        if method == "incremental":
            raise RuntimeError(f"method: 'incremental' cannot be done: {reason}") from error
        return _Way(None, f"every window was run through the whole network: {reason}")
    if method == "auto" and before is None:
        engine, brute = costs(plan, values)
        if engine > brute:
            return _Way(None, "every window was run through the whole network, which is predicted to be cheaper here")
    return _Way(plan, plan.reason, network, values)


def _check_same(value: Any, base: Tensor) -> None:
    """The graph has to give what the model itself gives: hooks, for one, are not in it."""
    if not isinstance(value, Tensor) or value.numel() != base.numel():
        raise RefusedError("what the model returns is not what its layers compute")
    difference = (value.flatten().float() - base).abs().max()
    if not difference <= 3 * torch.finfo(value.dtype).eps ** 0.5 * base.abs().max():
        raise RefusedError("hooks, or something else outside the layers, change what the model answers")


def _incremental(
    way: _Way, picture: Tensor, paint: Tensor, dtype: torch.dtype | None, budget: int, bar: tqdm[Any]
) -> tuple[Result, str]:
    """The answers, and in a smaller dtype how far a sample of them is from float32."""
    assert way.plan is not None
    kind = picture.dtype if dtype is None else dtype
    result = way.plan.run(picture, paint, way.values, kind, budget, bar)
    if kind == picture.dtype:
        return result, ""
    sample = torch.linspace(0, len(result.logits) - 1, min(_SAMPLE, len(result.logits))).long()
    exact = way.plan.run(picture, paint, way.values, picture.dtype, budget, tqdm(disable=True), sample.numpy())
    deviation = (result.logits[sample.to(result.logits.device)] - exact.logits).abs().max()
    spread = exact.logits.std()
    return result, (
        f"in {str(kind).removeprefix('torch.')} the outputs of {len(sample)} windows were at most {deviation:.2g} "
        f"from {str(picture.dtype).removeprefix('torch.')}, {deviation / spread:.2g} of their standard deviation"
    )
