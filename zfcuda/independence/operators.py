"""Which rule an operator follows; one that stands nowhere counts as coupled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from zfcuda.independence import layers, shapes
from zfcuda.independence.axis import IMAGES, Axis, CoupledError
from zfcuda.independence.call import Call, names

Rule = Callable[[Call], Axis | Sequence[Axis | None] | None]


def axes_of(call: Call) -> Sequence[Axis | None]:
    """Where the images lie in each result of a call that works on images.

    Raises:
        CoupledError: it mixes them, or is not known not to.
    """
    space, name = call.name.split("::")
    rule = RULES.get(name if space == "aten" else call.name) or RULES.get(name.removesuffix("_"))
    if rule is None and _is_pointwise(call.func, name):
        rule = element_by_element
    if rule is None:
        raise CoupledError("is not known to leave the images of a batch alone")
    axes = rule(call)
    if axes is None or isinstance(axes, Axis):
        # A result without elements stands for one that was not asked for.
        axes = [axes if isinstance(x, Tensor) and x.numel() else None for x in call.results]
    for axis, x in zip(axes, call.results, strict=True):
        if axis is not None and x.shape[axis.dim] != axis.size:  # an index for the first image alone, say
            raise CoupledError("takes the images of a batch apart")
    return axes


def _is_pointwise(func: Any, name: str) -> bool:
    """As torch says of the operator, or of the one that it does in place."""
    if torch.Tag.pointwise in func.tags:
        return True
    other = getattr(torch.ops.aten, name[:-1], None) if name.endswith("_") else None
    return torch.Tag.pointwise in getattr(other, "default", func).tags


def made_from_nothing(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], device: torch.device) -> Any:
    """What `x.new_zeros(3)` and the like give: a tensor of their own, unless it is for as many images."""
    name = str(func._schema.name).removeprefix("aten::")
    if name not in ("new_zeros", "new_ones", "new_full", "new_empty") or _for_images(args[1]):
        return None
    like = torch.empty(0, dtype=args[0].dtype, device=device)
    return func(like, *args[1:], **kwargs)


def _for_images(size: Sequence[int]) -> bool:
    return len(size) > 0 and size[0] > 0 and size[0] % IMAGES == 0


def element_by_element(call: Call) -> Axis:
    tensors = call.tensors
    return call.aligned(tensors, max(x.dim() for x in tensors))


def _unchanged(call: Call) -> Axis:
    return call.of(call.first)


def _new(call: Call) -> Axis:
    return Axis(0, 1, call["size"][0] // IMAGES)


def _reduced(call: Call) -> Axis:
    """A reduction over dimensions; over all where none are named."""
    x = call.first
    axis, dims = call.of(x), call.dims("dim", x)
    if axis.dim in dims:
        raise CoupledError("mixes the images of a batch")
    return axis if call.get("keepdim") else axis.at(axis.dim - sum(d < axis.dim for d in dims))


def _along(call: Call) -> Axis:
    """What works along a dimension and keeps it."""
    x = call.first
    axis = call.of(x)
    if axis.dim in call.dims(next(name for name in ("dims", "dimension", "dim") if name in call.arguments), x):
        raise CoupledError("works along the images of a batch")
    return axis


RULES: dict[str, Rule] = {
    **dict.fromkeys(
        names(
            """alias clone contiguous detach lift_fresh lift_fresh_copy _to_copy to zeros_like ones_like empty_like
            full_like new_empty_strided zero fill nan_to_num positive _conj conj view_as_real _neg_view
            _assert_tensor_metadata"""
        ),
        _unchanged,
    ),
    **dict.fromkeys(
        names(
            "copy masked_fill where hardswish leaky_relu log_sigmoid_forward complex floor_divide prelu _prelu_kernel"
        ),
        element_by_element,
    ),
    **dict.fromkeys(names("new_zeros new_ones new_full new_empty"), _new),
    **dict.fromkeys(
        names(
            """sum mean amax amin max min argmax argmin any all prod norm linalg_vector_norm var std var_mean std_mean
            logsumexp median nanmedian mode kthvalue nansum aminmax count_nonzero special_logsumexp"""
        ),
        _reduced,
    ),
    **dict.fromkeys(
        names(
            """_softmax _log_softmax _safe_softmax cumsum cumprod cummax cummin logcumsumexp sort topk argsort flip roll
            glu unfold _fft_r2c _fft_c2c _fft_c2r"""
        ),
        _along,
    ),
    **shapes.RULES,
    **layers.RULES,
}
