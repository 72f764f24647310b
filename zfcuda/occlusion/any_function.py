"""Occlusion of any function: windows of any rank over any number of inputs, each through the whole function."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from zfcuda.independence import coupling
from zfcuda.network.intact import restoring
from zfcuda.network.trace import RECORDING
from zfcuda.occlusion.captum_target import repeat_target, select_target

Place = tuple[slice, ...]


@dataclass(frozen=True)
class Grid:
    """Windows over one example of an input: sizes without the batch dimension, and how many windows there are along
    each dimension, ceil((size - window) / stride) + 1. The first is at 0, the last is cut off at the border.
    """

    size: tuple[int, ...]
    window: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        return tuple(
            -(-(size - window) // stride) + 1
            for size, window, stride in zip(self.size, self.window, self.stride, strict=True)
        )

    def places(self) -> Iterator[Place]:
        """Every window, those along the first dimension fastest, as Captum does."""
        along = [
            [slice(i * stride, min(i * stride + window, size)) for i in range(count)]
            for size, window, stride, count in zip(self.size, self.window, self.stride, self.counts, strict=True)
        ]
        return (place[::-1] for place in itertools.product(*along[::-1]))

    def mean(self, drop: Tensor) -> Tensor:
        """The mean over the windows that cover each element, NaN where none does: [outputs,*windows] -> float32
        [outputs,*size]. windows: how many there are along each dimension, from the first on; `counts`, or fewer.
        """
        total = drop.to(torch.float32 if drop.device.type == "mps" else torch.float64)  # Apple's GPUs have no float64
        number = torch.ones_like(total[:1])
        for dimension, (window, size) in enumerate(zip(self.window, self.size, strict=True)):
            if window < size:  # else the only window covers its whole dimension
                total, number = (self._sum(sums, dimension) for sums in (total, number))
        return (total / number).float().expand(-1, *self.size).contiguous()

    def _sum(self, sums: Tensor, dimension: int) -> Tensor:
        """The sum over the windows that cover each element, along one dimension: [..,count,..] -> [..,size,..].

        Windows that cover an element follow one another, so that is one addition for each of the few that can. No
        difference of running sums: what is zero stays exactly zero, and a NaN stays where its window is.
        """
        size, window, stride = self.size[dimension], self.window[dimension], self.stride[dimension]
        count = sums.shape[dimension + 1]
        element = torch.arange(size, device=sums.device)
        last = element.div(stride, rounding_mode="floor").clamp(max=count - 1)
        shape = [1] * sums.dim()
        shape[dimension + 1] = size
        total = sums.new_zeros(())
        for back in range(min(-(-window // stride), count)):
            index = last - back
            covers = (index >= 0) & (element < index * stride + window)
            total = total + sums.index_select(dimension + 1, index.clamp(min=0)).where(covers.view(shape), 0)
        return total


class Forward:
    """The function of the user, with its additional arguments and the target, for any number of copies of the batch."""

    def __init__(self, function: Callable[..., Any], target: Any, arguments: tuple[Any, ...]) -> None:
        if not callable(function):
            raise TypeError(f"forward_func: expected a callable, got {function!r}")
        self.function, self.target, self.arguments = function, target, arguments
        try:
            self.takes_inputs = bool(inspect.signature(function).parameters)
        except ValueError:  # functions written in C tell nothing
            self.takes_inputs = True
        self._expanded: tuple[int, Any, tuple[Any, ...]] = (1, target, arguments)

    def __call__(self, inputs: Sequence[Tensor], copies: int) -> Tensor:
        """Runs inputs of [copies * n,..] each. Returns the target's outputs, [copies * n,..] or one for the batch."""
        if self._expanded[0] != copies:
            self._expanded = (copies, repeat_target(self.target, copies), _repeat_arguments(self.arguments, copies))
        _, target, arguments = self._expanded
        output = select_target(self.function(*inputs, *arguments) if self.takes_inputs else self.function(), target)
        if isinstance(output, Tensor):
            if output.is_complex() or output.dtype == torch.bool:
                raise RuntimeError(f"forward_func: expected it to return real numbers, got {output.dtype}")
            return output
        if not isinstance(output, int | float):
            raise AssertionError(
                f"forward_func: expected it to return a Tensor or a number, got {type(output).__name__}"
            )
        return torch.tensor(output, dtype=torch.float64 if isinstance(output, float) else None)

    def coupling(self, inputs: Sequence[Tensor]) -> str | None:
        """Says by what copies of the batch may influence one another in one call; None: it is proven that they do not.

        A target of indices takes each example's output by itself.
        """
        arguments = [a for a in self.arguments if isinstance(a, Tensor) and a.dim() > 0]

        def run(*stand_ins: Tensor) -> Any:
            rest = iter(stand_ins[len(inputs) :])
            repeated = [next(rest) if isinstance(a, Tensor) and a.dim() > 0 else a for a in self.arguments]
            output = self.function(*stand_ins[: len(inputs)], *repeated) if self.takes_inputs else self.function()
            return self.target(output) if callable(self.target) else output

        module = self.function if isinstance(self.function, nn.Module) else nn.Module()
        with RECORDING, restoring(module):
            return coupling(run, [*inputs, *arguments])


def _repeat_arguments(arguments: tuple[Any, ...], copies: int) -> tuple[Any, ...]:
    return tuple(torch.cat([a] * copies) if isinstance(a, Tensor) and a.dim() > 0 else a for a in arguments)


class Copies:
    """One batch for all calls: copies of an input, whose windows are painted over and afterwards restored.

    source: [n,..]. fill: of the dtype that occluded inputs have, broadcast to source.
    """

    def __init__(self, source: Tensor, fill: Tensor, count: int) -> None:
        self.source, self.fill = source, fill
        with torch.inference_mode(False), torch.no_grad():  # an inference tensor has no version
            self.batch = torch.cat([source] * count).to(fill.dtype)
        self.rows = self.batch.view(count, *source.shape)
        self.painted: list[tuple[int, Place]] = []
        self.version = 0

    def paint(self, places: Sequence[tuple[int, Place]], copies: int) -> Tensor:
        """Paints windows, each (copy, window), over. Returns [copies * n,..]."""
        self.painted = [(copy, (slice(None), *place)) for copy, place in places]
        for copy, place in self.painted:
            self.rows[copy][place] = self.fill[place]
        self.version = self.batch._version
        if not places and self.fill.dtype != self.source.dtype:
            return torch.cat([self.source] * copies)
        return self.batch[: copies * len(self.source)]

    def restore(self) -> None:
        if self.batch._version != self.version:  # the function works in place
            self.rows.copy_(self.source)
        else:
            for copy, place in self.painted:
                self.rows[copy][place] = self.source[place]


def run(
    forward: Forward,
    inputs: tuple[Tensor, ...],
    fills: Sequence[Tensor],
    grids: Sequence[Grid],
    per_call: int,
    bar: tqdm[Any],
) -> tuple[Tensor, ...]:
    """Means over covering windows of f(x) - f(occluded), float32 [outputs,*size] for each input.

    per_call: windows in one call of the function, at most; one where they may influence one another. bar: counts calls.
    """
    # Clones: the function may work in place, and may return its input.
    initial = forward([x.detach().clone() for x in inputs], 1).clone()
    outputs = initial.numel()
    windows = [(i, place) for i, grid in enumerate(grids) for place in grid.places()]
    if min(per_call, len(windows)) > 1 and len(inputs[0]) and forward.coupling(inputs) is not None:
        _check_grows(initial, forward([torch.cat([x.detach()] * 2) for x in inputs], 2), 2, len(inputs[0]))
        per_call = 1
    bar.total = 1 + -(-len(windows) // per_call)
    bar.update()
    copies = [Copies(x, fill, min(per_call, len(windows))) for x, fill in zip(inputs, fills, strict=True)]
    drops: list[Tensor] = []
    checked = False
    for begin in range(0, len(windows), per_call):
        chunk = windows[begin : begin + per_call]
        if all(inputs[i].numel() == 0 for i, _ in chunk):
            drops.append(initial.new_zeros(len(chunk), outputs))
            bar.update()
            continue
        places = [[(row, place) for row, (j, place) in enumerate(chunk) if j == i] for i in range(len(inputs))]
        occluded = forward([c.paint(p, len(chunk)) for c, p in zip(copies, places, strict=True)], len(chunk))
        if per_call > 1 and not checked:
            _check_grows(initial, occluded, len(chunk), len(inputs[0]))
            checked = True
        drops.append(initial.reshape(1, outputs) - occluded.reshape(len(chunk), outputs))
        bar.update()
        for c in copies:
            c.restore()
    each = torch.cat(drops).split([math.prod(grid.counts) for grid in grids])
    means = []
    for x, grid, drop in zip(inputs, grids, each, strict=True):
        if x.numel() == 0:
            means.append(torch.full((outputs, *grid.size), torch.nan, device=x.device))
            continue
        drop = drop.to(x.device).reshape(*grid.counts[::-1], outputs)
        means.append(grid.mean(drop.permute(*range(drop.dim() - 1, -1, -1))))
    return tuple(means)


def _check_grows(initial: Tensor, occluded: Tensor, copies: int, examples: int) -> None:
    """Refuses several copies per call where the outputs do not grow with the batch."""
    if initial.dim() and occluded.dim() and len(occluded) == copies * len(initial):
        return
    raise AssertionError(
        "perturbations_per_eval: more than 1 needs a forward_func whose outputs grow with the batch; "
        f"{examples} examples give shape {list(initial.shape)}, {copies * examples} give {list(occluded.shape)}"
    )
