"""Options that several verbs have, and what they mean."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from zfcuda.method_names import chosen

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]

MODEL = (
    "a name like alexnet or vgg16; demo or clothing, the small ones in the package; a file of weights (safetensors, "
    ".pth), the folder of a training, a deploy prototxt or caffemodel; torchvision/NAME or timm/NAME; "
    "module:attribute of your own Python"
)
OWN_WEIGHTS = "its weights: safetensors, a state_dict in .pth, a caffemodel"


_DEFAULT = "efficientnet_lite0 where its weights are installed, else demo, of drawn things"


def add_model(parser: argparse.ArgumentParser, default: str = _DEFAULT) -> None:
    """--model and --weights, of the verbs that have a network where none is named. default: which, in words."""
    parser.add_argument("--model", metavar="NAME|FILE", help=f"{MODEL} (default: {default})")
    parser.add_argument("--weights", metavar="FILE", help=OWN_WEIGHTS)


def add_input(parser: argparse.ArgumentParser) -> None:
    """--input, of the verbs that need no picture."""
    parser.add_argument(
        "--input",
        metavar="CxHxW",
        type=_size,
        help="size of its pictures, as in 3x224x224 (default: what the network was made for)",
    )


def add_work(parser: argparse.ArgumentParser) -> None:
    """The options of the long work on a picture."""
    parser.add_argument(
        "--window", type=int, default=32, metavar="N", help="side of the occluder (default: %(default)s)"
    )
    parser.add_argument(
        "--stride", type=int, default=8, metavar="N", help="step of the occluder (default: %(default)s)"
    )
    parser.add_argument(
        "--top", type=int, default=4, metavar="N", help="maps shown of each layer (default: %(default)s)"
    )
    add_device(parser)


def add_device(parser: argparse.ArgumentParser) -> None:
    """--device."""
    parser.add_argument(
        "--device", default="cpu", help="where the network runs, as in cuda or cuda:1 (default: %(default)s)"
    )


def words(text: str) -> tuple[str, ...]:
    """The names that an option lists between commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def method_names(text: str) -> tuple[str, ...]:
    """The names of methods that an option lists between commas; a mistake is told before torch is imported.

    Raises:
        argparse.ArgumentTypeError: a name that no method has.
    """
    try:
        return chosen(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).partition(": ")[2]) from None


def checked_top(top: int) -> int:
    """What --top says.

    Raises:
        ValueError: it is less than one map.
    """
    if top < 1:
        raise ValueError(f"--top: expected at least 1, got {top}")
    return top


def checked_device(name: str) -> str:
    """What --device says.

    Raises:
        ValueError: nothing can be computed on it here, with the reason.
    """
    import torch

    from zfcuda.complaint import one_line

    try:
        torch.empty(1, device=name).tolist()  # a device without storage has nothing to list
    except Exception as error:  # RuntimeError, AssertionError, NotImplementedError: it depends on the device
        reason = one_line(str(error).strip().partition("\n")[0])
        raise ValueError(f"--device {name}: not available here ({reason})") from None
    return name


def _size(text: str) -> tuple[int, int, int]:
    """3x224x224 -> (3, 224, 224)."""
    words = text.lower().split("x")
    if len(words) != 3 or not all(word.isdecimal() and int(word) > 0 for word in words):
        raise argparse.ArgumentTypeError(f"expected channels x height x width, as in 3x224x224, got {text!r}")
    channels, height, width = map(int, words)
    return channels, height, width
