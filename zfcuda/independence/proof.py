"""The proof: a forward on a batch without numbers, in which every tensor knows where its images lie."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch._prims_common import suggest_memory_format
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import _disable_current_modes

from zfcuda.independence.axis import IMAGES, Axis, CoupledError
from zfcuda.independence.call import Call, name_of
from zfcuda.independence.operators import axes_of, made_from_nothing


def coupling(function: Callable[..., Any], examples: Sequence[Tensor]) -> str | None:
    """Says what a function couples the images of a batch by; None: it is proven that it does not.

    The function runs once, on stand-ins that have shapes and no numbers, so that this takes milliseconds. They look
    like ordinary tensors to it, and an attempt to read their numbers, as in `if x.max() > 1`, counts as coupling.

    Args:
        function: of as many tensors as there are examples; a Tensor or a nest of them, each with the images along
            dimension 0.
        examples: [n,...] each, of which the function is called with several copies one behind the other, [copies * n,
            ...]: it is asked whether the copies are independent of one another. Only their shapes, dtypes and devices
            are used.
    """
    run = _Run()
    try:
        # Without the modes of others, who count operations, say, and would count these.
        # In inference mode torch would not take operators like conv2d apart.
        # Where nothing was compiled yet, what compiles is not even imported, which takes seconds.
        eager: AbstractContextManager[Any] = nullcontext()
        if "torch._dynamo" in sys.modules:
            eager = torch.compiler.set_stance("force_eager")
        with torch.inference_mode(False), torch.no_grad(), eager, _disable_current_modes():
            outputs = function(*(run.stand_in(example) for example in examples))
        tensors = [x for x in pytree.tree_leaves(outputs) if isinstance(x, Tensor)]
        if not tensors:
            return "it returns no tensors"
        for tensor in tensors:
            if not isinstance(tensor, StandIn) or tensor.axis is None:
                return run.first or "what it returns is not followed back to the images"
            if tensor.axis != Axis(0, 1, max(1, len(examples[0]))):
                return "the images do not lie along the first dimension of what it returns"
    except CoupledError as error:
        return str(error)
    except Exception as error:  # whatever a forward may raise on a stand-in
        return f"its forward could not be followed ({(str(error).strip() or type(error).__name__).splitlines()[0]})"
    finally:
        run.over = True
    return None


class _Run:
    """One proof. first: the first coupling that was met. over: afterwards nothing may use its stand-ins."""

    def __init__(self) -> None:
        self.first: str | None = None
        self.over = False

    def stand_in(self, example: Tensor) -> Tensor:
        shape = (len(example) * IMAGES, *example.shape[1:])
        numberless = torch.empty(shape, dtype=example.dtype, device="meta")
        if example.dim() == 4:
            numberless = numberless.contiguous(memory_format=suggest_memory_format(example))
        return StandIn(numberless, Axis(0, 1, max(1, len(example))), example.device, self)


class StandIn(Tensor):
    """Looks like a tensor on its device; holds one on the meta device, and where its images lie: None: all are mixed.

    Views do not know of one another: a value is never mixed by a write, since that ends the proof.
    """

    axis: Axis | None
    numberless: Tensor
    run: _Run
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, numberless: Tensor, axis: Axis | None, device: torch.device, run: _Run) -> StandIn:
        result: StandIn = Tensor._make_wrapper_subclass(
            cls, numberless.shape, strides=numberless.stride(), dtype=numberless.dtype, device=device
        )
        result.numberless, result.axis, result.run = numberless, axis, run
        torch._C._set_throw_on_mutable_data_ptr(result)  # for functions in C++ that torch does not dispatch
        return result

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"StandIn({list(self.shape)}, {self.axis})"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        leaves = pytree.tree_leaves((args, kwargs))
        inputs = [x for x in leaves if isinstance(x, StandIn)]
        run = inputs[0].run
        if run.over:
            raise RuntimeError("model: it has kept a stand-in from the look at whether it mixes the images of a batch")
        name = name_of(func)
        if name in _ASKS_FOR_NUMBERS:
            raise CoupledError(f"its forward reads numbers of the whole batch ({name.split('::')[1]})")
        if name == "aten::_fused_sdp_choice":
            return 0  # attention in its plain operators
        plain = made_from_nothing(func, args, kwargs, inputs[0].device)
        if plain is not None:
            return plain
        device = kwargs.get("device") or inputs[0].device
        outputs = _like_the_first(name, args, kwargs)
        if outputs is None:
            with torch._C._AutoDispatchBelowAutograd():
                outputs = func(*pytree.tree_map(_numberless, args), **pytree.tree_map(_numberless, _on_meta(kwargs)))
        results, structure = pytree.tree_flatten(outputs)
        call = Call(func, args, kwargs, results, lambda x: x.axis if isinstance(x, StandIn) else None)
        axes: Sequence[Axis | None] = [None] * len(results)
        try:
            if all(x.axis is not None for x in inputs):
                axes = axes_of(call)
        except CoupledError as error:
            run.first = run.first or f"{name.split('::')[1]} {error}"
        written = call.written
        if written is not None:
            if not isinstance(written, StandIn):
                raise CoupledError(f"its forward writes what it computed into a tensor of its own ({name})")
            if written.axis is None or list(axes) != [written.axis] * len(results):
                raise CoupledError(run.first or f"{name} writes values of other images")
            return written
        wrapped = [
            StandIn(value, axis, torch.device(device), run) if isinstance(value, Tensor) else value
            for value, axis in zip(results, axes, strict=True)
        ]
        return pytree.tree_unflatten(wrapped, structure)


_ASKS_FOR_NUMBERS = frozenset({"aten::_local_scalar_dense", "aten::is_nonzero", "aten::equal", "aten::item"})


# What gives a tensor like its first argument: torch takes a tenth of a millisecond to find that out.
_LIKE_THE_FIRST = frozenset(
    f"aten::{name}{end}"
    for name in ["relu", "add", "mul", "sub", "div", "sigmoid", "silu", "hardtanh", "hardsigmoid", "hardswish"]
    for end in ("", "_")
)
_NORMALISED = frozenset({"aten::native_batch_norm", "aten::_native_batch_norm_legit_no_training"})


def _like_the_first(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The numberless result of the commonest operators; None for any other, and for forms that are not plain."""
    if name == "aten::addmm" and not kwargs:
        return torch.empty(args[1].shape[0], args[2].shape[1], dtype=args[1].dtype, device="meta")
    x = args[0]
    if name == "aten::_transformer_encoder_layer_fwd":  # torch 2.11 has no form of it for tensors without numbers
        return torch.empty_like(x.numberless) if isinstance(x, StandIn) else None
    if name not in _LIKE_THE_FIRST and name not in _NORMALISED:
        return None
    if kwargs or not isinstance(x, StandIn) or not x.is_floating_point():
        return None
    if name in _NORMALISED:
        none = torch.empty(0, device="meta")
        return (torch.empty_like(x.numberless), none, none)
    for other in args[1:]:
        if isinstance(other, Tensor) and (other.dtype != x.dtype or other.shape != x.shape):
            return None
    return torch.empty_like(x.numberless)


def _numberless(x: Any) -> Any:
    if isinstance(x, StandIn):
        return x.numberless
    return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="meta") if isinstance(x, Tensor) else x


def _on_meta(kwargs: dict[str, Any]) -> dict[str, Any]:
    kwargs = {name: value for name, value in kwargs.items() if name != "pin_memory"}
    return kwargs | {"device": torch.device("meta")} if kwargs.get("device") is not None else kwargs
