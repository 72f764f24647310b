"""The engine made ready for a model and an image; or the reason why it is not used."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from zfcuda.memory.budget import budget_of, limit_of, spoken_bytes
from zfcuda.network import Network, trace
from zfcuda.network.graph import first_line
from zfcuda.network.hooks import hooked
from zfcuda.occlusion.brute_force import check_steady, chunk_size
from zfcuda.occlusion.choice import Choice, Question, clear, predicted, recall, settle, what_decides
from zfcuda.occlusion.followed import followed, keep
from zfcuda.occlusion.incremental import Plan, predict
from zfcuda.occlusion.incremental.channels_second import with_channels_second
from zfcuda.occlusion.incremental.chunk import Base
from zfcuda.occlusion.incremental.lookups import memory_of_lookup
from zfcuda.occlusion.incremental.patches import Table, on_device
from zfcuda.occlusion.incremental.precision import agree
from zfcuda.occlusion.occluded_image import OccludedImage
from zfcuda.occlusion.output import ModelWithOutput
from zfcuda.occlusion.watched_model import WatchedModel, total_activity
from zfcuda.occlusion.window_outputs import WindowOutputs

# Windows that are run in float32 too where a smaller dtype was asked for.
_SAMPLE = 8


@dataclass(frozen=True)
class PreparedEngine:
    """The engine's plan, which holds for all images of one size, and the values of the needed nodes for one image.

    Between two images there are no values: their memory is the next image's.

    limit: bytes for all that its run holds; None: as many as the budget. choice: where it was made; else it was asked
    for. question: where it is to be made yet. begun: by a trial. recorded: whether its run is recorded to be replayed.
    """

    plan: Plan
    values: dict[int, Any] = field(default_factory=dict)
    limit: int | None = None
    choice: Choice | None = None
    question: Question | None = None
    begun: Begun | None = None
    recorded: bool = False

    @property
    def reason(self) -> str:
        """What is done and why so, in a sentence."""
        return self.plan.reason if self.choice is None else f"{self.plan.reason}; that is {self.choice.why}"

    def without_values(self) -> PreparedEngine:
        """What holds for another image."""
        return PreparedEngine(self.plan, limit=self.limit, choice=self.choice)


@dataclass(frozen=True)
class Refusal:
    """Why every window is run through the whole network.

    reason: in a sentence. coupled: what couples the images of a batch, so that the windows are run one by one.
    """

    reason: str
    coupled: str | None = None


@dataclass(frozen=True)
class Answers:
    """The model's own to some windows of an image: int64 [n], and float32 [n,classes]."""

    windows: list[int]
    logits: Tensor

    def of(self, windows: list[int]) -> Tensor:
        """Those to some of its windows."""
        return self.logits[[self.windows.index(window) for window in windows]]


@dataclass(frozen=True)
class Begun:
    """What a trial has run: the base with what was made of it, and the outputs of the cut's parts.

    answers: the model's own, where they are in the image's dtype.
    """

    base: Base
    outputs: list[WindowOutputs]
    answers: Answers | None


@dataclass(frozen=True)
class Evidence:
    """What the engine's outputs are held against.

    exact: float32 [m,classes], of sampled windows in the image's dtype; of all where no other was asked for.
    held: float32 [2,classes], of two of them. own: float32 [2,classes], what the model itself gives for those two.
    """

    exact: Tensor
    held: Tensor
    own: Tensor


class RefusedError(Exception):
    """Why the engine cannot be used."""


def prepare(
    model: WatchedModel,
    occluded: OccludedImage,
    base: Tensor,
    stride: tuple[int, int],
    method: str,
    before: PreparedEngine | Refusal | None,
    dtype: torch.dtype | None,
    memory_budget: int | None,
) -> PreparedEngine | Refusal:
    """Follows the model, unless that was done for an image before, and holds the engine against it.

    model: has measured the whole image. base: float32 [classes], what the model itself gives for the whole image.
    method: as in occlusion_map; or "held", for windows that come one by one: the engine wherever that can be done.
    before: of the image before. dtype: that the windows are run in; None: the image's.

    Where "auto" cannot tell yet which way is cheaper, the engine has a question, which a trial answers.
    """
    if isinstance(before, Refusal):
        return before
    image = occluded.image
    coupled = None if before is not None else model.coupling(image)
    if method == "batched":
        alone = "" if coupled is None else f", one at a time: {coupled}"
        return Refusal(f"every window was run through the whole network, as was asked{alone}", coupled)
    if coupled is not None:
        why = f"the images of a batch are not shown to be independent ({coupled}), so each was run by itself"
        if method == "incremental":
            check_steady(model, image, base)  # else brute force does
        return refused(why, method, coupled)
    limit = limit_of(memory_budget, image.device)
    about = what_decides(image, model.module, occluded.window, stride, model.layer, dtype, memory_budget)
    choice = recall(model.module, about) if method == "auto" and before is None else None
    if choice is not None and not choice.engine:
        return by_choice(choice)
    followed_as = (model.asked("plan", image), occluded.window, stride, method == "held")
    known = followed(model.module, model.answers, followed_as) if before is None else before.plan

    def engine(known: Plan | None) -> PreparedEngine | Refusal:
        hooks = hooked(model.module, renewing=False)
        if hooks:
            raise RefusedError(f"there are hooks on {', '.join(hooks)}, which the engine would not run")
        plan, values = _followed(model, occluded, base, stride, method, known, limit)
        if before is not None:
            return PreparedEngine(plan, plan.base(values), limit, before.choice)
        if known is None and not isinstance(model.module, ModelWithOutput):  # which is another one at each call
            keep(model.module, model.answers, followed_as, plan)
        question, chosen = None, choice
        if method == "auto" and chosen is None:
            budget = budget_of(memory_budget, image.device)
            chunk = plan.together(values, dtype or image.dtype, budget)
            costs = predict(plan, values, chunk, chunk_size(model, image, budget))
            if not clear(costs, image.device):
                question = Question(about, costs)
            else:
                chosen = settle(model.module, about, predicted(costs))
                if not chosen.engine:
                    return by_choice(chosen)
        plan.small_tiles = False
        need = plan.memory(values, dtype or image.dtype)
        if need > limit:
            plan.small_tiles = True
            _check_memory(plan.memory(values, dtype or image.dtype), limit)
        if known is None and not _little(model, limit):
            values = base_values(plan.network, image, plan.wanted, plan.held)
        return PreparedEngine(plan, plan.base(values), limit, chosen, question)

    try:
        try:
            return engine(known)
        except MemoryError:
            raise
        except Exception:
            if before is not None or known is None:
                raise
            return engine(None)  # what was learnt about the model may not hold any more
    except MemoryError:
        raise
    except Exception as error:  # whatever it may be, the model itself can be run
        if method == "incremental":
            check_steady(model, image, base)
        return refused(first_line(error), method)


def _followed(
    model: WatchedModel,
    occluded: OccludedImage,
    base: Tensor,
    stride: tuple[int, int],
    method: str,
    known: Plan | None,
    limit: int,
) -> tuple[Plan, dict[int, Any]]:
    """The plan, made where it is not known, and the values of the whole image, which are the model's own."""
    image = occluded.image
    network = trace(model.module, image[None]) if known is None else known.network
    watched = None if model.layer is None else network.node(model.layer).index
    wanted = [network.names[""], *([] if watched is None else [watched])]
    if known is None and image.device.type == "cpu":  # whose kernels take convolutions of 1x1 as well as linear layers
        network = with_channels_second(network, wanted)
    # All values together only where that is little; else their outlines tell what the engine would hold of them.
    values = base_values(
        network, image, wanted, known.held if known is not None else None if _little(model, limit) else ()
    )
    _check_same(values[network.names[""]], base)
    if watched is not None and model.activity is not None:
        _check_same(total_activity(values[watched]), model.activity[0])
    if known is not None:
        return known, values
    _check_memory(max(memory_of_lookup(network.nodes[i], values) for i in values), limit)
    size = (image.shape[1], image.shape[2])
    return Plan(network, values, size, occluded.window, stride, watched, all_maps=method == "held"), values


def _little(model: WatchedModel, limit: int) -> bool:
    """Whether all maps of an image together are little of the memory that may be taken."""
    return model.memory is not None and model.memory.written <= limit // 2


def by_choice(choice: Choice) -> Refusal:
    """Brute force, as it was chosen."""
    return Refusal(f"every window was run through the whole network, {choice.why}")


def base_values(
    network: Network, image: Tensor, wanted: list[int], keep: Container[int] | None = None
) -> dict[int, Any]:
    """Runs the whole image [C,H,W] through the network. Returns the values of the needed nodes, as Network.run does."""
    # Not clone(memory_format=...): its strides for one channel lead torch 2.13 to a convolution that reads too far.
    return network.run(image[None].clone().contiguous(memory_format=torch.channels_last), wanted, keep)


def _check_memory(need: int, limit: int) -> None:
    """The engine has to fit into the memory that it may take."""
    if need > limit:
        raise RefusedError(
            f"memory_budget: the incremental engine needs {spoken_bytes(need)}, and may take {spoken_bytes(limit)}"
        )


def refused(reason: str, method: str, coupled: str | None = None) -> Refusal:
    """Falls back to brute force.

    Raises:
        RuntimeError: method is "incremental".
    """
    if method == "incremental":
        raise RuntimeError(f"method: 'incremental' cannot be done: {reason}")
    return Refusal(f"every window was run through the whole network: {reason}", coupled)


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


def run_engine(
    engine: PreparedEngine,
    model: WatchedModel,
    occluded: OccludedImage,
    base: Tensor,
    dtype: torch.dtype | None,
    budget: int,
    bar: tqdm[Any],
    repeated: bool,
) -> tuple[WindowOutputs, Evidence]:
    """Runs all windows, and what they are held against; nothing in here waits for a GPU, so that it can be recorded.

    Args:
        engine: its values are let go.
        model: the model itself.
        base: float32 [classes], what it gives for the whole image.
        dtype: that the windows are run in; None: the image's.
        repeated: whether more images will come.
    """
    plan, own = engine.plan, occluded.image.dtype
    dtype = own if dtype is None else dtype
    outputs = _outputs(engine, occluded, dtype, budget, bar, repeated)
    if dtype == own:
        sample, exact = torch.arange(len(occluded), device=base.device), outputs.logits
    else:
        windows, no_bar = _sampled(plan), tqdm(disable=True)
        places = plan.places("sample", windows, repeated, budget)
        sample = places.once("windows", lambda: on_device(windows, base.device))
        how: dict[str, Any] = {"repeated": repeated, "recorded": engine.recorded, "limit": engine.limit}
        exact = plan.run(occluded.fill, engine.values, own, budget, no_bar, windows=windows, **how).logits
    engine.values.clear()  # their memory is the model's own
    checked = telling(occluded, sample, exact - base)
    known = None if engine.begun is None else engine.begun.answers
    return outputs, Evidence(exact, exact[checked], own_answers(model, occluded, sample[checked], known))


def own_answers(model: WatchedModel, occluded: OccludedImage, windows: Tensor, known: Answers | None) -> Tensor:
    """What the model itself gives for some windows, int64 [n], of which it may have answered some: [n,classes]."""
    if known is None:
        return model(occluded.batch(windows))
    asked = windows.tolist()
    others = [window for window in asked if window not in known.windows]
    if others:
        known = Answers([*known.windows, *others], torch.cat([known.logits, model(occluded.batch(others))]))
    return known.of(asked)


def _outputs(
    engine: PreparedEngine, occluded: OccludedImage, dtype: torch.dtype, budget: int, bar: tqdm[Any], repeated: bool
) -> WindowOutputs:
    """The engine's outputs for all windows: those of a trial by themselves, as when it was made, then the others."""
    plan = engine.plan
    cut: tuple[tuple[int, ...], ...] = () if engine.choice is None else engine.choice.cut
    how: dict[str, Any] = {"repeated": repeated, "recorded": engine.recorded, "limit": engine.limit}
    if not cut:
        return plan.run(occluded.fill, engine.values, dtype, budget, bar, **how)
    base = Base(engine.values, dtype) if engine.begun is None else engine.begun.base
    rest = np.setdiff1d(np.arange(len(occluded)), [window for part in cut for window in part])
    parts = [*(np.array(part, np.int64) for part in cut), *([rest] if len(rest) else [])]
    done = [] if engine.begun is None else engine.begun.outputs
    bar.update(sum(len(part) for part in parts[: len(done)]))
    run = [plan.run(occluded.fill, base, dtype, budget, bar, windows=p, **how) for p in parts[len(done) :]]
    places = on_device(np.argsort(np.concatenate(parts)), occluded.image.device)
    return WindowOutputs.joined([*done, *run]).at(places)


def telling(occluded: OccludedImage, sample: Tensor, difference: Tensor) -> Tensor:
    """Two windows that tell most: the one whose answer changes most, and another at the border that covers most.

    A window that changes nothing would agree with any answer. sample: int64 [m], the windows to choose from.
    difference: [m,classes], of their answers from that for the whole image. Returns int64 [2], indices of the sample.
    """
    covered, at_border = occluded.changes()[sample], occluded.at_border()[sample]
    changed = difference.abs().amax(1).nan_to_num(nan=float("inf"))
    changed = torch.where(changed.amax() > 0, changed.double(), covered)
    most = changed.argmax()
    another = covered.where(at_border, -1.0).index_fill(0, most, -2.0)
    return torch.stack([most, another.argmax()])


def check_outputs(
    engine: PreparedEngine,
    outputs: WindowOutputs,
    evidence: Evidence,
    dtype: torch.dtype | None,
    image_dtype: torch.dtype,
) -> str:
    """Holds what run_engine gives against each other. Returns what was done, in a sentence: where another dtype was
    asked for, also how far its outputs are off.

    Raises:
        RefusedError: the outputs are not the model's own.
    """
    if not agree(evidence.held, evidence.own, image_dtype):
        raise RefusedError("the engine's answer to a window is not the model's own")
    if dtype is None or dtype == image_dtype:
        return engine.reason
    rough = outputs.logits[_sampled(engine.plan).tolist()]
    return f"{engine.reason}; {_deviation(rough, evidence.exact, dtype, image_dtype)}"


def _sampled(plan: Plan) -> Table:
    """The windows that are run in the image's dtype too: that in the middle and some others, at the corners too."""
    rows, columns = plan.grid
    corners = np.array([0, columns - 1, (rows - 1) * columns, rows * columns - 1])
    others = np.linspace(0, rows * columns - 1, _SAMPLE).astype(np.int64)
    return np.unique(np.concatenate([[rows // 2 * columns + columns // 2], corners, others]))


def _deviation(rough: Tensor, exact: Tensor, dtype: torch.dtype, from_dtype: torch.dtype) -> str:
    largest = (rough - exact).abs().max()
    name, of = (str(d).removeprefix("torch.") for d in (dtype, from_dtype))
    return (
        f"in {name} the outputs of {len(exact)} windows are at most {largest:.2g} from those in {of}, "
        f"{largest / exact.std():.2g} of their standard deviation"
    )
