"""One matrix product for patches of all sizes."""

from __future__ import annotations

import torch
from torch import Tensor

from zfcuda.occlusion.incremental.chunk import Chunk
from zfcuda.occlusion.incremental.convolution import Convolution
from zfcuda.occlusion.incremental.patches import Patches, same, tables
from zfcuda.occlusion.incremental.precision import as_convolution
from zfcuda.ops import patches as patch_ops


def run(step: Convolution, chunk: Chunk) -> Patches:
    weight, bias = step.prepared(chunk.base, _as_matrix)
    source = step.filtered
    layout, patches = chunk.layout(step.index), chunk.values[source]
    settings, base = step.settings(chunk.changes), chunk.base.map(source)
    read = patches.values
    if set(settings.values()) != {(1, 1), (0, 0)} or not same(patches.layout, layout):
        have, want = tables(patches.layout, layout, base.device)
        read = patch_ops.unfold_patches(base, patches.values, have, want, layout.rows, **settings)
    with as_convolution(base.device):
        values = read @ weight if bias is None else torch.addmm(bias, read, weight)
    return Patches(step.finish(values, step.residual_of(chunk, layout)), layout)


def _as_matrix(weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
    return weight.permute(2, 3, 1, 0).reshape(-1, len(weight)).contiguous(), bias
