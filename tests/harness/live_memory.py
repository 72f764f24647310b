"""How much memory tensors take at once, whoever makes them."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveMemory(TorchDispatchMode):
    """Counts the memory of the tensors that ops give while this is entered.

    alive: bytes now. peak: the most there were at once.
    """

    def __init__(self, *known: Tensor) -> None:
        """known: tensors whose memory does not count."""
        super().__init__()
        self.alive = self.peak = 0
        self.seen = {t.untyped_storage().data_ptr() for t in known}
        self.refs: dict[int, Any] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False, or torch imports torch._dynamo for it."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor) and value.layout is torch.strided:
                self.count(value.untyped_storage())
        return result

    def count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self.refs or storage.data_ptr() in self.seen:
            return

        def freed(_: Any) -> None:
            self.alive -= size
            del self.refs[key]

        self.refs[key] = weakref.ref(storage, freed)
        self.alive += size
        self.peak = max(self.peak, self.alive)
