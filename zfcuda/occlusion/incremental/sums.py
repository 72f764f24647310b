"""The sum over a map, for each window: of its patch, and of the whole image's map around it.

Never as the whole image's sum and what the patch adds to it: where the map is large or infinite under the window,
nothing would be left of the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zfcuda.occlusion.incremental.chunk import Chunk
from zfcuda.occlusion.incremental.patches import Layout, Patches, Table, gather, on_device

# Where patches are at least one part in so many of their maps, these are completed and summed: fewer steps. On a CPU
# only where all of them are small.
_FILLED = 8
_SMALL = 4 << 20  # bytes


def map_sums(chunk: Chunk, index: int) -> Tensor:
    """The sum over the whole map of a node, for each window: [n,C], float64 where the device has it."""
    patches: Patches = chunk.values[index]
    base = chunk.base[index]
    height, width = base.shape[2:]
    positions = len(chunk) * height * width
    small = base.device.type != "cpu" or positions * base.shape[1] * base.element_size() <= _SMALL
    if small and _FILLED * patches.layout.rows >= positions:
        whole = chunk.places.whole(height, width)
        return _sums(gather(chunk.base.map(index), patches, whole), whole)
    around = chunk.places.once(
        ("around", patches.layout), lambda: _Around.of(patches.layout.table, height, width, base.device)
    )
    lines = ("lines", index)
    if lines not in chunk.base.prepared:
        each = _line_sums(base[0].permute(1, 2, 0), 1)  # [H,C]
        chunk.base.prepared[lines] = _first(each), _last(each)
    return _sums(patches.values, patches.layout) + around.sums(base, *chunk.base.prepared[lines])


@dataclass(frozen=True)
class _Around:
    """What lies around the patches of some windows: lines of the map above and below, and columns beside it of the
    band of lines that it shares with other windows.

    columns: the rectangles of the map that become one column of one band. places: int64 [5,n], the rectangle of each
    window and its band, on a device.
    """

    columns: Layout
    places: Tensor

    @staticmethod
    def of(table: Table, height: int, width: int, device: torch.device) -> _Around:
        bands, band = np.unique(table[:, [0, 2]], axis=0, return_inverse=True)
        top, bottom = np.repeat(bands, width, axis=0).T
        x = np.tile(np.arange(width), len(bands))
        columns = Layout.of(np.stack([top, x, bottom, x + 1], 1), True)
        return _Around(columns, on_device(np.stack([*table[:, :4].T, band.reshape(-1)]), device))

    def sums(self, base: Tensor, above: Tensor, below: Tensor) -> Tensor:
        """base: [1,C,H,W]. above, below: of its lines, [H + 1,C]. Returns [n,C]."""
        nothing = Patches(base.new_empty(0, base.shape[1]), self.columns.empty)
        bands = _sums(gather(base, nothing, self.columns), self.columns).view(-1, base.shape[3], base.shape[1])
        top, left, bottom, right, band = self.places
        return _first(bands)[band, left] + _last(bands)[band, right] + above[top] + below[bottom]


def _first(values: Tensor) -> Tensor:
    """The sums of the first 0, 1, ... n numbers: [..,n,C] -> [..,n + 1,C]. No torch.cumsum, which a GPU adds up in an
    order that it does not promise.
    """
    step = 1
    while step < values.shape[-2]:
        values = torch.cat([values[..., :step, :], values[..., step:, :] + values[..., :-step, :]], -2)
        step *= 2
    return F.pad(values, (0, 0, 1, 0))


def _last(values: Tensor) -> Tensor:
    """The sums of the numbers from the first, the second, ... on: [..,n,C] -> [..,n + 1,C]."""
    return _first(values.flip(-2)).flip(-2)


def _groups_are_fast(device: torch.device) -> bool:
    """Whether patches of one size are best summed together, not all in one kernel."""
    return device.type == "cpu"


def _wide(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64  # Apple's GPUs have no float64


def _line_sums(values: Tensor, dim: int) -> Tensor:
    """Sums along lines, in the wide dtype. On a CPU each line is added up in float32, as torch does it for a model's
    own mean: in float64 it takes six times as long.
    """
    if values.device.type == "cpu" and values.dtype != torch.float64:
        return values.sum(dim, dtype=torch.float32).double()
    return values.sum(dim, dtype=_wide(values.device))


def _sums(values: Tensor, layout: Layout) -> Tensor:
    """The sums over the patches of a layout: [rows,C] -> [n,C]."""
    device = values.device
    wide = _wide(device)
    result = torch.zeros(len(layout.table), values.shape[1], dtype=wide, device=device)
    if not layout.rows:
        return result
    order, areas = layout.segments(device)
    if _groups_are_fast(device):
        each = [
            _line_sums(values[start : start + count * height * width].view(count, height, width, -1), 2).sum(1)
            for start, count, height, width in layout.groups()
        ]
        result[order] = torch.cat(each)
    else:
        # unsafe: without looking at the lengths, for which a GPU would have to be waited for.
        result[order] = torch.segment_reduce(values.to(wide), "sum", lengths=areas, axis=0, initial=0, unsafe=True)
    return result
