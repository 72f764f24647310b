"""Rules for what moves values without changing them: views, cuts, joins, lookups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from zfcuda.independence.axis import IMAGES, Axis, CoupledError
from zfcuda.independence.call import Call, names


def _reshaped(call: Call) -> Axis:
    x, result = call.first, call.results[0]
    if not isinstance(result, Tensor) or result.dtype != x.dtype:
        raise CoupledError("sees numbers of one dtype as another")
    return call.of(x).reshaped(x.shape, result.shape)


def _expanded(call: Call) -> Axis:
    x = call.first
    axis = call.of(x)
    return axis.at(axis.dim + call.results[0].dim() - x.dim())


def _repeated(call: Call) -> Axis:
    x, repeats = call.first, call["repeats"]
    axis = call.of(x)
    dim = axis.dim + len(repeats) - x.dim()
    return Axis(dim, axis.outer * repeats[dim], axis.inner)


def _permuted(call: Call) -> Axis:
    axis = call.of(call.first)
    return axis.at([d % call.first.dim() for d in call["dims"]].index(axis.dim))


def _transposed(call: Call) -> Axis:
    x = call.first
    axis = call.of(x)
    a, b = (d % x.dim() for d in (call["dim0"], call["dim1"]))
    return axis.at({a: b, b: a}.get(axis.dim, axis.dim))


def _turned(call: Call) -> Axis:
    axis = call.of(call.first)
    return axis.at(1 - axis.dim) if call.first.dim() == 2 else axis


def _squeezed(call: Call) -> Axis:
    x = call.first
    axis = call.of(x)
    dims = call.dims("dim", x) if call.get("dim") is not None else set(range(x.dim()))
    return axis.at(axis.dim - sum(d < axis.dim and x.shape[d] == 1 for d in dims))


def _unsqueezed(call: Call) -> Axis:
    axis = call.of(call.first)
    return axis.at(axis.dim + (call["dim"] % (call.first.dim() + 1) <= axis.dim))


def _strided(call: Call) -> Axis:
    x = call.first
    steps = zip(x.shape, x.stride(), call["stride"], strict=False)  # of a size of 1 any
    if tuple(call["size"]) != tuple(x.shape) or any(n > 1 and own != new for n, own, new in steps):
        raise CoupledError("sees memory in another order")
    return call.of(x)


def _dim(call: Call, of: Tensor) -> int:
    return int(call["dim"]) % max(1, of.dim())


def _shares(axis: Axis, start: int, length: int) -> Axis:
    """The axis of a part along itself, which has to hold whole rounds of images."""
    each = IMAGES * axis.inner
    if start % each or length % each or not length:
        raise CoupledError("takes the images of a batch apart")
    return Axis(axis.dim, length // each, axis.inner)


def _sliced(call: Call) -> Axis:
    x, (result,) = call.first, call.results
    axis = call.of(x)
    if _dim(call, x) != axis.dim or result.shape == x.shape:
        return axis
    if call["step"] != 1:
        raise CoupledError("takes the images of a batch apart")
    start = call["start"] or 0
    return _shares(axis, start + x.shape[axis.dim] if start < 0 else start, result.shape[axis.dim])


def _selected(call: Call) -> Axis:
    x = call.first
    axis, dim = call.of(x), _dim(call, x)
    if dim == axis.dim:
        raise CoupledError("takes the images of a batch apart")
    return axis.at(axis.dim - (dim < axis.dim))


def _split(call: Call) -> Axis | Sequence[Axis | None]:
    x = call.first
    axis = call.of(x)
    if _dim(call, x) != axis.dim:
        return axis
    start, axes = 0, []
    for piece in call.results:
        axes.append(_shares(axis, start, piece.shape[axis.dim]))
        start += piece.shape[axis.dim]
    return axes


def _joined(call: Call) -> Axis:
    tensors = [x for x in call["tensors"] if x.dim() > 1 or x.numel() > 0]
    result = call.results[0]
    dim = int(call["dim"]) % result.dim()
    axes = [axis for x in tensors if (axis := call.axis(x)) is not None]
    if all(axis.dim == dim for axis in axes):
        if len(axes) < len(tensors) or len({axis.inner for axis in axes}) != 1:
            raise CoupledError("puts other things among the images of a batch")
        return Axis(dim, sum(axis.outer for axis in axes), axes[0].inner)
    return call.alike(tensors)


def _stacked(call: Call) -> Axis:
    axis, dim = call.alike(call["tensors"]), int(call["dim"]) % call.results[0].dim()
    return axis.at(axis.dim + (dim <= axis.dim))


def _looked_up(call: Call) -> Axis:
    """index_select, whose index is the same for all images."""
    call.constant(call["index"])
    axis = call.of(call.first)
    if _dim(call, call.first) == axis.dim:
        raise CoupledError("takes the images of a batch apart")
    return axis


def _gathered(call: Call) -> Axis:
    axis = call.alike([x for x in (call.first, call["index"], call.get("src")) if isinstance(x, Tensor)])
    if _dim(call, call.first) == axis.dim:
        raise CoupledError("takes the images of a batch apart")
    return axis


def _indexed(call: Call) -> Axis:
    """x[..., index, ...] with indices that are the same for all images, none of them along the images."""
    x, indices = call.first, call["indices"]
    axis = call.of(x)
    call.constant(*indices)
    at = [d for d, index in enumerate(indices) if index is not None]
    if axis.dim in at or any(indices[d].dtype.is_floating_point or indices[d].element_size() == 1 for d in at):
        raise CoupledError("takes the images of a batch apart")
    wide = max(indices[d].dim() for d in at)
    together = at[-1] - at[0] == len(at) - 1
    before = sum(d < axis.dim for d in at)
    return axis.at(axis.dim - before + wide if before or not together else axis.dim)


def _embedded(call: Call) -> Axis:
    call.constant(call["weight"])
    return call.of(call["indices"])


def on_the_last(count: int) -> Callable[[Call], Axis]:
    """The rule of what works within the last dimensions of a tensor."""

    def rule(call: Call) -> Axis:
        axis = call.of(call.first)
        if axis.dim >= call.first.dim() - count:
            raise CoupledError("works along the images of a batch")
        call.constant(*call.tensors[1:])
        return axis

    return rule


def _padded(call: Call) -> Axis:
    x = call.first
    axis = call.of(x)
    behind = 2 * (x.dim() - 1 - axis.dim)
    if any(call["pad"][behind : behind + 2]):
        raise CoupledError("puts other things among the images of a batch")
    return axis


RULES: dict[str, Any] = {
    **dict.fromkeys(names("view _unsafe_view _reshape_alias reshape unflatten flatten"), _reshaped),
    "expand": _expanded,
    "repeat": _repeated,
    "permute": _permuted,
    "transpose": _transposed,
    "t": _turned,
    "squeeze": _squeezed,
    "unsqueeze": _unsqueezed,
    "as_strided": _strided,
    "slice": _sliced,
    **dict.fromkeys(names("select unbind"), _selected),
    **dict.fromkeys(names("split split_with_sizes unsafe_split unsafe_split_with_sizes chunk"), _split),
    "cat": _joined,
    "stack": _stacked,
    "index_select": _looked_up,
    **dict.fromkeys(names("gather scatter scatter_add"), _gathered),
    "index": _indexed,
    "embedding": _embedded,
    **dict.fromkeys(names("tril triu"), on_the_last(2)),
    **dict.fromkeys(names("pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle"), on_the_last(3)),
    "constant_pad_nd": _padded,
}
