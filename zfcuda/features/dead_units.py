"""Which units never fire over a data set, which hardly ever, and which always."""

from __future__ import annotations

import csv
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.complaint import one_line
from zfcuda.data.collection import Pictures
from zfcuda.features.loading import Skipped
from zfcuda.features.rectifiers import rectified_layers
from zfcuda.features.stream import Stream
from zfcuda.features.writable import checked_place
from zfcuda.files.drafts import whole
from zfcuda.shown import Display, Displayed, Table
from zfcuda.shown.plot import stacked

RARE = 0.01  # a unit is rare that is active in a smaller share of the pictures than this
KINDS = ("dead", "rare", "saturated")
_LINES = 20  # layers that a table shows
_WIDE = 34  # characters of a layer's name, and of the numbers of its dead units


@dataclass(frozen=True)
class UnitActivity:
    """A unit of a layer, and how often it is active.

    Attributes:
        layer: as it was asked for.
        unit: its number: a channel, or an element of a vector.
        share_active: the share of the pictures for which any place of its map is above zero, 0 ... 1.
        largest: the largest activation of all places of all pictures; NaN where there was any.
        kind: "dead": active for no picture; "rare": for less than 1 % of them; "saturated": at every place of every
            picture, so that its ReLU changes nothing; "" for all others.
    """

    layer: str
    unit: int
    share_active: float
    largest: float
    kind: str


class DeadUnits(Displayed, list[UnitActivity]):
    """A row for each unit, layer by layer; prints as a table of the layers.

    Attributes:
        seen: how many pictures were run.
        skipped: the pictures that could not be, each with .index, .name and .reason.
    """

    def __init__(self, rows: Iterable[UnitActivity], seen: int, skipped: list[Skipped]) -> None:
        super().__init__(rows)
        self.seen, self.skipped = seen, skipped

    def display(self) -> Display:
        """How many units of each layer are dead, rare and saturated."""
        rows = [
            [name, len(rows), *(sum(row.kind == kind for row in rows) for kind in KINDS)]
            for name, rows in self._layers().items()
        ]
        facts = [("units", _counted(self)), ("pictures", f"{self.seen:,}, {len(self.skipped):,} left out")]
        return Display("Dead units", facts, tables=[Table(["layer", "units", *KINDS], rows)])

    def plot(self, ax: Any = None) -> Any:
        """Draws the share of dead, rare and saturated units of each layer with matplotlib, and returns the Axes.

        ax: matplotlib's Axes; None: those of a new figure.

        Raises:
            ImportError: matplotlib is not installed.
        """
        layers = self._layers()
        return stacked(
            list(layers),
            {kind: [_share(rows, kind) for rows in layers.values()] for kind in KINDS},
            "share of the units",
            ax,
        )

    def _layers(self) -> dict[str, list[UnitActivity]]:
        layers: dict[str, list[UnitActivity]] = {}
        for row in self:
            layers.setdefault(row.layer, []).append(row)
        return layers

    def __repr__(self) -> str:
        layers = self._layers()
        pictures = f"{self.seen:,} picture{'' if self.seen == 1 else 's'}"
        out = f", {len(self.skipped):,} left out" if self.skipped else ""
        lines = [
            f"{len(self):,} units of {len(layers):,} layers over {pictures}{out}: {_counted(self)}",
            f"{'layer':{_WIDE}} units   dead   rare  saturated  dead units",
        ]
        # Of many layers those are shown that have most to say, in forward order.
        by_share = sorted(layers, key=lambda name: _share(layers[name]), reverse=True)
        shown = set(by_share[:_LINES])
        for name, rows in layers.items():
            if name in shown:
                counts = [sum(row.kind == kind for row in rows) for kind in KINDS]
                dead = _listed(row.unit for row in rows if row.kind == "dead")
                cells = f"{len(rows):6,} {counts[0]:6,} {counts[1]:6,} {counts[2]:10,}"
                lines.append(f"{_short(name):{_WIDE}}{cells}  {dead}".rstrip())
        if len(layers) > len(shown):
            rest = [row for name, rows in layers.items() if name not in shown for row in rows]
            lines.append(f"and {len(layers) - len(shown)} layers more: {_counted(rest)}")
        return "\n".join(lines)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a CSV file with a line for each unit: layer, unit, share_active, largest, kind.

        Raises:
            ValueError: the path does not end in .csv, or the disk refuses; what was there stays.
        """
        file = checked_table(path)
        try:
            with whole(file) as [draft], draft.open("w", newline="", encoding="utf-8") as stream:
                table = csv.writer(stream)
                table.writerow(each.name for each in fields(UnitActivity))
                table.writerows(astuple(row) for row in self)
        except OSError as error:
            said = error.strerror or error
            raise ValueError(f"path: {one_line(os.fspath(path))}: cannot be written ({said})") from None


def checked_table(path: str | os.PathLike[str], name: str = "path") -> Path:
    """Where a table can be written, before the work. name: what errors call it.

    Raises:
        ValueError: its name does not end in .csv, or there is no such folder.
    """
    return checked_place(path, ".csv", name)


def dead_units(
    model: nn.Module,
    pictures: Pictures,
    *,
    layers: Sequence[str] | str | None = None,
    preprocess: Any = None,
    state: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> DeadUnits:
    """Says how often each unit is active over a data set, in one pass: the course notes' dead ReLUs.

    A unit is active for a picture where any place of its map is above zero. Broken pictures are left out, with a
    warning. Under torchrun the processes share the pictures, and each gets the whole answer.

    Args:
        model: any network in any mode; it is run as in eval, where it is, and left as it was.
        pictures: a folder, a list of paths or pictures, zfcuda.data.Parts, a torch Dataset or a Tensor [N,C,H,W], as
            zfcuda.strongest_patches takes them.
        layers: dotted names of submodules, or one. Of a layer in front of a ReLU the values above zero count, as they
            are what the ReLU lets through; but a batch norm between the two shifts zero, so that it is the one to name.
            None: wherever the model rectifies: every ReLU and ReLU6 that is a module, and in the place of one that is
            a function, or is called again later, the layer that it rectifies.
        preprocess: how a picture becomes the network's image; None: what the model carries.
        state: a file that keeps what is done, so that the same call goes on after a crash, with the same answer.
        progress: show a bar on stderr.

    Returns:
        A list of :class:`UnitActivity`, one for each unit, layer by layer in the order of the layers; "rare" takes more
        than 100 pictures to be told from others.

    Raises:
        TypeError, ValueError: naming the argument, before the work: no picture, a folder that cannot be read, no such
            layer, a model that rectifies nowhere.
        KeyboardInterrupt: after Ctrl-C; what was done is in the state, as the message says.

    Example:
        zfcuda.dead_units(model, "photos")                                         # a table
        [row.unit for row in zfcuda.dead_units(model, "photos") if row.kind == "dead" and row.layer == "relu5"]
    """
    if layers is None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
        layers = rectified_layers(model)
        if not layers:
            raise ValueError(
                f"layers: expected names, as {type(model).__name__} has no ReLU, where a unit is on or off; "
                "zfcuda.network.layers lists its layers"
            )
    stream = Stream(model, pictures, layers, preprocess=preprocess)
    activity = _Activity(stream)
    passed = stream.run(activity, state=state, progress=progress)
    rows = DeadUnits(activity.rows(passed.seen), passed.seen, passed.skipped)
    nan = list(dict.fromkeys(row.layer for row in rows if row.largest != row.largest))
    if nan:
        warnings.warn(f"dead_units: NaN among the activations of {', '.join(nan)}", stacklevel=2)
    return rows


class _Activity:
    """How often units were active, by layer."""

    question = "dead_units"

    def __init__(self, stream: Stream) -> None:
        self.settings: dict[str, Any] = {}
        units = {layer: shape[0] for layer, shape in stream.shapes.items()}
        device = stream.device
        self.active = {layer: torch.zeros(k, dtype=torch.int64, device=device) for layer, k in units.items()}
        self.everywhere = {layer: zeros.clone() for layer, zeros in self.active.items()}
        self.largest = {layer: torch.full((k,), -torch.inf, device=device) for layer, k in units.items()}

    def reduce(self, layer: str, activation: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The smallest and the largest value of each map, [n,K]."""
        places = activation[..., None].flatten(2)
        return places.amin(2), places.amax(2)  # on a CPU a fraction of the time of one aminmax

    def add(self, indices: Tensor, found: Mapping[str, Any], size: tuple[int, int]) -> None:
        """Counts some pictures."""
        for layer, (smallest, largest) in found.items():
            held = self.largest[layer]
            self.active[layer] += (largest > 0).sum(0).to(held.device)
            self.everywhere[layer] += (smallest > 0).sum(0).to(held.device)
            self.largest[layer] = torch.maximum(held, largest.amax(0).to(held.device, held.dtype))

    def state_dict(self) -> dict[str, Tensor]:
        """The counts, and the largest values."""
        return {f"{what}.{layer}": value for what, held in self._held.items() for layer, value in held.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Takes the place of what was counted."""
        for what, held in self._held.items():
            for layer, value in held.items():
                held[layer] = state[f"{what}.{layer}"].to(value.device)

    def merge(self, state: Mapping[str, Tensor]) -> None:
        """Adds what another one counted."""
        for what, held in self._held.items():
            for layer, value in held.items():
                other = state[f"{what}.{layer}"].to(value.device)
                held[layer] = torch.maximum(value, other) if what == "largest" else value + other

    def rows(self, seen: int) -> list[UnitActivity]:
        """What was counted over so many pictures."""
        rows = []
        for layer, active in self.active.items():
            counts = zip(active.tolist(), self.everywhere[layer].tolist(), self.largest[layer].tolist(), strict=True)
            for unit, (on, always, largest) in enumerate(counts):
                rows.append(UnitActivity(layer, unit, on / seen, largest, _kind(on, always, seen, largest)))
        return rows

    @property
    def _held(self) -> dict[str, dict[str, Tensor]]:
        return {"active": self.active, "everywhere": self.everywhere, "largest": self.largest}


def _kind(active: int, everywhere: int, seen: int, largest: float) -> str:
    if largest != largest:  # of NaN nobody knows on which side of zero it is
        return ""
    if not active:
        return "dead"
    if active / seen < RARE:
        return "rare"
    return "saturated" if everywhere == seen else ""


def _share(rows: Sequence[UnitActivity], kind: str | None = None) -> float:
    """The share of the units of a layer that are of a kind; None: of any, so that they are not ordinary."""
    return sum(row.kind in (KINDS if kind is None else (kind,)) for row in rows) / len(rows)


def _counted(rows: Sequence[UnitActivity]) -> str:
    counts = [(sum(row.kind == kind for row in rows), kind) for kind in KINDS]
    return ", ".join(f"{count:,} {kind} ({100 * count / max(1, len(rows)):.1f} %)" for count, kind in counts)


def _short(name: str) -> str:
    """The end of a name that is wider than its column."""
    return name if len(name) < _WIDE else f"...{name[4 - _WIDE :]}"


def _listed(units: Iterable[int]) -> str:
    """As many numbers as a column has room for."""
    text = ""
    for unit in units:
        longer = f"{text}, {unit}" if text else str(unit)
        if len(longer) > _WIDE:
            return f"{text}, ..."
        text = longer
    return text
