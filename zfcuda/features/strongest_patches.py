"""The pictures that excite each unit most, and where in them: the right half of Fig. 2 (Zeiler & Fergus)."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda import render
from zfcuda.data.collection import Pictures
from zfcuda.features.fields import boxes_of
from zfcuda.features.loading import Skipped
from zfcuda.features.stream import Stream
from zfcuda.features.winners import Winners, of_state, state_of, strongest_places
from zfcuda.inputs import integer
from zfcuda.sheets.numbered import Bar
from zfcuda.shown import Display, Displayed, LayerDict, Table, View

Units = Sequence[int] | Mapping[str, Sequence[int]] | None
_DRAWN = 64  # units in the picture of the values


@dataclass(frozen=True)
class StrongestPatches(Displayed):
    """The strongest activations of the units of a layer over many pictures, and where they are.

    All tensors are on the CPU. Where fewer than `top` pictures count for a unit, its last places have the value -inf,
    the index -1, the position (-1, -1) and an empty box.

    Attributes:
        layer: its name.
        units: int64 [units], their numbers in the layer.
        values: float32 [units,top], the largest activation of the unit's map on a picture, descending.
        indices: int64 [units,top], which picture; at most one patch per picture, of equals the lower index first.
        positions: int64 [units,top,2], (y, x) on the map, of equals the first; None for a vector layer.
        boxes: int64 [units,top,4], what the unit sees there: (top, left, bottom, right) in the image, bottom and right
            exclusive, unclipped: it may go on beyond the border. The whole image, where it is not known what it sees.
        names: what the pictures are called, by index.
        seen: how many pictures were run.
        skipped: the pictures that could not be, each with .index, .name and .reason.
    """

    layer: str
    units: Tensor
    values: Tensor
    indices: Tensor
    positions: Tensor | None
    boxes: Tensor
    names: list[str]
    seen: int
    skipped: list[Skipped]

    def __repr__(self) -> str:
        skipped = f", {len(self.skipped):,} skipped" if self.skipped else ""
        units, top = self.values.shape
        best = ""
        if self.indices[0, 0] >= 0:
            best = f"; unit {self.units[0]}: {self.values[0, 0]:.4g} in {self.names[self.indices[0, 0]]}, ..."
        return f"StrongestPatches of {self.layer!r}: {units} units, top {top} of {self.seen:,} pictures{skipped}{best}"

    def display(self) -> Display:
        """The units with the largest activations, and where these are; the values of all in one picture."""
        order = self.values[:, 0].argsort(descending=True, stable=True).tolist()
        rows = [self._row(place) for place in order]
        values = self.values.masked_fill(self.values == -torch.inf, torch.nan)
        low, high = render.value_range(values)
        bar = Bar("viridis", f"{low:.3g}", f"{high:.3g}")
        each = "the values: a column for each unit, a row for each of its pictures, strongest first"
        picture = render.heatmap(values[order[:_DRAWN]].T)
        facts = [("units", f"{len(order):,}"), ("pictures", f"{self.seen:,}, {len(self.skipped):,} skipped")]
        heads = ["unit", "largest", "in", "rows", "columns"]
        return Display(
            f"Strongest patches of {self.layer}",
            facts,
            [View(render.enlarged(picture, 10), each, bar, sheet=True)],
            1,
            [Table(heads, rows, "the strongest picture of each unit", most=10)],
        )

    def _row(self, place: int) -> list[Any]:
        index = int(self.indices[place, 0])
        top, left, bottom, right = self.boxes[place, 0].tolist()
        found = (
            ["none", "", ""] if index < 0 else [self.names[index], f"{top} to {bottom - 1}", f"{left} to {right - 1}"]
        )
        return [int(self.units[place]), float(self.values[place, 0]), *found]


def strongest_patches(
    model: nn.Module,
    pictures: Pictures,
    layers: Sequence[str] | str,
    *,
    top: int = 9,
    units: Units = None,
    preprocess: Any = None,
    state: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> dict[str, StrongestPatches]:
    """Finds the pictures that excite each unit most, and where: one pass over any number of pictures, for many layers.

    The pictures of Zeiler & Fergus' Fig. 2. A picture counts for a unit with the largest activation of the unit's map;
    one whose map of the unit holds NaN does not, with a warning. No more than `top` patches of each unit are held in
    memory, on the model's device. Broken pictures are left out, with a warning. Under torchrun (``torchrun
    --nproc_per_node=N script.py``) the processes share the pictures, and each gets the whole answer, the very same that
    one process with as many threads comes to: blocks of pictures are always the same ones, whoever runs them.

    Args:
        model: any network in any mode; it is run as in eval, where it is, and left as it was.
        pictures: a folder (of all pictures in it, and in the folders in it), a list of paths, PIL pictures or arrays
            uint8 [H,W,C], zfcuda.data.Parts (the first 1,200) or (Parts, count), a torch Dataset with a length (of
            images [C,H,W] or pictures, or of tuples that begin with one), or a Tensor [N,C,H,W].
        layers: dotted names of submodules (zfcuda.network.layers has them), or one; maps or vectors.
        top: how many patches of each unit.
        units: which units of every layer, or a list for each layer by its name; None: all.
        preprocess: how a picture becomes the network's image; None: what the model carries, `model.preprocess` for one.
        state: a file that keeps what is done, every few seconds, so that the same call goes on after a crash, with the
            same answer; it is made where there is none. Pictures in files are told by name, length and time of change.
        progress: show a bar on stderr.

    Returns:
        layer, as given -> :class:`StrongestPatches`.

    Raises:
        TypeError, ValueError: naming the argument, before the work: no picture, a folder that cannot be read, no such
            layer or unit, a state of something else.
        KeyboardInterrupt: after Ctrl-C; what was done is in the state, as the message says.

    Example:
        found = zfcuda.strongest_patches(model, "photos", ["conv5"], state="patches.state")["conv5"]
        found.names[found.indices[12, 0]], found.boxes[12, 0]      # what excites unit 12 most, and where
    """
    top = integer("top", top)
    if top < 1:
        raise ValueError(f"top: expected at least 1, got {top}")
    stream = Stream(model, pictures, layers, preprocess=preprocess)
    accumulator = _Strongest(stream, top, _chosen(units, stream.shapes))
    passed = stream.run(accumulator, state=state, progress=progress)
    accumulator.warn()
    held = {
        layer: tuple(x[rows].cpu() for x in of_state(state_of(accumulator.winners)))
        for layer, rows in accumulator.rows.items()
    }
    boxes = boxes_of(stream, {layer: places for layer, (_, _, places) in held.items()})
    return LayerDict(
        {
            layer: StrongestPatches(
                layer,
                accumulator.units[layer].cpu(),
                values.float(),
                indices,
                places[..., :2].long() if len(stream.shapes[layer]) == 3 else None,
                boxes[layer],
                stream.collection.names,
                passed.seen,
                passed.skipped,
            )
            for layer, (values, indices, places) in held.items()
        }
    )


class _Strongest:
    """The winners of all units of all layers, one row for each."""

    question = "strongest_patches"

    def __init__(self, stream: Stream, top: int, units: dict[str, list[int] | None]) -> None:
        self.settings = {"top": top, "units": units}
        self.units: dict[str, Tensor] = {}
        self.rows: dict[str, slice] = {}
        self._some = {layer for layer, chosen in units.items() if chosen is not None}
        start = 0
        for layer, chosen in units.items():
            numbers = range(stream.shapes[layer][0]) if chosen is None else chosen
            self.units[layer] = torch.tensor(numbers, dtype=torch.int64, device=stream.device)
            self.rows[layer] = slice(start, start + len(numbers))
            start += len(numbers)
        wide = any(dtype == torch.float64 for dtype in stream.dtypes.values())
        self.winners = Winners(start, top, torch.float64 if wide else torch.float32, stream.device)
        self.nan = torch.zeros(start, dtype=torch.int64, device=stream.device)

    def reduce(self, layer: str, activation: Tensor, indices: Tensor) -> tuple[Tensor, Tensor, Tensor, int]:
        """Values, places and NaN of a layer's maps, and the width of these."""
        if layer in self._some:
            activation = activation.index_select(1, self.units[layer].to(activation.device))
        width = activation.shape[3] if activation.dim() == 4 else 1
        found = strongest_places(activation, indices, self.winners, self.rows[layer])
        return *(each.to(self.nan.device) for each in found), width  # type: ignore[return-value]

    def add(self, indices: Tensor, found: Mapping[str, Any], size: tuple[int, int]) -> None:
        """Lets some pictures compete."""
        self.winners.begin(indices)
        taken = []
        for layer, rows in self.rows.items():
            values, place, nan, width = found[layer]
            places = torch.empty(*values.shape, 4, dtype=torch.int32, device=values.device)
            places[..., 0], places[..., 1] = place.div(width, rounding_mode="floor"), place % width
            places[..., 2], places[..., 3] = size
            self.nan[rows] += nan
            taken.append((values, places, rows))
        if self.nan.device.type != "cpu":  # a launch costs more there than the rows
            values, places = (torch.cat(each, 1) for each in list(zip(*taken, strict=True))[:2])
            taken = [(values, places, slice(0, len(self.nan)))]
        for values, places, rows in taken:  # small enough on the CPU for one thread
            self.winners.take(values, indices, places, rows)

    def state_dict(self) -> dict[str, Tensor]:
        """The winners, and how often there was NaN."""
        return {**state_of(self.winners), "nan": self.nan}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Takes the place of what was held."""
        self.winners.load(*of_state(state))
        self.nan = state["nan"].to(self.nan.device)

    def merge(self, state: Mapping[str, Tensor]) -> None:
        """Adds what another one holds."""
        self.winners.merge(*of_state(state))
        self.nan = self.nan + state["nan"].to(self.nan.device)

    def warn(self) -> None:
        """Warns of the layers that gave NaN."""
        nan = self.nan.cpu()
        bad = [
            f"{layer} (up to {int(nan[rows].max()):,} pictures of a unit)"
            for layer, rows in self.rows.items()
            if nan[rows].any()
        ]
        if bad:
            warnings.warn(
                f"strongest_patches: NaN among the activations of {', '.join(bad)}; a picture with NaN in the map of a "
                "unit does not count for that unit",
                stacklevel=3,
            )


def _chosen(units: Any, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, list[int] | None]:
    """The units of each layer, checked; None: all."""
    if isinstance(units, Mapping):
        foreign = [name for name in units if name not in shapes]
        if foreign:
            raise ValueError(f"units: expected names among the layers {', '.join(shapes)}, got {foreign[0]!r}")
        return {layer: _numbers(units.get(layer), layer, shape[0]) for layer, shape in shapes.items()}
    return {layer: _numbers(units, layer, shape[0]) for layer, shape in shapes.items()}


def _numbers(units: Any, layer: str, count: int) -> list[int] | None:
    if units is None:
        return None
    if isinstance(units, Tensor):
        units = units.tolist()
    if isinstance(units, int):
        units = [units]
    if isinstance(units, str) or not isinstance(units, Sequence | range):
        raise TypeError(f"units: expected a list of numbers, or one for each layer by its name, got {units!r}")
    numbers = [integer("units", unit) for unit in units]
    if not numbers:
        raise ValueError("units: expected at least one, got none")
    for number in numbers:
        if not 0 <= number < count:
            raise ValueError(f"units: expected 0 to {count - 1}, the units of layer {layer!r}, got {number}")
    if len(set(numbers)) < len(numbers):
        twice = next(number for number in numbers if numbers.count(number) > 1)
        raise ValueError(f"units: expected each once, got {twice} twice")
    return numbers
