"""Fully connected layers as convolutions: the same weights slide over larger images and give a map of scores.

A linear layer on flattened maps of C x h x w is a convolution with a kernel of h x w, one on a vector a convolution of
1x1 (CS231n notes, "Converting FC layers to CONV layers"; Sermanet et al. 2013, OverFeat). One forward on a large
image then does what many crops would, and shares between them all that they have in common.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from zfcuda.models.checks import checked_size
from zfcuda.network import calls
from zfcuda.network.example import example_image
from zfcuda.network.graph import unwrap
from zfcuda.network.kinds import both_sides, pair, window_stride
from zfcuda.network.trace import RECORDING, OneThreadTracer

Pair = tuple[int, int]


class ScoreMap(fx.GraphModule):
    """[N,C,H,W] -> [N,classes,h,w], in eval mode; layers and weights go by the names of the model it was made of.

    Attributes:
        window: (H, W) of the images of the model it was made of: what one score sees.
        stride: (rows, columns) in pixels, from one score to the next.
        exact: whether every score [y, x] equals the model's on the crop at (y * stride, x * stride). That is so where
            no layer pads. One that pads shows a crop zeros at its border, where the larger image has pixels: then
            the very same score comes only from an image of the model's own size. Elsewhere a score sees what lies
            around its crop, up to the receptive field of the last layer, and away from the image's border it is the
            same function of that field at every place. Pooling windows that reach over the border (ceil_mode) count
            as padding.
    """

    # In `meta`, which copies of a GraphModule keep.
    @property
    def window(self) -> Pair:
        return self.meta["window"]

    @property
    def stride(self) -> Pair:
        return self.meta["stride"]

    @property
    def exact(self) -> bool:
        return self.meta["exact"]

    def _get_name(self) -> str:  # fx names every instance's class anew
        return "ScoreMap"

    def extra_repr(self) -> str:
        return f"window={self.window}, stride={self.stride}, exact={self.exact}"


def convolutionize(model: nn.Module, input_size: Sequence[int]) -> ScoreMap:
    """Turns a classifier into a network that slides over larger images.

    Linear layers become convolutions, flattening falls away, and means over the whole map (adaptive pooling, global
    mean) become means over windows of the size that the map has for an image of input_size. Everything else stays.

    Args:
        model: a CNN [N,C,H,W] -> [N,classes] that torch.fx can record; left as it was, and nothing is shared with it.
        input_size: (C, H, W) of the images that it was made for.

    Returns:
        A ScoreMap, in eval mode, for images of input_size or larger. VGG16 on 384x384 gives 6x6 scores.

    Raises:
        TypeError: model is no torch.nn.Module.
        ValueError: naming the layer that cannot slide (adaptive pooling into windows that are not all alike, channel
            attention, group norm, locally connected layers, ...), or the argument: a model that cannot be recorded or
            whose output is no vector per image, an input_size that does not fit.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
    size = checked_size(input_size)
    model = _copied(unwrap(model))
    pictures = example_image(model, size).repeat(2, 1, 1, 1)
    with torch.no_grad():
        try:
            model(pictures)
        except RuntimeError as error:
            raise ValueError(f"input_size: the network cannot take {size}: {str(error).splitlines()[0]}") from error
        root = fx.GraphModule(model, _recorded(model))
        ShapeProp(root).propagate(pictures)
    sliding = _Rewriter(root, (size[1], size[2])).rewritten()
    sliding.train(False)
    return sliding


def _copied(model: nn.Module) -> nn.Module:
    """A copy in eval mode, without the hooks."""
    model = copy.deepcopy(model)
    for module in model.modules():
        module.training = False
        for name in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"):
            module.__dict__[name] = OrderedDict()
    return model


def _recorded(model: nn.Module) -> fx.Graph:
    try:
        with RECORDING:
            graph = OneThreadTracer().trace(model)
    except Exception as error:  # whatever a forward may raise on a stand-in
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"model: {type(model).__name__} cannot be recorded by torch.fx: {reason}") from error
    pictures = [node for node in graph.nodes if node.op == "placeholder"]
    for extra in pictures[1:]:
        if not extra.args:  # without a default
            raise ValueError(f"model: its forward takes more than pictures: {extra.target!r}")
        extra.replace_all_uses_with(extra.args[0])
        graph.erase_node(extra)
    return graph


# ---------------------------------------------------------------- what a value stands for


@dataclass(frozen=True)
class _Maps:
    """A value of the model, [C,h,w] or flattened, that slides as maps [C,H,W].

    size: (h, w), how many values of the map one window of the image needs.
    spread: how far apart those values lie: 1, or what adaptive pooling made of each neighbourhood.
    flat: whether the model holds it as a vector of C * h * w.
    stride: pixels from one value to the next. exact: see ScoreMap.
    """

    channels: int
    size: Pair
    stride: Pair
    flat: bool = False
    spread: Pair = (1, 1)
    exact: bool = True

    @property
    def vector(self) -> bool:
        """Whether it is one number per channel."""
        return self.flat and self.size == (1, 1)


class _Rewriter:
    """Goes through the graph once, and makes every step one that slides."""

    def __init__(self, root: fx.GraphModule, window: Pair) -> None:
        self.root, self.window = root, window
        self.maps: dict[fx.Node, _Maps] = {}

    def rewritten(self) -> ScoreMap:
        graph = self.root.graph
        result = None
        for node in list(graph.nodes):
            if node.op == "placeholder":
                shape = _shape(node)
                self.maps[node] = _Maps(shape[1], (shape[2], shape[3]), (1, 1))
            elif node.op == "output":
                result = self.output(node)
            elif node.op != "get_attr":
                self.step(node)
        graph.eliminate_dead_code()
        graph.lint()
        assert result is not None
        self.root.delete_all_unused_submodules()
        sliding = ScoreMap(self.root, graph)
        sliding.meta |= {"window": self.window, "stride": result.stride, "exact": result.exact}
        return sliding

    def output(self, node: fx.Node) -> _Maps:
        value = node.args[0]
        maps = self.maps.get(value) if isinstance(value, fx.Node) else None
        if maps is None or not maps.vector:
            what = list(_shape(value)) if isinstance(value, fx.Node) and _shape(value) else type(value).__name__
            raise ValueError(f"model: expected an output [N,classes], one number per class, got {what}")
        return maps

    def step(self, node: fx.Node) -> None:
        inputs = [self.maps[x] for x in node.all_input_nodes if x in self.maps]
        if not inputs:
            return  # it reads nothing but sizes and constants
        call = self.call(node)
        if call.kind == "other" and calls.is_shape_query(call.arguments["function"], tuple(call.arguments["args"])):
            return  # a reshape asks for it, which falls away
        rule = _RULES.get(call.kind)
        if rule is None:
            self.refuse(node, "it may need the whole map")
        rule(self, node, call.arguments, inputs)

    def call(self, node: fx.Node) -> calls.Call:
        """What a step computes, its tensors as they are and other steps' results as nodes."""
        if node.op == "call_module":
            module = self.root.get_submodule(str(node.target))
            return calls.of_module(module, node.args, node.kwargs, lambda name: getattr(module, name))
        return calls.of_function(node.target, node.args, node.kwargs)

    def tensor(self, value: Any) -> Any:
        """A parameter or buffer among the arguments, as a tensor."""
        if isinstance(value, fx.Node) and value.op == "get_attr":
            member: Any = self.root
            for part in str(value.target).split("."):
                member = getattr(member, part)
            return member
        return value

    def refuse(self, node: fx.Node, reason: str) -> NoReturn:
        if node.op == "call_module":
            kind = type(self.root.get_submodule(str(node.target))).__name__
            what = f"layer {str(node.target)!r} ({kind})"
        else:
            what = f"{calls.name_of(node.target)} in the model's forward"
        raise ValueError(f"model: {what} cannot slide over a larger picture: {reason}")

    def replace(self, node: fx.Node, module: nn.Module, source: fx.Node, maps: _Maps) -> None:
        """Puts a module in the place of a step, under the name of the layer that it was."""
        name = str(node.target) if node.op == "call_module" else self.free(node.name)
        if node.op == "call_module" and sum(other.target == name for other in self.root.graph.nodes) > 1:
            name = self.free(name)  # the layer is called several times, perhaps on maps of another size
        self.root.add_submodule(name, module)
        with self.root.graph.inserting_before(node):
            new = self.root.graph.call_module(name, (source,))
        node.replace_all_uses_with(new)
        self.root.graph.erase_node(node)
        self.maps[new] = maps

    def free(self, name: str) -> str:
        taken = dict(self.root.named_modules())
        count = 2
        candidate = name
        while candidate in taken or hasattr(self.root, candidate):
            candidate, count = f"{name}_{count}", count + 1
        return candidate


def _shape(node: fx.Node) -> tuple[int, ...]:
    """The shape of a step's value for two images of the model's size; () if it is no tensor."""
    meta: Any = node.meta.get("tensor_meta")
    return tuple(meta.shape) if hasattr(meta, "shape") else ()


# ---------------------------------------------------------------- one rule per kind of layer

Rule = Callable[[_Rewriter, fx.Node, Mapping[str, Any], list[_Maps]], None]


def _windows(rewriter: _Rewriter, node: fx.Node, arguments: Mapping[str, Any], inputs: list[_Maps]) -> None:
    """Convolutions and pooling slide as they are."""
    source = inputs[0]
    if source.flat or source.spread != (1, 1):
        rewriter.refuse(node, "it follows adaptive pooling" if not source.flat else "it follows flattening")
    if "kernel_size" in arguments:
        stride = window_stride(arguments)
        padded = pair(arguments["padding"]) != (0, 0)
        if arguments["ceil_mode"]:
            dilation, kernel = pair(arguments.get("dilation", 1)), pair(arguments["kernel_size"])
            padded = padded or any(
                (n - d * (k - 1) - 1) % s for n, k, s, d in zip(source.size, kernel, stride, dilation, strict=True)
            )
    else:
        weight: Any = rewriter.tensor(arguments["weight"])
        stride = pair(arguments["stride"])
        padded = any(any(sides) for sides in both_sides(arguments["padding"], weight, arguments["dilation"]))
    shape = _shape(node)
    strides = (source.stride[0] * stride[0], source.stride[1] * stride[1])
    rewriter.maps[node] = _Maps(shape[1], (shape[2], shape[3]), strides, exact=source.exact and not padded)


def _linear(rewriter: _Rewriter, node: fx.Node, arguments: Mapping[str, Any], inputs: list[_Maps]) -> None:
    """A convolution with a kernel of the size of the flattened maps."""
    source = inputs[0]
    if not source.flat:
        rewriter.refuse(node, "it mixes the columns of a map")
    weight, bias = (rewriter.tensor(arguments[name]) for name in ("weight", "bias"))
    if not isinstance(weight, Tensor):
        rewriter.refuse(node, "its weights are computed")
    with torch.device("meta"):
        layer = nn.Conv2d(source.channels, len(weight), source.size, dilation=source.spread, bias=bias is not None)
    with torch.no_grad():
        filters = weight.reshape(len(weight), source.channels, *source.size)
        layer.weight = nn.Parameter(filters.clone(), requires_grad=weight.requires_grad)
        if bias is not None:
            layer.bias = nn.Parameter(bias.clone(), requires_grad=bias.requires_grad)
    maps = replace(source, channels=len(weight), size=(1, 1), spread=(1, 1))
    rewriter.replace(node, layer, arguments["input"], maps)


def _adaptive(rewriter: _Rewriter, node: fx.Node, arguments: Mapping[str, Any], inputs: list[_Maps]) -> None:
    """Windows that are all alike slide at every place; what was beside each other then lies a window apart."""
    source, shape = inputs[0], _shape(node)
    after = (shape[-2], shape[-1])
    if source.flat or source.spread != (1, 1):
        rewriter.refuse(node, "it follows flattening or adaptive pooling")
    if any(n % m for n, m in zip(source.size, after, strict=True)):
        rewriter.refuse(node, f"from {source.size} to {after}, its windows are not all alike")
    _averaged(rewriter, node, arguments["input"], source, after, flat=False)


def _mean(rewriter: _Rewriter, node: fx.Node, arguments: Mapping[str, Any], inputs: list[_Maps]) -> None:
    source, dim = inputs[0], arguments["dim"]
    dims = {d % 4 for d in ([dim] if isinstance(dim, int) else dim or ())}
    if source.flat or dims != {2, 3}:
        rewriter.refuse(node, f"a mean over dimensions {dim}")
    if source.spread != (1, 1):
        rewriter.refuse(node, "it follows adaptive pooling")
    _averaged(rewriter, node, arguments["input"], source, (1, 1), flat=not arguments["keepdim"])


def _averaged(rewriter: _Rewriter, node: fx.Node, input: fx.Node, source: _Maps, after: Pair, flat: bool) -> None:
    window = (source.size[0] // after[0], source.size[1] // after[1])
    spread = tuple(1 if m == 1 else w for m, w in zip(after, window, strict=True))
    maps = replace(source, size=after, spread=(spread[0], spread[1]), flat=flat)
    layer = nn.Identity() if window == (1, 1) else nn.AvgPool2d(window, stride=1)
    rewriter.replace(node, layer, input, maps)


def _reshape(rewriter: _Rewriter, node: fx.Node, arguments: Mapping[str, Any], inputs: list[_Maps]) -> None:
    """Flattening falls away: what it would have made of the maps is remembered."""
    input = next(x for x in node.all_input_nodes if x in rewriter.maps)
    source, after = rewriter.maps[input], _shape(node)[1:]
    flattened = (source.channels * source.size[0] * source.size[1],)
    if after == flattened:
        flat = True
    elif after == (source.channels, *source.size):
        flat = False
    else:
        rewriter.refuse(node, f"it makes {list(after)} of {[source.channels, *source.size]}")
    rewriter.replace(node, nn.Identity(), input, replace(source, flat=flat))


def _alike(rewriter: _Rewriter, node: fx.Node, arguments: Mapping[str, Any], inputs: list[_Maps]) -> None:
    """Works element by element, on one value, or on several whose elements stand for the same pixels."""
    if len({(maps.size, maps.stride, maps.flat, maps.spread) for maps in inputs}) > 1:
        rewriter.refuse(node, "it brings together maps of different sizes or strides")
    others = [x for x in node.all_input_nodes if x not in rewriter.maps]
    for other in others:
        constant = rewriter.tensor(other)
        fits = isinstance(constant, Tensor) and (
            constant.numel() == 1 or (not inputs[0].flat and constant.dim() >= 3 and constant.shape[-2:] == (1, 1))
        )
        if not fits:
            rewriter.refuse(node, "it meets a tensor that has a value of its own at every place, or is computed")
    channels = max(maps.channels for maps in inputs)
    exact = all(maps.exact for maps in inputs)
    rewriter.maps[node] = replace(inputs[0], channels=channels, exact=exact)


def _normalised(rewriter: _Rewriter, node: fx.Node, arguments: Mapping[str, Any], inputs: list[_Maps]) -> None:
    source = inputs[0]
    if source.flat and not source.vector:
        rewriter.refuse(node, "it normalises every place of the flattened maps by itself")
    if not source.vector or node.op != "call_module":
        rewriter.maps[node] = source
        return
    module: Any = rewriter.root.get_submodule(str(node.target))
    norm = nn.BatchNorm2d(module.num_features, module.eps, module.momentum, module.affine)
    norm.load_state_dict(module.state_dict())
    norm.to(module.running_mean.device, module.running_mean.dtype)
    rewriter.replace(node, norm, arguments["input"], source)


def _lrn(rewriter: _Rewriter, node: fx.Node, arguments: Mapping[str, Any], inputs: list[_Maps]) -> None:
    if inputs[0].flat:
        rewriter.refuse(node, "it follows flattening")
    rewriter.maps[node] = inputs[0]


def _softmax(rewriter: _Rewriter, node: fx.Node, arguments: Mapping[str, Any], inputs: list[_Maps]) -> None:
    source, dims = inputs[0], 2 if inputs[0].flat else 4
    if arguments["dim"] % dims != 1 or (source.flat and not source.vector):
        rewriter.refuse(node, f"a softmax over dimension {arguments['dim']}")
    rewriter.replace(node, nn.Softmax(dim=1), arguments["input"], source)


def _cat(rewriter: _Rewriter, node: fx.Node, arguments: Mapping[str, Any], inputs: list[_Maps]) -> None:
    same = {(maps.size, maps.stride, maps.flat, maps.spread) for maps in inputs}
    dims = 2 if inputs[0].flat else 4
    whole = all(x in rewriter.maps for x in arguments["tensors"])
    if len(same) > 1 or not whole or arguments["dim"] % dims != 1 or (inputs[0].flat and not inputs[0].vector):
        rewriter.refuse(node, "it puts together what is not maps of one size and stride, side by side")
    channels = sum(rewriter.maps[x].channels for x in arguments["tensors"])
    node.args, node.kwargs = (arguments["tensors"], 1), {}
    exact = all(maps.exact for maps in inputs)
    rewriter.maps[node] = replace(inputs[0], channels=channels, exact=exact)


def _channels(rewriter: _Rewriter, node: fx.Node, arguments: Mapping[str, Any], inputs: list[_Maps]) -> None:
    if inputs[0].flat and not inputs[0].vector:
        rewriter.refuse(node, "it takes a part of flattened maps")
    rewriter.maps[node] = replace(inputs[0], channels=_shape(node)[1])


_RULES: dict[str, Rule] = {
    "conv": _windows,
    "max_pool": _windows,
    "avg_pool": _windows,
    "linear": _linear,
    "adaptive_avg_pool": _adaptive,
    "mean": _mean,
    "reshape": _reshape,
    "relu": _alike,
    "identity": _alike,
    "pointwise": _alike,
    "add": _alike,
    "mul": _alike,
    "batch_norm": _normalised,
    "lrn": _lrn,
    "softmax": _softmax,
    "cat": _cat,
    "channels": _channels,
}
