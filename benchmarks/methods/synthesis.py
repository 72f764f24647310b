"""What it wants: the methods of zfcuda.synthesis, on the photograph and on crops of scikit-image's textures."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

import zfcuda
from benchmarks.methods.scene import Scene, Shown, Trial, timed
from zfcuda import render
from zfcuda.synthesis import each, logit, unit
from zfcuda.synthesis.pixel_range import PixelRange

UNITS = ("_blocks.2._relu0", "_blocks.5._relu1", "_blocks.10._relu0")  # from shallow to deep
CLASSES = ("bullfrog", "container ship", "wooden spoon")
FOOLED = "goldfish"
DREAM = "_blocks.9"
INVERTED = ("_blocks.0", "_blocks.4", "_blocks.10")
TEXTURES, SAMPLE, LARGE = ("brick", "grass"), 128, 192
CONTENT = "astronaut"
STYLE = "coffee"
STYLED = 512  # pixels that the drawing network is timed on
TRAINING: dict[str, Any] = {"width": 0.5, "steps": 1500, "size": 128, "batch": 2, "workers": 0}  # of it
_TILE = 200  # pixels, of what is drawn


def trials() -> dict[str, Trial]:
    """A trial for each method that is there."""
    return {
        "maximize": _maximize,
        "fool": _fool,
        "adversarial": _adversarial,
        "deep_dream": _deep_dream,
        "invert": _invert,
        "texture_tree": _texture_tree,
        "texture_gram": _texture_gram,
        "transfer_style": _transfer_style,
        "style_network": _style_network,
    }


def _maximize(scene: Scene) -> Shown:
    """A row of units, a row of classes."""
    wanted = [unit(layer, 12) for layer in UNITS] + [logit(name) for name in CLASSES]
    images, seconds = timed(lambda: zfcuda.maximize(scene.model, each(wanted), count=len(wanted)))
    with torch.inference_mode():
        sure = scene.model(images[len(UNITS) :]).softmax(1)
    classes = [scene.model.classes.index(name) for name in CLASSES]
    named = float(sure[range(len(classes)), classes].mean())
    said = f"the classes' mean probability is {named:.2g}"
    return Shown("maximize", _row(_pictures(scene, images), 3), seconds, said)


def _fool(scene: Scene) -> Shown:
    found, seconds = timed(lambda: zfcuda.fool(scene.model, scene.image, FOOLED))
    said = f"after {found.steps} steps {_answer(scene, found)}"
    return Shown("fool", _changed(scene, found.image), seconds, said)


def _adversarial(scene: Scene) -> Shown:
    found, seconds = timed(lambda: zfcuda.adversarial(scene.model, scene.image))
    largest = float(_in_255(scene, found.image - scene.image).abs().amax())
    said = f"{_answer(scene, found)}, and no pixel value changes by more than {largest:.2g} of 255"
    return Shown("adversarial", _changed(scene, found.image), seconds, said)


def _deep_dream(scene: Scene) -> Shown:
    image, seconds = timed(lambda: zfcuda.deep_dream(scene.model, scene.photograph, DREAM))
    picture = PixelRange.of(scene.model).picture(image[0])
    wide, high = picture.size
    return Shown("deep_dream", picture, seconds, f"four octaves of ten steps, {wide} x {high} pixels")


def _invert(scene: Scene) -> Shown:
    found, seconds = timed(lambda: [zfcuda.invert(scene.model, scene.image, layer) for layer in INVERTED])
    said = "relative errors " + ", ".join(f"{one.error:.2g}" for one in found)
    images = torch.cat([scene.image, *(one.image for one in found)])
    return Shown("invert", _row(_pictures(scene, images), 4), seconds, said)


def _texture_tree(scene: Scene) -> Shown:
    shown, seconds = _textures(lambda sample: zfcuda.texture(sample, (LARGE, LARGE)))
    return Shown("texture_tree", shown, seconds, "scikit-learn's k-means makes the tree")


def _texture_gram(scene: Scene) -> Shown:
    call = partial(zfcuda.texture, size=(224, 224), method="gram", model=scene.model)
    shown, seconds = _textures(lambda sample: call(sample))
    return Shown("texture_gram", shown, seconds, "224 x 224 pixels each")


def _transfer_style(scene: Scene) -> Shown:
    content, style = scene.model.preprocess(scene.picture(CONTENT)), _style(scene)
    image, seconds = timed(lambda: zfcuda.transfer_style(scene.model, content, style))
    tiles = _pictures(scene, torch.cat([content, style, image]))
    return Shown("transfer_style", _row(tiles, 3), seconds, "224 x 224 pixels")


def _style(scene: Scene) -> Tensor:
    image: Tensor = scene.model.preprocess(scene.picture(STYLE))
    return image


def _style_network(scene: Scene) -> Shown:
    """A short training of a small network on the crops, and what it draws then."""
    from zfcuda.train.style.run import train_style

    (style,) = _pictures(scene, _style(scene))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pictures").mkdir()
        for number, crop in enumerate(scene.crops):
            crop.save(folder / "pictures" / f"{number}.png")
        begin = time.perf_counter()
        network = train_style(folder / "pictures", [style], folder / "run", model=scene.model, **TRAINING)
        trained = time.perf_counter() - begin
    content = scene.picture(CONTENT).resize((STYLED, STYLED), Image.Resampling.LANCZOS)
    picture, seconds = timed(lambda: network.draw(content))
    tiles = [
        content.resize((_TILE, _TILE)),
        style.resize((_TILE, _TILE)),
        picture.resize((_TILE, _TILE)),
    ]
    said = f"{TRAINING['steps']} steps on {len(scene.crops)} pictures took {trained:.0f} s"
    return Shown("style_network", _row(tiles, 3), seconds, said)


# ---------------------------------------------------------------- drawing


def _pictures(scene: Scene, images: Tensor) -> list[Image.Image]:
    limits = PixelRange.of(scene.model)
    return [limits.picture(image) for image in images]


def _row(pictures: Sequence[Image.Image], columns: int) -> Image.Image:
    tiles = [picture.resize((_TILE, _TILE), Image.Resampling.LANCZOS) for picture in pictures]
    return render.grid(tiles, columns, gap=3)


def _changed(scene: Scene, image: Tensor) -> Image.Image:
    """The photograph, the image, and the change with its largest value as far from grey as there is room."""
    change = (image - scene.image)[0]
    half = 0.5 + 0.5 * change / change.abs().amax().clamp_min(1e-12)
    return _row([*_pictures(scene, torch.cat([scene.image, image])), render.picture(half)], 3)


def _in_255(scene: Scene, change: Tensor) -> Tensor:
    limits = PixelRange.of(scene.model)
    assert limits.low is not None and limits.high is not None
    return change / (limits.high - limits.low) * 255


def _answer(scene: Scene, found: Any) -> str:
    return f"the network says {scene.model.classes[found.label]!r} with probability {found.probability:.2g}"


def _textures(make: Callable[[Image.Image], Image.Image]) -> tuple[Image.Image, float]:
    """Samples beside what was made of them, and the seconds of one."""
    tiles, taken = [], []
    for name in TEXTURES:
        sample = Scene.picture(name).crop((0, 0, SAMPLE, SAMPLE))
        picture, seconds = timed(partial(make, sample))
        tiles += [sample, picture]
        taken.append(seconds)
    return render.grid(tiles, 2 * len(TEXTURES), gap=3), sum(taken) / len(taken)
