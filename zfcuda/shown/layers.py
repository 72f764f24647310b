"""Results by the names of layers, as a dict that shows each of them."""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from typing import Any, TypeVar

from torch.utils import _pytree as pytree

from zfcuda.shown.page import page, text

V = TypeVar("V")
_FEW = 2  # layers that are shown; of the others the names


class LayerDict(dict[str, V]):
    """A dict by the names of layers. Copies, and what is read from a file that it was written to, are plain dicts."""

    def _repr_html_(self) -> str:
        shown: Any = islice(self.values(), _FEW)  # all of them are Displayed, though a tensor's type does not tell
        parts = [page(value, value.display, _FEW) for value in shown]
        more = len(self) - len(parts)
        if more > 0:
            parts.append(f"<div>and {more:,} more: {text(', '.join(list(self)[_FEW:]))}</div>")
        return "".join(parts) or "<pre>{}</pre>"

    def __copy__(self) -> dict[str, V]:
        return dict(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, V]:
        import copy

        return copy.deepcopy(dict(self), memo)

    def __reduce__(self) -> Any:
        # Of what can be built without naming a class of this package, torch.load(weights_only=True) knows this one.
        return OrderedDict, (), None, None, iter(self.items())

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__reduce__()


# torch's functions look into dicts, and leave classes that they do not know as they are.
pytree.register_pytree_node(
    LayerDict,
    lambda layers: (list(layers.values()), list(layers)),
    lambda values, names: dict(zip(names, values, strict=True)),
    serialized_type_name="zfcuda.LayerDict",
)
