"""The table of a network: shapes, memory, parameters, multiply-adds, receptive fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

import torch
from torch import Tensor, nn

from zfcuda.network import evaluating, receptive_fields


class Field(NamedTuple):
    """What a unit sees, in pixels; int, or (rows, columns) where they differ."""

    size: int | tuple[int, int]
    stride: int | tuple[int, int]


@dataclass(frozen=True)
class Row:
    """One leaf layer, for a batch of one.

    Attributes:
        name: its dotted name. kind: its class.
        output_shape: of its output, without the batch.
        activation_bytes: of its output.
        parameters: how many.
        multiply_adds: of convolutions and linear layers; 0 for all others.
        receptive_field: (size, stride) in pixels; None where the network cannot be followed that far.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    activation_bytes: int
    parameters: int
    multiply_adds: int
    receptive_field: Field | None


class Summary(Sequence[Row]):
    """Rows in forward order; prints as a table with the totals below."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = tuple(rows)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Summary: ...
    def __getitem__(self, index: int | slice) -> Row | Summary:
        return Summary(self._rows[index]) if isinstance(index, slice) else self._rows[index]

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    @property
    def activation_bytes(self) -> int:
        """Of all layers' outputs together."""
        return sum(row.activation_bytes for row in self)

    @property
    def parameters(self) -> int:
        return sum(row.parameters for row in self)

    @property
    def multiply_adds(self) -> int:
        return sum(row.multiply_adds for row in self)

    def __str__(self) -> str:
        header = ["layer", "kind", "output", "memory", "parameters", "multiply-adds", "sees", "stride"]
        lines = [
            [
                row.name, row.kind, " x ".join(map(str, row.output_shape)), _bytes(row.activation_bytes),
                f"{row.parameters:,}", _millions(row.multiply_adds),
                *(["-", "-"] if row.receptive_field is None else map(_extent, row.receptive_field)),
            ]
            for row in self
        ]  # fmt: skip
        total = [
            "total",
            "",
            "",
            _bytes(self.activation_bytes),
            f"{self.parameters:,}",
            _millions(self.multiply_adds),
            "",
            "",
        ]
        widths = [max(len(line[i]) for line in [header, *lines, total]) for i in range(len(header))]

        def aligned(line: Sequence[str]) -> str:
            cells = [
                cell.ljust(w) if i < 3 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
            ]
            return "  ".join(cells).rstrip()

        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        return "\n".join([aligned(header), rule, *map(aligned, lines), rule, aligned(total)])

    __repr__ = __str__


def _bytes(n: int) -> str:
    return f"{n / 1024:,.1f} KiB" if n < 1 << 20 else f"{n / (1 << 20):,.2f} MiB"


def _millions(n: int) -> str:
    return f"{n / 1e6:,.1f} M" if n else "-"


def _extent(value: int | tuple[int, int]) -> str:
    return str(value) if isinstance(value, int) else f"{value[0]} x {value[1]}"


def summary(model: nn.Module, input_size: Sequence[int]) -> Summary:
    """The table of a network: one row per leaf layer, in forward order (a layer that is called twice has two rows).

    Args:
        model: any network [N,C,H,W] -> anything; it is run once, in eval mode, and left as it was.
        input_size: (C, H, W) of the picture.

    Returns:
        A Summary: a sequence of Rows that prints as a table.

    Raises:
        ValueError: for an input_size that is not three positive integers, or that the network cannot take.
    """
    size = tuple(input_size)
    if len(size) != 3 or not all(isinstance(n, int) and n > 0 for n in size):
        raise ValueError(f"input_size: expected (C, H, W), got {input_size!r}")
    model = getattr(model, "_orig_mod", model)
    weight = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    try:
        fields: dict[str, Any] = dict(receptive_fields(model, size))
    except (ValueError, TypeError):
        fields = {}  # not a network that can be followed; all other columns hold
    rows: list[Row] = []
    names = {module: name for name, module in model.named_modules()}

    def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor):
            rows.append(_row(names[module], module, inputs, output, fields))

    leaves = [m for m in model.modules() if not any(True for _ in m.children())]
    handles = [module.register_forward_hook(note) for module in leaves]
    try:
        with torch.inference_mode(), evaluating(model):
            model(torch.zeros(1, *size, dtype=weight.dtype, device=weight.device))
    except RuntimeError as error:
        raise ValueError(f"input_size: the network cannot take {size}: {str(error).splitlines()[0]}") from error
    finally:
        for handle in handles:
            handle.remove()
    return Summary(rows)


def _row(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Tensor, fields: dict[str, Any]) -> Row:
    field = fields.get(name)
    return Row(
        name=name,
        kind=type(module).__name__,
        output_shape=tuple(output.shape[1:]),
        activation_bytes=output.numel() * output.element_size(),
        parameters=sum(p.numel() for p in module.parameters()),
        multiply_adds=_multiply_adds(module, inputs, output),
        receptive_field=None if field is None else Field(_one(field.size), _one(field.stride)),
    )


def _one(both: tuple[int, int]) -> int | tuple[int, int]:
    return both[0] if both[0] == both[1] else both


def _multiply_adds(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> int:
    """A transposed convolution multiplies each input with each of its weights, all others each output."""
    if isinstance(module, nn.ConvTranspose2d):
        return inputs[0].numel() * module.weight[0].numel()
    if isinstance(module, nn.Conv2d | nn.Linear):
        return output.numel() * module.weight[0].numel()
    return 0
