"""The convolution of one window, with all made beforehand that depends on no window."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zfcuda.occlusion.incremental.change_analysis import Changes
from zfcuda.occlusion.incremental.chunk import Base
from zfcuda.occlusion.incremental.convolution import Convolution
from zfcuda.occlusion.incremental.outliers import within
from zfcuda.occlusion.incremental.sides import OneWindow
from zfcuda.occlusion.incremental.steps import Moving
from zfcuda.occlusion.incremental.window import Window

kernels = torch.ops.zfcuda  # without what zfcuda.ops.patches does to its arguments


def settings_of(changes: Changes, index: int) -> list[list[int]]:
    """Kernel, stride, padding and dilation of a layer of windows, (rows, columns) each."""
    sides = changes.windows[index]
    return [[getattr(side, name) for side in sides] for name in ("kernel", "stride", "padding", "dilation")]


def unpadded(
    step: Convolution, changes: Changes, base: Base, movers: Mapping[int, Moving]
) -> tuple[int, tuple[int, int]]:
    """The node that a convolution reads, and how much more it pads (rows, columns).

    Zeros that a step of its own puts around a map need no map of their own. movers: the steps that move values.
    """
    source = step.conv.arguments["input"].index
    mover, lookup = movers.get(source), changes.lookups.get(source)
    if mover is None or lookup is None:
        return source, (0, 0)
    height, width = base[mover.reads[0]].shape[2:]
    top, left = _zeros_before(lookup.rows, height), _zeros_before(lookup.columns, width)
    if top is None or left is None:
        return source, (0, 0)
    around = base[source].clone()
    around[..., top : top + height, left : left + width] = 0
    return (source, (0, 0)) if around.any() else (mover.reads[0], (top, left))


def _zeros_before(source: Any, length: int) -> int | None:
    """How many constants a lookup puts before a line of this length, which it keeps as it is; None: it does more."""
    before = int((source >= 0).argmax())
    after = len(source) - before - length
    if after < 0:
        return None
    kept = np.concatenate([np.full(before, -1), np.arange(length), np.full(after, -1)])
    return before if np.array_equal(source, kept) else None


class SingleConvolution:
    """A convolution and what is fused with it, for one window after the other."""

    def __init__(
        self, step: Convolution, changes: Changes, base: Base, where: OneWindow, movers: Mapping[int, Moving]
    ) -> None:
        self.step, self.base, self.where = step, base, where
        self.source, more = unpadded(step, changes, base, movers)
        self.settings = settings_of(changes, step.conv.index)
        self.settings[2] = [own + added for own, added in zip(self.settings[2], more, strict=True)]
        self.map, self.have, self.want = base.map(self.source), where.place[self.source], where.place[step.index]
        self.residual = self._residual()
        self.winograd = step.by_winograd(changes)
        outputs = [side.outputs for side in changes.windows[step.conv.index]]
        ragged = step.way(base, changes) in ("ragged", "pointwise") and self._reaches(outputs)
        self.run = self._own() if ragged else self._torch()

    def _reaches(self, outputs: list[int]) -> bool:
        """Whether the CPU's own kernel computes so many: it pads at most a line more after the map than before it."""
        kernel, stride, padding, dilation = self.settings
        reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        most = [
            (n + 2 * p + 1 - r) // s + 1 for n, p, r, s in zip(self.map.shape[2:], padding, reach, stride, strict=True)
        ]
        return all(wanted <= n for wanted, n in zip(outputs, most, strict=True))

    def _own(self) -> Callable[[Window], None]:
        """The CPU's own kernel; but torch's where Winograd's algorithm would lose what stands beside an outlier."""
        step, base, source, map, have, want = self.step, self.base, self.source, self.map, self.have, self.want
        settings, residual, relu, index = self.settings, self.residual, step.relu, step.index
        filters, bias, channels = step.packed(base, settings[1], settings[3], windows=1)
        winograd, outliers, convolve, by_torch = (
            self.winograd,
            step.outliers,
            kernels.conv_patches.default,
            self._torch(),
        )

        def run(window: Window) -> None:
            values, tables, rows = window.values, window.tables, window.areas[want]
            if winograd and (outliers or base.outlying_fill) and not within(values[source], base.limit(source)):
                return by_torch(window)
            values[index] = convolve(
                map, values[source], tables[have], tables[want], rows, filters, bias, residual(window), channels,
                *settings, relu, step.ceiling,
            )  # fmt: skip
            return None

        return run

    def _torch(self) -> Callable[[Window], None]:
        """torch's convolution, on what the wanted rectangle reads."""
        step, base, source, map, have, want = self.step, self.base, self.source, self.map, self.have, self.want
        kernel, stride, padding, dilation = self.settings
        index, residual = step.index, self.residual
        reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        groups, gather = step.groups(base), kernels.gather_patches.default

        def run(window: Window) -> None:
            weight, bias = step.laid_out(base)
            if not window.areas[want]:
                window.values[index] = map.new_empty(0, len(weight))
                return
            top, left, bottom, right, _ = window.numbers[want]
            y, x = top * stride[0] - padding[0], left * stride[1] - padding[1]
            height, width = (bottom - top - 1) * stride[0] + reach[0], (right - left - 1) * stride[1] + reach[1]
            read = torch.tensor([[y, x, y + height, x + width, 0]])
            rows = gather(map, window.values[source], window.tables[have], read, height * width, 0.0)
            input = rows.view(1, height, width, -1).permute(0, 3, 1, 2)
            found = F.conv2d(input, weight, bias, stride, 0, dilation, groups).permute(0, 2, 3, 1)
            window.values[index] = step.finish(found.reshape(-1, len(weight)), residual(window))

        return run

    def _residual(self) -> Callable[[Window], Tensor | None]:
        """The other map of the sum where this one changes, [rows,O]."""
        other, want = self.step.residual, self.want
        if other is None:
            return lambda window: None
        place = self.where.place[other]
        if place == want:
            return lambda window: window.values[other]
        map, gather = self.base.map(other), kernels.gather_patches.default
        return lambda window: gather(
            map, window.values[other], window.tables[place], window.tables[want], window.areas[want], 0.0
        )
