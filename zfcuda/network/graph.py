"""A model as a list of steps that compute new values and overwrite none."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx, nn

from zfcuda.network.calls import is_shape_query
from zfcuda.network.intact import evaluating
from zfcuda.network.kinds import KINDS

_LISTED = 12  # layers that an error names
# What a module that zfcuda puts around a model calls it; the layers keep the names that they have in the model.
INNER = "_zfcuda_inner"


@dataclass(frozen=True)
class Ref:
    """Stands for the value of a node among the arguments of another."""

    index: int


@dataclass(frozen=True)
class Node:
    """One step. Its value never changes; a write in place is a new node.

    kind: "input", "constant" (a tensor of the model), "ambiguous" (see zfcuda.network.builder), or one of
        zfcuda.network.kinds.
    arguments: by the names of that kind; a Ref stands for the value of another node, at any depth of lists and tuples.
    label: what messages call it, "layer 'conv1' (Conv2d)" or "sigmoid in layer 'gate'".
    """

    index: int
    kind: str
    arguments: Mapping[str, Any]
    label: str

    def resolve(self, values: Mapping[int, Any]) -> dict[str, Any]:
        """The arguments with every Ref replaced by its value."""
        return {name: _replace(value, values) for name, value in self.arguments.items()}

    def run(self, arguments: Mapping[str, Any]) -> Any:
        """The value, from resolved arguments, in plain torch."""
        if self.kind == "constant":
            return arguments["function"]()
        if self.kind == "ambiguous":
            raise ValueError(f"cannot follow {self.label}")
        return KINDS[self.kind](**arguments)

    @cached_property
    def refs(self) -> list[int]:
        """The nodes whose values it reads, in order, repeated ones included."""
        return list(references(self.arguments))

    @property
    def is_shape_query(self) -> bool:
        """Whether it asks for a size, a dtype or the like of its argument, not for values."""
        return self.kind == "other" and is_shape_query(self.arguments["function"], self.arguments["args"])


def _replace(value: Any, values: Mapping[int, Any]) -> Any:
    return map_nest(value, lambda x: values[x.index] if isinstance(x, Ref) else x)


def map_nest(value: Any, function: Callable[[Any], Any]) -> Any:
    """Applies the function to all that a nest of lists, tuples, dicts and slices holds, and keeps the nest."""
    return fx.node.map_aggregate(value, function)


def references(value: Any) -> Iterator[int]:
    """The nodes that a nest of arguments refers to, in order, repeated ones included."""
    if isinstance(value, Ref):
        yield value.index
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from references(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from references(item)
    elif isinstance(value, slice):
        yield from references((value.start, value.stop, value.step))


@dataclass(frozen=True)
class Network:
    """A traced model.

    nodes: in an order that computes every value before it is read.
    calls: every call of a layer, in the order in which they returned: its first name, and the node that is its output
        (None: it returned no such node).
    names: layer -> the node that is its output, as of its last call, in forward order; "" is the model itself.
    unusable: layers without such a node -> why.
    shape: (C, H, W) of the only images that it holds for, where it was traced with an example; None: any that fit.
    wrapper: what names begin with in the wrapper that the model was given in, "module." for one; node() takes both.
    The tensors of the model are read when the network runs: training on is seen, another structure is not.
    """

    model: nn.Module
    nodes: tuple[Node, ...]
    calls: tuple[tuple[str, int | None], ...]
    names: Mapping[str, int]
    unusable: Mapping[str, str]
    shape: tuple[int, ...] | None = None
    wrapper: str = ""

    @property
    def layers(self) -> list[str]:
        """The names that `layer=` takes, in forward order, a container after what it contains."""
        return [name for name in self.names if name]

    def node(self, layer: str) -> Node:
        """The node that computes a layer's output.

        Raises:
            TypeError: layer is not a string.
            ValueError: there is no such layer (the message lists the layers), or it gives no tensor to follow.
        """
        if not isinstance(layer, str):
            raise TypeError(f"layer: expected the dotted name of a submodule, got {layer!r}")
        layer = self.own_name(layer)
        if layer in self.unusable:
            raise ValueError(f"layer: {layer!r} {self.unusable[layer]}")
        if layer not in self.names:
            raise no_such_layer(self.model, layer, self.layers)
        return self.nodes[self.names[layer]]

    def own_name(self, layer: str) -> str:
        """The name of a layer inside the wrapper that the model was given in."""
        return own_name(layer, [*self.names, *self.unusable], self.wrapper)

    def ancestors(self, wanted: Iterable[int]) -> list[Node]:
        """What has to run for these nodes, themselves included, in order."""
        needed = set(wanted)
        for node in reversed(self.nodes):
            if node.index in needed:
                needed.update(node.refs)
        return [self.nodes[i] for i in sorted(needed)]

    def check(self, shape: Sequence[int], argument: str = "image") -> None:
        """Refuses images [...,C,H,W] of another shape than the example's, whose branches the network took.

        Raises:
            ValueError: naming the argument.
        """
        if self.shape is not None and tuple(shape[-3:]) != self.shape:
            raise ValueError(
                f"{argument}: expected images of {spoken_shape(self.shape)}, which {type(self.model).__name__} was "
                f"traced for, got {spoken_shape(shape)}; trace it with an example of this shape"
            )

    def run(self, image: Tensor, wanted: Iterable[int], keep: Container[int] | None = None) -> dict[int, Any]:
        """The values of these nodes and of all that they depend on, in plain torch, the model taken as in eval mode.

        image: [N,C,H,W], never written to.
        wanted: the indices of nodes.
        keep: the nodes whose values stay besides the wanted ones. Others that depend on the image are let go after
            their last reader, and leave their outlines. None: all stay.

        Raises:
            ValueError: the image is not of the shape that the network holds for.
        """
        self.check(image.shape)
        wanted = set(wanted)
        nodes = self.ancestors(wanted)
        last = {i: node.index for node in nodes for i in node.refs}
        of_image: set[int] = set()
        values: dict[int, Any] = {}
        gone: dict[int, Any] = {}
        with evaluating(self.model):
            for node in nodes:
                values[node.index] = image if node.kind == "input" else node.run(node.resolve(values))
                if node.kind == "input" or not of_image.isdisjoint(node.refs):
                    of_image.add(node.index)
                if keep is not None:
                    for i in of_image.intersection(node.refs):
                        if last[i] == node.index and i not in wanted and i not in keep:
                            gone[i] = _shaped(values.pop(i))
        # Not before: where a small tensor lies, malloc cannot lay another large one.
        return values | {i: _outlined(shapes) for i, shapes in gone.items()}


@dataclass(frozen=True)
class _Shape:
    """What is remembered of a tensor that was let go."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device

    def outline(self) -> Tensor:
        return torch.empty((), dtype=self.dtype, device=self.device).expand(self.shape)


def outline(value: Any) -> Any:
    """Replaces tensors by stand-ins of the same shape, dtype and device, which take no memory and hold no values."""
    return _outlined(_shaped(value))


def _shaped(value: Any) -> Any:
    if isinstance(value, Tensor) and value.layout is torch.strided:
        return _Shape(tuple(value.shape), value.dtype, value.device)
    return type(value)(map(_shaped, value)) if type(value) in (tuple, list) else value


def _outlined(value: Any) -> Any:
    if isinstance(value, _Shape):
        return value.outline()
    return type(value)(map(_outlined, value)) if type(value) in (tuple, list) else value


def unwrap(module: nn.Module) -> nn.Module:
    """What torch.compile or DataParallel wraps."""
    while True:
        inner = getattr(module, "_orig_mod", None)  # torch.compile
        if inner is None and isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            inner = module.module
        if not isinstance(inner, nn.Module):
            return module
        module = inner


def wrapper_of(model: nn.Module) -> str:
    """What the names of layers begin with in the wrapper of torch.compile or DataParallel; "" without one."""
    inner = unwrap(model)
    return "" if inner is model else next(name for name, module in model.named_modules() if module is inner) + "."


def own_name(layer: str, names: Iterable[str], wrapper: str) -> str:
    """The one of these names that a layer goes by, where it was given as the wrapper calls it.

    wrapper: from wrapper_of.
    """
    names = set(names)
    forms = (layer, plain_name(layer), plain_name(layer.removeprefix(wrapper)))
    return next((form for form in forms if form in names), layer)


def submodules(model: nn.Module) -> dict[str, nn.Module]:
    """The layers of an unwrapped model by the names that `layer=` takes."""
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if plain_name(name):
            found.setdefault(plain_name(name), module)
    return found


def first_line(error: BaseException) -> str:
    """What an error says, or its class where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def spoken_shape(shape: Iterable[int]) -> str:
    """Writes a shape as messages do: "[3,224,224]"."""
    return f"[{','.join(map(str, shape))}]"


def no_such_layer(model: nn.Module, layer: str, layers: Iterable[str]) -> ValueError:
    """The error for a layer that a model does not have, with those that come near; of a few layers, all."""
    names = list(layers)
    folded = {name.casefold(): name for name in reversed(names)}
    inside = [name for name in names if name.casefold().endswith(f".{layer.casefold()}")]
    near = inside[:3] or [folded[name] for name in difflib.get_close_matches(layer.casefold(), folded, n=3)]
    says = [f"layer: {type(model).__name__} has no layer {layer!r}"]
    if not near or len(names) <= _LISTED:
        says.append(f"there are: {', '.join(names[:_LISTED])}{', ...' if len(names) > _LISTED else ''}")
    if len(names) > _LISTED:
        says.append(f"zfcuda.network.layers lists all {len(names)}")
    if near:
        says.append(f"did you mean {', '.join(near)}?")
    return ValueError("; ".join(says))


def plain_name(name: str) -> str:
    """The name of a layer; a compiled part of a model goes by the name of its wrapper."""
    name = name.replace("_orig_mod.", "").removesuffix("._orig_mod")
    return "" if name == INNER else name.removeprefix(f"{INNER}.")
