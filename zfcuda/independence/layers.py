"""Rules for what layers compute: windows, products, normalisation, attention, recurrence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from zfcuda.independence.axis import IMAGES, Axis, CoupledError
from zfcuda.independence.call import Call, names
from zfcuda.independence.shapes import on_the_last


def _filtered(call: Call) -> Axis:
    """A convolution, or what else works on each [C,...] of a batch by itself, with filters of its own."""
    axis = call.of(call.first)
    if axis.dim != 0:
        raise CoupledError("works along the images of a batch")
    call.constant(*call.tensors[1:])
    return axis


def _convolved(call: Call) -> Axis:
    """A convolution; with as many groups as images, or several for each, also with filters of each image's own."""
    own = [x for x in (call["weight"], call.get("bias")) if isinstance(x, Tensor)]
    axis = call.of(call.first)
    if axis.dim != 1 or axis.outer != 1 or call.get("groups") is None or call["groups"] % IMAGES:
        return _filtered(call)
    for x in own:
        if (call.axis(x) or axis.at(0)).dim != 0 or (call.axis(x) or axis).outer != 1:
            raise CoupledError("gives an image the filters of others")
        if call.axis(x) is None and not Axis(0, 1, len(x) // IMAGES).same_for_all(x):
            raise CoupledError("brings in a tensor of its own that differs from image to image")
    return Axis(1, 1, call.results[0].shape[1] // IMAGES)


def _sampled(call: Call) -> Axis:
    """A grid that each image is read at."""
    axis = call.alike(call.tensors)
    if axis.dim != 0:
        raise CoupledError("works along the images of a batch")
    return axis


def _unpooled(call: Call) -> Axis:
    """Values that lie where indices say, within each map."""
    axis = call.alike([call.first, call["indices"]])
    if axis.dim > 1:
        raise CoupledError("works along the images of a batch")
    return axis


# ---------------------------------------------------------------- products


def _product(a: Any, b: Any, call: Call) -> Axis:
    """[...,n,k] times [...,k,m], the leading dimensions the same."""
    of_a, of_b = call.axis(a), call.axis(b)
    last = a.dim() - 1
    if any(axis is not None and axis.dim < last - 1 for axis in (of_a, of_b)):
        return call.alike([a, b])
    if of_a is not None and of_b is None and of_a.dim == last - 1:
        return of_a
    if of_b is not None and of_a is None and of_b.dim == last:
        return of_b
    raise CoupledError("mixes the images of a batch")


def _matrices(first: str, second: str) -> Callable[[Call], Axis]:
    def rule(call: Call) -> Axis:
        axis = _product(call[first], call[second], call)
        added = call.get("self") if first != "self" else None
        if isinstance(added, Tensor):  # of addmm and baddbmm
            if call.axis(added) is not None:
                return _sum(call, added, axis)
            at = axis.dim - (call.results[0].dim() - added.dim())
            if at >= 0 and not axis.at(at).same_for_all(added):
                raise CoupledError("brings in a tensor of its own that differs from image to image")
        return axis

    return rule


def _sum(call: Call, added: Tensor, axis: Axis) -> Axis:
    own = call.of(added)
    if own.at(own.dim + call.results[0].dim() - added.dim()) != axis:
        raise CoupledError("brings different images together")
    return axis


def _times_vector(call: Call) -> Axis:
    call.constant(call["vec"])
    axis = call.of(call.first)
    if axis.dim != 0:
        raise CoupledError("mixes the images of a batch")
    return axis


# ---------------------------------------------------------------- normalisation


def _batch_normalised(call: Call) -> Sequence[Axis | None]:
    x = call.first
    axis = call.of(x)
    own = [call.get(name) for name in ("weight", "bias", "running_mean", "running_var")]
    call.constant(*own)
    if axis.dim == 1:  # as instance normalisation does it: every channel of every image by itself
        if not all(axis.at(0).same_for_all(t) for t in own if isinstance(t, Tensor)):
            raise CoupledError("brings in a tensor of its own that differs from image to image")
    elif "no_training" not in call.name and (call.get("training") or call.get("running_mean") is None):
        raise CoupledError("takes the statistics of the whole batch")
    return [axis, *[None] * (len(call.results) - 1)]


def _layer_normalised(call: Call) -> Sequence[Axis | None]:
    axis = on_the_last(len(call["normalized_shape"]))(call)
    return [axis] * len(call.results)


def _group_normalised(call: Call) -> Sequence[Axis | None]:
    return [_filtered(call), *[None] * (len(call.results) - 1)]


# ---------------------------------------------------------------- attention and recurrence


def _attended(call: Call) -> Sequence[Axis | None]:
    """softmax(Q K^T) V on [N,heads,length,channels]."""
    query = call["query"]
    axis = call.alike([query, call["key"], call["value"]])
    if axis.dim > 1:
        raise CoupledError("mixes the images of a batch")
    for mask in (call.get(name) for name in ("attn_mask", "attn_bias")):
        if isinstance(mask, Tensor) and call.aligned([query, mask], query.dim()) != axis:
            raise CoupledError("brings different images together")
    return [axis, *[None] * (len(call.results) - 1)]


def _attended_by_a_module(call: Call) -> Sequence[Axis | None]:
    """What nn.MultiheadAttention and nn.TransformerEncoderLayer call without gradients, [N,length,channels]."""
    inputs = [call[name] for name in ("query", "key", "value", "src") if call.get(name) is not None]
    axis = call.alike(inputs)
    call.constant(*(x for x in call.tensors if not any(x is one for one in inputs)))
    if axis != Axis(0, 1, axis.inner) or call.get("mask") is not None or call.get("src_mask") is not None:
        raise CoupledError("mixes the images of a batch")
    return [axis, *[None] * (len(call.results) - 1)]


def _recurred(batch_first: Callable[[Call], bool]) -> Callable[[Call], Sequence[Axis | None]]:
    """A recurrent layer on [length,N,channels], or with the first two the other way round."""

    def rule(call: Call) -> Sequence[Axis | None]:
        axis = call.of(call["input"])
        if axis.dim != (0 if batch_first(call) else 1):
            raise CoupledError("runs along the images of a batch")
        for state in ("hx", "cx", "hx_", "cx_"):  # [...,N,channels]
            x = call.get(state)
            if isinstance(x, Tensor):
                along = axis.at(x.dim() - 2)
                if call.axis(x) not in (None, along) or (call.axis(x) is None and not along.same_for_all(x)):
                    raise CoupledError("starts the images from different states")
        states = [x.dim() - 2 if isinstance(x, Tensor) and x.dim() > 1 else None for x in call.results[1:3]]
        return [axis, *(None if d is None else axis.at(d) for d in states), *[None] * (len(call.results) - 3)]

    return rule


def _of_each_rank(stem: str) -> dict[str, Any]:
    return {f"{stem}{rank}d": on_the_last(rank) for rank in (1, 2, 3)}


RULES: dict[str, Any] = {
    **dict.fromkeys(
        names(
            """_slow_conv2d_forward slow_conv3d_forward _conv_depthwise2d conv_depthwise3d im2col col2im
            zfcuda::max_pool2d_with_switches zfcuda::local_response_norm zfcuda::relu_max_pool2d_lrn"""
        ),
        _filtered,
    ),
    **dict.fromkeys(
        names("convolution _convolution convolution_overrideable cudnn_convolution mkldnn_convolution"), _convolved
    ),
    **_of_each_rank("avg_pool"),
    **_of_each_rank("_adaptive_avg_pool"),
    **_of_each_rank("adaptive_avg_pool"),
    **_of_each_rank("adaptive_max_pool"),
    **_of_each_rank("max_pool"),
    **_of_each_rank("reflection_pad"),
    **_of_each_rank("replication_pad"),
    **_of_each_rank("upsample_nearest"),
    **_of_each_rank("_upsample_nearest_exact"),
    **{f"max_pool{rank}d_with_indices": on_the_last(rank) for rank in (2, 3)},
    **{f"mkldnn_max_pool{rank}d": on_the_last(rank) for rank in (2, 3)},
    **dict.fromkeys(
        names(
            """upsample_bilinear2d upsample_bicubic2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa
            _upsample_lanczos2d_aa"""
        ),
        on_the_last(2),
    ),
    "upsample_linear1d": on_the_last(1),
    "upsample_trilinear3d": on_the_last(3),
    **dict.fromkeys(names("max_unpool2d max_unpool3d"), _unpooled),
    **dict.fromkeys(names("grid_sampler_2d grid_sampler_3d"), _sampled),
    "mm": _matrices("self", "mat2"),
    "bmm": _matrices("self", "mat2"),
    "addmm": _matrices("mat1", "mat2"),
    "baddbmm": _matrices("batch1", "batch2"),
    "mv": _times_vector,
    **dict.fromkeys(
        names(
            """native_batch_norm cudnn_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training
            _batch_norm_impl_index batch_norm"""
        ),
        _batch_normalised,
    ),
    **dict.fromkeys(names("native_layer_norm _fused_rms_norm"), _layer_normalised),
    "native_group_norm": _group_normalised,
    **dict.fromkeys(
        names(
            """_scaled_dot_product_flash_attention _scaled_dot_product_flash_attention_for_cpu
            _scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention
            _scaled_dot_product_attention_math"""
        ),
        _attended,
    ),
    **dict.fromkeys(names("_native_multi_head_attention _transformer_encoder_layer_fwd"), _attended_by_a_module),
    "mkldnn_rnn_layer": _recurred(lambda call: False),
    "_cudnn_rnn": _recurred(lambda call: bool(call["batch_first"])),
}
