"""The weights in a caffemodel, and the mean in a binaryproto."""

from __future__ import annotations

import math
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zfcuda.files.regular import refusal
from zfcuda.models.checkpoints.caffe.network import CaffeNetwork, kind_of
from zfcuda.models.checkpoints.caffe.schema import from_bytes
from zfcuda.models.checkpoints.errors import WeightsError


def state_dict(network: CaffeNetwork, path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The weights of a caffemodel by the names of the network, float32.

    Args:
        network: what they are for.
        path: the caffemodel, of the present format or of that of 2014.

    Layers that only the file has are left out, as in Caffe, with a warning.

    Raises:
        WeightsError: the file cannot be read; a layer of the network is not in it; a blob has another shape than the
            network's (both are named).
    """
    file = Path(path)
    layers = {layer.name: list(layer.blobs) for layer in _layers(file)}
    weights: dict[str, Tensor] = {}
    used = set()
    for name, layer in network.layer_of.items():
        module = network.get_submodule(name)
        if not module.state_dict():
            continue
        used.add(layer)
        if layer not in layers:
            others = ", ".join(repr(other) for other in list(layers)[:8])
            raise WeightsError(f"{file}: weights of another network: no layer {layer!r}; it has {others}, ...")
        for key, value in _of_layer(module, [_Blob(blob, file, layer) for blob in layers[layer]], layer).items():
            weights[f"{name}.{key}"] = value
    unused = [layer for layer in layers if layer not in used]
    if unused:
        warnings.warn(f"{file}: not used, since the prototxt has no such layer: {', '.join(unused)}", stacklevel=2)
    return weights


def layer_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The convolutions and fully connected layers in a caffemodel, "conv1.weight" and so on, for a network by name.

    Raises:
        WeightsError: the file cannot be read, or has weights of a type of layer that only the prototxt explains.
    """
    file = Path(path)
    weights: dict[str, Tensor] = {}
    for layer in _layers(file):
        blobs = [_Blob(blob, file, layer.name) for blob in layer.blobs]
        dims = {"Convolution": 4, "InnerProduct": 2}.get(kind_of(layer))
        if dims is None:
            raise WeightsError(f"{file}: layer {layer.name!r} ({kind_of(layer)}) needs the prototxt to be read")
        for key, blob, n in zip(("weight", "bias"), blobs, (dims, 1), strict=False):
            weights[f"{layer.name}.{key}"] = blob.values(_four(blob.shape)[-n:])
    return weights


def channel_means(path: str | os.PathLike[str]) -> tuple[float, ...]:
    """The mean picture in a binaryproto, averaged per channel, in its order (BGR) and its unit (0 to 255).

    Raises:
        WeightsError: the file cannot be read, or holds no picture.
    """
    file = Path(path)
    blob = _Blob(_message("BlobProto", file, "a mean picture (binaryproto)"), file, "mean")
    if len(blob.shape) < 3:
        raise WeightsError(f"{file}: not a mean picture: its shape is {list(blob.shape)}")
    return tuple(blob.values(blob.shape).reshape(-1, *blob.shape[-2:]).mean((1, 2)).tolist())


def _layers(file: Path) -> list[Any]:
    """The layers of a caffemodel that have weights."""
    net = _message("NetParameter", file, "a caffemodel")
    layers = [layer for layer in [*net.layer, *net.layers] if layer.blobs]
    if not layers:
        raise WeightsError(f"{file}: a caffemodel without weights, or not a caffemodel")
    return layers


class _Blob:
    """An array in one of Caffe's files."""

    def __init__(self, message: Any, file: Path, layer: str) -> None:
        self.message, self.file, self.layer = message, file, layer
        legacy = (message.num, message.channels, message.height, message.width)
        self.shape = tuple(message.shape.dim) if message.HasField("shape") else legacy

    def values(self, shape: tuple[int, ...]) -> Tensor:
        """The numbers, float32, in this shape; a blob of 2014 always has four dimensions, the first ones 1."""
        if _four(self.shape) != _four(shape):
            raise WeightsError(
                f"{self.file}: weights of another network: layer {self.layer!r} has {list(self.shape)} in the file "
                f"and {list(shape)} in the network"
            )
        message = self.message
        wide = bool(message.double_data)
        data = b"".join(message.double_data if wide else message.data)
        kind = "<f8" if wide else "<f4"
        if len(data) != math.prod(shape) * int(kind[-1]):
            raise WeightsError(
                f"{self.file}: layer {self.layer!r} should have {math.prod(shape)} numbers, it has "
                f"{len(data) // int(kind[-1])}: truncated, or in half precision"
            )
        return torch.from_numpy(np.frombuffer(data, kind).astype(np.float32).reshape(shape))


def _four(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (1,) * (4 - len(shape)) + tuple(shape)


def _of_layer(module: nn.Module, blobs: list[_Blob], layer: str) -> dict[str, Tensor]:
    """The blobs of one layer by the names of its module."""
    wanted = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        if module.affine:  # Caffe's Scale
            return _named(["weight", "bias"][: len(blobs)], wanted, blobs, layer) | _unscaled(module, len(blobs))
        mean, variance, factor = _named(["running_mean", "running_var", ""], wanted | {"": (1,)}, blobs, layer).values()
        total = float(factor)
        share = 0.0 if total == 0 else 1 / total  # Caffe keeps sums, and how many they are sums of
        return {"running_mean": mean * share, "running_var": variance * share}
    return _named([key for key in ("weight", "bias") if key in wanted], wanted, blobs, layer)


def _named(keys: list[str], wanted: dict[str, tuple[int, ...]], blobs: list[_Blob], layer: str) -> dict[str, Tensor]:
    if len(blobs) != len(keys) or not blobs:
        raise WeightsError(
            f"{blobs[0].file}: layer {layer!r} has {len(blobs)} arrays in the file and {len(keys)} in the network"
        )
    return {key: blob.values(wanted[key]) for key, blob in zip(keys, blobs, strict=True)}


def _unscaled(module: nn.BatchNorm1d | nn.BatchNorm2d, blobs: int) -> dict[str, Tensor]:
    """What a Scale leaves alone: mean 0, variance 1, and its shift where it has none."""
    n = module.num_features
    kept = {"running_mean": torch.zeros(n), "running_var": torch.ones(n)}
    return kept if blobs > 1 else kept | {"bias": torch.zeros(n)}


def _message(kind: str, file: Path, what: str) -> Any:
    refused = refusal(file)
    if refused is not None:
        raise WeightsError(f"{file}: {refused}")
    try:
        return from_bytes(kind, file.read_bytes())
    except OSError as error:
        raise WeightsError(f"{file}: cannot be read ({error.strerror})") from None
    except WeightsError:
        raise
    except ValueError:
        raise WeightsError(f"{file}: not {what}, or a truncated one") from None
