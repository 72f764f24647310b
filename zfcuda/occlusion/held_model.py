"""Whether a model is as it was: its tensors and their numbers, its modules, their settings and hooks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

# Tables of a module, whose entries are looked at one by one.
_TABLES = ("_parameters", "_buffers", "_modules", "_forward_hooks", "_forward_pre_hooks")
# What forwards count, and what torch sets.
_IGNORED = frozenset(("training", "call_super_init"))


class ModelState:
    """What a model was like at one moment, quickly compared with what it is like now.

    It tells other tensors, those written to since, other modules, settings and hooks. It does not tell what was changed
    inside of a plain object, a list or a dict that a module holds, nor numbers written to a tensor of inference mode or
    behind torch's back (through NumPy, `.data`).
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.model, self.device = model, device
        self.seen = list(self._now())

    def holds(self) -> bool:
        """Whether the model is still as it was."""
        return len(self.seen) == sum(1 for _ in self._now()) and all(map(_same, self.seen, self._now()))

    def _now(self) -> Iterator[Any]:
        yield torch.is_autocast_enabled(self.device.type)
        yield torch.get_autocast_dtype(self.device.type)
        for module in self.model.modules():
            for name, value in vars(module).items():
                if name in _TABLES:
                    for item in value.values():
                        yield item
                        if isinstance(item, Tensor) and not item.is_inference():
                            yield item._version
                elif name not in _IGNORED:
                    yield value


def _same(before: Any, now: Any) -> bool:
    return before is now or (isinstance(before, int | float | str) and type(before) is type(now) and before == now)
