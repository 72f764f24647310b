"""Tries on one network all that zfcuda does with networks. What does not hold is a cell, and the rest goes on."""

from __future__ import annotations

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
from zfcuda.network import receptive_field
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


ABILITIES = ("followed", "projected", "summarised", "explained")


def attempt(owner: str, name: str) -> Iterator[tuple[str, Cell]]:
    """Tries one network -> (column, cell), as they come; "parameters" and "side" first."""
    network, side = subjects.build(owner, name)
    parameters = sum(p.numel() for p in network.parameters())
    yield "parameters", Cell(True, f"{parameters / 1e6:.1f} M")
    yield "side", Cell(True, str(side))
    image = Preprocess(side, side, interpolation="bilinear")(Parts(seed=HELD_OUT_SEED)[0].image)
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
    side = subject.image.shape[-1]
    window = side // 4 - 1
    stride = ((side - window + 1) // 2, side - window)

    def occluded(method: str) -> zfcuda.OcclusionMap:
        return zfcuda.occlusion_map(subject.network, subject.image, window=window, stride=stride, method=method)

    theirs = occluded("batched")
    refusal = ""
    try:
        ours = occluded("incremental")
    except RuntimeError as error:
        refusal = first_line(error).removeprefix("method: 'incremental' cannot be done: ")
        ours = occluded("auto")
    expected = theirs.logits
    tolerance = float(1e-4 * expected.std() + 1e-5 * expected.abs().max())
    if not (expected - theirs.base_logits).abs().amax(-1).min() > 10 * tolerance:
        raise WrongError("a window changes nothing, so nothing is compared")
    worst = float((ours.logits - expected).abs().max()) / tolerance
    if not worst <= 1:  # NaN too
        raise WrongError(f"a logit is {worst:.3g} times the tolerance off")
    if refusal:
        return Cell(False, refusal)
    return Cell(True, f"{worst:.2g} of the tolerance")


def projected(subject: Subject) -> Cell:
    """Projects the strongest unit of the first, a middle and the last convolution; nothing may leave its field."""
    layers, _ = conv_layers(subject.network, subject.image)
    if not layers:
        return Cell(False, "it has no convolution")
    places = {"first": layers[0], "middle": layers[len(layers) // 2], "last": layers[-1]}
    refusals: dict[str, str] = {}
    for place, layer in places.items():
        try:
            signal = zfcuda.project(subject.network, subject.image, layer.output)[0]
        except ValueError as error:
            refusals[place] = first_line(error)
            continue
        _check_field(subject, layer.output, signal)
    if not refusals:
        return Cell(True, "first, middle, last")
    done = [place for place in places if place not in refusals]
    reasons: dict[str, list[str]] = {}
    for place, reason in refusals.items():
        reasons.setdefault(reason, []).append(place)
    told = "; ".join(f"not {', '.join(those)}: {reason}" for reason, those in reasons.items())
    return Cell(False, ", ".join([*done, told]) if done else told)


def _check_field(subject: Subject, layer: str, signal: Tensor) -> None:
    unit = strongest(subject.network, subject.image, layer, 1)[0]
    if not signal.isfinite().all() or (unit.value > 0 and not signal.any()):
        raise WrongError(f"the projection of {layer} is empty or not finite")
    field = receptive_field(subject.network, layer, tuple(subject.image.shape[1:]))
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
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        subject.network(subject.image)
    known = counter.get_total_flops() // 2
    if table.multiply_adds != known:
        raise WrongError(f"{table.multiply_adds:,} multiply-adds, torch counts {known:,}")
    return Cell(True, f"{table.multiply_adds / 1e6:,.1f} M")


def explained(subject: Subject) -> Cell:
    """Writes its page, with the occluder in the four corners."""
    with tempfile.TemporaryDirectory() as folder:
        side = subject.image.shape[-1]
        preprocess = Preprocess(side, side, interpolation="bilinear")
        picture = Parts(seed=HELD_OUT_SEED)[0].image
        return Cell(
            True, pages.written(subject.network, preprocess, picture, int(subject.logits.argmax()), Path(folder))
        )
