"""A convolution and what follows it at each position: what all ways to compute it share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zfcuda.network import Node, Ref
from zfcuda.occlusion.incremental.activations import Activation
from zfcuda.occlusion.incremental.change_analysis import Changes
from zfcuda.occlusion.incremental.chunk import Base, Chunk
from zfcuda.occlusion.incremental.patches import Layout, gather, same
from zfcuda.occlusion.incremental.steps import window_settings, without_input
from zfcuda.ops import grouped_patches as grouped_ops
from zfcuda.ops import patches as patch_ops

# How many windows are several, and filters [O,C] of how many numbers are large: 36 of each would leave the cache.
_SEVERAL, _LARGE = 16, 1 << 17


@dataclass(frozen=True)
class Convolution:
    """A convolution, and what follows at each position: batch norm (folded), a sum with another map, ReLU or its like.

    node: whose value it computes, the last of them. reads: first the map that it filters. norms: batch norms, and
        products with a number for each channel. before: of a 1x1 convolution a batch norm, a ReLU or both, which its
        input passes through. ceiling: of the ReLU, where it has one. activation: in place of a ReLU, what writes over
        the values that it gets. outliers: whether windows may have some in what it reads where the whole image has
        none. around: how many lines and columns of zeros a step of its own would put before that map.
    """

    node: Node
    reads: list[int]
    conv: Node
    norms: tuple[Node, ...] = ()
    residual: int | None = None
    relu: bool = False
    ceiling: float | None = None
    activation: Activation | None = None
    outliers: bool = False
    before: tuple[Node, ...] = ()
    around: tuple[int, int] = (0, 0)

    @property
    def source(self) -> int:
        """The node that it reads, before all that it computes."""
        return self.reads[0]

    @property
    def filtered(self) -> int:
        """The map that the convolution itself filters."""
        return self.conv.arguments["input"].index if self.before else self.source

    @property
    def index(self) -> int:
        return self.node.index

    def settings(self, changes: Changes) -> dict[str, tuple[int, int]]:
        """Its windows as the operators on patches take them."""
        settings = window_settings(changes, self.conv.index)
        rows, columns = settings["padding"]
        return settings | {"padding": (rows + self.around[0], columns + self.around[1])}

    def filters(self, base: Base) -> tuple[Tensor, Tensor | None]:
        """Weight [O,C/groups,kh,kw] and bias [O], with the norms folded in."""
        conv = without_input(self.conv, base)
        weight, bias = conv["weight"], conv["bias"]
        for norm in self.norms:
            scale, bias = _folded(norm, bias, base)
            weight = weight * scale[:, None, None, None]
        return weight.to(base.dtype), None if bias is None else bias.to(base.dtype)

    def scales(self, base: Base) -> tuple[Tensor | None, Tensor | None]:
        """What its input is multiplied by, and what is added then, [C] each; None: no batch norm comes before."""
        norm = next((node for node in self.before if node.kind == "batch_norm"), None)
        if norm is None:
            return None, None
        key = (norm.index, "scales")
        if key not in base.prepared:
            base.prepared[key] = tuple(None if x is None else x.to(base.dtype) for x in _folded(norm, None, base))
        scales: tuple[Tensor | None, Tensor | None] = base.prepared[key]
        return scales

    def way(self, base: Base, changes: Changes) -> str:
        """Which of zfcuda.occlusion.incremental.ways it goes, but for windows that have outliers of their own."""
        way = self._usual_way(base, changes)
        if way == "ragged" and self.by_winograd(changes) and base.limit(self.filtered) < 0:
            return "dense"
        return way

    def _usual_way(self, base: Base, changes: Changes) -> str:
        """The way where no map has outliers; the base's values are not looked at, and may be outlines."""
        if self.conv.index in changes.lookups:
            return "dense"
        own, grouped = base.dtype == torch.float32 and base.device.type == "cpu", self.groups(base) != 1
        if grouped or not own:
            return "product" if not grouped else "grouped" if own else "dense"
        return "pointwise" if is_pointwise(changes, self.conv.index) else "ragged"

    def groups(self, base: Base) -> int:
        """How many; `groups=x.shape[1]` is a node's value."""
        groups: Any = self.conv.arguments["groups"]
        return int(base[groups.index]) if isinstance(groups, Ref) else int(groups)

    def by_winograd(self, changes: Changes) -> bool:
        """Whether the CPU's kernel takes Winograd's algorithm, whose sums reach beyond an output's own inputs."""
        return all((side.kernel, side.stride, side.dilation) == (3, 1, 1) for side in changes.windows[self.conv.index])

    def takes_parts(self, base: Base, changes: Changes) -> bool:
        """Whether a concatenation that it reads need not be copied for it."""
        return self._usual_way(base, changes) == "pointwise" and self.source != self.residual

    def reads_per_position(self, base: Base, changes: Changes) -> int:
        """Numbers that stand beside each position of the output while it is computed."""
        weight = base[self.conv.arguments["weight"].index]
        return weight[0].numel() if self._usual_way(base, changes) == "product" else 0

    def prepared(self, base: Base, make: Any, form: int = 0) -> Any:
        """The filters as the kernel takes them, made once for an image, or once for many. form: of several."""
        key = (self.index, make.__qualname__, base.dtype, form)
        if key not in base.prepared:

            def made() -> Any:
                return make(*self.filters(base))

            base.prepared[key] = made() if base.kept is None else base.kept.once(key, self._own(base), made)
        return base.prepared[key]

    def _own(self, base: Base) -> list[Any]:
        """All that the filters are made of."""
        conv, norms = without_input(self.conv, base), [without_input(norm, base) for norm in self.norms]
        return [conv["weight"], conv["bias"], *(value for norm in norms for value in norm.values())]

    def packed(
        self, base: Base, stride: Any, dilation: Any, windows: int = _SEVERAL
    ) -> tuple[Tensor, Tensor | None, int]:
        """The filters, bias and number of outputs as the CPU's own kernel takes them.

        windows: about how many there are to compute, all chunks together. For a few, most of the time goes into reading
            the filters where those are large, and Winograd's smaller tiles read less than half as much.
            So do they where memory is short.
        """
        weight = without_input(self.conv, base)["weight"]
        large = weight.shape[0] * weight.shape[1] > _LARGE
        tile = 2 if base.small_tiles or (windows < _SEVERAL and large) else 4

        def pack(weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None, int]:
            return patch_ops.pack_filters(weight, stride, dilation, tile), bias, len(weight)

        packed: tuple[Tensor, Tensor | None, int] = self.prepared(base, pack, tile)
        return packed

    def packed_in_groups(self, base: Base) -> tuple[Tensor, Tensor | None, int, int]:
        """The filters, bias and numbers of outputs and groups as the CPU's own kernel for groups takes them."""
        groups = self.groups(base)

        def in_groups(weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None, int, int]:
            return grouped_ops.pack_grouped_filters(weight, groups), bias, len(weight), groups

        packed: tuple[Tensor, Tensor | None, int, int] = self.prepared(base, in_groups)
        return packed

    def laid_out(self, base: Base) -> tuple[Tensor, Tensor | None]:
        """The filters and bias as torch's convolution takes them."""

        def pack(weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
            return weight.contiguous(memory_format=torch.channels_last), bias

        laid_out: tuple[Tensor, Tensor | None] = self.prepared(base, pack)
        return laid_out

    def residual_of(self, chunk: Chunk, layout: Layout) -> Tensor | None:
        """The other map of the sum where this one changes, [rows,O]."""
        if self.residual is None:
            return None
        other = chunk.values[self.residual]
        if same(other.layout, layout):
            return other.values
        return gather(chunk.base.map(self.residual), other, layout)

    def finish(self, values: Tensor, residual: Tensor | None) -> Tensor:
        """What follows the convolution of these values, which are written to."""
        if residual is not None:
            values.add_(residual)
        values = values.relu_() if self.relu else values
        return values if self.ceiling is None else values.clamp_(max=self.ceiling)


def is_pointwise(changes: Changes, index: int) -> bool:
    """Whether each position of a layer of windows reads one position of its input, and never padding."""
    sides = changes.windows.get(index, ())
    plain = index not in changes.lookups and all((side.kernel, side.padding) == (1, 0) for side in sides)
    return bool(sides) and plain


def _folded(norm: Node, bias: Tensor | None, base: Base) -> tuple[Tensor, Tensor | None]:
    """A norm as a factor of each channel, [O] or [1], and what is added to it, after a layer with this bias."""
    n = without_input(norm, base)
    if norm.kind == "mul":
        other = n["other"]
        one = not isinstance(other, Tensor)
        factor = torch.tensor([other], dtype=torch.float64, device=base.device) if one else other.flatten()
        return factor, None if bias is None else bias * factor
    scale: Tensor = (n["running_var"] + n["eps"]).rsqrt()
    scale = scale if n["weight"] is None else scale * n["weight"]
    shift = ((0 if bias is None else bias) - n["running_mean"]) * scale
    return scale, shift if n["bias"] is None else shift + n["bias"]
