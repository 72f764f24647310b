"""Style: which units of a layer fire together, wherever they do. Gatys, Ecker & Bethge 2015 and 2016.

Example:
    targets = grams(model, sample, ["conv1", "conv2"])
    optimise(model, style(targets) + 0.1 * content("conv4", code), image, steps=200)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from zfcuda.inputs import weight
from zfcuda.network.graph import spoken_shape
from zfcuda.synthesis.objectives import Objective
from zfcuda.synthesis.precision import as_it_is, wide
from zfcuda.synthesis.watched import Seen, watching


def gram(maps: Tensor) -> Tensor:
    """The Gram matrix of each image's maps: the mean product of two units, over all places.

    Gatys et al. 2016, equation 3, with the mean in the place of the sum: the size of the map does not matter, and maps
    that are c_k everywhere have the matrix c_j c_k.

    Args:
        maps: [N,K,h,w].

    Returns:
        [N,K,K], of float32 at least, differentiable.

    Raises:
        ValueError: it has another number of dimensions, or no places.
    """
    if maps.ndim != 4 or 0 in maps.shape[2:]:
        raise ValueError(f"maps: expected [N,K,h,w], got shape {list(maps.shape)}")
    flat = wide(maps.flatten(2))
    with as_it_is(flat):
        return flat @ flat.mT / flat.shape[2]


def grams(model: nn.Module, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """The Gram matrices of images by layer: what :func:`style` takes.

    Args:
        model: a network [N,C,H,W] -> anything; it is run as in eval, no further than the last of the layers.
        images: [N,C,H,W], of the network's dtype and on its device. Any size that the layers take.
        layers: names of layers that give maps.

    Returns:
        layer -> [N,K,K], without a history.

    Raises:
        TypeError, ValueError: there is no such layer (those that there are follow), it is never called, or gives no
            map.
    """
    if isinstance(layers, str):
        raise TypeError(f"layers: expected names of layers, got {layers!r}")
    with watching(model, layers) as watched, torch.no_grad():
        seen = watched(images)
        return {name: gram(_map(seen, name)) for name in seen.layers}


def style(targets: Mapping[str, Tensor], weights: Mapping[str, float] | None = None) -> Objective:
    """Minus the distance of layers' Gram matrices G from others A, |G - A|^2 / |A|^2, as the mean over the layers.

    It is 0 where they are the same, and -1 for an image that no layer answers to. The division makes layers weigh
    alike, however many units they have and however large their values are (Gatys et al. 2016, equation 4, divide by
    the number of units and places alone).

    Args:
        targets: layer -> [1,K,K] for all images, or [N,K,K] with one for each; as :func:`grams` gives them.
        weights: layer -> how much it weighs in the mean; None: each 1.

    Raises:
        TypeError, ValueError: there is no layer, a weight is negative, of an unknown layer, or they are all 0; (when
            it is first looked at) a layer gives no map or has another number of units.
    """
    shares = _shares(targets, weights)

    def value(seen: Seen) -> Tensor:
        total = torch.zeros((), dtype=torch.float32, device=seen.images.device)
        for name, share in shares.items():
            found, target = gram(_map(seen, name)), targets[name]
            if target.shape[1:] != found.shape[1:] or len(target) not in (1, len(found)):
                raise ValueError(
                    f"targets: expected {spoken_shape(found.shape)} or one of them for layer {name!r}, got "
                    f"{spoken_shape(target.shape)}"
                )
            target = target.to(found)
            size = target.square().sum((1, 2)).clamp_min(torch.finfo(target.dtype).tiny)
            total = total - share * (found - target).square().sum((1, 2)) / size
        return total

    return Objective(value, tuple(shares), text=f"style of {', '.join(shares)}")


def _shares(targets: Mapping[str, Tensor], weights: Mapping[str, float] | None) -> dict[str, float]:
    """How much each layer weighs, 1 together; layers that weigh nothing are left out."""
    if not targets:
        raise ValueError("targets: expected a Gram matrix for at least one layer, got none")
    given = dict.fromkeys(targets, 1.0) if weights is None else dict(weights)
    unknown = sorted(set(given) - set(targets))
    if unknown:
        raise ValueError(f"weights: expected layers of {', '.join(targets)}, got {unknown[0]!r}")
    numbers = {name: weight(f"weights[{name!r}]", given.get(name, 1.0)) for name in targets}
    total = sum(numbers.values())
    if total == 0:
        raise ValueError("weights: expected one above 0, got 0 for every layer")
    return {name: each / total for name, each in numbers.items() if each}


def _map(seen: Seen, name: str) -> Tensor:
    found = seen.layers[name]
    if found.ndim != 4:
        raise ValueError(
            f"style layer: expected a map [N,K,h,w], got a vector {spoken_shape(found.shape)} from {name!r}: behind "
            "the first fully connected layer there are no places left"
        )
    return found
