"""A tensor that shows itself in a notebook, and is a tensor like any other in all else."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.shown.display import Display
from zfcuda.shown.displayed import Displayed

#: What there is to see of a tensor. It is kept as long as the tensor is, and so must hold no model.
How = Callable[[Tensor], Display]


class ShownTensor(Displayed, Tensor):
    """A Tensor that a method returned, with how it is drawn.

    What is computed of it is a plain Tensor, and so is a copy, or what is read from a file that it was written to. It
    stays what it is only where the values do: detach(), to() and contiguous() without effect, nn.Parameter().

    torch's dispatch modes that take no subclass at all (make_fx, the backend "aot_eager") want a `clone()` of it.
    """

    # As nn.Parameter has it: operations neither look at the class nor give it on, and take no longer.
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]
    how: How

    def display(self) -> Display:
        """What there is to see of it."""
        return self.how(plain(self).detach())

    def detach(self) -> Tensor:
        """The same values without their history, drawn the same way; nn.Parameter asks for that."""
        return shown(plain(self).detach(), self.how)

    def __repr__(self, **how: Any) -> str:  # type: ignore[override]
        return str(plain(self).__repr__(**how))

    def __format__(self, spec: str) -> str:
        return format(plain(self), spec)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._bare().__reduce_ex__(protocol)

    def __deepcopy__(self, memo: Any) -> Tensor:
        return copy.deepcopy(self._bare(), memo)

    def _bare(self) -> Tensor:
        """The tensor without how it is drawn; a parameter where it has become one."""
        return nn.Parameter(plain(self).detach(), self.requires_grad) if isinstance(self, nn.Parameter) else plain(self)


def shown(tensor: Tensor, how: How) -> Tensor:
    """The tensor, in the same memory and with the same history, so that it shows itself.

    Stand-ins, of which nothing is known while a function is transformed or followed, stay as they are.
    """
    if type(tensor) is not Tensor:
        return tensor
    result = tensor.as_subclass(ShownTensor)
    result.how = how
    return result


def plain(tensor: Tensor) -> Tensor:
    """The same tensor as torch makes it; all but those shown stay as they are."""
    return tensor.as_subclass(Tensor) if isinstance(tensor, ShownTensor) else tensor
