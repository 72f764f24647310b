"""The network under examination: how pictures enter it, and what its answers are called."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from zfcuda.class_names import ClassNames, class_names
from zfcuda.complaint import naming
from zfcuda.data.preprocessing import AnyPreprocess, as_preprocess, assumed, changed, preprocess_of
from zfcuda.data.transforms import image_of
from zfcuda.files.regular import refusal
from zfcuda.models.architectures import imagenet
from zfcuda.models.checkpoints.external import attribute
from zfcuda.models.checkpoints.load import find
from zfcuda.network.graph import unwrap


@dataclass(frozen=True)
class Subject:
    """A network and what is needed to show it pictures.

    Attributes:
        model: [1,C,H,W] -> [1,classes].
        preprocess: PIL picture -> Tensor [1,C,H,W] float32 on the CPU; may crop and resize, then changes each pixel
            linearly.
        classes: the names by index; empty where they are unknown.
        title: what to call the network.
    """

    model: nn.Module
    preprocess: Callable[[Image.Image], Tensor]
    classes: Sequence[str]
    title: str

    def class_name(self, index: int) -> str:
        """The name of a class; "class 7" where it has none."""
        return self.classes[index] if 0 <= index < len(self.classes) else f"class {index}"

    def class_index(self, text: str) -> int:
        """The class of that name, or else of that number; see :meth:`zfcuda.class_names.ClassNames.find`.

        Raises:
            ValueError: where there is none, with the names that come near, or several.
        """
        names = class_names(self.classes) or ClassNames()
        if not names and not text.isdecimal():
            raise ValueError(f"no class {text!r}: without names (classes, --classes FILE) a class is a number")
        return names.find(text)

    def view(self, picture: Image.Image) -> tuple[Tensor, Tensor, Tensor]:
        """A picture as the network receives it, and the way back to pixels.

        Returns:
            (image [1,C,H,W] as the network takes it, pixels [3,H,W] the same in 0..1 as RGB, grey [C,H,W] the network's
            values of a middle grey picture). The way back is read off black and white pictures of the same size.
        """
        image = self._preprocessed(picture)
        black, white = self._black_and_white(picture)
        if not image.shape == black.shape == white.shape:
            raise ValueError(
                f"{self.title}: its preprocess gives {list(image.shape)} of a picture, and {list(black.shape)} and "
                f"{list(white.shape)} of a black and a white one of the same size; expected one shape"
            )
        return image, self.pixels(image[0], picture), ((black + white) / 2)[0]

    def pixels(self, values: Tensor, picture: Image.Image) -> Tensor:
        """The network's values [C,H,W] in the place of a picture, as [3,H,W] in 0..1 as RGB."""
        black, white = self._black_and_white(picture)
        span = (white - black)[0]
        pixels = torch.where(span.abs() > 1e-12, (values - black[0]) / span, torch.zeros_like(values))
        return self.in_colour(pixels.clamp(0, 1))

    def _black_and_white(self, picture: Image.Image) -> tuple[Tensor, Tensor]:
        """What the network gets of a black and of a white picture of the same size, [1,C,H,W]."""
        black, white = (self._preprocessed(Image.new("RGB", picture.size, colour)) for colour in ("black", "white"))
        return black, white

    def _preprocessed(self, picture: Image.Image) -> Tensor:
        with naming(f"{self.title}: its preprocess fails"):
            return image_of(self.preprocess, picture, f"{self.title}: its preprocess")

    def in_colour(self, maps: Tensor) -> Tensor:
        """[...,C,H,W] with the network's channels -> [...,3,H,W] red, green, blue; grey from one channel.

        Of other numbers of channels their mean is shown in grey.
        """
        channels = maps.shape[-3]
        if channels not in (1, 3):
            maps = maps.mean(-3, keepdim=True)
        if channels != 3:
            return maps.expand(*maps.shape[:-3], 3, *maps.shape[-2:])
        if self._order == (0, 1, 2):
            return maps
        return maps[..., list(self._order), :, :]

    @cached_property
    def _order(self) -> tuple[int, ...]:
        """Which of the network's channels is red, green, blue: the one that a picture of this colour moves most."""
        side = (64, 64)
        black = self._preprocessed(Image.new("RGB", side, "black"))
        moved = [(self._preprocessed(Image.new("RGB", side, c)) - black).abs()[0] for c in ("#f00", "#0f0", "#00f")]
        order = tuple(int(channels.flatten(1).amax(1).argmax()) for channels in moved)
        return order if sorted(order) == [0, 1, 2] else (0, 1, 2)


def load_subject(
    name: str = "demo",
    *,
    weights: str | os.PathLike[str] | None = None,
    classes: str | os.PathLike[str] | None = None,
    device: str | torch.device = "cpu",
    preprocess: Any = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    size: int | tuple[int, int] | None = None,
    short_side: int | None = None,
    interpolation: str | None = None,
) -> Subject:
    """A network ready to explain pictures.

    Args:
        name: whatever :func:`zfcuda.models.load.load` takes, a name or a file.
        weights: as there; needed unless the name brings its own.
        classes: "imagenet", or a text file with one name per line, in the order of the network's outputs; None: those
            that the network knows.
        device: where the network runs.
        preprocess: how pictures enter it: a Preprocess, a transform of torchvision or timm, timm's data config, or
            "module:attribute" of one; None: what the network carries, else ImageNet's usual.
        mean, std, size, short_side, interpolation: settings of :class:`zfcuda.Preprocess` in place of its own, colours
            as red, green, blue or one number for all; None leaves them.

    Raises:
        ValueError: for an unknown name, missing or unfitting weights, names that are not as many as the outputs.
    """
    settings = {"mean": mean, "std": std, "size": size, "short_side": short_side, "interpolation": interpolation}
    settings = {name: value for name, value in settings.items() if value is not None}
    if preprocess is not None and settings:
        raise ValueError(f"preprocess: expected it alone, since it settles everything, got {', '.join(settings)} too")
    names = None if classes is None else _class_names(classes)
    loaded = find(name, weights=weights)
    if not loaded.trained:
        raise ValueError(f"{name} needs trained weights (--weights FILE): with random ones there is nothing to explain")
    if names and loaded.num_classes is not None and len(names) != loaded.num_classes:
        there = "the network has" if loaded.weights is None else f"the weights in {loaded.weights} are for"
        raise ValueError(f"{classes}: {len(names)} names, but {there} {loaded.num_classes} classes")
    entrance = _entrance(loaded.model, loaded.input_size, preprocess, settings)
    return Subject(loaded.model.to(device), entrance, names or _known_classes(loaded.model), loaded.title)


def subject_of(
    model: nn.Module,
    *,
    classes: Sequence[str] | str | os.PathLike[str] | None = None,
    preprocess: Any = None,
    title: str | None = None,
) -> Subject:
    """A model that a program has, ready to explain pictures.

    Args:
        classes: the names, or as in :func:`load_subject`.
        preprocess: as in :func:`load_subject`.
        title: what to call it; None: the name of its class.

    Raises:
        TypeError, ValueError: classes or preprocess is none.
    """
    model = unwrap(model)
    if classes is None:
        names: Sequence[str] | None = _known_classes(model)
    elif isinstance(classes, str | os.PathLike):
        names = _class_names(classes)
    else:
        names = class_names(classes)
    if names is None:
        raise TypeError(f"classes: expected a list of names, a text file of them or 'imagenet', got {classes!r:.200}")
    return Subject(model, _entrance(model, None, preprocess, {}), names, title or type(model).__name__)


def _known_classes(model: nn.Module) -> list[str]:
    """The names that a model carries. A network of the user's own may mean other things by this word."""
    known = getattr(model, "classes", None)
    if isinstance(known, list | tuple):
        return class_names(known) or [str(name) for name in known]
    return []


def _entrance(model: nn.Module, input_size: Any, given: Any, settings: dict[str, Any]) -> AnyPreprocess:
    """How pictures enter the network."""
    if isinstance(given, str):
        given = attribute(given)
    own = preprocess_of(unwrap(model)) if given is None else as_preprocess(given)
    default = assumed(model, input_size)
    return changed(own or default, default, **settings) if settings else own or default


def _class_names(classes: str | os.PathLike[str]) -> list[str]:
    """The names of the classes: ImageNet's 1,000 for the word "imagenet", else those in a file."""
    return imagenet.classes() if os.fspath(classes) == "imagenet" else read_classes(classes)


def read_classes(path: str | os.PathLike[str]) -> list[str]:
    """The lines of a UTF-8 text file without the empty ones at its end.

    Raises:
        ValueError: where it cannot be read, holds no name, or an empty line between names.
    """
    reason = refusal(path)
    if reason is not None and reason != "an empty file":
        raise ValueError(f"{path}: {reason}")
    try:
        lines = [line.strip() for line in Path(path).read_text("utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a text file (expected one class name per line, UTF-8)") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    while lines and not lines[-1]:
        lines.pop()
    if not lines or not all(lines):
        reason = f"line {lines.index('') + 1} is empty" if lines else "holds no class names"
        raise ValueError(f"{path}: {reason}")
    return lines
