"""The small trained network that comes with the package."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import load_file

from zfcuda.data.preprocess import Preprocess
from zfcuda.models.architectures.zfnet import ZFNet, zfnet

_WEIGHTS = Path(__file__).parent


class DemoNetwork(ZFNet):
    """A trained ZFNet.

    Attributes:
        classes: the names of its outputs.
        preprocess: PIL picture -> float32 [1, 3, 224, 224].
    """

    classes: list[str]
    preprocess: Preprocess


def load_demo() -> DemoNetwork:
    """The network trained on ``zfcuda.data.Parts``, in eval mode, float32, channels_last, on the CPU.

    How it was trained and how well it does is in ``zfcuda/models/pretrained/demo.json``.
    """
    facts = json.loads((_WEIGHTS / "demo.json").read_text(encoding="utf-8"))
    architecture, seen = facts["architecture"], facts["preprocess"]
    plain = zfnet(architecture["num_classes"], variant=architecture["variant"], width=architecture["width"])
    plain.load_state_dict({name: value.float() for name, value in load_file(_WEIGHTS / "demo.safetensors").items()})
    network = DemoNetwork(OrderedDict(plain.named_children()))
    network.classes = list(facts["classes"])
    network.preprocess = Preprocess(seen["size"], seen["size"], tuple(seen["mean"]), tuple(seen["std"]))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # what CPUs compute fastest in
    network.eval()
    return network
