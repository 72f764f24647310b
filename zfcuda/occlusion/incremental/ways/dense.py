"""torch's convolution, on each group of patches of one size."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from zfcuda.occlusion.incremental.chunk import Chunk
from zfcuda.occlusion.incremental.convolution import Convolution
from zfcuda.occlusion.incremental.patches import Patches, dense
from zfcuda.occlusion.incremental.steps import contexts


def run(step: Convolution, chunk: Chunk) -> Patches:
    """The groups of what is read are those of what is computed, in the same order, since the one size grows with the
    other.
    """
    weight, bias = step.laid_out(chunk.base)
    settings, groups = step.settings(chunk.changes), step.groups(chunk.base)
    values, read = contexts(chunk, step.conv.index, step.filtered, step.index, step.around)
    results = [
        F.conv2d(dense(values, group), weight, bias, settings["stride"], 0, settings["dilation"], groups)
        for group in read.groups()
    ]
    layout = chunk.layout(step.index)
    rows = [result.permute(0, 2, 3, 1).reshape(-1, len(weight)) for result in results]
    joined = torch.cat([values.new_empty(0, len(weight)), *rows]) if len(rows) != 1 else rows[0]
    return Patches(step.finish(joined, step.residual_of(chunk, layout)), layout)
