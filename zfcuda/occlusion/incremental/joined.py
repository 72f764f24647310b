"""Concatenations that copy nothing: patches of several maps whose channels stand one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from zfcuda.occlusion.incremental.patches import Layout, Patches, gather, same


@dataclass(frozen=True)
class Part:
    """Some of the channels: the map of the whole image, [1,C,H,W], and what windows change of it."""

    map: Tensor
    patches: Patches


class Joined(Patches):
    """The patches of a concatenation, as those of its parts; whoever asks for the values gets one copy, which is kept.

    layout: where the concatenation changes. Each part has a layout of its own.
    """

    def __init__(self, parts: Sequence[Part], layout: Layout) -> None:
        object.__setattr__(self, "parts", tuple(parts))
        object.__setattr__(self, "layout", layout)

    parts: tuple[Part, ...]

    @cached_property
    def values(self) -> Tensor:  # type: ignore[override]
        """[rows,C], as the layout says."""
        return torch.cat(self.rows, 1)

    @cached_property
    def rows(self) -> list[Tensor]:
        """The same of each part, [rows,C]; copied where its own rectangles are others."""
        return [self._of(part) for part in self.parts]

    def _of(self, part: Part) -> Tensor:
        if same(part.patches.layout, self.layout):
            return part.patches.values
        return gather(part.map, part.patches, self.layout)


def parts_of(map: Tensor, patches: Patches) -> tuple[Part, ...]:
    """The parts of a map, which is one itself where nothing was concatenated."""
    return patches.parts if isinstance(patches, Joined) else (Part(map, patches),)


def plain(value: object) -> object:
    """The value itself, or of a concatenation the copy, without its parts."""
    return Patches(value.values, value.layout) if isinstance(value, Joined) else value
