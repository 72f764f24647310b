"""Whose networks are tried, which, and on how large an image."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from types import ModuleType

import torch
from torch import Tensor, nn

from benchmarks.zoo import picture, randomise
from zfcuda.data import HELD_OUT_SEED, Parts, Preprocess
from zfcuda.models.checkpoints.plain_torchvision import plain_torchvision

MOST_PARAMETERS = 150_000_000
SIDE = 96  # of a network that takes any image and needs no larger one

# torchvision's own classification networks come from its registry; these take no image of 96 x 96, or look better on
# another.
_TORCHVISION_SIDES = {"inception_v3": 128, "maxvit_t": 224, "vit_b_16": 224, "vit_b_32": 224}

# One or two of each family of timm's, the small ones, and the side of an image for those that need another than 96.
TIMM: dict[str, int] = {
    "resnet18d": SIDE,
    "resnet26t": SIDE,
    "resnetblur18": SIDE,
    "resnetaa34d": SIDE,
    "resnetv2_50x1_bit": SIDE,
    "resnext50d_32x4d": SIDE,
    "resnest14d": SIDE,
    "res2net50_14w_8s": SIDE,
    "skresnet18": SIDE,
    "legacy_seresnet18": SIDE,
    "seresnext26d_32x4d": SIDE,
    "ecaresnet26t": SIDE,
    "gcresnext26ts": SIDE,
    "nf_resnet26": SIDE,
    "nf_regnet_b0": SIDE,
    "eca_nfnet_l0": SIDE,
    "regnetx_002": SIDE,
    "regnety_002": SIDE,
    "efficientnet_lite0": SIDE,
    "tf_efficientnet_b0": SIDE,
    "tf_efficientnetv2_b0": SIDE,
    "mobilenetv1_100": SIDE,
    "mobilenetv2_050": SIDE,
    "mobilenetv3_small_050": SIDE,
    "mobilenetv4_conv_small": SIDE,
    "mobileone_s0": SIDE,
    "mnasnet_small": SIDE,
    "fbnetc_100": SIDE,
    "spnasnet_100": SIDE,
    "lcnet_050": SIDE,
    "hardcorenas_a": SIDE,
    "tinynet_e": SIDE,
    "rexnet_100": SIDE,
    "ghostnet_050": SIDE,
    "repvgg_a0": SIDE,
    "repvit_m0_9": SIDE,
    "densenetblur121d": SIDE,
    "dpn68": SIDE,
    "dla34": SIDE,
    "hrnet_w18_small": SIDE,
    "hgnetv2_b0": SIDE,
    "selecsls42b": SIDE,
    "tresnet_m": SIDE,
    "vovnet39a": SIDE,
    "ese_vovnet19b_slim": SIDE,
    "cspresnet50": SIDE,
    "cs3darknet_s": SIDE,
    "darknet17": SIDE,
    "inception_v4": 128,
    "xception41": SIDE,
    "inception_next_atto": SIDE,
    "convnext_atto": SIDE,
    "convnextv2_atto": SIDE,
    "convmixer_768_32": SIDE,
    "edgenext_xx_small": SIDE,
    "mobilevit_xxs": 128,
    "poolformer_s12": SIDE,
    "starnet_s1": SIDE,
    "efficientformer_l1": 224,
    "levit_128s": 224,
    "vit_tiny_patch16_224": 224,
    "deit_tiny_patch16_224": 224,
    "swin_tiny_patch4_window7_224": 224,
    "mixer_s32_224": 224,
    "resmlp_12_224": 224,
}


def available(owner: str) -> bool:
    """Whether this package of networks is installed."""
    return find_spec(owner) is not None


def version_of(package: str) -> str:
    return version(package)


@contextmanager
def imported(owner: str) -> Iterator[ModuleType]:
    """torchvision.models or timm, for the time of a with statement."""
    with plain_torchvision(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield importlib.import_module("torchvision.models" if owner == "torchvision" else owner)


def names(owner: str) -> list[str]:
    """All networks of torchvision for classification that are not too large, or the chosen ones of timm."""
    if owner == "timm":
        return list(TIMM)
    with imported("torchvision") as models:

        def parameters(name: str) -> int:
            weights = models.get_model_weights(name)  # what is known of them: none is read
            return int(next(iter(weights)).meta["num_params"])

        return [name for name in models.list_models(module=models) if parameters(name) <= MOST_PARAMETERS]


def drawn(side: int, number: int = 0) -> Tensor:
    """A drawn picture as networks take it: [1,3,side,side]."""
    return Preprocess(side, side, interpolation="bilinear")(Parts(seed=HELD_OUT_SEED)[number].image)


def build(owner: str, name: str) -> tuple[nn.Module, int]:
    """A network with random weights, in eval mode, and the side of its images."""
    torch.manual_seed(0)
    with imported(owner) as models:
        if owner == "timm":
            network, side = models.create_model(name, pretrained=False), TIMM[name]
        else:
            # As they are with their published weights.
            settings = {"transform_input": True, "aux_logits": False, "init_weights": False}
            inception = settings if name in ("googlenet", "inception_v3") else {}
            network, side = models.get_model(name, weights=None, **inception), _TORCHVISION_SIDES.get(name, SIDE)
    # Of unlike images, the one that will be looked at among them: else gates let deep networks explode on it.
    images = [drawn(side, i) for i in range(4)] + [picture(side, seed) for seed in range(4)]
    randomise(network, images=torch.cat(images))
    return network, side
