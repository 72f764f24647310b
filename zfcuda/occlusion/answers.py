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

from zfcuda import ops
from zfcuda.network import Network, evaluating, trace
from zfcuda.network.hooks import hooked
from zfcuda.occlusion.batched import Probe, chunk_size, free_memory, out_of_memory, run_batched, total_activity
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
                result = None
                if way.plan is not None:
                    try:
                        result = _incremental(way, probe, picture, paint, origins, window, dtype, budget, bar)
                    except (ValueError, RuntimeError, IndexError, RefusedError) as error:
                        if out_of_memory(error):
                            raise
                        way = _refused(str(error).splitlines()[0], method)
                if result is None:
                    _check_steady(probe, picture, base)
                    base = base if reduced.dtype is None else reduced(picture[None].clone())[0]
                    chunk = chunk_size(probe, picture, budget)
                    if chunk > 1 and not _independent(reduced, picture, paint, origins, window):
                        chunk = 1
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
    """[classes], of the whole picture."""
    batch = picture[None].clone()
    base = probe.measure(batch)[0]
    if not torch.equal(batch[0], picture):
        raise ValueError("model: it writes to its input, so that it would spoil the picture that it is given")
    if not torch.isfinite(base).all():
        raise ValueError("model: its output for the whole picture holds NaN or infinity")
    return base


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
    before: _Way | None,
) -> _Way:
    """The plan for this picture; that of the picture before, where there is one."""
    if method == "batched":
        return _Way(None, "every window was run through the whole network, as was asked")
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
        # Not clone(memory_format=...): its strides for one channel lead torch 2.13 to a convolution that reads too far.
        values = network.run(picture[None].clone().contiguous(memory_format=torch.channels_last), wanted)
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
            return _Way(None, "every window was run through the whole network, which is predicted to be cheaper here")
    return _Way(plan, plan.reason, network, {i: values[i] for i in plan.needed})


def _refused(reason: str, method: str) -> _Way:
    if method == "incremental":
        raise RuntimeError(f"method: 'incremental' cannot be done: {reason}")
    return _Way(None, f"every window was run through the whole network: {reason}")


def _check_same(value: Any, base: Tensor) -> None:
    """The graph has to give what the model itself gives."""
    if not isinstance(value, Tensor) or value.numel() != base.numel():
        raise RefusedError("what the model returns is not what its layers compute")
    if not _agree(value.flatten().float(), base, value.dtype):
        raise RefusedError("something outside of the layers changes what the model answers")


def _incremental(
    way: _Way,
    probe: Probe,
    picture: Tensor,
    paint: Tensor,
    origins: Tensor,
    window: tuple[int, int],
    dtype: torch.dtype | None,
    budget: int,
    bar: tqdm[Any],
) -> Result:
    """The engine's answers, one of them held against the model's own."""
    plan, kind = way.plan, picture.dtype if dtype is None else dtype
    assert plan is not None
    result = plan.run(picture, paint, way.values, kind, budget, bar)
    middle = plan.grid[0] // 2 * plan.grid[1] + plan.grid[1] // 2
    exact = result.logits[middle : middle + 1]
    if kind != picture.dtype:
        others = np.linspace(0, len(origins) - 1, _SAMPLE).astype(np.int64)
        sample = np.concatenate([[middle], np.setdiff1d(others, [middle])])
        exact = plan.run(picture, paint, way.values, picture.dtype, budget, tqdm(disable=True), sample).logits
        way.reason = f"{plan.reason}; {_deviation(result.logits[sample.tolist()], exact, kind, picture.dtype)}"
    alone = probe(ops.occlude(picture, paint, origins[middle : middle + 1], window))[0]
    if not _agree(exact[0], alone, picture.dtype):
        raise RefusedError("the engine's answer to one window is not the model's own")
    return result


def _agree(a: Tensor, b: Tensor, dtype: torch.dtype) -> bool:
    """Whether two answers are the same but for the rounding of a network's many layers."""
    rounding = max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps) ** 0.5
    scale = b[b.isfinite()].abs().max() if b.isfinite().any() else b.new_ones(())
    return torch.allclose(a, b, rtol=0, atol=float(rounding * scale), equal_nan=True)


def _deviation(rough: Tensor, exact: Tensor, dtype: torch.dtype, from_dtype: torch.dtype) -> str:
    largest = (rough - exact).abs().max()
    name, of = (str(d).removeprefix("torch.") for d in (dtype, from_dtype))
    return (
        f"in {name} the outputs of {len(exact)} windows are at most {largest:.2g} from those in {of}, "
        f"{largest / exact.std():.2g} of their standard deviation"
    )


def _independent(probe: Probe, picture: Tensor, paint: Tensor, origins: Tensor, window: tuple[int, int]) -> bool:
    """Whether a picture's answer is the same in company.

    It is not where a layer takes statistics of its batch, and there is none where a model takes one picture alone.
    """
    both = ops.occlude(picture, paint, origins[[0, len(origins) // 2]], window)
    try:
        in_company = probe(both)[0]
    except (ValueError, RuntimeError):
        return False
    return _agree(in_company, probe(both[:1])[0], probe.dtype or picture.dtype)
