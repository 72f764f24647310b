"""Where a model rectifies: the layers whose units are off or on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from zfcuda.network import Network, Node, Ref, trace
from zfcuda.network.calls import torchs
from zfcuda.network.graph import submodules, unwrap

# The lower end of each, by the arguments that follow the input.
_LOWER: dict[str, Callable[..., Any]] = {
    "relu6": lambda inplace=False: 0,
    "hardtanh": lambda min_val=-1.0, max_val=1.0, inplace=False: min_val,
    **dict.fromkeys(("clamp", "clip"), lambda min=None, max=None: min),
    "clamp_min": lambda min: min,
}


def rectified_layers(model: nn.Module) -> list[str]:
    """The layers at which units are off or on, in forward order: a unit is on where its layer's value is above zero.

    That is each ReLU that is a module: ReLU, ReLU6, a Hardtanh from zero. One that is not, as F.relu and clamp(min=0),
    or that is called again later, goes by the layer that it rectifies, whose values are positive where its own are.

    Args:
        model: any module. Of one that cannot be followed without an image, modules alone are found.
    """
    model = unwrap(model)
    try:
        network = trace(model)
    except ValueError:
        return [name for name, module in submodules(model).items() if _is_rectifier(module)]
    names: dict[int, str] = {}
    for name in network.layers:  # a container after what it contains
        names.setdefault(network.names[name], name)
    found = (_name(network, node, names) for node in network.nodes)
    return list(dict.fromkeys(name for name in found if name is not None))


def _is_rectifier(module: nn.Module) -> bool:
    # ReLU6 is a Hardtanh.
    return isinstance(module, nn.ReLU) or (isinstance(module, nn.Hardtanh) and module.min_val == 0)


def _name(network: Network, node: Node, names: dict[int, str]) -> str | None:
    """The layer that tells where a rectifier is on; None for another node, or where there is none."""
    if node.kind == "relu":
        input: Any = node.arguments["input"]
    elif node.kind in ("pointwise", "other"):
        word, function = torchs(node.arguments["function"])
        args, named = node.arguments["args"], dict(node.arguments["kwargs"])
        input = args[0] if args else named.pop("input", None)
        if isinstance(function, nn.Module):
            if not _is_rectifier(function):
                return None
        else:
            try:
                if word not in _LOWER or _LOWER[word](*args[1:], **named) != 0:
                    return None
            except TypeError:  # a form that is not known
                return None
    else:
        return None
    return names.get(node.index) or (names.get(input.index) if isinstance(input, Ref) else None)
