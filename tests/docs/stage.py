"""What the snippets of the documents find when they are run: files of the names that they use, and variables.

All of it is small and drawn here. What a snippet would take minutes for is made short by ``QUICK``, and by that alone.
"""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import nn

import zfcuda
from zfcuda.data import Parts

#: Arguments that a call gets whatever the snippet says: fewer steps, smaller pictures, coarser maps; nothing else.
QUICK: dict[str, dict[str, Any]] = {
    "zfcuda.maximize": {"steps": 1},
    "zfcuda.deep_dream": {"steps": 1, "octaves": 1},
    "zfcuda.invert": {"steps": 1},
    "zfcuda.synthesis.inversions": {"steps": 1},
    "zfcuda.transfer_style": {"steps": 1},
    "zfcuda.fool": {"steps": 8},
    "zfcuda.adversarial": {"steps": 2},
    "zfcuda.texture": {"size": (24, 16)},
    "zfcuda.occlusion_map": {"window": 64, "stride": 64},
    "zfcuda.OcclusionMapper": {"window": 64, "stride": 64},
    "zfcuda.explain": {"window": 64, "stride": 80, "top": 1},
    "zfcuda.faithfulness.deletion": {"steps": 2},
    "zfcuda.smooth_grad": {"samples": 2},
    "zfcuda.integrated_gradients": {"steps": 2},
    "zfcuda.paper.fig5": {"count": 2, "layers": ["conv1", "conv5"]},
}
_TRAINED = Path(zfcuda.__file__).parent / "models" / "pretrained" / "demo.safetensors"
_SIDE = 64  # pixels of what EfficientNet-Lite0 sees here


def prepare(folder: Path, *, photos: int = 9) -> None:
    """Writes the files that snippets name: pictures, folders of them, weights. photos: how many lie in "photos"."""
    parts = Parts(seed=5)
    (folder / "pen").mkdir()
    for number, name in enumerate(("cat.jpg", "dog.jpg", "photo.jpg", "painting.jpg", "a.jpg", "b.jpg", "shirt.jpg")):
        parts[number].image.resize((160, 120)).save(folder / name)
    parts[7].image.resize((32, 32)).save(folder / "sample.png")
    for name, count in (("photos", photos), ("photographs", 9)):
        for number in range(count):
            inside = folder / name / ("star", "gear", "heart")[number % 3]
            inside.mkdir(parents=True, exist_ok=True)
            parts[10 + number].image.resize((96, 96)).save(inside / f"{number}.jpg")
    zfcuda.synthesis.StyleNetwork(2, width=0.1).save(folder / "pen" / "weights.safetensors")
    run = folder / "run"
    run.mkdir()
    shutil.copy(_TRAINED, run / "weights.safetensors")
    with torch.device("meta"):
        shapes = zfcuda.models.vgg16().state_dict()
    small = {name: torch.zeros(1).expand(value.shape) for name, value in shapes.items()}  # one number in the file each
    torch.save(small, folder / "vgg16-397923af.pth")


def variables(side: int = 224) -> dict[str, Any]:
    """What a snippet may use without having made it: the small network of the package, images, a mask, ...

    Args:
        side: of the frames of a film, in pixels: as the image that the snippet made has it.
    """
    model = zfcuda.models.load_demo()
    one = Parts(seed=5)[3]
    preprocess: Any = model.preprocess
    image = preprocess(one.image)
    return {
        "zfcuda": zfcuda,
        "torch": torch,
        "model": model,
        "image": image,
        "images": image.repeat(2, 1, 1, 1),
        "frames": torch.zeros(2, 3, side, side).split(1),
        "large": torch.zeros(1, 3, 256, 256),
        "map": zfcuda.saliency(model, image)[0],
        "mask": torch.as_tensor(one.part_mask),
        "x": torch.randn(1, 2, 8, 8),
        "segmenter": nn.Conv2d(3, 21, 1),
        "picture": one.image,
        "photograph": one.image,
        "pictures": [one.image, Parts(seed=5)[4].image],
    }


@contextmanager
def quick() -> Iterator[None]:
    """Calls get the arguments of QUICK within this."""
    with ExitStack() as stack:
        for name, arguments in QUICK.items():
            stack.enter_context(_patch(name, arguments))
        stack.enter_context(mock.patch("zfcuda.models.load", _small(zfcuda.models.load)))
        yield


def _patch(name: str, arguments: dict[str, Any]) -> Any:
    value: Any = zfcuda
    for part in name.split(".")[1:]:
        value = getattr(value, part)

    signature = inspect.signature(value)

    @wraps(value, updated=())
    def called(*given: Any, **named: Any) -> Any:
        bound = signature.bind(*given, **named)
        if "arguments" in bound.arguments:  # OcclusionMapper's
            bound.arguments["arguments"].update(arguments)
        else:
            bound.arguments.update(arguments)
        return value(*bound.args, **bound.kwargs)

    return mock.patch(name, called)


def _small(load: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """EfficientNet-Lite0 with small pictures."""

    @wraps(load)
    def loaded(name: Any, **named: Any) -> nn.Module:
        model = load(name, **named)
        if name == "efficientnet_lite0":
            known: Any = model
            known.preprocess = zfcuda.Preprocess(_SIDE, _SIDE + 8, mean=known.preprocess.mean, std=known.preprocess.std)
        return model

    return loaded
