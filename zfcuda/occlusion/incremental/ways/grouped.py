"""The CPU's own kernel for groups of channels, which takes patches of all sizes at once."""

from __future__ import annotations

from zfcuda.occlusion.incremental.chunk import Chunk
from zfcuda.occlusion.incremental.convolution import Convolution
from zfcuda.occlusion.incremental.patches import Patches, tables
from zfcuda.ops.grouped_patches import grouped_patches


def run(step: Convolution, chunk: Chunk) -> Patches:
    filters, bias, channels, groups = step.packed_in_groups(chunk.base)
    layout, patches = chunk.layout(step.index), chunk.values[step.source]
    base = chunk.base.map(step.source)
    have, want = tables(patches.layout, layout, base.device)
    values = grouped_patches(
        base,
        patches.values,
        have,
        want,
        layout.rows,
        filters,
        bias,
        step.residual_of(chunk, layout),
        channels=channels,
        groups=groups,
        relu=step.relu,
        ceiling=step.ceiling,
        **step.settings(chunk.changes),
    )
    return Patches(values, layout)
