"""The table of a network: shapes, memory, parameters, multiply-adds, receptive fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar, overload

import torch
from torch import Tensor, nn

from zfcuda.models.accounts.running import ModuleCall, own_parameters, watched
from zfcuda.models.checks import checked_size
from zfcuda.network import ReceptiveField, evaluating, trace
from zfcuda.network.example import example_image
from zfcuda.network.graph import first_line, plain_name, unwrap
from zfcuda.network.receptive import receptive_fields_of_calls
from zfcuda.shown import Display, Displayed, Table
from zfcuda.shown.plot import bars


class Field(NamedTuple):
    """What a unit sees, in pixels; one number, or (rows, columns) where they differ.

    size: 0 where the image changes nothing. stride: from one unit to the next, 0.5 behind upsampling; for a vector, and
    for units that all see the same, it is the size.
    """

    size: int | tuple[int, int]
    stride: float | tuple[float, float]


@dataclass(frozen=True)
class Row:
    """One call of a layer, for a batch of one: a module that calls no other, or that itself multiplies.

    Attributes:
        name: its dotted name. kind: its class.
        output_shape: the shape of its output, without the batch; of several tensors that of the first.
        activation_bytes: the bytes of its output, of all tensors together.
        parameters: how many it holds or reads, what its weights are made of included; none that an earlier row has
            (a later call of the same layer, one that shares weights).
        multiply_adds: those of convolutions and of products of matrices and vectors that run in it and in no other row;
            0 where there are none, as in sums and pooling; None where an operator is not known. The norms that spectral
            normalisation takes of its weights are left out.
        receptive_field: (size, stride) in pixels; None where it is not known, because what lies before cannot be
            followed that far.
        own_bytes: activation_bytes, less what lies in its input's memory (in-place ReLU, flattening) or is the output
            of a row within it.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    activation_bytes: int
    parameters: int
    multiply_adds: int | None
    receptive_field: Field | None
    own_bytes: int = 0


class Summary(Displayed, Sequence[Row]):
    """Rows in forward order; prints as a table with the totals below.

    Memory is counted as in the CS231n notes, for one image, and is the least that keeping everything takes:
    forward_bytes: the image and every layer's map, once each.
    training_bytes: all those maps and their gradients, and parameters three times: weight, gradient and momentum.
    What is alive at once in a real run is another number, less forward and seldom as much in training:
    zfcuda.models.memory_need counts it. Sums, concatenations and functions in a model's forward are no layers and have
    no row, unless they multiply: then the module whose forward it is has one. In eval mode dropout makes no map. What
    is not known is "?" in the print.

    Attributes:
        input_size: (C, H, W) of the image. input_bytes: its bytes.
        other_parameters: how many are in no row: in layers that did not run, or of the model's own.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        input_size: tuple[int, ...] = (),
        input_bytes: int = 0,
        other_parameters: int = 0,
        parameter_bytes: int = 0,
    ) -> None:
        self._rows = tuple(rows)
        self.input_size = input_size
        self.input_bytes = input_bytes
        self.other_parameters = other_parameters
        self.parameter_bytes = parameter_bytes

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        return self._rows[index]

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    @property
    def activation_bytes(self) -> int:
        """The bytes of all layers' outputs together; those that share memory are counted each."""
        return sum(row.activation_bytes for row in self)

    @property
    def parameters(self) -> int:
        """How many parameters the whole model has, each counted once."""
        return sum(row.parameters for row in self) + self.other_parameters

    @property
    def multiply_adds(self) -> int | None:
        """Those of all rows; None where those of one are not known."""
        known = [row.multiply_adds for row in self if row.multiply_adds is not None]
        return sum(known) if len(known) == len(self) else None

    @property
    def forward_bytes(self) -> int:
        """The bytes of the image and of every map that has memory of its own."""
        return self.input_bytes + sum(row.own_bytes for row in self)

    @property
    def training_bytes(self) -> int:
        """The bytes of maps and their gradients; of weights, their gradients and their momentum."""
        return 2 * self.forward_bytes + 3 * self.parameter_bytes

    def display(self) -> Display:
        """The table with its totals."""
        header, lines = self._lines()
        facts = [
            ("image", _shape(self.input_size)),
            ("layers", f"{len(self):,}"),
            ("parameters", f"{self.parameters:,}"),
            ("multiply-adds", _millions(self.multiply_adds)),
            ("maps", _bytes(self.forward_bytes)),
        ]
        return Display("Summary", facts, tables=[Table(header, lines)])

    def plot(self, ax: Any = None) -> Any:
        """Draws the memory of each layer's map with matplotlib, and returns the Axes.

        ax: matplotlib's Axes; None: those of a new figure.

        Raises:
            ImportError: matplotlib is not installed.
        """
        return bars([row.name for row in self], [row.own_bytes / 2**20 for row in self], "memory of the map, MiB", ax)

    def _lines(self) -> tuple[list[str], list[list[str]]]:
        """The heads of the columns, and the cells of each row."""
        header = ["layer", "kind", "output", "memory", "parameters", "multiply-adds", "sees", "stride"]
        lines = [
            [
                row.name,
                row.kind,
                _shape(row.output_shape),
                _bytes(row.own_bytes) if row.own_bytes else "in place",
                f"{row.parameters:,}" if row.parameters else "-",
                _millions(row.multiply_adds),
                *(["?", "?"] if row.receptive_field is None else map(_extent, row.receptive_field)),
            ]
            for row in self
        ]
        if self.other_parameters:
            lines.append(["", "in no layer that ran", "", "", f"{self.other_parameters:,}", "-", "", ""])
        return header, lines

    def __str__(self) -> str:
        header, lines = self._lines()
        picture = ["", "picture", _shape(self.input_size), _bytes(self.input_bytes), "-", "-", "1", "1"]
        sums = [_bytes(self.forward_bytes), f"{self.parameters:,}", _millions(self.multiply_adds)]
        total = ["total", "", "", *sums, "", ""]
        widths = [max(len(line[i]) for line in [header, picture, *lines, total]) for i in range(len(header))]

        def aligned(line: Sequence[str]) -> str:
            cells = [
                cell.ljust(w) if i < 3 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
            ]
            return "  ".join(cells).rstrip()

        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        maps, weights = _bytes(self.forward_bytes), _bytes(self.parameter_bytes)
        notes = [
            f"forward, one picture: {maps} of maps, {weights} of parameters",
            f"training, one picture: {_bytes(self.training_bytes)} "
            f"= 2 x {maps} (maps, gradients) + 3 x {weights} (parameters, gradients, momentum)",
        ]
        return "\n".join([aligned(header), rule, *map(aligned, [picture, *lines]), rule, aligned(total), "", *notes])

    __repr__ = __str__


def _shape(size: Sequence[int]) -> str:
    return " x ".join(map(str, size))


def _bytes(n: int) -> str:
    if n < 1024:
        return f"{n} B"
    return f"{n / 1024:,.1f} KiB" if n < 1 << 20 else f"{n / (1 << 20):,.2f} MiB"


def _millions(n: int | None) -> str:
    if n is None:
        return "?"
    if n < 100_000:
        return f"{n / 1e3:,.1f} K" if n else "-"
    return f"{n / 1e6:,.1f} M"


def _extent(value: float | tuple[float, float]) -> str:
    return f"{value[0]:g} x {value[1]:g}" if isinstance(value, tuple) else f"{value:g}"


def summary(model: nn.Module, input_size: Sequence[int]) -> Summary:
    """The table of a network: one row per call of a layer, in forward order (a layer that is called twice has two).

    Layers are the modules that call no other, and those that multiply in their own forward (convolutions by F.conv2d,
    attention). Attention runs step by step, as it does where torch has no fused form of it.

    Args:
        model: any network [N,C,H,W] -> anything; it is run once, in eval mode, and left as it was.
        input_size: (C, H, W) of the image.

    Returns:
        A Summary: a sequence of Rows that prints as a table.

    Raises:
        ValueError: for an input_size that is not three positive integers, or that the network cannot take.
    """
    size = checked_size(input_size)
    model = unwrap(model)
    image = example_image(model, size)
    try:
        with torch.no_grad(), evaluating(model):
            calls = watched(model, image)
    except RuntimeError as error:
        raise ValueError(f"input_size: the network cannot take {size}: {first_line(error)}") from error
    rows: list[Row] = []
    fields = _fields(model, image, size)
    names = {id(module): plain_name(name) for name, module in model.named_modules()}
    counted: set[Tensor] = set()
    for call in calls:
        if call.has_row:
            new = {*own_parameters(call.module), *call.read} - counted
            counted |= new
            name = names[id(call.module)]
            seen = fields.get(name, [])
            # Where the network was followed along another path than it takes, its fields are those of other calls.
            known = len(seen) == sum(other.module is call.module for other in calls)
            rows.append(_row(name, call, sum(p.numel() for p in new), seen[call.number] if known else None))
    return Summary(
        rows,
        size,
        image.nbytes,
        other_parameters=sum(p.numel() for p in model.parameters() if p not in counted),
        parameter_bytes=sum(p.nbytes for p in model.parameters()),
    )


def _fields(model: nn.Module, image: Tensor, size: tuple[int, int, int]) -> dict[str, list[ReceptiveField | None]]:
    try:
        return receptive_fields_of_calls(trace(model, image), size)
    except (ValueError, TypeError):
        return {}  # not a network that can be followed; all other columns hold


def _row(name: str, call: ModuleCall, parameters: int, field: ReceptiveField | None) -> Row:
    shape = call.shapes[0] if call.shapes else ()
    return Row(
        name=name,
        kind=_kind(call.module),
        # An output without a dimension for the batch is shown whole.
        output_shape=shape[1:] if shape[:1] == (1,) else shape,
        activation_bytes=call.output_bytes,
        parameters=parameters,
        multiply_adds=call.multiply_adds,
        receptive_field=None if field is None else Field(_one(field.size), _one(field.stride)),
        own_bytes=call.own_bytes,
    )


def _kind(module: nn.Module) -> str:
    """The name of its class; that of a parametrized module is made up by torch."""
    parametrized = torch.nn.utils.parametrize.is_parametrized(module)
    return (type(module).__bases__[0] if parametrized else type(module)).__name__


_Number = TypeVar("_Number", int, float)


def _one(both: tuple[_Number, _Number]) -> _Number | tuple[_Number, _Number]:
    return both[0] if both[0] == both[1] else both
