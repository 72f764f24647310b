"""The step of a concatenation of maps along the channels."""

from __future__ import annotations

import torch
from torch import Tensor

from zfcuda.network import Ref
from zfcuda.occlusion.incremental.change_analysis import Whole
from zfcuda.occlusion.incremental.chunk import Base, Chunk
from zfcuda.occlusion.incremental.joined import Joined, Part, parts_of
from zfcuda.occlusion.incremental.patches import Patches
from zfcuda.occlusion.incremental.steps import Positions


class Concatenation(Positions):
    """Keeps the parts where the kernels take them so, on the CPU in float32; else copies them."""

    def run(self, chunk: Chunk) -> Patches:
        operands = self.operands(chunk.base)
        if operands is None:
            return super().run(chunk)
        layout = chunk.layout(self.index)
        parts: list[Part] = []
        for i in operands:
            map = chunk.base.map(i)
            if chunk.changes.of[i] is Whole.CONSTANT:
                parts.append(Part(map, Patches(map.new_empty(0, map.shape[1]), chunk.places.empty(self.index))))
            else:
                parts += parts_of(map, chunk.values[i])
        return Joined(parts, layout)

    def operands(self, base: Base) -> list[int] | None:
        """The nodes whose maps are concatenated; None: they have to be copied."""
        tensors = self.node.arguments["tensors"]
        if base.dtype != torch.float32 or base.device.type != "cpu" or not isinstance(tensors, list | tuple):
            return None
        size = base[self.index].shape[2:]
        found = []
        for ref in tensors:
            value = base[ref.index] if isinstance(ref, Ref) else None
            # A constant may be of another dtype, or the empty vector that torch lets pass.
            if not isinstance(value, Tensor) or value.dim() != 4 or not value.is_floating_point():
                return None
            if len(value) != 1 or value.shape[1] == 0 or value.shape[2:] != size:
                return None
            found.append(ref.index)
        return found
