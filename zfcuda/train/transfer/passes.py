"""The codes of several layers for numbered pictures, in one pass of the network."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zfcuda.complaint import one_line
from zfcuda.features.state import OtherStateError
from zfcuda.features.stream import Stream
from zfcuda.ranks import Ranks
from zfcuda.train.transfer.grid import Layer

_AT_ONCE = 256  # rows that are copied together


def all_codes(
    stream: Stream, layers: Sequence[Layer], state: Path, *, progress: bool = False
) -> tuple[Tensor, dict[str, Tensor]]:
    """Runs the network over the pictures of a stream of these layers.

    Args:
        state: a file that keeps what is done; a killed pass goes on there, and it is removed in the end. One of
            something else is begun anew.

    Returns:
        int64 [n], the numbers of the pictures that could be used, and by layer their codes, float32 [n,numbers].

    Raises:
        ValueError: no picture could be used, or the disk refuses.
        MemoryError: there is no room for the codes.
        KeyboardInterrupt: after Ctrl-C; its message says what was kept.
    """
    table = Table(layers, len(stream.collection))
    try:
        passed = stream.run(table, state=state, progress=progress)
    except OtherStateError:
        state.unlink()
        passed = stream.run(table, state=state, progress=progress)
    ranks = Ranks()
    ranks.of_first(None)  # nobody still reads it
    if ranks.first:
        state.unlink(missing_ok=True)
    known = {each.index for each in passed.skipped}
    other = [index for index in (~table.have).nonzero().flatten().tolist() if index not in known]
    if other:
        name = one_line(stream.collection.names[other[0]])
        said = f"pictures: {len(other):,} left out, whose codes have another length than the first's: {name}, ..."
        if not table.have.any():
            raise ValueError(said)
        warnings.warn(said, stacklevel=2)
    return table.taken()


class Table:
    """The codes so far, each in the row of its picture: an accumulator of :class:`zfcuda.features.stream.Stream`."""

    question = "codes of layers"

    def __init__(self, layers: Sequence[Layer], count: int) -> None:
        self.layers = {layer.name: layer for layer in layers}
        self.settings: dict[str, Any] = {layer.name: layer.form for layer in layers}
        try:
            self.values = {layer.name: torch.zeros(count, layer.numbers) for layer in layers}
        except RuntimeError as error:
            raise MemoryError(f"layers: {count:,} codes of {len(layers)} layers: no room for them") from error
        self.have = torch.zeros(count, dtype=torch.bool)

    def reduce(self, layer: str, activation: Tensor, indices: Tensor) -> Tensor:
        return self.layers[layer].code(activation)

    def add(self, indices: Tensor, found: Mapping[str, Tensor], size: tuple[int, int]) -> None:
        if any(found[name].shape[1] != layer.numbers for name, layer in self.layers.items()):
            return  # an image of another size than the first, whose maps are taken whole
        for name, values in self.values.items():
            values[indices] = found[name].to("cpu", torch.float32)
        self.have[indices] = True

    def taken(self) -> tuple[Tensor, dict[str, Tensor]]:
        """The pictures that there are, and their codes."""
        index = self.have.nonzero().flatten()
        whole = len(index) == len(self.have)
        return index, {name: values if whole else values[index] for name, values in self.values.items()}

    def state_dict(self) -> dict[str, Tensor]:
        index, values = self.taken()
        return {"index": index, **{f"values.{name}": rows for name, rows in values.items()}}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.have.zero_()
        self.merge(state)

    def merge(self, state: Mapping[str, Tensor]) -> None:
        for name, values in self.values.items():
            for index, rows in zip(
                state["index"].split(_AT_ONCE), state[f"values.{name}"].split(_AT_ONCE), strict=True
            ):
                values[index] = rows
        self.have[state["index"]] = True
