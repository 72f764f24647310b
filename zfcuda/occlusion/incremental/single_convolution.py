"""The convolution of one window, with all made beforehand that depends on no window."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from zfcuda.occlusion.incremental.activations import Activation
from zfcuda.occlusion.incremental.change_analysis import Changes
from zfcuda.occlusion.incremental.chunk import Base
from zfcuda.occlusion.incremental.convolution import Convolution
from zfcuda.occlusion.incremental.outliers import within
from zfcuda.occlusion.incremental.sides import OneWindow
from zfcuda.occlusion.incremental.window import Window

kernels = torch.ops.zfcuda  # without what zfcuda.ops.patches does to its arguments


def settings_of(changes: Changes, index: int) -> list[list[int]]:
    """Kernel, stride, padding and dilation of a layer of windows, (rows, columns) each."""
    sides = changes.windows[index]
    return [[getattr(side, name) for side in sides] for name in ("kernel", "stride", "padding", "dilation")]


class SingleConvolution:
    """A convolution and what is fused with it, for one window after the other."""

    def __init__(self, step: Convolution, changes: Changes, base: Base, where: OneWindow) -> None:
        self.step, self.base, self.where, self.source = step, base, where, step.source
        self.settings = [list(pair) for pair in step.settings(changes).values()]
        self.map, self.have, self.want = base.map(self.source), where.place[self.source], where.place[step.index]
        self.residual = self._residual()
        self.winograd = step.by_winograd(changes)
        ways = {"ragged": self._own, "pointwise": self._own, "grouped": self._grouped}
        convolve = ways.get(step.way(base, changes), self._torch)()
        self.run = convolve if step.activation is None else self._followed(convolve, step.activation)

    def _followed(self, convolve: Callable[[Window], None], activation: Activation) -> Callable[[Window], None]:
        index = self.step.index

        def run(window: Window) -> None:
            convolve(window)
            window.values[index] = activation(window.values[index])

        return run

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

    def _grouped(self) -> Callable[[Window], None]:
        """The CPU's own kernel for groups of channels."""
        step, source, map, have, want = self.step, self.source, self.map, self.have, self.want
        settings, residual, relu, index = self.settings, self.residual, step.relu, step.index
        filters, bias, channels, groups = step.packed_in_groups(self.base)
        convolve = kernels.grouped_patches.default

        def run(window: Window) -> None:
            tables, rows = window.tables, window.areas[want]
            window.values[index] = convolve(
                map, window.values[source], tables[have], tables[want], rows, filters, bias, residual(window), channels,
                groups, *settings, relu, step.ceiling,
            )  # fmt: skip

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
