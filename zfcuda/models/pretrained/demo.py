"""The small trained networks that come with the package: a card in JSON and float16 weights for each."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch

from zfcuda.data.preprocess import Preprocess
from zfcuda.models.architectures.registry import entry
from zfcuda.models.architectures.zfnet import ZFNet
from zfcuda.models.checkpoints.match import load_weights
from zfcuda.models.checkpoints.read import MEAN_IMAGE, read_tensor

#: The networks by name, each with what it is.
DEMOS = {
    "demo": "a small ZFNet trained on drawn pictures",
    "clothing": "a small ZFNet trained on photographs of clothes",
}
FOLDER = Path(__file__).parent


class DemoNetwork(ZFNet):
    """A trained ZFNet.

    Attributes:
        classes: the names of its outputs.
        preprocess: PIL picture -> float32 [1, 3, 224, 224].
        card: how it was trained and how well it does: "command", "seed", "accuracy" and more.
    """

    classes: list[str]
    preprocess: Preprocess
    card: dict[str, Any]


def load_demo(name: str = "demo") -> DemoNetwork:
    """A network of the package, in eval mode, float32, channels_last, on the CPU.

    Args:
        name: "demo", trained on ``zfcuda.data.Parts``; or "clothing", trained on photographs of ten kinds of clothes.

    Returns:
        The network; its `.card` is ``zfcuda/models/pretrained/NAME.json``.

    Raises:
        ValueError: there is no such network, or this copy of the package lacks it.
    """
    if name not in DEMOS:
        raise ValueError(f"name: expected one of {tuple(DEMOS)}, got {name!r}")
    weights, beside = FOLDER / f"{name}.safetensors", FOLDER / f"{name}.json"
    if not (weights.is_file() and beside.is_file()):
        raise ValueError(f"name: this copy of zfcuda lacks the network {name!r} ({weights} and the JSON beside it)")
    card = json.loads(beside.read_text(encoding="utf-8"))
    architecture = dict(card["architecture"])
    build: Any = entry(architecture.pop("name")).build
    network = DemoNetwork(OrderedDict(build(**architecture).named_children()))
    load_weights(network, weights)
    network.card, network.classes = card, list(card["classes"])
    seen = {"short_side": card["preprocess"]["size"]} | card["preprocess"]
    network.preprocess = Preprocess(**seen, mean_image=read_tensor(weights, MEAN_IMAGE))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # what CPUs compute fastest in
    network.eval()
    return network
