"""A network as its prototxt describes it: torch modules by the names of Caffe's layers, in their order."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.models.checkpoints.caffe.layers import Shape, UnsupportedError, make
from zfcuda.models.checkpoints.caffe.schema import from_text
from zfcuda.models.checkpoints.errors import WeightsError

# The types of the format of 2014 that the present one spells otherwise than by capitals alone.
_RENAMED = {"LRN": "LRN", "RELU": "ReLU", "SOFTMAX_LOSS": "SoftmaxWithLoss", "HDF5_DATA": "HDF5Data"}


class CaffeNetwork(nn.Module):
    """The layers of a prototxt, [N,C,H,W] -> what its last layer gives.

    A module has its layer's name (with "_" for "."), so that weights, hooks and `layer=` go by Caffe's names. Before
    the first InnerProduct that reads maps stands a Flatten that Caffe's layer contains.

    Attributes:
        title: the name that the prototxt gives the network.
        prototxt: the text that it was made from.
        input_size: (C, H, W) of its images.
        layer_of: module -> the layer in Caffe's file.
    """

    def __init__(self, title: str, prototxt: str, input_name: str, input_size: Shape) -> None:
        super().__init__()
        self.title, self.prototxt, self.input_size = title, prototxt, input_size
        self.layer_of: dict[str, str] = {}
        self._input = self._output = input_name
        self._steps: list[tuple[str, tuple[str, ...], str]] = []  # module, what it reads, what it writes

    def append(self, name: str, module: nn.Module, reads: Sequence[str], writes: str) -> None:
        """Adds a layer, which reads and writes tensors by name; it may overwrite one that it reads."""
        self.add_module(name, module)
        self._steps.append((name, tuple(reads), writes))
        self._output = writes

    def forward(self, input: Tensor) -> Tensor:
        values = {self._input: input}
        for name, reads, writes in self._steps:
            values[writes] = self.get_submodule(name)(*[values[read] for read in reads])
        return values[self._output]


def build(text: str, where: str) -> CaffeNetwork:
    """The network of a deploy prototxt, with random weights, in eval mode.

    Args:
        text: what the prototxt says.
        where: its file, for messages.

    Raises:
        WeightsError: it cannot be read; there is nothing for the type of a layer, or for one of its settings (the
            message names the layer and its type).
    """
    net = _parse(text, where)
    layers = [layer for layer in [*net.layer, *net.layers] if _runs(layer)]
    if any(kind_of(layer) == "None" for layer in layers):
        raise WeightsError(f"{where}: of a format older than that of 2014; Caffe's upgrade_net_proto_text renews it")
    name, size, layers = _input(net, layers, where)
    network = CaffeNetwork(net.name, text, name, size)
    shapes: dict[str, Shape] = {name: size}
    for layer in layers:
        kind = kind_of(layer)
        try:
            _append(network, kind, layer, shapes)
        except UnsupportedError as error:
            raise WeightsError(f"{where}: layer {layer.name!r} ({kind}): {error}") from None
        except Exception as error:  # torch's modules raise as they please about settings and shapes
            raise WeightsError(f"{where}: layer {layer.name!r} ({kind}): {_first_line(error)}") from error
    if not layers:
        raise WeightsError(f"{where}: a network without layers")
    last = shapes[network._output]
    if len(last) == 3 and last[1:] == (1, 1):  # scores as maps of one pixel
        network.append("flatten", nn.Flatten(), [network._output], "flatten")
    return _initialised(network, where).eval()


def _initialised(network: CaffeNetwork, where: str) -> CaffeNetwork:
    """Gives a network that has only shapes the random weights that torch draws."""
    for name, module in network.named_children():
        try:
            module.to_empty(device="cpu")
        except (MemoryError, RuntimeError) as error:
            raise WeightsError(
                f"{where}: layer {network.layer_of.get(name, name)!r} is too large: {_first_line(error)}"
            ) from error
        if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm1d | nn.BatchNorm2d):
            module.reset_parameters()
    return network


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _parse(text: str, where: str) -> Any:
    try:
        net = from_text("NetParameter", text)
    except WeightsError:
        raise
    except ValueError as error:
        raise WeightsError(f"{where}: not a prototxt ({error})") from None
    if len(net.layer) and len(net.layers):
        raise WeightsError(f'{where}: has both "layer" and "layers"')
    return net


def _runs(layer: Any) -> bool:
    """Whether a layer is there when the network is used, not trained."""
    test = 1
    if layer.include:
        return any(not rule.HasField("phase") or rule.phase == test for rule in layer.include)
    return not any(not rule.HasField("phase") or rule.phase == test for rule in layer.exclude)


def kind_of(layer: Any) -> str:
    """The type of a layer, as the present format spells it."""
    if isinstance(layer.type, str):
        return layer.type
    name = layer.DESCRIPTOR.fields_by_name["type"].enum_type.values_by_number[layer.type].name
    return _RENAMED.get(name) or "".join(word.capitalize() for word in name.split("_"))


def _input(net: Any, layers: list[Any], where: str) -> tuple[str, Shape, list[Any]]:
    """The name of the input, its (C, H, W), and the layers that are left."""
    names = list(net.input)
    sizes = [list(shape.dim) for shape in net.input_shape]
    sizes = sizes or [list(net.input_dim[i : i + 4]) for i in range(0, len(net.input_dim), 4)]
    for layer in layers:
        if kind_of(layer) == "Input":
            names += layer.top
            sizes += [list(shape.dim) for shape in layer.input_param.shape]
    if not names and any(kind_of(layer).endswith("Data") for layer in layers):
        raise WeightsError(f"{where}: reads data of its own, as for training; the deploy prototxt is needed")
    if len(names) != 1 or len(sizes) != 1:
        raise WeightsError(f"{where}: expected one input with its size, found {len(names)} with {len(sizes)} sizes")
    if len(sizes[0]) != 4 or min(sizes[0]) < 1:
        raise WeightsError(f"{where}: the input is {sizes[0]}; expected [pictures, channels, height, width]")
    return names[0], tuple(sizes[0][1:]), [layer for layer in layers if kind_of(layer) != "Input"]


def _append(network: CaffeNetwork, kind: str, layer: Any, shapes: dict[str, Shape]) -> None:
    reads = list(layer.bottom)
    missing = [name for name in reads if name not in shapes]
    if missing:
        raise UnsupportedError(f"it reads {missing[0]!r}, which no layer before it gives")
    if len(layer.top) != 1:
        raise UnsupportedError(f"it gives {len(layer.top)} tensors")
    name, writes = _module_name(layer.name, network), layer.top[0]
    with torch.device("meta"):
        module = make(kind, layer, [shapes[read] for read in reads]).eval()
        if kind == "InnerProduct" and len(shapes[reads[0]]) > 1:
            flat = f"{reads[0]} as a vector"  # a name that Caffe does not have, so that no other layer reads it
            network.append(f"{name}_flatten", nn.Flatten(), reads, flat)
            shapes[flat] = (math.prod(shapes[reads[0]]),)
            reads = [flat]
        shapes[writes] = tuple(module(*[torch.empty(1, *shapes[read]) for read in reads]).shape[1:])
    network.append(name, module, reads, writes)
    network.layer_of[name] = layer.name


def _module_name(name: str, network: nn.Module) -> str:
    plain = re.sub(r"\.", "_", name)
    if not plain:
        raise UnsupportedError("it has no name")
    if hasattr(network, plain):
        raise UnsupportedError(f"the name {plain!r} is taken")
    return plain
