"""What one forward of a model takes in memory, counted op by op, whether modules or functions run them."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class Taken(NamedTuple):
    """What a forward takes, in bytes: see ForwardMemory."""

    peak: int
    step: int
    written: int


class ForwardMemory(TorchDispatchMode):
    """Counts the tensors that are made while this is entered. What ops take within themselves is not seen.

    image: the input of the forward, which counts as made.

    Attributes:
        peak: bytes of the tensors that are alive at once, at most.
        step: bytes that the largest op reads of them and writes.
        written: bytes of all that ops write: what a forward that overwrites nothing and keeps all its maps takes.
    """

    supports_higher_order_operators = True

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.peak = self.step = self.written = self._total = 0
        self._alive: dict[int, Any] = {}  # address of a storage -> a weak reference to it
        self._add(image.untyped_storage())

    @property
    def taken(self) -> Taken:
        """What was counted so far."""
        return Taken(self.peak, self.step, self.written)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: what torch wraps this in else would import torch._dynamo, a second and 70 MiB."""
        return False

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        read = {s._cdata: s.nbytes() for s in _storages((*args, *kwargs.values()))}
        made = {s._cdata: s for s in _storages((result,)) if s._cdata not in read}  # no views
        # The model's own tensors do not count: they are there once for all images.
        step = sum(size for address, size in read.items() if address in self._alive)
        new = sum(s.nbytes() for s in made.values())
        self.step = max(self.step, step + new + _columns(func, args, result))
        self.written += new or _overwritten(func, result)
        for storage in made.values():
            if storage._cdata not in self._alive:  # a view of what the model keeps to itself
                self._add(storage)
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        address, size = storage._cdata, storage.nbytes()

        def freed(_: Any) -> None:
            del self._alive[address]
            self._total -= size

        # Not torch's own StorageWeakRef, which keeps a part of the storage: malloc could not join free memory there.
        self._alive[address] = weakref.ref(storage, freed)
        self._total += size
        self.peak = max(self.peak, self._total)


def _storages(values: Iterable[Any]) -> Iterator[torch.UntypedStorage]:
    for value in values:
        if isinstance(value, Tensor):
            try:
                yield value.untyped_storage()
            except (NotImplementedError, RuntimeError):  # sparse, of oneDNN, and the like
                continue
        elif isinstance(value, tuple | list):
            yield from _storages(value)


def _overwritten(func: Any, result: Any) -> int:
    """Bytes of the tensor that an op in place returns."""
    schema = getattr(func, "_schema", None)
    return result.numel() * result.element_size() if isinstance(result, Tensor) and schema and schema.is_mutable else 0


def _columns(func: Any, args: tuple[Any, ...], result: Any) -> int:
    """Bytes of the unfolded image that a convolution in float64 makes on a CPU."""
    if not isinstance(result, Tensor) or result.dtype != torch.float64 or result.device.type != "cpu":
        return 0
    weight = args[1] if len(args) > 1 else None
    if not getattr(func, "__name__", "").startswith("conv") or not isinstance(weight, Tensor) or result.dim() < 3:
        return 0
    return result.numel() // max(1, result.shape[1]) * weight[0].numel() * result.element_size()
