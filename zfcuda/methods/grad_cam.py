"""Grad-CAM, as a map for each pixel."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from zfcuda.backward.grad_cam import grad_cam
from zfcuda.backward.maps import maps
from zfcuda.methods.method import Method
from zfcuda.network.graph import submodules, unwrap

_POOLING = (
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.LPPool2d,
    nn.FractionalMaxPool2d,
    nn.AdaptiveMaxPool2d,
    nn.AdaptiveAvgPool2d,
)


def layer_before_pooling(model: nn.Module, image: Tensor) -> str | None:
    """The last layer with a map that has not been pooled since its convolution; None: there is no such layer.

    It is the one that Grad-CAM's authors take, VGG16's rectified conv5_3 and not its pool5: pooling drops where in its
    window a thing was seen. And it is the same layer whether the pooling is a module or a call of a function.

    image: [1,C,H,W].
    """
    model = unwrap(model)
    sizes, modules = maps(model, image), submodules(model)
    pooled: dict[str, bool] = {}
    before = ""
    for name, size in sizes.items():  # in the order of their calls: what is inside a container comes before it
        inside = before.startswith(f"{name}.") if name else True
        ends_in_it = inside and pooled.get(before, False) and sizes[before] == size
        pooled[name] = isinstance(modules.get(name, model), _POOLING) or ends_in_it
        before = name
    height, width = image.shape[2:]
    fitting = [n for n, (h, w) in sizes.items() if not pooled[n] and h <= height and w <= width]
    return fitting[-1] if fitting else None


def _maps(model: nn.Module, images: Tensor, targets: Sequence[int]) -> Tensor:
    layer = layer_before_pooling(model, images[:1]) if len(images) else None
    if layer is not None:
        try:
            return grad_cam(model, images, target=list(targets), layer=layer)
        except ValueError:  # the score may not depend on it: then the last one of which it does
            pass
    return grad_cam(model, images, target=list(targets))


METHOD = Method(
    name="gradcam",
    title="Grad-CAM",
    source="Selvaraju et al. 2017",
    signed=False,
    reading="Where the network's last maps see something that speaks for the class; only as sharp as those maps.",
    compute=_maps,
)
