"""Layers that only move values, found by what they do to a map of coordinates: crops, padding, flips, enlarging."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zfcuda.network import Node, Ref
from zfcuda.network.graph import map_nest
from zfcuda.occlusion.incremental.regions import Lookup

_RESIZING = {F.interpolate, F.upsample}
_FUNCTIONS = {operator.getitem, F.pad, torch.flip, torch.roll, torch.narrow} | _RESIZING
_METHODS = {"flip", "roll", "narrow", "__getitem__"}
_MODULES = (
    nn.ZeroPad2d,
    nn.ConstantPad2d,
    nn.ReflectionPad2d,
    nn.ReplicationPad2d,
    nn.CircularPad2d,
    nn.Upsample,
)

_NUMBER = 48  # bytes of the tables that lookup_of makes, for each value before and behind


def lookup_of(node: Node, index: int, base: Any) -> Lookup | None:
    """Where the values of a node [1,C,H,W] come from in its operand `index`; None where they are not just moved.

    The functions are known ones: of another, a maximum for one, it would depend on the values what it does.
    """
    if node.kind != "other" or not _moves(node.arguments["function"]):
        return None
    source, value = base[index], base[node.index]
    if not isinstance(source, Tensor) or source.dim() != 4 or value.dim() != 4 or value.shape[1] != source.shape[1]:
        return None
    # What does the same to each channel is tried on one.
    channels = 1 if _by_channel(node) else source.shape[1]
    source_shape, value_shape = ((1, channels, *x.shape[2:]) for x in (source, value))
    # Every place has a number of its own, from 1 on, with a fraction of its own: what is interpolated between some, or
    # the mean of some, is then no other's number. What doubles with them was moved, what does not is a constant.
    count, random = math.prod(source_shape), torch.Generator().manual_seed(0)
    numbers = torch.arange(1, count + 1) + torch.rand(count, dtype=torch.float64, generator=random)
    once, twice = (_run(node, base, source, factor * numbers.view(source_shape)) for factor in (1, 2))
    if once is None or twice is None or once.shape != value_shape:
        return None
    moved = (twice == 2 * once) & (once >= 1) & (once < count + 1)
    if not (moved | (twice == once) | (twice.isnan() & once.isnan())).all():
        return None
    place = torch.where(moved, once - 1, 0).long()
    if not torch.equal(numbers[place][moved], once[moved]):
        return None
    height, width = source.shape[2:]
    if not torch.equal(moved, moved[:, :1].expand_as(moved)):
        return None
    channel = torch.arange(channels).view(-1, 1, 1).expand_as(place[0])
    if not (place[0] // (height * width) == channel)[moved[0]].all():
        return None
    shown, y, x = moved[0, 0], place[0, 0] // width % height, place[0, 0] % width
    rows = torch.where(shown, y, -1).amax(1)
    columns = torch.where(shown, x, -1).amax(0)
    both = (rows >= 0)[:, None] & (columns >= 0)
    if not torch.equal(shown, both) or not ((y == rows[:, None]) & (x == columns))[both].all():
        return None
    weighted = False
    if node.arguments["function"] in _RESIZING:
        # A weight of nothing is no copy where there is infinity: on one half of the places, as on a chessboard.
        black = (torch.arange(height)[:, None] + torch.arange(width)) % 2 == 0
        for infinite in (black, ~black):
            result = _run(node, base, source, numbers.view(source_shape).masked_fill(infinite, torch.inf))
            from_infinite = moved & infinite.flatten()[place % (height * width)]
            others = moved & ~from_infinite
            if result is None or not torch.equal(result[others], once[others]):
                return None
            weighted |= bool(result[from_infinite].isnan().any())
    sides = (rows.numpy().astype(np.int64), columns.numpy().astype(np.int64))
    above, left = (_before(side, length) for side, length in zip(sides, (height, width), strict=True))
    kept = above is not None and left is not None and not weighted and not (once[~moved] != 0).any()
    zeros = (above or 0, left or 0) if kept else None
    return Lookup(*sides, weighted, zeros)


def _before(source: npt.NDArray[np.int64], length: int) -> int | None:
    """How many constants stand before a line of this length, which is kept as it is; None: it is not."""
    before = int((source >= 0).argmax())
    after = len(source) - before - length
    if after < 0:
        return None
    kept = np.concatenate([np.full(before, -1), np.arange(length), np.full(after, -1)])
    return before if np.array_equal(source, kept) else None


def memory_of_lookup(node: Node, base: Any) -> int:
    """The bytes that lookup_of takes for a node."""
    if node.kind != "other" or len(node.refs) < 1 or not _moves(node.arguments["function"]):
        return 0
    both = [x for x in (base[node.refs[0]], base[node.index]) if isinstance(x, Tensor) and x.dim() == 4]
    return sum(_NUMBER * x.numel() // (x.shape[1] if _by_channel(node) else 1) for x in both)


def _by_channel(node: Node) -> bool:
    """Whether it moves the values of each channel, of a map [N,C,H,W], alike."""
    function = node.arguments["function"]
    if isinstance(function, _MODULES) or function in _RESIZING:
        return True
    if function is not F.pad:
        return False
    pad = node.arguments["args"][1] if len(node.arguments["args"]) > 1 else node.arguments["kwargs"].get("pad")
    return isinstance(pad, list | tuple) and len(pad) <= 4


def _moves(function: Any) -> bool:
    if isinstance(function, nn.Upsample):
        return function.mode == "nearest"
    name = getattr(function, "__name__", "")
    return isinstance(function, _MODULES) or function in _FUNCTIONS or name in _METHODS


def _run(node: Node, base: Any, source: Tensor, numbers: Tensor) -> Tensor | None:
    def value(ref: Any) -> Any:
        if not isinstance(ref, Ref):
            return ref
        return numbers if base[ref.index] is source else base[ref.index]

    try:
        result = node.run({name: map_nest(argument, value) for name, argument in node.arguments.items()})
    except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError):
        return None
    return result if isinstance(result, Tensor) else None
