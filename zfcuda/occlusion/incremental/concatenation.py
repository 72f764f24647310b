"""The step of a concatenation of maps along the channels."""

from __future__ import annotations

import torch

from zfcuda.network import Ref
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
            parts += parts_of(chunk.base.map(i), chunk.values[i])
        return Joined(parts, layout)

    def operands(self, base: Base) -> list[int] | None:
        """The nodes whose maps are concatenated; None: they have to be copied."""
        tensors = self.node.arguments["tensors"]
        if base.dtype != torch.float32 or base.device.type != "cpu" or not isinstance(tensors, list | tuple):
            return None
        found = [ref.index for ref in tensors if isinstance(ref, Ref)]
        # A constant may be of another dtype, or the empty vector that torch lets pass.
        local = len(found) == len(tensors) and set(found) <= set(self.reads)
        return found if local and all(base[i].is_floating_point() for i in found) else None
