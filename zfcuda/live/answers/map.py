"""The occlusion map, which streams in: coarse first, then finer; its numbers are those of zfcuda.occlusion_map."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zfcuda.inputs import probabilities
from zfcuda.live.answers.classes import of_target
from zfcuda.live.answers.units import layer_of
from zfcuda.live.desk import Desk, Seen, Work
from zfcuda.live.messages import Answer, Message, MessageError
from zfcuda.live.stepped import stepped
from zfcuda.live.visitors import Visitor
from zfcuda.occlusion import OcclusionMap
from zfcuda.occlusion.experiment import Experiment
from zfcuda.occlusion.log_odds import log_odds
from zfcuda.occlusion.streamed import coarse_to_fine, streamed_map
from zfcuda.occlusion.window_outputs import WindowOutputs

_MOST = 200 << 20  # bytes of the outputs for all windows


def map_(desk: Desk, visitor: Visitor, message: Message) -> Work[None]:
    """Answers "map"."""
    window, stride = message.pair("window", 32), message.pair("stride", 8)
    fill, asked, layer = message.fill(), message.target(), message.maybe_text("layer")
    unit = message.maybe_integer("unit", 0, 10**6)
    seen = yield from desk.seen(visitor, message)
    target = seen.target(asked)
    if layer is None and unit is not None:
        raise MessageError("unit: expected a layer to it")
    key = ("map", *seen.key, window, stride, str(fill), target, layer, unit)
    known = desk.answered(key)
    if known is not None:
        yield from known
        return
    cover = yield from desk.cover(seen, fill, window[0])
    if layer is not None:
        layer, unit = yield from _watched(desk, seen, layer, unit)
    begun = time.perf_counter()
    model = seen.network.apart.model
    experiment = Experiment(
        model,
        seen.image[0],
        window=window,
        stride=stride,
        fill=cover.fill,
        target=target,
        layer=layer,
        unit=unit,
        probability=seen.normalization,
    )
    grid = (experiment.origins.shape[0], experiment.origins.shape[1])
    need = 4 * grid[0] * grid[1] * len(seen.logits)
    if need > _MOST:
        raise MessageError(
            f"stride: expected a larger one, got {list(stride)}: {grid[0] * grid[1]:,} windows are too many"
        )
    emitted: deque[Any] = deque()
    telling = _Telling(seen, target, unit, experiment)
    levels = list(coarse_to_fine(*grid))

    def compute() -> OcclusionMap:
        def told(windows: Tensor, outputs: WindowOutputs) -> None:
            emitted.append(telling.part(windows, outputs))

        return streamed_map(experiment, seen.image[0], [windows for _, windows in levels], told)

    telling.levels = levels
    found = yield from stepped(compute, emitted)
    seconds = time.perf_counter() - begun
    complete = Answer(
        {
            "complete": True,
            "target": target,
            "unit": found.unit,
            "base": of_target(seen, seen.logits, target),
            "worst": list(found.worst),
            "seconds": seconds,
            "method": found.method,
            "reason": found.reason,
            "normalization": found.normalization,
        }
    )
    desk.answer(key, [telling.whole(found), complete])  # first: who has read all, may ask the next thing
    yield complete


def _watched(desk: Desk, seen: Seen, name: str, unit: int | None) -> Work[tuple[str, int]]:
    """The layer whose activity is followed, and its unit: the one that is strongest in the whole picture."""
    found = yield from layer_of(desk, seen, name)
    units = len(found.activity)
    if unit is not None and unit >= units:
        raise MessageError(f"unit: expected 0 to {units - 1}, got {unit}")
    return found.output, int(found.activity.flatten(1).sum(1).argmax()) if unit is None else unit


@dataclass
class _Telling:
    """Makes answers of what has come of a map."""

    seen: Seen
    target: int
    unit: int | None
    experiment: Experiment
    levels: list[tuple[int, Tensor]] | None = None
    done: int = 0

    def part(self, windows: Tensor, outputs: WindowOutputs) -> Answer:
        """What some windows gave, while others are still to come."""
        seen, logits = self.seen, outputs.logits.cpu()
        label = logits.argmax(1) if logits.shape[1] > 1 else probabilities(logits, seen.normalization)[:, 0] > 0.5
        fields = {
            "probability": probabilities(logits, seen.normalization)[:, self.target],
            "log_odds": log_odds(logits, self.target, seen.normalization),
            "logit": logits[:, self.target],
            "label": label,
        }
        if outputs.activity is not None and self.unit is not None:
            fields["activity"] = outputs.activity[:, self.unit].cpu()
        self.done = min(self.done + len(windows), self._count) if self.done < self._count else len(windows)
        return self._answer(windows.cpu(), fields, self._step())

    def whole(self, found: OcclusionMap) -> Answer:
        """All of a map that is there."""
        fields = {
            "probability": found.probability,
            "log_odds": found.log_odds,
            "logit": found.score,
            "label": found.label,
        }
        if found.activity is not None:
            fields["activity"] = found.activity
        self.done = self._count
        return self._answer(torch.arange(self._count), {name: values.flatten() for name, values in fields.items()}, 1)

    @property
    def _count(self) -> int:
        return self.experiment.origins.shape[0] * self.experiment.origins.shape[1]

    def _step(self) -> int:
        """How far apart the positions are of which all have come by now."""
        left, step = self.done, 0
        for apart, windows in self.levels or []:
            left -= len(windows)
            step = apart
            if left <= 0:
                break
        return step

    def _answer(self, windows: Tensor, fields: dict[str, Tensor], step: int) -> Answer:
        rows, columns = self.experiment.origins.shape[:2]
        values = torch.stack([windows.float(), *(each.cpu().float() for each in fields.values())])
        header = {
            "done": self.done,
            "of": self._count,
            "rows": rows,
            "columns": columns,
            "origins": {"stride": list(self.experiment.stride), "window": list(self.experiment.window)},
            "step": step,
            "fields": list(fields),
            "count": len(windows),
        }
        return Answer(header, little_endian(values))


def little_endian(values: Tensor) -> bytes:
    """Numbers as the binary frames have them: float32, little endian, row by row."""
    return values.contiguous().numpy().astype("<f4").tobytes()
