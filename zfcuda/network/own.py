"""What the model itself gives for a layer, which a Network's value is held against.

A Network does not run the user's hooks, and may have missed what changes a value outside of the layers: a method that
was replaced, a write that cannot be followed.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.network.graph import Network, first_line, plain_name, submodules
from zfcuda.network.hooks import hooked
from zfcuda.network.intact import Watching, evaluating, restoring
from zfcuda.network.rounding import rounding


class _Reached(BaseException):
    """Ends a run at a layer; no model catches it as an error."""


def own_value(network: Network, image: Tensor, layer: str) -> Tensor | Exception:
    """Runs the model up to a layer. Returns a copy of what that gave in its last call, or the error if it fails before.

    The run ends at the layer, and what it left half done on the modules is undone; only with hooks it goes on to the
    end and comes before the Network's own, because those of torch.nn.utils.weight_norm and spectral_norm renew the
    weights. What fails behind the layer does not matter: a classifier may not fit an image of this size.

    image: [N,C,H,W].

    Raises:
        ValueError: the image is not of the shape that the network holds for.
    """
    network.check(image.shape)
    model, layer = network.model, network.own_name(layer)
    seen: list[Tensor] = []
    hooks = bool(hooked(model))
    target = submodules(model)[layer] if layer else model
    first = next(plain_name(name) for name, module in model.named_modules() if module is target)
    left = 0 if hooks else sum(name == first for name, _ in network.calls)
    undoing = nullcontext() if hooks else restoring(model)
    failure: Exception = RuntimeError("the layer gave no tensor")

    def keep(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal left
        left -= 1
        if isinstance(output, Tensor):
            seen[:] = [output.detach().clone()]  # before anything overwrites it
        if not left:
            raise _Reached

    with Watching(model) as watching, evaluating(model), undoing, torch.no_grad():
        watching.add(target, keep)
        try:
            model(image.clone())
        except _Reached:
            pass
        except Exception as error:
            if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error):
                raise
            failure = error
    return seen[0] if seen else failure


def off(value: Tensor, own: Tensor | Exception) -> Tensor:
    """Whether a layer's value [N,...] in the Network is not the model's own, for any image: bool []. Waits for no GPU.

    Where torch has no kernel for the model in its dtype there is nothing to hold the value against.
    """
    if isinstance(own, Exception):
        return torch.tensor(not isinstance(own, NotImplementedError))
    if value.shape != own.shape or not own.is_floating_point():
        return torch.ones((), dtype=torch.bool, device=value.device)
    eps = max(torch.finfo(value.dtype).eps, torch.finfo(own.dtype).eps)
    tolerance = max(3 * eps**0.5, rounding(value.device, value.dtype) ** 0.5)
    wide = torch.promote_types(torch.promote_types(value.dtype, own.dtype), torch.float32)
    value, own = value.to(wide), own.to(value.device, wide)
    largest = own.abs().flatten(1).amax(1) if own.numel() else own.new_zeros(len(own))  # of each image
    largest = largest.view(-1, *[1] * (own.ndim - 1))
    return ~((value - own).abs() <= tolerance * largest).all()  # NaN is off too


def refuse_if_off(is_off: Tensor, network: Network, layer: str, own: Tensor | Exception | None = None) -> None:
    """Refuses a layer whose value is not the model's own. is_off: from off(); own: what it was held against.

    Raises:
        ValueError: it is not.
    """
    if not is_off:
        return
    if isinstance(own, Exception):
        raise ValueError(f"model: it fails before it gives {layer!r}: {first_line(own)}") from own
    owners = hooked(network.model)
    if owners:
        raise ValueError(f"model: a hook changes what {layer!r} gives (there are hooks on {', '.join(owners)})")
    raise ValueError(
        f"model: what {type(network.model).__name__} itself gives for {layer!r} is not what its layers compute: "
        "something outside of them changes it, or it is random"
    )
