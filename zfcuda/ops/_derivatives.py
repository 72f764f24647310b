"""How the operators are differentiated: backwards, forwards, and by torch.func's transforms."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch._functorch.utils import enable_single_level_autograd_function
from torch.autograd import forward_ad
from torch.autograd.function import _SingleLevelFunction

from zfcuda.ops._common import kernels

_library = torch.library.Library("zfcuda", "FRAGMENT")


def differentiable(
    name: str,
    *,
    save: Callable[..., None],
    backward: Callable[..., Any],
    forward: Callable[..., Any],
    asked: Callable[..., Any] = lambda *args: args,
) -> None:
    """Gives an operator its derivatives, as torch's own have them: in both directions, and under torch.func.

    torch.library.register_autograd knows the way back alone. Where nothing is differentiated, a call goes straight on
    to its kernel (see csrc/zfcuda.cpp), without Python.

    Args:
        name: the operator's.
        save: (ctx, arguments, output), keeps what the derivatives need.
        backward: (ctx, *gradients of the outputs) -> the gradient of each argument, None where there is none.
        forward: (ctx, what was saved, *tangents of the arguments, None where there is none) -> that of each output.
        asked: (*arguments) -> those with which the outputs are computed, where a derivative needs others.
    """
    operator = getattr(kernels, name).default
    defaults = tuple(a.default_value for a in operator._schema.arguments)
    below = torch._C._after_autograd_keyset

    def run(ctx: Any, keys: Any, *args: Any) -> Any:
        args = asked(*args)
        with ExitStack() as modes:
            if torch._C._are_functorch_transforms_active():
                # A Function turns both off, and the transform around this one is still to come.
                modes.enter_context(torch.enable_grad())
                modes.enter_context(forward_ad._set_fwd_grad_enabled(True))
            modes.enter_context(torch._C._AutoDispatchBelowAutograd())
            output = operator.redispatch(keys & below, *args)
        save(ctx, args, output)
        return output

    def go_back(ctx: Any, *grads: Any) -> Any:
        return None, *backward(ctx, *grads)

    def go_on(ctx: Any, _: None, *tangents: Any) -> Any:
        # A Function turns forward mode off here as well, and so would lose what a transform around this one follows.
        with forward_ad._set_fwd_grad_enabled(True):
            saved = [None if x is None else forward_ad.unpack_dual(x, level=0).primal for x in ctx.saved_tensors]
            return forward(ctx, saved, *tangents)

    # Not an autograd.Function: torch.func's transforms come here one at a time, each with tensors of its own.
    members = {"forward": staticmethod(run), "backward": staticmethod(go_back), "jvp": staticmethod(go_on)}
    function: Any = type(f"Derivatives_{name}", (_SingleLevelFunction,), members)

    def differentiate(keys: Any, *args: Any) -> Any:
        args += defaults[len(args) :]  # the dispatcher leaves out what is the default
        transformed = torch._C._are_functorch_transforms_active()
        with enable_single_level_autograd_function() if transformed else nullcontext():
            return function.apply(keys, *args)

    twin = f"{name}_differentiated"
    _library.define(str(operator._schema).removeprefix("zfcuda::").replace(name, twin, 1))
    _library.impl(twin, differentiate, "Autograd", with_keyset=True)


def batched(name: str) -> None:
    """Makes torch.vmap's dimension of an operator on [N,...] one with N, for one call of the kernel."""
    operator = getattr(kernels, name).default

    def run(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[Any, Any]:
        size = info.batch_size

        def joined(x: Any, dim: Any) -> Any:
            if not isinstance(x, Tensor):
                return x
            return (x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)).flatten(0, 1)

        result = operator(*map(joined, args, in_dims))
        outputs = result if isinstance(result, tuple) else (result,)
        # Without elements: the place of an output that was not asked for.
        split = tuple(x.unflatten(0, (size, x.shape[0] // size)) if x.dim() > 1 else x for x in outputs)
        dims = tuple(0 if x.dim() > 1 else None for x in outputs)
        return (split, dims) if isinstance(result, tuple) else (split[0], dims[0])

    torch.library.register_vmap(f"zfcuda::{name}", run, lib=_library)
