"""The ways to compute a convolution on patches, one file each: `run(step, chunk)` gives the step's patches."""

from __future__ import annotations

from collections.abc import Callable

from zfcuda.occlusion.incremental.chunk import Chunk
from zfcuda.occlusion.incremental.convolution import Convolution
from zfcuda.occlusion.incremental.outliers import within
from zfcuda.occlusion.incremental.patches import Patches
from zfcuda.occlusion.incremental.ways import dense, grouped, pointwise, product, ragged

# By the names that Convolution.way gives.
WAYS: dict[str, Callable[[Convolution, Chunk], Patches]] = {
    "dense": dense.run,
    "grouped": grouped.run,
    "pointwise": pointwise.run,
    "product": product.run,
    "ragged": ragged.run,
}


class ConvolutionStep(Convolution):
    """The step of a convolution."""

    def run(self, chunk: Chunk) -> Patches:
        way = self.way(chunk.base, chunk.changes)
        some = way == "ragged" and (self.outliers or chunk.base.outlying_fill) and self.by_winograd(chunk.changes)
        if some and not within(chunk.values[self.filtered].values, chunk.base.limit(self.filtered)):
            way = "dense"
        if self.before and way != "pointwise":
            pointwise.unfuse(self, chunk)
        result = WAYS[way](self, chunk)
        for node in self.before:
            chunk.values.pop(node.index, None)
        return result if self.activation is None else Patches(self.activation(result.values), result.layout)
