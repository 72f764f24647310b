"""The network under examination: how pictures enter it, and what its answers are called."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from zfcuda.models import zfnet
from zfcuda.models.weights import load_weights, read_weights

NETWORKS = ("demo", "zfnet", "zfnet-wide")

# What most published weights were trained with: the mean and deviation of ImageNet's colours.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_SIDE, _SHORT_SIDE = 224, 256  # the centre crop of a picture whose shorter side was scaled to 256


@dataclass(frozen=True)
class Subject:
    """A network and what is needed to show it pictures.

    Attributes:
        model: [1,3,H,W] -> [1,classes].
        preprocess: PIL image -> Tensor [1,3,H,W] float32 on the CPU; may crop and resize, then changes each pixel
            linearly.
        classes: names by index; empty where they are unknown.
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
        """The class of that name, or else of that number.

        Raises:
            ValueError: where there is none, with the names that come near.
        """
        if text in self.classes:
            return list(self.classes).index(text)
        folded = [name.casefold() for name in self.classes]
        if folded.count(text.casefold()) == 1:
            return folded.index(text.casefold())
        if text.isdecimal():  # its range is checked against the outputs of the network
            return int(text)
        if not self.classes:
            raise ValueError(f"no class {text!r}: without names (--classes FILE), a class is a number")
        near = difflib.get_close_matches(text.casefold(), folded, n=5, cutoff=0.5)
        names = [self.classes[folded.index(name)] for name in near] or list(self.classes[:12])
        hint = "did you mean" if near else "there are"
        more = ", ..." if not near and len(self.classes) > len(names) else ""
        raise ValueError(f"no class {text!r}; {hint} {', '.join(names)}{more}")

    def view(self, picture: Image.Image) -> tuple[Tensor, Tensor, Tensor]:
        """A picture as the network receives it, and the way back to pixels.

        Returns:
            (image [1,3,H,W] as the network takes it, pixels [3,H,W] the same in 0..1, grey [3,H,W] the network's
            values of a middle grey picture). The way back is read off black and white pictures of the same size.
        """
        image = self.preprocess(picture)
        black, white = (self.preprocess(Image.new("RGB", picture.size, colour)) for colour in ("black", "white"))
        span = white - black
        pixels = torch.where(span.abs() > 1e-12, (image - black) / span, torch.zeros_like(image))
        return image, pixels[0].clamp(0, 1), ((black + white) / 2)[0]


def centre_crop(picture: Image.Image) -> Tensor:
    """RGB picture -> [1,3,224,224] float32: shorter side to 256, centre crop, ImageNet's mean and deviation."""
    side = min(picture.size) * _SIDE / _SHORT_SIDE
    left, top = (picture.width - side) / 2, (picture.height - side) / 2
    # Cut and scaled in one step: scaling first would blow a picture of 10000 x 1 up to gigabytes.
    box = (left, top, left + side, top + side)
    small = picture.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR, box=box)
    values = torch.frombuffer(bytearray(small.tobytes()), dtype=torch.uint8).view(_SIDE, _SIDE, 3).permute(2, 0, 1)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (_MEAN, _STD))
    return ((values / 255 - mean) / std)[None]


def load_subject(
    name: str = "demo",
    *,
    weights: str | os.PathLike[str] | None = None,
    classes: str | os.PathLike[str] | None = None,
    width: float = 1.0,
    device: str | torch.device = "cpu",
) -> Subject:
    """A network by name, ready to explain pictures.

    Args:
        name: "demo" (the one in the package), "zfnet" or "zfnet-wide".
        weights: a file for :func:`zfcuda.models.weights.load_weights`; needed for all but "demo".
        classes: a text file with one name per line, in the order of the network's outputs.
        width: of "zfnet" and "zfnet-wide", as in :func:`zfcuda.models.zfnet`.
        device: where the network runs.

    Raises:
        ValueError: for an unknown name, missing or unfitting weights, names that are not as many as the outputs.
    """
    if name not in NETWORKS:
        raise ValueError(f"no network {name!r}; there are {', '.join(NETWORKS)}")
    names = None if classes is None else read_classes(classes)
    if name == "demo":
        if weights is not None:
            raise ValueError("the demo network has its own weights; give --model zfnet with --weights")
        return _demo(names, classes, device)
    if weights is None:
        raise ValueError(f"{name} needs trained weights (--weights FILE): with random ones there is nothing to explain")
    bias = next((value for key, value in read_weights(weights).items() if key.endswith("fc8.bias")), None)
    if names and bias is not None and len(names) != bias.numel():
        raise ValueError(f"{classes}: {len(names)} names, but the weights in {weights} are for {bias.numel()} classes")
    count = bias.numel() if bias is not None else len(names or ()) or 1000
    network = zfnet(count, variant="wide" if name == "zfnet-wide" else "paper", width=width)
    load_weights(network, weights)
    return Subject(network.eval().to(device), centre_crop, names or (), f"{name} with {Path(weights).name}")


def _demo(names: Sequence[str] | None, classes: str | os.PathLike[str] | None, device: str | torch.device) -> Subject:
    from zfcuda.models import load_demo

    demo = load_demo()
    if names and len(names) != len(demo.classes):
        raise ValueError(f"{classes}: {len(names)} names, but the network has {len(demo.classes)} classes")
    title = "demo, a small ZFNet trained on drawn pictures"
    return Subject(demo.eval().to(device), demo.preprocess, names or demo.classes, title)


def read_classes(path: str | os.PathLike[str]) -> list[str]:
    """The lines of a UTF-8 text file without the empty ones at its end.

    Raises:
        ValueError: where it cannot be read, holds no name, or an empty line between names.
    """
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
