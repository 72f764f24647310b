"""Chosen channels of a map: pieces of it, and channels in another order, however many such steps follow each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zfcuda.network import Node
from zfcuda.occlusion.incremental.chunk import Base, Chunk
from zfcuda.occlusion.incremental.joined import Joined
from zfcuda.occlusion.incremental.patches import Patches
from zfcuda.occlusion.incremental.steps import NodeStep


@dataclass(frozen=True)
class Choice(NodeStep):
    """Copies channels once, from where the first of such steps finds them: in a map, or in what was concatenated.

    before: the nodes of this kind between the one that it reads and its own.
    """

    before: tuple[Node, ...] = ()

    @staticmethod
    def of(node: Node, read: int, others: Mapping[int, Choice]) -> Choice:
        """The step of a node that reads another. others: the steps of this kind before it."""
        first = others.get(read)
        return Choice(node, [read]) if first is None else Choice(node, first.reads, (*first.before, first.node))

    def run(self, chunk: Chunk) -> Patches:
        patches: Patches = chunk.values[self.reads[0]]
        rows = patches.rows if isinstance(patches, Joined) else [patches.values]
        return Patches(_chosen(rows, self._numbers(chunk.base)), chunk.layout(self.index))

    def _numbers(self, base: Base) -> list[int]:
        """Of each channel which it is of the map that is read."""
        key = (self.index, "channels")
        if key not in base.prepared:
            numbers = list(range(base[self.reads[0]].shape[1]))
            for node in (*self.before, self.node):
                index = node.arguments["index"]
                index = index(len(numbers)) if callable(index) else index
                numbers = numbers[index] if isinstance(index, slice) else [numbers[i] for i in index]
            base.prepared[key] = numbers
        found: list[int] = base.prepared[key]
        return found


def _chosen(parts: Sequence[Tensor], numbers: Sequence[int]) -> Tensor:
    """Columns of tensors [rows,C] that stand side by side; without a copy where they stand evenly in one of them."""
    result, first = parts[0][:, :0], 0
    for rows in parts:
        past = first + rows.shape[1]
        places = [(to, number - first) for to, number in enumerate(numbers) if first <= number < past]
        first = past
        if not places:
            continue
        to, of = (_evenly([place[i] for place in places]) for i in (0, 1))
        found = rows[:, of] if isinstance(of, slice) else rows.index_select(1, of.to(rows.device))
        if len(places) == len(numbers):
            return found
        if not result.shape[1]:
            result = rows.new_empty(len(rows), len(numbers))
        result[:, to if isinstance(to, slice) else to.to(rows.device)] = found
    return result


def _evenly(numbers: Sequence[int]) -> slice | Tensor:
    """Numbers that rise by equal steps as a slice, others as an index."""
    step = numbers[1] - numbers[0] if len(numbers) > 1 else 1
    even = step > 0 and list(numbers) == list(range(numbers[0], numbers[-1] + 1, step))
    return slice(numbers[0], numbers[-1] + 1, step) if even else torch.tensor(numbers)
