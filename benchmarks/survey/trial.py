"""Tries on one network all that zfcuda does with networks. What does not hold is a cell, and the rest goes on."""

from __future__ import annotations

import copy
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import zfcuda
from benchmarks.survey import pages, subjects
from zfcuda.backward.deconvnet import strongest
from zfcuda.data import HELD_OUT_SEED, Parts, Preprocess
from zfcuda.network import Network, receptive_field, trace
from zfcuda.network.graph import first_line
from zfcuda.report.layers import conv_layers


class Cell(NamedTuple):
    """What one trial came to.

    holds: True: it is done, and right. False: refused, with the reason. None: it went wrong.
    """

    holds: bool | None
    text: str


class WrongError(AssertionError):
    """An answer that is not right."""


class Subject(NamedTuple):
    """A network in eval mode, and a drawn picture as it takes it: [1,3,side,side], and its logits [classes]."""

    network: nn.Module
    image: Tensor
    logits: Tensor


# What the engine says where its answer is not the model's, which rounding may be the reason of.
_ROUNDING = (
    "something outside of the layers changes what the model answers",
    "the engine's answer to a window is not the model's own",
)
ABILITIES = ("followed", "projected", "summarised", "explained")


def attempt(owner: str, name: str) -> Iterator[tuple[str, Cell]]:
    """Tries one network -> (column, cell), as they come; "parameters" and "side" first."""
    network, side = subjects.build(owner, name)
    parameters = sum(p.numel() for p in network.parameters())
    yield "parameters", Cell(True, f"{parameters / 1e6:.1f} M")
    yield "side", Cell(True, str(side))
    image = subjects.drawn(side)
    with torch.inference_mode():
        logits = network(image)[0]
    subject = Subject(network, image, logits.clone())
    if not logits.isfinite().all():
        raise WrongError("with random weights its logits are not finite")
    trials: dict[str, Callable[[Subject], Cell]] = {
        "followed": followed,
        "projected": projected,
        "summarised": summarised,
        "explained": explained,
    }
    for column, trial in trials.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield column, trial(subject)
        except Exception as error:  # whatever it may be, the other columns go on
            yield column, Cell(None, f"{type(error).__name__}: {first_line(error)}")


def followed(subject: Subject) -> Cell:
    """Holds the incremental map against brute force, window by window, the last row cut off."""
    theirs, base, tolerance = _brute_force(subject)
    refusal = ""
    try:
        ours = _occluded(subject, "incremental")
    except RuntimeError as error:
        refusal = first_line(error).removeprefix("method: 'incremental' cannot be done: ")
        ours = _occluded(subject, "auto")
    if not (theirs - base).abs().amax(-1).median() > 10 * tolerance:
        raise WrongError("most windows change nothing, so nothing is compared")
    worst = float((ours.logits - theirs).abs().max()) / tolerance
    told = f"{worst:.2g} of the tolerance"
    if refusal in _ROUNDING or not worst <= 1:  # NaN too
        rounded, exactly = _in_float64(subject, theirs, tolerance)
        # In float32 by no more than some times what brute force itself is off.
        if exactly <= 1e-3 and rounded > 0.5 and worst <= 10 * rounded:
            refused = " and the engine steps back" if refusal else ""
            told = f"{exactly:.1g} of the tolerance in float64; in float32 rounding puts brute force {rounded:.2g} off"
            told, refusal = told + (refused or f", the engine {worst:.2g}"), ""
        elif not refusal:
            raise WrongError(f"a logit is {worst:.2g} times the tolerance off, {exactly:.2g} in float64")
    if refusal:
        return Cell(False, refusal)
    whole = re.search(r"up to (.*), which needs whole maps", ours.reason)
    return Cell(True, f"{told}{f'; in full from {whole[1]}' if whole else ''}")


def _in_float64(subject: Subject, theirs: Tensor, tolerance: float) -> tuple[float, float]:
    """How far brute force is off in float32, and the engine in float64, of the tolerance.

    A deep network of random weights multiplies what float32 rounds off.
    """
    exact = Subject(copy.deepcopy(subject.network).double(), subject.image.double(), subject.logits.double())
    expected, _, _ = _brute_force(exact)
    ours = _occluded(exact, "incremental").logits
    return float((theirs - expected).abs().max()) / tolerance, float((ours - expected).abs().max()) / tolerance


def _brute_force(subject: Subject) -> tuple[Tensor, Tensor, float]:
    """The logits of each window, those of the whole image, and by how much another's may be off."""
    result = _occluded(subject, "batched")
    tolerance = float(1e-4 * result.logits.std() + 1e-5 * result.logits.abs().max())
    return result.logits, result.base_logits, tolerance


def _occluded(subject: Subject, method: str) -> zfcuda.OcclusionMap:
    side = subject.image.shape[-1]
    window = side // 4 - 1
    stride = ((side - window + 1) // 2, side - window)
    return zfcuda.occlusion_map(subject.network, subject.image, window=window, stride=stride, method=method)


def projected(subject: Subject) -> Cell:
    """Projects the strongest unit of the first, a middle and the last convolution; nothing may leave its field."""
    layers, _ = conv_layers(subject.network, subject.image)
    if not layers:
        return Cell(False, "it has no convolution")
    try:
        network = trace(subject.network, subject.image)  # once: torch.export takes seconds
    except ValueError as error:
        return Cell(False, first_line(error))
    places = {"first": layers[0], "middle": layers[len(layers) // 2], "last": layers[-1]}
    refusals: dict[str, str] = {}
    for place, layer in places.items():
        try:
            signal = zfcuda.project(network, subject.image, layer.output)[0]
        except ValueError as error:
            refusals[place] = in_a_few_words(first_line(error))
            continue
        _check_field(network, subject.image, layer.output, signal)
    if not refusals:
        return Cell(True, "first, middle, last")
    done = [place for place in places if place not in refusals]
    reasons: dict[str, list[str]] = {}
    for place, reason in refusals.items():
        reasons.setdefault(reason, []).append(place)
    told = [f"not {', '.join(those)}: {reason}" for reason, those in reasons.items()]
    return Cell(False, "; ".join([", ".join(done), *told] if done else told))


def in_a_few_words(refusal: str) -> str:
    """What stands in the way of a projection: "ReLU6 (features.0.2)"."""
    found = re.search(
        r"because (?:layer '(.*?)' \((.*?)\)|(.*?) in layer '(.*?)'|(.*?) in the model's forward) lies", refusal
    )
    if found is None:
        return refusal
    layer, kind, function, within, outside = found.groups()
    return f"{kind or function or outside} ({layer or within or 'in its forward'})"


def _check_field(network: Network, image: Tensor, layer: str, signal: Tensor) -> None:
    unit = strongest(network, image, layer, 1)[0]
    if not signal.isfinite().all() or (unit.value > 0 and not signal.any()):
        raise WrongError(f"the projection of {layer} is empty or not finite")
    field = receptive_field(network, layer, tuple(image.shape[1:]))
    if field is None or unit.position is None:
        return  # not known what it sees
    top, left, bottom, right = field.rectangle(*unit.position)
    outside = signal.clone()
    outside[:, max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = 0
    if outside.any():
        raise WrongError(f"the projection of {layer} leaves its receptive field")


def summarised(subject: Subject) -> Cell:
    """Holds the table's totals against the parameters themselves and torch's own count of multiply-adds."""
    table = zfcuda.models.summary(subject.network, tuple(subject.image.shape[1:]))
    held = sum(p.numel() for p in subject.network.parameters())
    if table.parameters != held:
        raise WrongError(f"the table has {table.parameters:,} parameters of {held:,}")
    if table.multiply_adds is None:
        unknown = next(row for row in table if row.multiply_adds is None)
        return Cell(False, f"the multiply-adds of {unknown.name} ({unknown.kind}) are not known")
    known = counted(subject)
    if table.multiply_adds != known:
        raise WrongError(f"{table.multiply_adds:,} multiply-adds, torch counts {known:,}")
    return Cell(True, f"{table.multiply_adds / 1e6:,.1f} M")


def counted(subject: Subject) -> int:
    """The multiply-adds that torch counts, with attention in steps: it does not know all forms that are fused."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
            subject.network(subject.image)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return counter.get_total_flops() // 2


def explained(subject: Subject) -> Cell:
    """Writes its page, with the occluder in the four corners."""
    with tempfile.TemporaryDirectory() as folder:
        side = subject.image.shape[-1]
        preprocess = Preprocess(side, side, interpolation="bilinear")
        picture = Parts(seed=HELD_OUT_SEED)[0].image
        return Cell(
            True, pages.written(subject.network, preprocess, picture, int(subject.logits.argmax()), Path(folder))
        )
