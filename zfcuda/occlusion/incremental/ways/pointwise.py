"""1x1 convolutions by the CPU's own kernel, which reads patches, maps and parts of concatenations where they lie."""

from __future__ import annotations

from zfcuda.occlusion.incremental.chunk import Chunk
from zfcuda.occlusion.incremental.convolution import Convolution
from zfcuda.occlusion.incremental.joined import parts_of
from zfcuda.occlusion.incremental.patches import Patches, tables
from zfcuda.occlusion.incremental.steps import Positions
from zfcuda.ops.pointwise import pointwise_patches


def run(step: Convolution, chunk: Chunk) -> Patches:
    settings = step.settings(chunk.changes)
    filters, bias, channels = step.packed(chunk.base, settings["stride"], settings["dilation"])
    scale, shift = step.scales(chunk.base)
    layout = chunk.layout(step.index)
    base = chunk.base.map(step.source)
    parts = parts_of(base, chunk.values[step.source])
    haves = [tables(part.patches.layout, layout, base.device)[0] for part in parts]
    values = pointwise_patches(
        [part.map for part in parts],
        [part.patches.values for part in parts],
        haves,
        tables(layout, layout, base.device)[1],
        layout.rows,
        filters,
        bias,
        step.residual_of(chunk, layout),
        scale=scale,
        shift=shift,
        before_relu=any(node.kind == "relu" for node in step.before),
        channels=channels,
        stride=settings["stride"],
        relu=step.relu,
        ceiling=step.ceiling,
    )
    return Patches(values, layout)


def unfuse(step: Convolution, chunk: Chunk) -> None:
    """Computes what comes before the convolution, where that goes another way, as steps of its own."""
    for node in step.before:
        if node.index not in chunk.base.unfused:
            chunk.base.unfused.add(node.index)
            chunk.base.values[node.index] = node.run(node.resolve(chunk.base.values))
        chunk.values[node.index] = Positions(node, [node.arguments["input"].index]).run(chunk)
