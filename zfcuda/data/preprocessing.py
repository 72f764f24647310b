"""Decides which preprocess a model has: what hangs on it, what its user gives, or what is assumed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import partial
from typing import Any, TypeGuard

from PIL import Image
from torch import Tensor, nn

from zfcuda.data.pictures import Picture
from zfcuda.data.preprocess import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    INTERPOLATIONS,
    DigitPreprocess,
    NotedPreprocess,
    Preprocess,
)
from zfcuda.data.preprocess_facts import as_ours
from zfcuda.data.transforms import Adapted, name_of, run

AnyPreprocess = Callable[[Picture], Tensor]
_PLACES = ("preprocess", "transforms")  # where a model may carry its transform
_CONFIGS = ("pretrained_cfg", "default_cfg")  # timm's
_TAKEN = (
    "a zfcuda.Preprocess, a transform of torchvision or timm, timm's data config (a dict) or a function PIL picture -> "
    "Tensor [1,C,H,W]"
)


def preprocess_of(model: nn.Module) -> AnyPreprocess | None:
    """The preprocess that a model carries: its `.preprocess`, its `.transforms`, or timm's `.pretrained_cfg`.

    A part of the network may go by such a name; it takes no pictures, and is none.

    Args:
        model: unwrapped.

    Returns:
        picture -> Tensor [1,C,H,W], where the picture is a PIL picture, a path or an array uint8 [H,W,C]; None where
        the model carries none.

    Raises:
        ValueError: timm's config asks for what only timm itself can do, and that is not installed.
    """
    for place in _PLACES:
        value = getattr(model, place, None)
        if _is_weights(value) or _is_config(value):
            return as_preprocess(value)
        if callable(value) and not isinstance(value, type) and (not isinstance(value, nn.Module) or _takes(value)):
            return as_preprocess(value)
    for place in _CONFIGS:
        config = getattr(model, place, None)
        if _is_config(config):
            return _of_config(config, f"from the model's {place}")
    return None


def made_for(model: nn.Module) -> tuple[int, ...] | None:
    """The images that a model was made for, (C, H, W), where it says so: by `.input_size`, or by its preprocess."""
    size: Any = getattr(model, "input_size", None)
    if isinstance(size, tuple | list) and len(size) == 3 and all(isinstance(side, int) for side in size):
        return tuple(size)
    try:
        preprocess = preprocess_of(model)
    except ValueError:
        return None
    if isinstance(preprocess, DigitPreprocess):
        return 1, preprocess.size, preprocess.size
    ours = as_ours(preprocess)
    return None if ours is None else (len(ours.mean), *ours.sides)


def as_preprocess(value: Any) -> AnyPreprocess:
    """What a user gives, as a preprocess: picture -> Tensor [1,C,H,W].

    Args:
        value: a Preprocess; a transform of torchvision or timm, or torchvision's weights; timm's data config; a
            function PIL picture -> Tensor [1,C,H,W] or [C,H,W]; or a class of such, made without arguments.

    Raises:
        TypeError: it is none of these.
        ValueError: as :func:`preprocess_of`.
    """
    if isinstance(value, Preprocess | DigitPreprocess | Adapted):
        return value
    if _is_config(value):
        return _of_config(value, "from timm's data config")
    if _is_weights(value):
        return Adapted(value.transforms(), f"of {value}")
    if isinstance(value.func if isinstance(value, partial) else value, type):  # `weights.transforms` without brackets
        value = value()
    if not callable(value):
        raise TypeError(f"preprocess: expected {_TAKEN}, got a {type(value).__name__}")
    return Adapted(value)


def assumed(model: nn.Module, input_size: Any = None) -> NotedPreprocess:
    """What most published networks were trained on, for one that carries no preprocess.

    ImageNet's colours, and a short side of 256 where 224 are cut out; of another size where it is known, and in grey
    where that says one channel.

    Args:
        input_size: (C, H, W); None: the model's own `.input_size`, where it has one.
    """
    size: Any = getattr(model, "input_size", None) if input_size is None else input_size
    known = isinstance(size, tuple | list) and len(size) == 3 and all(isinstance(n, int) and n > 0 for n in size)
    channels, high, wide = size if known else (3, 224, 224)
    mean, std = _of_channels(IMAGENET_MEAN, channels), _of_channels(IMAGENET_STD, channels)
    note = "assumed: the network does not say how its pictures are made" + said_of_unusable(model)
    return NotedPreprocess((high, wide), round(max(high, wide) * 256 / 224), mean, std, "bilinear", note=note)


def changed(preprocess: AnyPreprocess, default: Preprocess, **settings: Any) -> Preprocess:
    """A preprocess with other settings.

    Args:
        default: what is changed in its place where its own settings are not known.
        settings: of :class:`Preprocess`. Means and deviations are those of red, green, blue, or one for all channels. A
            size that is larger than the short side takes that along, unless it is given. A mean takes the place of a
            mean picture.

    Raises:
        TypeError, ValueError: as Preprocess.
    """
    base = as_ours(preprocess) or default
    words = ", ".join(settings)
    for name in settings.keys() & {"mean", "std"}:
        values = tuple(settings[name])
        values = values * len(base.mean) if len(values) == 1 else values
        settings[name] = values[::-1] if base.order == "bgr" else values
    if "short_side" not in settings:
        size = settings.get("size", base.size)
        settings["short_side"] = max(base.short_side, size if isinstance(size, int) else max(size))
    if "mean" in settings:
        settings.setdefault("mean_image", None)
    elif base.mean_image is not None and settings["short_side"] != base.short_side:
        raise ValueError(
            f"short_side: expected {base.short_side}, the side of the mean picture, got {settings['short_side']}; "
            "a mean of one colour takes its place"
        )
    before = f"; the rest {base.note}" if isinstance(base, NotedPreprocess) and base.note else ""
    plain = Preprocess(**{field.name: getattr(base, field.name) for field in fields(Preprocess)})
    return NotedPreprocess(**vars(replace(plain, **settings)), note=f"{words} as given{before}")


def _is_weights(value: Any) -> bool:
    """Whether it is one of torchvision's weights, such as ResNet18_Weights.DEFAULT."""
    return hasattr(value, "meta") and callable(getattr(value, "transforms", None))


def _is_config(value: Any) -> TypeGuard[Mapping[str, Any]]:
    """Whether it is timm's data config, or what timm's networks carry."""
    return isinstance(value, Mapping) and isinstance(size := value.get("input_size"), tuple | list) and len(size) == 3


def _of_config(config: Mapping[str, Any], note: str) -> AnyPreprocess:
    """What timm's data config says."""
    channels, high, wide = config["input_size"]
    interpolation, mode = config.get("interpolation") or "bicubic", config.get("crop_mode") or "center"
    if mode == "center" and interpolation in INTERPOLATIONS and channels in (1, 3):
        short_side = int(max(high, wide) / (config.get("crop_pct") or 0.875))
        if short_side >= max(high, wide):
            mean, std = config.get("mean") or IMAGENET_MEAN, config.get("std") or IMAGENET_STD
            colours = _of_channels(mean, channels), _of_channels(std, channels)
            return NotedPreprocess((high, wide), short_side, *colours, interpolation, note=note)
    try:
        timm = importlib.import_module("timm.data")
    except Exception as error:
        raise ValueError(
            f"preprocess: {note}, images {list(config['input_size'])} by crop_mode {mode!r} and interpolation "
            f"{interpolation!r} are what only timm can make, and it cannot be imported ({error})"
        ) from error
    settings = timm.resolve_data_config(pretrained_cfg=dict(config))
    return Adapted(timm.create_transform(**settings, is_training=False), note)


def _of_channels(values: Any, channels: int) -> tuple[float, ...]:
    """Three colours' values, or one's, for so many channels."""
    numbers = tuple(float(value) for value in values)
    if channels == 1:
        return (round(sum(numbers) / len(numbers), 6),)
    return numbers * 3 if len(numbers) == 1 else numbers


def said_of_unusable(model: nn.Module) -> str:
    """What goes by the name of a transform and is none, as the end of a sentence: a part of the network, a dict, ..."""
    values = [(place, getattr(model, place, None)) for place in _PLACES]
    return "".join(
        f"; its .{place}, {f'the class {value.__name__}' if isinstance(value, type) else f'a {type(value).__name__}'}, "
        "takes no pictures"
        for place, value in values
        if value is not None and not isinstance(value, bool)
    )


def _takes(module: nn.Module) -> bool:
    """Whether a module is made for pictures, not for tensors: a part of the network has the same names at times."""
    if name_of(module).startswith("torchvision.transforms."):
        return True  # what is wrong with it is said when it is used
    try:
        return isinstance(run(module, Image.new("RGB", (64, 64))), Tensor)
    except Exception:
        return False
