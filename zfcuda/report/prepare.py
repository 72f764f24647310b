"""Everything that could stop the long work on a picture, checked before it begins."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from zfcuda.complaint import naming
from zfcuda.inputs import integer
from zfcuda.network.example import image_dtypes, takes
from zfcuda.occlusion.output import Output
from zfcuda.report.cover import Cover, Paint, checked_paint, cover_of
from zfcuda.report.layers import ConvLayer, conv_layers
from zfcuda.report.source import Source
from zfcuda.report.subject import Subject

_LISTED = 12  # layers that an error names


@dataclass(frozen=True)
class Prepared:
    """A picture that passed every check, and the network's answer to it: what the long work starts from."""

    subject: Subject
    name: str
    source: Source | None
    image: Tensor  # [1,C,H,W] on the network's device
    pixels: Tensor  # [3,H,W] in 0..1
    cover: Cover
    logits: Tensor  # [classes]
    target: int
    chosen_target: bool  # the user named it
    layers: list[ConvLayer]
    followed: ConvLayer | None  # whose strongest map is watched under the occluder; None where there is no layer
    window: int
    stride: int
    truth: Tensor | None  # bool [H,W]
    output: Output | None


def prepare(
    subject: Subject,
    picture: Image.Image,
    name: str,
    *,
    target: str | int | None = None,
    window: int = 32,
    stride: int = 8,
    layer: str | None = None,
    truth: Tensor | None = None,
    fill: Paint = "grey",
    output: Output | None = None,
    source: Source | None = None,
) -> Prepared:
    """Runs the network once and checks everything that could stop the long work.

    Args:
        subject: the network.
        picture: RGB.
        name: what to call the picture.
        target: class name or index; None: the most probable class.
        window, stride: side and step of the square occluder, in pixels as the network sees them.
        layer: the convolution whose strongest map is followed under the occluder; None: the last one.
        truth: bool [H,W] in the network's pixels, drawn as an outline.
        fill: what covers the picture: "grey", its "mean", "blur" or "noise" as in :func:`zfcuda.occlusion_map`; a
            number or three, red, green and blue, from 0 to 255.
        output: what makes scores of the network's answer, as in :func:`zfcuda.occlusion_map`.
        source: the picture's file, where it has one.

    Raises:
        ValueError: naming the argument and what would be right.
    """
    device = next((p.device for p in subject.model.parameters()), torch.device("cpu"))
    fill = checked_paint(fill)
    image, pixels, grey = (value.to(device) for value in subject.view(picture))
    dtypes = image_dtypes(subject.model)
    if image.dtype not in dtypes and not takes(subject.model, image):
        image = image.to(dtypes[0])
    high, wide = image.shape[-2:]
    if not 1 <= window <= min(high, wide):
        raise ValueError(
            f"window: expected 1 to {min(high, wide)} pixels, since the network sees {name} as {wide} x {high}, "
            f"got {window}"
        )
    if stride < 1:
        raise ValueError(f"stride: expected at least 1, got {stride}")
    layers, logits = _first_run(subject, image, output)
    if not torch.isfinite(logits).all():
        raise ValueError(f"{subject.title} answers {name} with numbers that are not finite: are the weights damaged?")
    if target is None:
        index = int(logits.argmax())
    else:
        index = _class_index(subject, target)
        if not 0 <= index < len(logits):
            raise ValueError(f"target: expected a class from 0 to {len(logits) - 1}, got {target}")
    if subject.classes and len(subject.classes) != len(logits):
        raise ValueError(
            f"classes: expected {len(logits)} names, one for each output of the network, got {len(subject.classes)}"
        )
    return Prepared(
        subject,
        name,
        source,
        image,
        pixels.cpu(),
        cover_of(subject, picture, image, grey, fill, window),
        logits,
        index,
        target is not None,
        layers,
        _followed(subject, layers, layer),
        window,
        stride,
        truth,
        output,
    )


def _class_index(subject: Subject, target: str | int) -> int:
    if not isinstance(target, str):
        return integer("target", target)
    try:
        return subject.class_index(target)
    except ValueError as error:
        raise ValueError(f"target: {error}") from None


def _first_run(subject: Subject, image: Tensor, output: Output | None) -> tuple[list[ConvLayer], Tensor]:
    shape = ",".join(map(str, image.shape))
    with naming(f"{subject.title} cannot take its picture, a tensor [{shape}]"):
        return conv_layers(subject.model, image, output)


def _followed(subject: Subject, layers: list[ConvLayer], name: str | None) -> ConvLayer | None:
    """The layer of that name; None: the last one."""
    if name is None:
        return layers[-1] if layers else None
    match = [each for each in layers if name in (each.name, each.output)]
    if not layers:
        raise ValueError(f"layer: expected None, since {subject.title} has no 2d convolution, got {name!r}")
    if not match:
        raise ValueError(f"layer: expected a convolution layer, {_said(layers, name)}, got {name!r}")
    return match[0]


def _said(layers: list[ConvLayer], name: str) -> str:
    """Which layers there are: all of a few, else those that the name comes near, or the first and the last."""
    names = [each.name for each in layers]
    if len(names) > _LISTED:
        near = difflib.get_close_matches(name, names, n=5) or [*names[:2], "...", names[-1]]
        return f"one of {len(names)}, such as {', '.join(near)}"
    return f"one of {', '.join(names)}"
