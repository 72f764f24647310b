"""Which networks the zoo has, and on which image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zfcuda
from benchmarks.survey.subjects import MOST_PARAMETERS
from benchmarks.zoo import picture, randomise
from zfcuda.models.checkpoints.plain_torchvision import torchvision_models

ZOO = "zoo"  # all of them
LITE = "efficientnet_lite0"
SIDES = {"inception_v3": 299}  # of an image; of all others:
SIDE = 224
# Made with their parts for training and random weights otherwise, which takes minutes.
_SETTINGS = {name: {"aux_logits": False, "init_weights": False} for name in ("googlenet", "inception_v3")}


class MissingError(Exception):
    """What the zoo needs is not installed."""


def names() -> list[str]:
    """All of torchvision's classification networks and EfficientNet-Lite0.

    Raises:
        MissingError: torchvision is not installed.
    """
    with torchvision_models() as models:
        if models is None:
            raise MissingError("torchvision is not installed: pip install --no-deps torchvision")
        return [LITE, *models.list_models(module=models)]


def too_large(name: str) -> str | None:
    """Why a network is left out, from what is known of it without making it."""
    if name == LITE:
        return None
    with torchvision_models() as models:
        assert models is not None
        count = next(iter(models.get_model_weights(name))).meta["num_params"]
    if count <= MOST_PARAMETERS:
        return None
    return f"{count / 1e6:.0f} M parameters, more than {MOST_PARAMETERS / 1e6:.0f} M"


def build(name: str) -> tuple[nn.Module, Tensor]:
    """A network in eval mode and its image [1,3,H,W], both channels_last; torchvision's with random weights."""
    side = SIDES.get(name, SIDE)
    if name == LITE:
        network = zfcuda.models.load(LITE).eval()
    else:
        torch.manual_seed(0)
        with torchvision_models() as models:
            assert models is not None
            network = models.get_model(name, weights=None, **_SETTINGS.get(name, {}))
        # Of unlike images, the one that will be looked at among them: else gates let deep networks explode on it.
        randomise(network, images=torch.cat([_picture(side, seed) for seed in range(4)]))
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network, _picture(side, 0).contiguous(memory_format=torch.channels_last)


def _picture(side: int, seed: int) -> Tensor:
    drawn = picture(seed=seed)
    return drawn if side == drawn.shape[-1] else F.interpolate(drawn, size=(side, side), mode="bilinear")
