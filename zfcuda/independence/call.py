"""Call: one call of an operator, its arguments by name and its results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from zfcuda.independence.axis import Axis, CoupledError


def name_of(func: Any) -> str:
    """The name of an operator without its overload, "aten::add"."""
    return str(func._schema.name)


def names(text: str) -> list[str]:
    """The names of several operators."""
    return text.split()


class Call:
    """One call of an operator.

    results: what it returned, flat; None and numbers included.
    axis: where the images of a tensor lie; None for a tensor that knows of no images, a constant here.
    """

    def __init__(
        self,
        func: Any,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        results: Sequence[Any],
        axis: Callable[[Any], Axis | None],
    ) -> None:
        self.func, self.results, self.axis = func, results, axis
        self.name = name_of(func)
        given = dict(zip((a.name for a in func._schema.arguments), args, strict=False)) | kwargs
        self.arguments = {a.name: given.get(a.name, a.default_value) for a in func._schema.arguments}

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def get(self, name: str) -> Any:
        return self.arguments.get(name)

    @property
    def first(self) -> Any:
        """The first argument: of most operators, what they work on."""
        return next(iter(self.arguments.values()))

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors among the arguments, those in lists too."""
        found: list[Tensor] = []
        for value in self.arguments.values():
            found += [x for x in (value if isinstance(value, list | tuple) else [value]) if isinstance(x, Tensor)]
        return found

    @property
    def written(self) -> Tensor | None:
        """The tensor that it writes to."""
        written = [
            self.arguments.get(a.name)
            for a in self.func._schema.arguments
            if a.alias_info is not None and a.alias_info.is_write
        ]
        tensors = [x for x in written if isinstance(x, Tensor)]
        if len(tensors) > 1 or any(isinstance(x, list | tuple) for x in written):
            raise CoupledError(f"its forward writes to several tensors at once ({self.name})")
        return tensors[0] if tensors else None

    def of(self, x: Any) -> Axis:
        """The axis of a tensor that has to have one."""
        axis = self.axis(x)
        if axis is None:
            raise CoupledError("takes the images where it wants a constant, or the other way round")
        return axis

    def constant(self, *tensors: Any) -> None:
        """Refuses tensors that depend on the images."""
        if any(isinstance(x, Tensor) and self.axis(x) is not None for x in tensors):
            raise CoupledError("takes the images where it wants a constant")

    def alike(self, tensors: Sequence[Any]) -> Axis:
        """The axis that all these tensors have, of as many dimensions each; constants are the same for all images."""
        axes = {axis for x in tensors if (axis := self.axis(x)) is not None}
        if len(axes) != 1:
            raise CoupledError("brings different images together")
        axis = axes.pop()
        for x in tensors:
            if self.axis(x) is None and not (x.dim() > axis.dim and axis.same_for_all(x)):
                raise CoupledError("brings in a tensor of its own that differs from image to image")
        return axis

    def aligned(self, tensors: Sequence[Tensor], dims: int) -> Axis:
        """The axis of a result of so many dimensions that tensors are broadcast to."""
        found = {axis.at(dims - x.dim() + axis.dim): None for x in tensors if (axis := self.axis(x)) is not None}
        if len(found) != 1:
            raise CoupledError("brings different images together")
        axis = next(iter(found))
        for x in tensors:
            dim = axis.dim - (dims - x.dim())
            if self.axis(x) is None and dim >= 0 and not axis.at(dim).same_for_all(x):
                raise CoupledError("brings in a tensor of its own that differs from image to image")
            if self.axis(x) is None and dim >= 0 and x.shape[dim] not in (1, axis.size):
                raise CoupledError("brings in a tensor that does not fit")
        return axis

    def dims(self, name: str, of: Tensor) -> set[int]:
        """The dimensions that an argument names; none named: all."""
        value = self.arguments.get(name)
        numbers = [value] if isinstance(value, int) else list(value or range(of.dim()))
        return {d % max(1, of.dim()) for d in numbers}
