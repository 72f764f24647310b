"""How many multiply-adds an occlusion map needs: all of them for every window, or those of what changes alone.

What changes is found without the engine, by marks: a band of the image as high or as wide as a window becomes NaN, and
torch carries it through the network. What a window changes is what both its bands mark, since rows and columns grow
apart. (Where a part of a map decides over all of another, it may change less.) Products of matrices and convolutions,
which the time goes into, are not computed: a sum is marked where a term of it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import opponents
from zfcuda.occlusion import windows

_aten = torch.ops.aten


@dataclass(frozen=True)
class Work:
    """Multiply-adds of convolutions, linear layers and products of matrices over all windows of one image.

    naive: every window through the whole network. exact: of a map those values that the window changes, of a linear
    layer the columns of what changed. Both give the same answer.
    """

    windows: int
    naive: int
    exact: int

    @property
    def ratio(self) -> float:
        """What computing what changes alone can win, sharing nothing between windows."""
        return self.naive / self.exact


def work(model: nn.Module, image: Tensor, window: int, stride: int) -> Work:
    """Counts the multiply-adds for an image [1,C,H,W].

    Raises:
        ValueError: the network computes with something that hides its multiply-adds.
    """
    with torch.inference_mode(False), torch.no_grad():  # where convolutions and products are seen as such
        return _work(opponents.torch_form(model, torch.float32), image, window, stride)


def _work(model: nn.Module, image: Tensor, window: int, stride: int) -> Work:
    rows, columns = (windows.starts(int(length), window, stride) for length in image.shape[2:])
    shares = []
    for dim, firsts in ((2, rows), (3, columns)):
        bands = []
        for first in firsts:
            marked = torch.ones(image.shape, device=image.device)
            marked.narrow(dim, first, min(window, image.shape[dim] - first)).fill_(math.nan)
            bands.append(marked)
        shares.append(_shares(model, bands))
    naive, exact = 0, 0.0
    for row, column in zip(*shares, strict=True):
        assert row.count == column.count
        naive += row.count
        exact += row.count * float((row.marked * column.marked).mean(dtype=torch.float64))
    places = len(rows) * len(columns)
    return Work(places, places * naive, round(places * exact))


@dataclass
class _Product:
    """Multiply-adds of one call, spread evenly over values; of each of these, in what part of the bands it changes."""

    count: int
    marked: Tensor


def _shares(model: nn.Module, bands: Sequence[Tensor]) -> list[_Product]:
    total: list[_Product] = []
    for band in bands:
        marks = _Marks(model)
        with _in_steps(), marks:
            model(band)
        total = total or [_Product(found.count, torch.zeros_like(found.marked)) for found in marks.found]
        for sum, found in zip(total, marks.found, strict=True):
            sum.marked += found.marked / len(bands)
    return total


@contextmanager
def _in_steps() -> Iterator[None]:
    """Attention as products of matrices, not fused."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


class _Marks(TorchDispatchMode):
    """Runs a network on one image of which some values are NaN, all others arbitrary but finite."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.found: list[_Product] = []
        self.own = {x.untyped_storage().data_ptr() for x in model.parameters()}

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func.namespace == "zfcuda":
            raise ValueError(f"model: it calls {func}, whose multiply-adds are not known")
        rule = _RULES.get(func.overloadpacket)
        if rule is None:
            return func(*args, **(kwargs or {}))
        value, product = rule(self, *args)
        self.found.append(product)
        return value

    def marked(self, x: Tensor) -> Tensor | None:
        """Where x is marked; None for the network's own tensors."""
        return None if x.untyped_storage().data_ptr() in self.own else x.isnan()


_Answer = tuple[Tensor, _Product]


def _valued(marked: Tensor) -> Tensor:
    """NaN where marked, else 1."""
    return torch.ones(marked.shape, device=marked.device).masked_fill_(marked, math.nan)


def _convolution(
    marks: _Marks,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
) -> _Answer:
    """Marked where a channel of its group is, wherever the kernel reaches."""
    read = input.isnan().unflatten(1, (groups, -1)).any(2)
    if bool((read == read[:, :1]).all()):
        read = read[:, :1]  # all groups alike
    reach = torch.ones(read.shape[1], 1, *weight.shape[2:], device=weight.device)
    sums = torch.convolution(
        read.float(), reach, None, stride, padding, dilation, transposed, output_padding, read.shape[1]
    )
    out = sums > 0.5
    channels = weight.shape[1] * groups if transposed else weight.shape[0]
    each = channels // out.shape[1]
    value = _valued(out[:, :, None].expand(-1, -1, each, *out.shape[2:]).flatten(1, 2))
    places = math.prod(input.shape[2:] if transposed else out.shape[2:])
    return value, _Product(len(input) * places * weight.numel(), out.expand(-1, groups, *out.shape[2:]).float())


def _linear(marks: _Marks, input: Tensor, weight: Tensor) -> _Answer:
    """input [rows,columns] times weight [columns,units]: of a row the marked columns are computed again."""
    changed, units = input.isnan(), marks.marked(weight)
    out = changed.any(1, keepdim=True).expand(-1, weight.shape[1])
    if units is not None:
        out = out | units.any(0)
        changed = changed | units.any()
    return _valued(out), _Product(len(input) * weight.numel(), changed.float())


def _batched(marks: _Marks, left: Tensor, right: Tensor) -> _Answer:
    """[n,rows,k] times [n,k,columns]: a value is computed again where its row or its column is marked."""
    out = left.isnan().any(2, keepdim=True) | right.isnan().any(1, keepdim=True)
    return _valued(out), _Product(out.numel() * left.shape[2], out.float())


_RULES: dict[Any, Callable[..., _Answer]] = {
    _aten.convolution: _convolution,
    _aten.mm: _linear,
    _aten.addmm: lambda marks, bias, input, weight: _linear(marks, input, weight),
    _aten.bmm: _batched,
    _aten.baddbmm: lambda marks, bias, left, right: _batched(marks, left, right),
}
