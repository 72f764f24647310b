"""Steps that are linear in what depends on the image, up to a constant: their way back is the exact transpose.

The transpose is the vector-Jacobian product of the very call, taken at zero. A call has to be on the lists below: of
another it is not known whether it is linear.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.backward.way import SETTINGS_DEPEND, TorchCall, UnsupportedError, Way, WayBack
from zfcuda.network import Node
from zfcuda.network.graph import map_nest, outline, references


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# torch's functions, methods, attributes and operators, without the underscore of an in-place form.
_IN_ALL = _words(  # all of their tensors may depend on the image
    """add cat column_stack concat concatenate copy dstack hstack iadd isub neg negative positive row_stack rsub
    select_scatter slice_scatter stack sub subtract vstack"""
)
_LIKE_ANOTHER = _words("expand_as reshape_as to type_as view_as")  # the first; of others they read the shape or dtype
_IN_THE_FIRST = _words(  # the first alone
    """_to_copy _unsafe_view adaptive_avg_pool1d adaptive_avg_pool3d avg_pool1d avg_pool3d bfloat16 broadcast_to
    channel_shuffle chunk col2im constant_pad_nd contiguous conv1d conv3d conv_transpose1d conv_transpose2d
    conv_transpose3d cpu cuda cumsum diag_embed diagonal div divide double dsplit expand flatten flip fliplr flipud
    float fold gather getitem half hsplit im2col index index_select itruediv masked_fill mean movedim moveaxis narrow
    native_channel_shuffle pad permute pixel_shuffle pixel_unshuffle ravel repeat repeat_interleave reshape roll rot90
    select slice split split_with_sizes squeeze sum swapaxes swapdims t take_along_dim tensor_split tile transpose tril
    triu true_divide truediv type unbind unflatten unfold unsqueeze view vsplit"""
)
_TRANSPOSED = _words("H T mH mT matrix_H numpy_T")  # the first alone; attributes
_IN_ONE = _words("bmm dot einsum imatmul imul inner matmul mm mul multiply mv outer tensordot")  # any one of them
_LIKE_THE_FIRST = _words("fill full_like new_full new_ones new_zeros ones_like zero zeros_like")  # none of its values
_MODULES = (
    *(nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d, nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d),
    *(nn.AvgPool1d, nn.AvgPool3d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool3d, nn.PixelShuffle, nn.PixelUnshuffle),
    *(nn.Conv1d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Fold, nn.Unfold),
)


def values_read(node: Node) -> list[int]:
    """The nodes whose values a node reads, not just their size or dtype."""
    call = TorchCall.of(node, node.arguments)
    if node.is_shape_query:
        return []
    if call is not None and call.name in _LIKE_ANOTHER:
        return list(references(call.input))
    if call is not None and call.name in _LIKE_THE_FIRST:
        return list(references((call.settings, call.named)))
    return node.refs


def way(node: Node, call: TorchCall | None, sees: set[int]) -> Way:
    """The way through a linear step.

    call: what the node calls, where it has no form of its own; sees: the nodes that depend on the image.

    Raises:
        UnsupportedError: it is not known to be linear in what depends on the image.
    """
    seen = [i for i in node.refs if i in sees]
    name = node.kind if call is None else call.name
    if node.kind == "mul" or name in _IN_ONE:
        if len(seen) > 1:
            raise UnsupportedError("more than one of its factors depends on the image")
    elif node.kind not in ("cat", "channels") and not (call is not None and name in _IN_ALL | _LIKE_ANOTHER):
        if call is None or not _is_linear_in_the_first(call):
            raise UnsupportedError
        # `input[index] = value` is linear in the value too.
        operands = (call.input, call.settings[1:]) if name == "set_item" else call.input
        if len(seen) != sum(i in sees for i in references(operands)):
            raise UnsupportedError(SETTINGS_DEPEND)
    sources = list(dict.fromkeys(seen))
    return Way(sources, lambda values: _transposable(node, sources, values))


def _is_linear_in_the_first(call: TorchCall) -> bool:
    if call.name == "getattr":
        return call.settings[0] in _TRANSPOSED
    if call.named.get("rounding_mode") is not None:  # of a division
        return False
    known = call.name in _IN_THE_FIRST | _TRANSPOSED or call.name == "set_item"
    return known or isinstance(call.function, _MODULES)


def _transposable(node: Node, sources: list[int], values: Mapping[int, Any]) -> tuple[Any, WayBack]:
    value = node.run(node.resolve(values))
    if not all(x.is_floating_point() for each in (value, *(values[i] for i in sources)) for x in _listed(each)):
        raise UnsupportedError("not all of its values are floating")
    outlines = {i: outline(values[i]) for i in sources}
    constants = {i: values[i] for i in node.refs if i not in outlines}

    def back(signal: Any) -> list[Any]:
        # What was made in inference mode cannot take part in autograd, but a copy can.
        with torch.inference_mode(False), torch.enable_grad():
            zeros = {i: map_nest(x, _zeros) for i, x in outlines.items()}
            arguments = node.resolve({**map_nest(constants, _usable), **zeros})
            if isinstance(arguments.get("function"), nn.Module):
                arguments["function"] = _usable_module(arguments["function"])
            output = node.run(arguments)
            reached = [
                (x, s.to(x.dtype)) for x, s in zip(_listed(output), _listed(signal), strict=True) if s is not None
            ]
            parts = iter(
                torch.autograd.grad(
                    [x for x, _ in reached],
                    [x for each in zeros.values() for x in _listed(each)],
                    [s for _, s in reached],
                    is_grads_batched=True,
                    allow_unused=True,
                )
            )
        return [next(parts) if isinstance(x, Tensor) else [next(parts) for _ in x] for x in zeros.values()]

    return value, back


def _listed(value: Any) -> Sequence[Any]:
    """The tensors of what a step gives, one or several, or their signals."""
    return [value] if isinstance(value, Tensor) else value


def _zeros(x: Any) -> Any:
    return torch.zeros(x.shape, dtype=x.dtype, device=x.device, requires_grad=True)


def _usable(x: Any) -> Any:
    return x.clone() if isinstance(x, Tensor) and x.is_inference() else x


def _usable_module(module: nn.Module) -> Callable[..., Any]:
    tensors = dict([*module.named_parameters(), *module.named_buffers()])
    if not any(x.is_inference() for x in tensors.values()):
        return module
    copies = {name: _usable(x) for name, x in tensors.items()}
    return lambda *args, **kwargs: torch.func.functional_call(module, copies, args, kwargs)
