"""How pictures become the network's images: the options for it, and what they say."""

from __future__ import annotations

import argparse
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zfcuda.report import Subject

_NAMES = ("preprocess", "mean", "std", "size", "short_side", "interpolation")


def add_preprocessing(parser: argparse.ArgumentParser, *, cut: bool = True, page: bool = True) -> None:
    """Adds the options, which change single settings of what the network itself brings, or replace it.

    cut: whether those are among them that scale a picture and cut out what the network sees; a verb that takes pictures
        in their full size does without.
    page: whether the verb writes a page, which says what they were.
    """
    said = "; the page says what it was" if page else ""
    group = parser.add_argument_group(
        "preprocessing", f"how pictures become the network's images (default: what it brings{said})"
    )
    group.add_argument("--mean", type=_numbers, metavar="R,G,B", help="subtracted from pixels of 0 to 1")
    group.add_argument("--std", type=_numbers, metavar="R,G,B", help="what they are then divided by")
    if cut:
        group.add_argument(
            "--size", type=sides, metavar="N|HxW", help="pixels that the network sees, cut from the centre"
        )
        group.add_argument(
            "--short-side", type=_side, metavar="N", help="length that the short side is scaled to before"
        )
        group.add_argument("--interpolation", metavar="NAME", help="how it is scaled: bicubic, bilinear, lanczos, ...")
    group.add_argument(
        "--preprocess",
        metavar="MODULE:ATTRIBUTE",
        help="a transform of your own Python in place of all this: PIL picture -> Tensor, as torchvision and timm have",
    )


def preprocessing(arguments: argparse.Namespace) -> dict[str, Any]:
    """What they say, for :func:`zfcuda.report.load_subject`."""
    return {name: getattr(arguments, name, None) for name in _NAMES}


def tell_of_assumed(subject: Subject) -> None:
    """Warns where nobody has said how the network's pictures are made: what is wrong looks right."""
    from zfcuda.data.preprocess_facts import facts, line

    known = facts(subject.preprocess)
    if str(known.get("note", "")).startswith("assumed"):
        warnings.warn(
            f"{subject.title}: pictures are made so: {line(known)}; --mean and others change it", stacklevel=2
        )


def _numbers(text: str) -> tuple[float, ...]:
    """0.485,0.456,0.406 -> (0.485, 0.456, 0.406)."""
    try:
        numbers = tuple(float(word) for word in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers, as in 0.485,0.456,0.406, got {text!r}") from None
    if any(number > 1 for number in numbers):
        divided = ",".join(f"{number / 255:.3g}" for number in numbers)
        raise argparse.ArgumentTypeError(
            f"expected numbers of 0 to 1, got {text}; those for pixels of 0 to 255 are divided by 255: {divided}"
        )
    return numbers


def _side(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of pixels, got {text!r}")
    return int(text)


def sides(text: str) -> int | tuple[int, int]:
    """240 -> 240; 240x320 -> (240, 320)."""
    words = text.lower().split("x")
    if len(words) > 2 or not all(word.isdecimal() and int(word) > 0 for word in words):
        raise argparse.ArgumentTypeError(f"expected N or HxW pixels, as in 224 or 240x320, got {text!r}")
    return int(words[0]) if len(words) == 1 else (int(words[0]), int(words[1]))
