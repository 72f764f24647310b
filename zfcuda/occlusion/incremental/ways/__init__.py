"""The ways to compute a convolution on patches, one file each: `run(step, chunk)` gives the step's patches."""

from __future__ import annotations

from collections.abc import Callable

from zfcuda.occlusion.incremental.chunk import Chunk
from zfcuda.occlusion.incremental.convolution import Convolution
from zfcuda.occlusion.incremental.outliers import within
from zfcuda.occlusion.incremental.patches import Patches
from zfcuda.occlusion.incremental.ways import dense, pointwise, product, ragged

# By the names that Convolution.way gives.
WAYS: dict[str, Callable[[Convolution, Chunk], Patches]] = {
    "dense": dense.run,
    "pointwise": pointwise.run,
    "product": product.run,
    "ragged": ragged.run,
}


class ConvolutionStep(Convolution):
    """The step of a convolution."""

    def run(self, chunk: Chunk) -> Patches:
        way = self.way(chunk.base, chunk.changes)
        if way == "ragged" and (self.outliers or chunk.base.outlying_fill) and self.by_winograd(chunk.changes):
            source = self.conv.arguments["input"].index
            if not within(chunk.values[source].values, chunk.base.limit(source)):
                way = "dense"
        if self.before and way != "pointwise":
            pointwise.unfuse(self, chunk)
        result = WAYS[way](self, chunk)
        for node in self.before:
            chunk.values.pop(node.index, None)
        return result
