"""The steps from a map to a vector, and those on vectors: the mean over a map, linear layers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zfcuda.occlusion.incremental.chunk import Chunk
from zfcuda.occlusion.incremental.patches import Layout, Patches, gather, same
from zfcuda.occlusion.incremental.steps import NodeStep, without_input
from zfcuda.occlusion.incremental.sums import map_sums
from zfcuda.ops import patches as patch_ops


class GlobalMean(NodeStep):
    """The mean over the map."""

    def run(self, chunk: Chunk) -> Tensor:
        source = self.node.arguments["input"].index
        height, width = chunk.base[source].shape[2:]
        if same(chunk.values[source].layout, chunk.places.whole(height, width)):
            mean: Tensor = self.node.run(chunk.resolve(self.node))  # there is nothing around the patches
            return mean
        sums = map_sums(chunk, source) / (height * width)
        return sums.to(chunk.base.dtype).view(len(chunk), *chunk.base[self.index].shape[1:])


# The whole image's numbers may be so many times as large as those of a window's map, by their L2 norms.
_LOST = 8


def suits_rows(chunk: Chunk) -> bool:
    """Whether the CPU's own linear layer takes it, and is worth it."""
    return chunk.base.dtype == torch.float32 and chunk.base.device.type == "cpu" and len(chunk) >= 8


class Linear(NodeStep):
    """A linear layer on vectors."""

    def run(self, chunk: Chunk) -> Tensor:
        arguments = chunk.resolve(self.node)
        if not suits_rows(chunk) or arguments["input"].dim() != 2:
            return self.node.run(arguments)
        return patch_ops.linear_rows(**arguments)


def differences_lose(maps: Tensor, before: Tensor, answer: Tensor) -> Tensor | None:
    """The maps that their difference from the whole image's is too coarse to tell: int64 [k]; None where there is none.

    maps: [n,m]. before: [1,m], the whole image's. answer: what the linear layer gives for that.

    The rounding of what is added to the whole image's answer goes by that image's numbers. Where they are infinite, or
    much larger than all that is left of them, it would be larger than the rounding of the answer itself.
    """
    most = _LOST * torch.linalg.vector_norm(maps, dim=1)
    kept = (torch.linalg.vector_norm(before, dtype=torch.float64) <= most) & answer.isfinite().all()
    lost = (~kept).nonzero()[:, 0]
    return lost if len(lost) else None


class FirstLinear(NodeStep):
    """The first linear layer on a map: what it gives for the whole image, and the changed columns of its weight times
    what the windows add there; in full for windows of which the differences would lose too much.
    """

    def run(self, chunk: Chunk) -> Tensor:
        if not suits_rows(chunk):
            return self.node.run(chunk.resolve(self.node))
        (source,) = self.reads
        base = chunk.base.map(source)
        height, width = base.shape[2:]
        table = chunk.values[source].layout.table
        # Neighbours in this order change nearly the same columns, and the kernel reads the weights once for several.
        order = np.lexsort((table[:, 3], table[:, 1], table[:, 2], table[:, 0]))
        have = Patches(chunk.values[source].values, Layout(table[order], np.arange(len(order)), 0))
        maps = gather(base, have, chunk.places.whole(height, width)).view(len(order), -1)
        before = base.permute(0, 2, 3, 1).reshape(1, -1)
        own = without_input(self.node, chunk.base)
        weight = own["weight"].to(base.dtype)
        bias = None if own["bias"] is None else own["bias"].to(base.dtype)
        answer = chunk.base.cast(self.index)
        lost = differences_lose(maps, before, answer)
        in_full = None if lost is None else maps[lost]
        maps -= before
        sums = patch_ops.linear_rows(maps, weight, answer[0], torch.from_numpy(table[order]), (height, width))
        if lost is not None and in_full is not None:
            sums[lost] = patch_ops.linear_rows(in_full, weight, bias, None, (height, width))
        result = torch.empty_like(sums)
        result[torch.from_numpy(order)] = sums
        return result
