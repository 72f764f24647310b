"""What the units of a tensor see of the image, operator by operator of torch: one rule for each.

A tensor's dimensions are written as factors, so that what is flattened can be unfolded again: [1,C,H,W] as a matrix of
positions, [H*W,C], has the rows and the columns of the image in its first dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from zfcuda.network.field_axis import FieldAxis, Ints, union

ROWS: Literal["rows"] = "rows"
COLUMNS: Literal["columns"] = "columns"
_SIDES = (ROWS, COLUMNS)
Factor = tuple[str, int]  # ROWS, COLUMNS or "" for what is no place in the image; how many
Dim = tuple[Factor, ...]


class UnfollowedError(Exception):
    """No rule says what the result sees."""


@dataclass(frozen=True)
class Seen:
    """What the units of a tensor see.

    dims: one tuple of factors for each dimension of the tensor.
    rows, columns: as long as the factor of that name; one unit, which stands for all, where there is none.
    """

    dims: tuple[Dim, ...]
    rows: FieldAxis
    columns: FieldAxis

    def reshaped(self, shape: Sequence[int]) -> Seen:
        """The same of a tensor of any shape, where all units see the same."""
        return replace(self, dims=tuple(map(_plain, shape)))

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether this can be said of a tensor of this shape."""
        lengths = {name: n for dim in self.dims for name, n in dim}
        sides = all(len(self.side(name)) == lengths.get(name, 1) for name in _SIDES)
        return sides and tuple(map(_length, self.dims)) == tuple(shape)

    def places(self, dim: int) -> list[str]:
        """The sides of the image that lie in a dimension."""
        return [name for name, _ in self.dims[dim] if name]

    def with_side(self, name: str, axis: FieldAxis) -> Seen:
        return replace(self, rows=axis) if name == ROWS else replace(self, columns=axis)

    def side(self, name: str) -> FieldAxis:
        return self.rows if name == ROWS else self.columns

    def with_dim(self, dim: int, factors: Dim) -> Seen:
        dims = list(self.dims)
        dims[dim] = factors
        return replace(self, dims=tuple(dims))

    def mixed(self, dims: Iterable[int]) -> Seen:
        """Every unit sees what all units along these dimensions see."""
        seen = self
        for dim in dims:
            for name in seen.places(dim):
                seen = seen.with_side(name, seen.side(name).together())
            seen = seen.with_dim(dim, _plain(_length(seen.dims[dim])))
        return seen


def of_image(shape: Sequence[int], rows: FieldAxis, columns: FieldAxis) -> Seen:
    """The image [N,C,H,W] itself."""
    return Seen((_plain(shape[0]), _plain(shape[1]), ((ROWS, shape[2]),), ((COLUMNS, shape[3]),)), rows, columns)


def everywhere_the_same(operands: Sequence[Seen]) -> Seen | None:
    """What all units of several tensors see, if that is the same part of the image: then so do all that they decide."""
    one = operands[0].mixed(range(len(operands[0].dims)))
    for seen in operands:
        for name in _SIDES:
            axis, other = seen.side(name), one.side(name)
            if (axis.first != other.first).any() or (axis.last != other.last).any():
                return None
    return replace(one, rows=one.rows.together(), columns=one.columns.together())


def _plain(length: int) -> Dim:
    return (("", length),)


def _length(dim: Dim) -> int:
    return prod(n for _, n in dim)


# ---------------------------------------------------------------- one call of an operator


@dataclass(frozen=True)
class Step:
    """One call. arguments: by name. fields: of the tensors among them that see the image, by their id. result: its."""

    name: str
    arguments: Mapping[str, Any]
    fields: Mapping[int, Seen]
    result: Any

    def seen(self, tensor: Any) -> Seen | None:
        return self.fields.get(id(tensor))

    @property
    def only(self) -> Seen:
        """The field of the first argument, which has to be the only one that sees the image."""
        seen = self.seen(next(iter(self.arguments.values())))
        if seen is None or len(self.fields) != 1:
            raise UnfollowedError
        return seen

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the result, or of its first part."""
        return tuple((self.result if isinstance(self.result, Tensor) else self.result[0]).shape)


Rule = Callable[[Step], Seen | list[Seen]]


# ---------------------------------------------------------------- element by element


def pointwise(step: Step) -> Seen:
    """Operands are aligned at their last dimensions; what has one element there has it for all."""
    return _aligned(list(step.fields.values()), step.shape)


def _aligned(operands: Sequence[Seen], shape: Sequence[int]) -> Seen:
    dims: list[Dim] = []
    for place, length in enumerate(shape, -len(shape)):
        there = [seen.dims[place] for seen in operands if -place <= len(seen.dims)]
        there = [dim for dim in there if _length(dim) == length]
        marked = {dim for dim in there if any(name for name, _ in dim)}
        if len(marked) > 1:
            raise UnfollowedError
        dims.append(next(iter(marked), _plain(length)))
    names = [name for dim in dims for name, _ in dim if name]
    for seen in operands:  # a side of several units has to be where that of the result is
        here = {name for dim in seen.dims for name, n in dim if name and n > 1}
        if not here <= set(names):
            raise UnfollowedError
    if len(set(names)) != len(names):
        raise UnfollowedError
    return Seen(tuple(dims), union([seen.rows for seen in operands]), union([seen.columns for seen in operands]))


# ---------------------------------------------------------------- the same elements in another shape


def _reshape(step: Step) -> Seen:
    seen = step.only
    left = [factor for dim in seen.dims for factor in dim]
    dims: list[Dim] = []
    for length in step.shape:
        taken: list[Factor] = []
        if length == 1 and left and left[0][1] == 1:
            taken.append(left.pop(0))
        while (have := _length(tuple(taken))) < length and left:
            name, n = left.pop(0)
            need = length // have
            if n > need:
                if name or n % need or length % have:
                    raise UnfollowedError
                left.insert(0, ("", n // need))
                n = need
            taken.append((name, n))
        dims.append(tuple(taken) or _plain(1))
    dims[-1] += tuple(left)
    return replace(seen, dims=tuple(map(_merged, dims)))


def _merged(dim: Dim) -> Dim:
    """Without factors of one that are no places, and with neighbours that are none in one."""
    factors: list[Factor] = []
    for name, n in dim:
        if not name and factors and not factors[-1][0]:
            factors[-1] = ("", factors[-1][1] * n)
        elif name or n > 1:
            factors.append((name, n))
    return tuple(factors) or _plain(1)


def _squeeze(step: Step) -> Seen:
    seen = step.only
    dims = step.arguments.get("dim")
    gone = _dims(dims, seen) if dims is not None else range(len(seen.dims))
    kept = [dim for i, dim in enumerate(seen.dims) if i not in gone or _length(dim) != 1]
    return replace(seen, dims=tuple(kept))


def _unsqueeze(step: Step) -> Seen:
    seen, dim = step.only, step.arguments["dim"]
    dims = list(seen.dims)
    dims.insert(dim % (len(dims) + 1), _plain(1))
    return replace(seen, dims=tuple(dims))


def _permute(step: Step) -> Seen:
    seen, a = step.only, step.arguments
    order = list(range(len(seen.dims)))
    if step.name == "permute":
        order = [d % len(order) for d in a["dims"]]
    elif step.name == "t":
        order.reverse()
    else:
        one, two = a["dim0"], a["dim1"]
        order[one], order[two] = order[two], order[one]
    return replace(seen, dims=tuple(seen.dims[i] for i in order))


def _dims(dims: Any, seen: Seen) -> set[int]:
    """Dimensions counted from the front; all of them where none is named."""
    if dims is None or (not isinstance(dims, int) and len(dims) == 0):
        return set(range(len(seen.dims)))
    return {d % len(seen.dims) for d in ((dims,) if isinstance(dims, int) else dims)}


# ---------------------------------------------------------------- some of the elements


def _along(seen: Seen, dim: int, taps: Ints, ratio: Fraction, used: Any = True, mirrored: Ints | None = None) -> Seen:
    """Windows along a dimension. taps: [units,k]; the other arguments are those of FieldAxis.taken."""
    dim %= len(seen.dims)
    names = seen.places(dim)
    if not names:
        return seen.with_dim(dim, _plain(len(taps)))
    n = _length(seen.dims[dim])
    if taps.shape == (n, 1) and (taps[:, 0] == np.arange(n)).all():
        return seen
    if len(_merged(seen.dims[dim])) != 1:
        raise UnfollowedError
    axis = seen.side(names[0]).taken(taps, ratio, used, mirrored)
    return seen.with_side(names[0], axis).with_dim(dim, ((names[0], len(taps)),))


def _slice(step: Step) -> Seen:
    seen, a = step.only, step.arguments
    dim = (a["dim"] or 0) % len(seen.dims)
    n = _length(seen.dims[dim])
    chosen = np.arange(n)[a["start"] : a["end"] : a["step"]]
    return _along(seen, dim, chosen[:, None], Fraction(1, a["step"]))


def _select(step: Step) -> Seen:
    seen, dim = step.only, step.arguments["dim"] % len(step.only.dims)
    return _one_of(seen, dim, step.arguments["index"])


def _one_of(seen: Seen, dim: int, index: int) -> Seen:
    index %= _length(seen.dims[dim])
    seen = _along(seen, dim, np.array([[index]]), Fraction(1)).mixed([dim])
    return replace(seen, dims=seen.dims[:dim] + seen.dims[dim + 1 :])


def _unbind(step: Step) -> list[Seen]:
    seen, dim = step.only, (step.arguments["dim"] or 0) % len(step.only.dims)
    return [_one_of(seen, dim, i) for i in range(_length(seen.dims[dim]))]


def _split(step: Step) -> list[Seen]:
    seen, dim = step.only, (step.arguments["dim"] or 0) % len(step.only.dims)
    parts, start = [], 0
    for piece in step.result:
        stop = start + piece.shape[dim]
        parts.append(_along(seen, dim, np.arange(start, stop)[:, None], Fraction(1)))
        start = stop
    return parts


def _index(step: Step) -> Seen:
    """One list of numbers, in one dimension."""
    seen, a = step.only, step.arguments
    indices = [a["index"]] if step.name == "index_select" else a["indices"]
    listed = [(i, x) for i, x in enumerate(indices) if x is not None]
    if len(listed) != 1 or listed[0][1].dim() != 1 or listed[0][1].dtype == torch.bool:
        raise UnfollowedError
    dim = a["dim"] if step.name == "index_select" else listed[0][0]
    return _others(seen, dim, step.shape)


def _others(seen: Seen, dim: int, shape: Sequence[int]) -> Seen:
    """What happens along a dimension leaves places alone where it holds none."""
    dim %= len(seen.dims)
    if any(_length(((name, n),)) > 1 for name, n in seen.dims[dim] if name):
        raise UnfollowedError
    return seen.mixed([dim]).with_dim(dim, _plain(shape[dim]))


def _in_dimension(step: Step) -> Seen:
    """Sorts, sums up, turns round: along one dimension, or along several."""
    seen, a = step.only, step.arguments
    for dim in _dims(a.get("dim", a.get("dims")), seen):
        seen = _others(seen, dim, step.shape)
    return seen


def _cat(step: Step) -> Seen:
    tensors, dim = step.arguments["tensors"], step.arguments["dim"] or 0
    dim %= len(step.shape)
    operands = []
    for x in tensors:
        seen = step.seen(x)
        if seen is not None and len(seen.dims) == len(step.shape):
            if any(n > 1 for name, n in seen.dims[dim] if name):
                raise UnfollowedError
            operands.append(seen.with_dim(dim, _plain(step.shape[dim])))
    if not operands:
        raise UnfollowedError
    return _aligned(operands, step.shape)


def _stack(step: Step) -> Seen:
    dim = (step.arguments["dim"] or 0) % len(step.shape)
    shape = step.shape[:dim] + step.shape[dim + 1 :]
    seen = _aligned([s for x in step.arguments["tensors"] if (s := step.seen(x)) is not None], shape)
    return replace(seen, dims=(*seen.dims[:dim], _plain(step.shape[dim]), *seen.dims[dim:]))


# ---------------------------------------------------------------- borders


def _pad(step: Step) -> Seen:
    seen, a = step.only, step.arguments
    sides = a["pad"] if "pad" in a else a["padding"]
    for i in range(len(sides) // 2):
        before, after = sides[2 * i], sides[2 * i + 1]
        n = _length(seen.dims[-1 - i])
        taps = np.arange(-before, n + after)[:, None]
        mirrored = None
        if step.name.startswith("reflection"):
            mirrored = (n - 1) - np.abs((n - 1) - np.abs(taps))
        elif step.name.startswith("replication"):
            mirrored = taps.clip(0, n - 1)
        seen = _along(seen, -1 - i, taps, Fraction(1), mirrored=mirrored)
    return seen


# ---------------------------------------------------------------- windows


def _windowed(seen: Seen, dim: int, units: int, kernel: int, stride: int, padding: int, dilation: int) -> Seen:
    taps = np.arange(units)[:, None] * stride - padding + np.arange(kernel) * dilation
    return _along(seen, dim, taps, Fraction(1, stride))


def _transposed(seen: Seen, dim: int, units: int, kernel: int, stride: int, padding: int, dilation: int) -> Seen:
    reached = np.arange(units)[:, None] + padding - np.arange(kernel) * dilation
    return _along(seen, dim, reached // stride, Fraction(stride), used=reached % stride == 0)


def _convolution(step: Step) -> Seen:
    seen, a = step.only, step.arguments
    sides = len(seen.dims) - 2
    if seen.places(1) and a["groups"] != 1:
        raise UnfollowedError
    windows = _transposed if a["transposed"] else _windowed
    for i in range(sides):
        settings = (_of(a[name], i) for name in ("stride", "padding", "dilation"))
        seen = windows(seen, 2 + i, step.shape[2 + i], a["weight"].shape[2 + i], *settings)
    return seen.mixed([1]).with_dim(1, _plain(step.shape[1]))


def _of(setting: Any, i: int) -> int:
    return int(setting if isinstance(setting, int) else setting[i if len(setting) > 1 else 0])


def _pool(step: Step) -> Seen:
    seen, a = step.only, step.arguments
    sides = len(a["kernel_size"]) if len(a["kernel_size"]) > 1 else _sides(step.name)
    strides = a["stride"] if a["stride"] else a["kernel_size"]
    for i in range(sides):
        dim = i - sides
        settings = (_of(a["padding"], i), _of(a.get("dilation", 1), i))
        seen = _windowed(seen, dim, step.shape[dim], _of(a["kernel_size"], i), _of(strides, i), *settings)
    return seen


def _sides(name: str) -> int:
    """In how many dimensions an operator works: the number before the d of its name."""
    return int(next(c for c in reversed(name.split("d_")[0].rstrip("d")) if c.isdigit()))


def _adaptive_pool(step: Step) -> Seen:
    seen = step.only
    for i in range(-len(step.arguments["output_size"]), 0):
        n, units = _length(seen.dims[i]), step.shape[i]
        starts = np.arange(units) * n // units
        stops = -(-np.arange(1, units + 1) * n // units)
        taps = starts[:, None] + np.arange((stops - starts).max())
        used = taps < stops[:, None]
        whole = seen.mixed([i]).with_dim(i, _plain(1))
        seen = whole if units == 1 else _along(seen, i, taps, Fraction(units, n), used)
    return seen


def _columns_of_windows(step: Step) -> Seen:
    """F.unfold: [N,C,H,W] -> [N,C*kh*kw,places]."""
    seen, a = step.only, step.arguments
    if len(seen.dims) != 4 or seen.places(1):
        raise UnfollowedError
    for i in (0, 1):
        kernel, dilation, padding, stride = (
            _of(a[name], i) for name in ("kernel_size", "dilation", "padding", "stride")
        )
        units = (_length(seen.dims[2 + i]) + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        seen = _windowed(seen, 2 + i, units, kernel, stride, padding, dilation)
    return replace(seen, dims=(seen.dims[0], _plain(step.shape[1]), seen.dims[2] + seen.dims[3]))


def _pixel_shuffle(step: Step) -> Seen:
    seen, factor = step.only, step.arguments["upscale_factor"]
    seen = _others(seen, -3, step.shape)
    for i in (-2, -1):
        seen = _along(seen, i, np.arange(step.shape[i])[:, None] // factor, Fraction(factor))
    return seen


def _pixel_unshuffle(step: Step) -> Seen:
    seen, factor = step.only, step.arguments["downscale_factor"]
    seen = _others(seen, -3, step.shape)
    for i in (-2, -1):
        seen = _windowed(seen, i, step.shape[i], factor, factor, 0, 1)
    return seen


def _upsample(step: Step) -> Seen:
    seen, a = step.only, step.arguments
    sides = _sides(step.name)
    factors = a.get("scale_factors")
    if factors is None:
        names = ("scales_d", "scales_h", "scales_w")[-sides:] if sides > 1 else ("scales",)
        factors = [a.get(name) for name in names]
    for i in range(-sides, 0):
        n, units, scale = _length(seen.dims[i]), step.shape[i], factors[i]
        if n == 1:  # every unit sees what this one sees
            seen = seen.mixed([i]).with_dim(i, _plain(units))
            continue
        ends = bool(a.get("align_corners")) and units > 1
        ratio = Fraction(scale).limit_denominator(100) if scale and not ends else Fraction(units, n)
        if ends:
            ratio = Fraction(units - 1, n - 1)
        taps, used = _sources(step.name, n, units, scale, bool(a.get("align_corners")))
        seen = _along(seen, i, taps, ratio, used, mirrored=taps.clip(0, n - 1))
    return seen


def _sources(name: str, n: int, units: int, scale: float | None, align_corners: bool) -> tuple[Ints, Any]:
    """The units that each unit of an upsampled map is made of; in float32, as torch finds them."""
    place = np.arange(units, dtype=np.float32)
    step = np.float32(1 / scale) if scale else np.float32(n) / np.float32(units)
    if "nearest" in name:
        at = (place + np.float32(0.5)) * step if "exact" in name else place * step
        return np.minimum(np.floor(at).astype(np.int64), n - 1)[:, None], True
    if align_corners:
        at = place * (np.float32((n - 1) / (units - 1)) if units > 1 else np.float32(0))
    else:
        at = (place + np.float32(0.5)) * step - np.float32(0.5)
    below = np.floor(at).astype(np.int64)
    around = np.arange(-1, 3) if "cubic" in name else np.arange(2)
    exact = at == below
    return below[:, None] + around, ~exact[:, None] | (around == 0)


# ---------------------------------------------------------------- everything along some dimensions


def _reduce(step: Step) -> Seen:
    seen, a = step.only, step.arguments
    gone = _dims(a.get("dim"), seen)
    seen = seen.mixed(gone)
    if a.get("keepdim"):
        return replace(seen, dims=tuple(_plain(1) if i in gone else dim for i, dim in enumerate(seen.dims)))
    return replace(seen, dims=tuple(dim for i, dim in enumerate(seen.dims) if i not in gone))


def _softmax(step: Step) -> Seen:
    return step.only.mixed(_dims(step.arguments["dim"], step.only))


def _batch_norm(step: Step) -> Seen:
    seen, a = step.only, step.arguments
    own = a.get("training", a.get("train", "no_training" not in step.name))
    return seen.mixed(i for i in range(len(seen.dims)) if i != 1) if own else seen


def _layer_norm(step: Step) -> Seen:
    return step.only.mixed(range(-len(step.arguments["normalized_shape"]), 0))


def _group_norm(step: Step) -> Seen:
    seen = step.only
    if seen.places(1) and step.arguments["group"] != 1:
        raise UnfollowedError
    return seen.mixed(range(1, len(seen.dims)))


def _matrices(step: Step) -> Seen:
    """[...,n,k] x [...,k,m], one of which sees the image."""
    a = step.arguments
    names = ("mat1", "mat2") if "mat1" in a else ("batch1", "batch2") if "batch1" in a else ("self", None)
    left = a[names[0]]
    right = a[names[1]] if names[1] else a.get("mat2", a.get("vec"))
    if len(step.fields) != 1:
        raise UnfollowedError
    seen = step.seen(left)
    if seen is not None:
        kept = seen.mixed([-1])
        return replace(kept, dims=(*kept.dims[:-1], *(_plain(n) for n in step.shape[len(kept.dims) - 1 :])))
    seen = step.seen(right)
    if seen is None or len(seen.dims) != len(step.shape):
        raise UnfollowedError
    return seen.mixed([-2]).with_dim(-2, _plain(step.shape[-2]))


def _attention(step: Step) -> Seen:
    """Every query sees all keys and values."""
    a = step.arguments
    if a.get("attn_mask") is not None or a.get("attn_bias") is not None or a.get("is_causal"):
        raise UnfollowedError
    operands = []
    for name in ("query", "key", "value"):
        seen = step.seen(a[name])
        if seen is None:
            continue
        if any(n > 1 for dim in seen.dims[:-2] for place, n in dim if place):
            raise UnfollowedError
        seen = seen.mixed([-1] if name == "query" else [-2, -1])
        # The keys and values are as if they had the queries' places, of which each sees all.
        last = seen.dims[-2] if name == "query" else _plain(step.shape[-2])
        operands.append(replace(seen, dims=(*seen.dims[:-2], last, _plain(step.shape[-1]))))
    return _aligned(operands, step.shape)


_NAMES: dict[str, Rule] = {
    """_prelu_kernel _to_copy alias copy detach dropout expand feature_dropout hardswish lift_fresh lift_fresh_copy
    log_sigmoid_forward native_dropout pin_memory rrelu_with_noise local_response_norm""": pointwise,
    "view _unsafe_view reshape _reshape_alias": _reshape,
    "squeeze": _squeeze,
    "unsqueeze": _unsqueeze,
    "permute transpose t": _permute,
    "slice": _slice,
    "select": _select,
    "unbind": _unbind,
    "split split_with_sizes unsafe_split unsafe_split_with_sizes": _split,
    "index index_select": _index,
    "cummax cummin cumprod cumsum flip glu logcumsumexp roll sort topk": _in_dimension,
    "cat": _cat,
    "stack": _stack,
    """constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d
    replication_pad3d""": _pad,
    "convolution _convolution convolution_overrideable": _convolution,
    """max_pool2d_with_indices max_pool3d_with_indices avg_pool1d avg_pool2d avg_pool3d""": _pool,
    """_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d""": _adaptive_pool,
    "im2col": _columns_of_windows,
    "channel_shuffle native_channel_shuffle": pointwise,
    "pixel_shuffle": _pixel_shuffle,
    "pixel_unshuffle": _pixel_unshuffle,
    """upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d
    _upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d upsample_trilinear3d upsample_bicubic2d""": (
        _upsample
    ),
    """all amax amin any argmax argmin linalg_vector_norm logsumexp max mean median min nansum norm prod std std_mean
    sum var var_mean""": _reduce,
    "_softmax _log_softmax": _softmax,
    """native_batch_norm cudnn_batch_norm miopen_batch_norm _native_batch_norm_legit
    _native_batch_norm_legit_no_training _batch_norm_no_update""": _batch_norm,
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
    "mm bmm addmm baddbmm mv": _matrices,
    """_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_flash_attention
    _scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention""": _attention,
}
_RULES = {name: rule for names, rule in _NAMES.items() for name in names.split()}
_KNOWN = ("aten", "prims", "zfcuda")


def rule_of(operator: Any) -> Rule:
    """The rule for an operator of torch.ops, which holds for its form in place as well.

    Raises:
        UnfollowedError: there is none.
    """
    if operator.namespace not in _KNOWN:
        raise UnfollowedError
    name = name_of(operator)
    base = getattr(getattr(torch.ops.aten, name, None), operator._overloadname, operator)
    if torch.Tag.pointwise in operator.tags or torch.Tag.pointwise in base.tags:
        return pointwise
    if name not in _RULES:
        raise UnfollowedError
    return _RULES[name]


def name_of(operator: Any) -> str:
    """Its name without a namespace, an overload or the mark of what is in place."""
    name: str = operator._schema.name.split("::")[1]
    return name[:-1] if name.endswith("_") and not name.endswith("__") else name
