"""The step of a convolution and of what follows it at each position, in three ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from zfcuda.network import Node, Ref
from zfcuda.occlusion.incremental.change_analysis import Changes
from zfcuda.occlusion.incremental.chunk import Base, Chunk
from zfcuda.occlusion.incremental.outliers import within
from zfcuda.occlusion.incremental.patches import Layout, Patches, dense, gather, same, tables
from zfcuda.occlusion.incremental.precision import as_convolution
from zfcuda.occlusion.incremental.steps import contexts, window_settings, without_input
from zfcuda.ops import patches as patch_ops


@dataclass(frozen=True)
class Convolution:
    """A convolution, with what follows it at each position: batch norm (folded), a sum with another map, ReLU.

    node: whose value it computes, the last of them. outliers: whether windows may have some in what it reads where the
        whole image has none.
    """

    node: Node
    reads: list[int]
    conv: Node
    norms: tuple[Node, ...] = ()
    residual: int | None = None
    relu: bool = False
    outliers: bool = False

    @property
    def index(self) -> int:
        return self.node.index

    def filters(self, base: Base) -> tuple[Tensor, Tensor | None]:
        """Weight [O,C/groups,kh,kw] and bias [O], the batch norms folded in."""
        conv = without_input(self.conv, base)
        weight, bias = conv["weight"], conv["bias"]
        for norm in self.norms:
            n = without_input(norm, base)
            scale = (n["running_var"] + n["eps"]).rsqrt()
            scale = scale if n["weight"] is None else scale * n["weight"]
            before = 0 if bias is None else bias
            bias = (before - n["running_mean"]) * scale
            bias = bias if n["bias"] is None else bias + n["bias"]
            weight = weight * scale[:, None, None, None]
        return weight.to(base.dtype), None if bias is None else bias.to(base.dtype)

    def run(self, chunk: Chunk) -> Patches:
        ways = {"dense": self._dense, "product": self._product, "ragged": self._ragged}
        way = self.way(chunk.base, chunk.changes)
        if way == "ragged" and (self.outliers or chunk.base.outlying_fill) and self.by_winograd(chunk.changes):
            source = self.conv.arguments["input"].index
            if not within(chunk.values[source].values, chunk.base.limit(source)):
                way = "dense"
        return ways[way](chunk)

    def way(self, base: Base, changes: Changes) -> str:
        """Which of the three ways below it goes, but for windows that have outliers of their own."""
        way = self._usual_way(base, changes)
        if way == "ragged" and self.by_winograd(changes) and base.limit(self.conv.arguments["input"].index) < 0:
            return "dense"
        return way

    def _usual_way(self, base: Base, changes: Changes) -> str:
        """The way where no map has outliers; the base's values are not looked at, and may be outlines."""
        if self.groups(base) != 1 or self.conv.index in changes.lookups:
            return "dense"
        if base.dtype != torch.float32 or base.device.type != "cpu":
            return "product"
        return "ragged"

    def groups(self, base: Base) -> int:
        """How many; `groups=x.shape[1]` is a node's value."""
        groups: Any = self.conv.arguments["groups"]
        return int(base[groups.index]) if isinstance(groups, Ref) else int(groups)

    def by_winograd(self, changes: Changes) -> bool:
        """Whether the CPU's kernel takes Winograd's algorithm, whose sums reach beyond an output's own inputs."""
        return all((side.kernel, side.stride, side.dilation) == (3, 1, 1) for side in changes.windows[self.conv.index])

    def reads_per_position(self, base: Base, changes: Changes) -> int:
        """Numbers that stand beside each position of the output while it is computed."""
        weight = base[self.conv.arguments["weight"].index]
        return weight[0].numel() if self._usual_way(base, changes) == "product" else 0

    def _prepared(self, base: Base, make: Any) -> Any:
        """The filters as the kernel takes them, made once for an image."""
        key = (self.index, make.__qualname__)
        if key not in base.prepared:
            base.prepared[key] = make(*self.filters(base))
        return base.prepared[key]

    def packed(self, base: Base, stride: Any, dilation: Any) -> tuple[Tensor, Tensor | None, int]:
        """The filters, bias and number of outputs as the CPU's own kernel takes them."""

        def pack(weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None, int]:
            return patch_ops.pack_filters(weight, stride, dilation), bias, len(weight)

        packed: tuple[Tensor, Tensor | None, int] = self._prepared(base, pack)
        return packed

    def laid_out(self, base: Base) -> tuple[Tensor, Tensor | None]:
        """The filters and bias as torch's convolution takes them."""

        def pack(weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
            return weight.contiguous(memory_format=torch.channels_last), bias

        laid_out: tuple[Tensor, Tensor | None] = self._prepared(base, pack)
        return laid_out

    def _residual(self, chunk: Chunk, layout: Layout) -> Tensor | None:
        """The other map of the sum where this one changes, [rows,O]."""
        if self.residual is None:
            return None
        other = chunk.values[self.residual]
        if same(other.layout, layout):
            return other.values
        return gather(chunk.base.map(self.residual), other, layout)

    def _ragged(self, chunk: Chunk) -> Patches:
        """The CPU's own kernel takes patches of all sizes at once."""
        settings = window_settings(chunk, self.conv.index)
        filters, bias, channels = self.packed(chunk.base, settings["stride"], settings["dilation"])
        source = self.conv.arguments["input"].index
        layout, patches = chunk.layout(self.index), chunk.values[source]
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
            self._residual(chunk, layout),
            channels=channels,
            relu=self.relu,
            **settings,
        )
        return Patches(values, layout)

    def _product(self, chunk: Chunk) -> Patches:
        """One matrix product for patches of all sizes."""

        def pack(weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
            return weight.permute(2, 3, 1, 0).reshape(-1, len(weight)).contiguous(), bias

        weight, bias = self._prepared(chunk.base, pack)
        source = self.conv.arguments["input"].index
        layout, patches = chunk.layout(self.index), chunk.values[source]
        settings, base = window_settings(chunk, self.conv.index), chunk.base.map(source)
        read = patches.values
        if set(settings.values()) != {(1, 1), (0, 0)} or not same(patches.layout, layout):
            have, want = tables(patches.layout, layout, base.device)
            read = patch_ops.unfold_patches(base, patches.values, have, want, layout.rows, **settings)
        with as_convolution(base.device):
            values = read @ weight if bias is None else torch.addmm(bias, read, weight)
        return Patches(self.finish(values, self._residual(chunk, layout)), layout)

    def finish(self, values: Tensor, residual: Tensor | None) -> Tensor:
        """What follows the convolution of these values, which are written to."""
        if residual is not None:
            values.add_(residual)
        return values.relu_() if self.relu else values

    def _dense(self, chunk: Chunk) -> Patches:
        """torch's convolution, on each group of patches of one size. The groups of what is read are those of what is
        computed, in the same order, since the one size grows with the other.
        """
        weight, bias = self.laid_out(chunk.base)
        settings, groups = window_settings(chunk, self.conv.index), self.groups(chunk.base)
        values, read = contexts(chunk, self.conv.index, self.conv.arguments["input"].index, self.index)
        results = [
            F.conv2d(dense(values, group), weight, bias, settings["stride"], 0, settings["dilation"], groups)
            for group in read.groups()
        ]
        layout = chunk.layout(self.index)
        rows = [result.permute(0, 2, 3, 1).reshape(-1, len(weight)) for result in results]
        joined = torch.cat([values.new_empty(0, len(weight)), *rows]) if len(rows) != 1 else rows[0]
        return Patches(self.finish(joined, self._residual(chunk, layout)), layout)
