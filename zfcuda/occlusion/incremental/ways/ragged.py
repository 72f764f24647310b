"""The CPU's own kernel, which takes patches of all sizes at once."""

from __future__ import annotations

from zfcuda.occlusion.incremental.change_analysis import Local
from zfcuda.occlusion.incremental.chunk import Chunk
from zfcuda.occlusion.incremental.convolution import Convolution
from zfcuda.occlusion.incremental.patches import Patches, tables
from zfcuda.ops import patches as patch_ops


def run(step: Convolution, chunk: Chunk) -> Patches:
    settings = step.settings(chunk.changes)
    change = chunk.changes.of[step.index]
    assert isinstance(change, Local)
    # Not how many the chunk has: how windows are chunked is to change no number.
    windows = len(change.rows) * len(change.columns)
    filters, bias, channels = step.packed(chunk.base, settings["stride"], settings["dilation"], windows)
    source = step.filtered
    layout, patches = chunk.layout(step.index), chunk.values[source]
    base = chunk.base.map(source)
    have, want = tables(patches.layout, layout, base.device)
    values = patch_ops.conv_patches(
        base,
        patches.values,
        have,
        want,
        layout.rows,
        filters,
        bias,
        step.residual_of(chunk, layout),
        channels=channels,
        relu=step.relu,
        ceiling=step.ceiling,
        **settings,
    )
    return Patches(values, layout)
