"""The table of a network: shapes, memory, parameters, multiply-adds, receptive fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from zfcuda.models.architectures.local import LocallyConnected2d
from zfcuda.models.checks import checked_size
from zfcuda.network import evaluating, receptive_fields, trace
from zfcuda.network.example import example_image
from zfcuda.network.graph import first_line, plain_name, unwrap
from zfcuda.network.intact import Watching


class Field(NamedTuple):
    """What a unit sees, in pixels; int, or (rows, columns) where they differ."""

    size: int | tuple[int, int]
    stride: int | tuple[int, int]


@dataclass(frozen=True)
class Row:
    """One leaf layer, for a batch of one.

    Attributes:
        name: its dotted name. kind: its class.
        output_shape: the shape of its output, without the batch.
        activation_bytes: the bytes of its output.
        parameters: how many; a later call of the same layer, or one that shares weights, adds none.
        multiply_adds: those of convolutions, locally connected and linear layers; 0 for all others.
        receptive_field: (size, stride) in pixels; None where the network cannot be followed that far.
        own_bytes: activation_bytes, or 0 where the output lies in its input's memory (in-place ReLU, flattening).
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    activation_bytes: int
    parameters: int
    multiply_adds: int
    receptive_field: Field | None
    own_bytes: int = 0


class Summary(Sequence[Row]):
    """Rows in forward order; prints as a table with the totals below.

    Memory is counted as in the CS231n notes, for one image, and is the least that keeping everything takes:
    forward_bytes: the image and every layer's map, once each.
    training_bytes: all those maps and their gradients, and parameters three times: weight, gradient and momentum.
    What is alive at once in a real run is another number, less forward and seldom as much in training:
    zfcuda.models.memory_need counts it. Sums, concatenations and functions in a model's forward are no layers and have
    no row; in eval mode dropout makes no map.

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
    def multiply_adds(self) -> int:
        return sum(row.multiply_adds for row in self)

    @property
    def forward_bytes(self) -> int:
        """The bytes of the image and of every map that has memory of its own."""
        return self.input_bytes + sum(row.own_bytes for row in self)

    @property
    def training_bytes(self) -> int:
        """The bytes of maps and their gradients; of weights, their gradients and their momentum."""
        return 2 * self.forward_bytes + 3 * self.parameter_bytes

    def __str__(self) -> str:
        header = ["layer", "kind", "output", "memory", "parameters", "multiply-adds", "sees", "stride"]
        picture = ["", "picture", _shape(self.input_size), _bytes(self.input_bytes), "-", "-", "1", "1"]
        lines = [
            [
                row.name,
                row.kind,
                _shape(row.output_shape),
                _bytes(row.own_bytes) if row.own_bytes else "in place",
                f"{row.parameters:,}" if row.parameters else "-",
                _millions(row.multiply_adds),
                *(["-", "-"] if row.receptive_field is None else map(_extent, row.receptive_field)),
            ]
            for row in self
        ]
        if self.other_parameters:
            lines.append(["", "in no layer that ran", "", "", f"{self.other_parameters:,}", "-", "", ""])
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


def _millions(n: int) -> str:
    if n < 100_000:
        return f"{n / 1e3:,.1f} K" if n else "-"
    return f"{n / 1e6:,.1f} M"


def _extent(value: int | tuple[int, int]) -> str:
    return str(value) if isinstance(value, int) else f"{value[0]} x {value[1]}"


def summary(model: nn.Module, input_size: Sequence[int]) -> Summary:
    """The table of a network: one row per leaf layer, in forward order (a layer that is called twice has two rows).

    Args:
        model: any network [N,C,H,W] -> anything; it is run once, in eval mode, and left as it was.
        input_size: (C, H, W) of the image.

    Returns:
        A Summary: a sequence of Rows that prints as a table.

    Raises:
        ValueError: for an input_size that is not three positive integers, or that the network cannot take; for a
            model that is compiled by torch.jit.
    """
    size = checked_size(input_size)
    model = unwrap(model)
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise ValueError(f"model: {type(model).__name__} is compiled by torch.jit; pass the module that it was made of")
    image = example_image(model, size)
    try:
        fields: dict[str, Any] = dict(receptive_fields(trace(model, image), size))
    except (ValueError, TypeError):
        fields = {}  # not a network that can be followed; all other columns hold
    rows: list[Row] = []
    names = {module: plain_name(name) for name, module in model.named_modules()}
    counted: set[Tensor] = set()

    def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor):
            new = set(module.parameters()) - counted
            counted.update(new)
            rows.append(_row(names[module], module, inputs, output, sum(p.numel() for p in new), fields))

    leaves = [m for m in model.modules() if not any(True for _ in m.children())]
    with Watching(model) as watching, torch.no_grad(), evaluating(model):
        for module in leaves:
            watching.add(module, note)
        try:
            model(image)
        except RuntimeError as error:
            raise ValueError(f"input_size: the network cannot take {size}: {first_line(error)}") from error
    return Summary(
        rows,
        size,
        image.nbytes,
        other_parameters=sum(p.numel() for p in model.parameters() if p not in counted),
        parameter_bytes=sum(p.nbytes for p in model.parameters()),
    )


def _row(
    name: str, module: nn.Module, inputs: tuple[Any, ...], output: Tensor, parameters: int, fields: dict[str, Any]
) -> Row:
    field = fields.get(name)
    shares = any(isinstance(x, Tensor) and _storage(x) == _storage(output) for x in tree_leaves(inputs))
    return Row(
        name=name,
        kind=type(module).__name__,
        output_shape=tuple(output.shape[1:]),
        activation_bytes=output.nbytes,
        parameters=parameters,
        multiply_adds=_multiply_adds(module, inputs, output),
        receptive_field=None if field is None else Field(_one(field.size), _one(field.stride)),
        own_bytes=0 if shares else output.nbytes,
    )


def _storage(x: Tensor) -> int:
    return x.untyped_storage().data_ptr()


def _one(both: tuple[int, int]) -> int | tuple[int, int]:
    return both[0] if both[0] == both[1] else both


def _multiply_adds(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> int:
    """A transposed convolution multiplies each input with each of its weights, all others each output."""
    if isinstance(module, nn.ConvTranspose2d):
        return inputs[0].numel() * module.weight[0].numel()
    if isinstance(module, nn.Conv2d | nn.Linear):
        return output.numel() * module.weight[0].numel()
    if isinstance(module, LocallyConnected2d):
        return output.numel() * module.weight[0, 0, 0].numel()
    return 0
