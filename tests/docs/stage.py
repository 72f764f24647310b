"""What the snippets of the documents find when they are run: files of the names that they use, and variables.

All of it is small and drawn here. What a snippet would take minutes for is made short by ``QUICK``, and by that alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    "zfcuda.texture": {"size": (24, 16)},
    "zfcuda.occlusion_map": {"window": 64, "stride": 64},
    "zfcuda.OcclusionMapper": {"window": 64, "stride": 64},
    "zfcuda.explain": {"window": 64, "stride": 80, "top": 1},
    "zfcuda.faithfulness.deletion": {"steps": 2},
    "zfcuda.smooth_grad": {"samples": 2},
    "zfcuda.integrated_gradients": {"steps": 2},
}
_SIDE = 64  # pixels of what EfficientNet-Lite0 sees here


def prepare(folder: Path) -> None:
    """Writes the files that snippets name: pictures, folders of them, weights."""
    parts = Parts(seed=5)
    for number, name in enumerate(("cat.jpg", "dog.jpg", "photo.jpg", "painting.jpg", "a.jpg", "b.jpg", "shirt.jpg")):
        parts[number].image.resize((160, 120)).save(folder / name)
    parts[7].image.resize((32, 32)).save(folder / "sample.png")
    for name in ("photos", "photographs"):
        for number in range(12):
            inside = folder / name / ("star", "gear", "heart")[number % 3]
            inside.mkdir(parents=True, exist_ok=True)
            parts[10 + number].image.resize((96, 96)).save(inside / f"{number}.jpg")
    (folder / "names.txt").write_text("cat\ndog\n")


def variables() -> dict[str, Any]:
    """What a snippet may use without having made it: the small network of the package, images, a mask, ..."""
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
        "frames": image.repeat(2, 1, 1, 1).split(1),
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
    with mock.patch.object(torch, "compile", lambda value, **_: value):
        patches = [_patch(name, arguments) for name, arguments in QUICK.items()]
        patches.append(mock.patch("zfcuda.models.load", _small(zfcuda.models.load)))
        for patch in patches:
            patch.start()
        try:
            yield
        finally:
            for patch in reversed(patches):
                patch.stop()


def _patch(name: str, arguments: dict[str, Any]) -> Any:
    value: Any = zfcuda
    for part in name.split(".")[1:]:
        value = getattr(value, part)

    @wraps(value, updated=())
    def called(*given: Any, **named: Any) -> Any:
        import inspect

        bound = inspect.signature(value).bind(*given, **named)
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
            known.preprocess = zfcuda.Preprocess(
                _SIDE, _SIDE + 8, mean=known.preprocess.mean, std=known.preprocess.std
            )
        return model

    return loaded
