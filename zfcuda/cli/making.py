"""What the verbs that make pictures share: the network, its pixels, the folder, and what Ctrl-C leaves."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zfcuda.cli.options import add_device, add_model, checked_device
from zfcuda.cli.photos import default_network, tell_of_drawn_things
from zfcuda.cli.preprocessing import add_preprocessing, preprocessing, tell_of_assumed
from zfcuda.complaint import CommandError, naming

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import Tensor, nn

    from zfcuda.report import Subject
    from zfcuda.synthesis.optimise import Optimised
    from zfcuda.synthesis.pixel_range import PixelRange


@dataclass(frozen=True)
class Making:
    """What a picture is made with.

    Attributes:
        subject: the network, on its device.
        pixel_range: what black and white are to it.
        out: the folder of --out.
        animation: the file of --animation, which the methods take under this name.
    """

    subject: Subject
    pixel_range: PixelRange
    out: Path
    animation: str | None = None

    @property
    def model(self) -> nn.Module:
        return self.subject.model

    @property
    def device(self) -> torch.device:
        """Where the network is; the CPU for one without weights."""
        import torch

        return next((weight.device for weight in self.model.parameters()), torch.device("cpu"))

    @property
    def limits(self) -> tuple[Tensor, Tensor] | None:
        """What the methods take as `limits`."""
        low, high = self.pixel_range.low, self.pixel_range.high
        return None if low is None or high is None else (low, high)

    def write(self, pictures: dict[str, Image.Image]) -> list[Path]:
        """Writes pictures by their names as PNG, and prints where."""
        from zfcuda.cli import sheets

        return sheets.write(pictures, self.out)


def with_long_side(picture: Image.Image, pixels: int | None) -> Image.Image:
    """A picture whose longer side is so long; the picture, where there is no number.

    Raises:
        CommandError: the number is not above 0.
    """
    from zfcuda.data.pictures import scaled

    if pixels is None:
        return picture
    if pixels < 1:
        raise CommandError(f"--size: expected at least 1, got {pixels}")
    return scaled(picture, pixels / max(picture.size))


def add_making(
    parser: argparse.ArgumentParser, out: str, *, cut: bool = True, animation: bool = False, seed: bool = True
) -> None:
    """--model, --weights, --out, --seed, --device and the options of preprocessing.

    Args:
        out: the folder where none is named.
        cut: as :func:`add_preprocessing` takes it.
        animation: whether there is --animation.
        seed: whether there is --seed.
    """
    add_model(parser)
    parser.add_argument("--out", default=out, metavar="DIR", help="where the pictures go (default: %(default)s)")
    if animation:
        parser.add_argument(
            "--animation", metavar="FILE", help="show how the picture comes to be, in a file .gif, .png (APNG) or .webp"
        )
    if seed:
        parser.add_argument("--seed", type=int, default=0, metavar="N", help="what chance begins with (default: 0)")
    add_device(parser)
    add_preprocessing(parser, cut=cut, page=False)


@contextmanager
def making(arguments: argparse.Namespace) -> Iterator[Making]:
    """The network that the options name and the folder that is written to, which is tried before anything long."""
    from zfcuda.cli import sheets
    from zfcuda.report import load_subject
    from zfcuda.synthesis.pixel_range import PixelRange

    device = checked_device(arguments.device)
    model = arguments.model or default_network()
    if arguments.model is None and model == "demo":
        tell_of_drawn_things()
    with sheets.folder(arguments.out) as out, naming(model):
        animation = getattr(arguments, "animation", None)
        if animation is not None:
            from zfcuda.synthesis.animation import Animation

            Animation(animation)  # refuses what it could not write in the end
        subject = load_subject(model, weights=arguments.weights, device=device, **preprocessing(arguments))
        tell_of_assumed(subject)
        yield Making(subject, PixelRange.of(subject.model, preprocess=subject.preprocess), out, animation)


def tell_of_animation(made: Optimised, setting: Making) -> None:
    """Prints where the animation is, if there should be one.

    Raises:
        CommandError: it could not be written.
    """
    if made.unwritten:
        raise CommandError(f"--{made.unwritten}")
    if setting.animation is not None:
        print(setting.animation, flush=True)


def pass_on(interrupted: KeyboardInterrupt | None) -> None:
    """Ends a command as Ctrl-C or a signal wants it, once what was made so far is written."""
    if interrupted is not None:
        interrupted.args = ("what was made so far is written",)
        raise interrupted
