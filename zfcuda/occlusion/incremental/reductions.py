"""The steps from a map to a vector, and those on vectors: the mean over a map, linear layers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zfcuda.occlusion.incremental.chunk import Chunk
from zfcuda.occlusion.incremental.patches import Layout, Patches, gather
from zfcuda.occlusion.incremental.steps import NodeStep
from zfcuda.occlusion.incremental.sums import map_sums
from zfcuda.ops import patches as patch_ops


class GlobalMean(NodeStep):
    """The mean over the map."""

    def run(self, chunk: Chunk) -> Tensor:
        source = self.node.arguments["input"].index
        height, width = chunk.base[source].shape[2:]
        mean = map_sums(chunk, source) / (height * width)
        return mean.to(chunk.base.dtype).view(len(chunk), *chunk.base[self.index].shape[1:])


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


class FirstLinear(NodeStep):
    """The first linear layer on a map: what it gives for the whole image, and the changed columns of its weight times
    what the windows add there.
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
        everything = chunk.places.whole(height, width)
        have = Patches(chunk.values[source].values, Layout(table[order], np.arange(len(order)), 0))
        added = gather(base, have, everything).view(len(order), -1)
        added -= base.permute(0, 2, 3, 1).reshape(1, -1)
        weight = chunk.base.cast(self.node.arguments["weight"].index)
        before = chunk.base.cast(self.index)[0]
        sums = patch_ops.linear_rows(added, weight, before, torch.from_numpy(table[order]), (height, width))
        result = torch.empty_like(sums)
        result[torch.from_numpy(order)] = sums
        return result
