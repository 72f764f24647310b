"""The engine made ready for a model and an image; or the reason why it is not used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from zfcuda.network import Network, trace
from zfcuda.network.graph import first_line
from zfcuda.network.hooks import hooked
from zfcuda.occlusion.brute_force import WatchedModel, total_activity
from zfcuda.occlusion.incremental import Plan, costs
from zfcuda.occlusion.incremental.patches import Table
from zfcuda.occlusion.incremental.precision import agree
from zfcuda.occlusion.occluded_image import OccludedImage
from zfcuda.occlusion.result import WindowOutputs

# Windows that are run in float32 too where a smaller dtype was asked for.
_SAMPLE = 8


@dataclass(frozen=True)
class PreparedEngine:
    """The engine's plan, which holds for all images of one size, and the values of the needed nodes for one image."""

    plan: Plan
    values: dict[int, Any]


@dataclass(frozen=True)
class Refusal:
    """Why every window is run through the whole network, in a sentence."""

    reason: str


class RefusedError(Exception):
    """Why the engine cannot be used."""


def prepare(
    model: WatchedModel,
    occluded: OccludedImage,
    base: Tensor,
    stride: tuple[int, int],
    method: str,
    before: PreparedEngine | Refusal | None,
) -> PreparedEngine | Refusal:
    """Follows the model, unless that was done for an image before, and holds the engine against it.

    base: float32 [classes], what the model itself gives for the whole image. before: of the image before.
    """
    if method == "batched":
        return Refusal("every window was run through the whole network, as was asked")
    if isinstance(before, Refusal):
        return before
    image = occluded.image
    try:
        hooks = hooked(model.module, renewing=False)
        if hooks:
            raise RefusedError(f"there are hooks on {', '.join(hooks)}, which the engine would not run")
        network = trace(model.module, image[None]) if before is None else before.plan.network
        watched = None if model.layer is None else network.node(model.layer).index
        wanted = [network.names[""], *([] if watched is None else [watched])]
        values = base_values(network, image, wanted)
        _check_same(values[network.names[""]], base)
        if watched is not None and model.activity is not None:
            _check_same(total_activity(values[watched]), model.activity[0])
        if before is not None:
            plan = before.plan
        else:
            plan = Plan(network, values, (image.shape[1], image.shape[2]), occluded.window, stride, watched)
            if method == "auto":
                engine, brute = costs(plan, values)
                if engine > brute:
                    return Refusal(
                        "every window was run through the whole network, which is predicted to be cheaper here"
                    )
    except MemoryError:
        raise
    except Exception as error:  # whatever it may be, the model itself can be run
        check_steady(model, image, base)
        return refused(first_line(error), method)
    return PreparedEngine(plan, {i: values[i] for i in plan.needed})


def base_values(network: Network, image: Tensor, wanted: list[int]) -> dict[int, Any]:
    """Runs the whole image [C,H,W] through the network. Returns the values of the needed nodes."""
    # Not clone(memory_format=...): its strides for one channel lead torch 2.13 to a convolution that reads too far.
    return network.run(image[None].clone().contiguous(memory_format=torch.channels_last), wanted)


def refused(reason: str, method: str) -> Refusal:
    """Falls back to brute force.

    Raises:
        RuntimeError: method is "incremental".
    """
    if method == "incremental":
        raise RuntimeError(f"method: 'incremental' cannot be done: {reason}")
    return Refusal(f"every window was run through the whole network: {reason}")


def check_finite(base: Tensor) -> None:
    """Refuses logits of the whole image that hold NaN or infinity."""
    if not torch.isfinite(base).all():
        raise ValueError("model: its output for the whole image holds NaN or infinity")


def _check_same(value: Any, base: Tensor) -> None:
    """The graph has to give what the model itself gives."""
    if not isinstance(value, Tensor) or value.numel() != base.numel():
        raise RefusedError("what the model returns is not what its layers compute")
    if not agree(value.flatten().float(), base, value.dtype):
        raise RefusedError("something outside of the layers changes what the model answers")


def check_steady(model: WatchedModel, image: Tensor, base: Tensor) -> None:
    """Refuses a model that gives other logits for the whole image than it gave before."""
    if not agree(model(image[None].clone())[0], base, image.dtype):
        raise ValueError("model: two runs on the same image differ, so it is random even in eval mode")


def run_engine(
    engine: PreparedEngine,
    model: WatchedModel,
    occluded: OccludedImage,
    dtype: torch.dtype | None,
    budget: int,
    bar: tqdm[Any],
    repeated: bool,
) -> tuple[WindowOutputs, Tensor, Tensor]:
    """Runs all windows, and what they are held against; nothing in here waits for a GPU, so that it can be recorded.

    Args:
        model: the model itself.
        dtype: that the windows are run in; None: the image's.
        repeated: whether more images will come.

    Returns:
        The outputs; those of the sampled windows in the image's dtype, float32 [m,classes]; the model's own output for
        the first of the sample, float32 [classes].
    """
    plan, own = engine.plan, occluded.image.dtype
    dtype = own if dtype is None else dtype
    outputs = plan.run(occluded.fill, engine.values, dtype, budget, bar, repeated=repeated)
    sample = _sampled(plan, dtype, own)
    middle = int(sample[0])
    if dtype == own:
        exact = outputs.logits[middle : middle + 1]
    else:
        no_bar = tqdm(disable=True)
        exact = plan.run(occluded.fill, engine.values, own, budget, no_bar, repeated=repeated, windows=sample).logits
    return outputs, exact, model(occluded.batch(slice(middle, middle + 1)))[0]


def check_outputs(
    plan: Plan,
    outputs: WindowOutputs,
    exact: Tensor,
    alone: Tensor,
    dtype: torch.dtype | None,
    image_dtype: torch.dtype,
) -> str:
    """Holds what run_engine gives against each other. Returns what was done, in a sentence: where another dtype was
    asked for, also how far its outputs are off.

    Raises:
        RefusedError: the outputs are not the model's own.
    """
    if not agree(exact[0], alone, image_dtype):
        raise RefusedError("the engine's answer to one window is not the model's own")
    if dtype is None or dtype == image_dtype:
        return plan.reason
    rough = outputs.logits[_sampled(plan, dtype, image_dtype).tolist()]
    return f"{plan.reason}; {_deviation(rough, exact, dtype, image_dtype)}"


def _sampled(plan: Plan, dtype: torch.dtype, image_dtype: torch.dtype) -> Table:
    """The windows that are run in the image's dtype too: that in the middle, and where another was asked for others."""
    rows, columns = plan.grid
    middle = np.array([rows // 2 * columns + columns // 2])
    if dtype == image_dtype:
        return middle
    others = np.linspace(0, rows * columns - 1, _SAMPLE).astype(np.int64)
    return np.concatenate([middle, np.setdiff1d(others, middle)])


def _deviation(rough: Tensor, exact: Tensor, dtype: torch.dtype, from_dtype: torch.dtype) -> str:
    largest = (rough - exact).abs().max()
    name, of = (str(d).removeprefix("torch.") for d in (dtype, from_dtype))
    return (
        f"in {name} the outputs of {len(exact)} windows are at most {largest:.2g} from those in {of}, "
        f"{largest / exact.std():.2g} of their standard deviation"
    )
