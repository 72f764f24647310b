"""``zfcuda style train``: trains a network that draws any picture in a manner of others, in one pass."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zfcuda.cli.options import add_device, add_model, checked_device, words
from zfcuda.cli.photos import default_network, tell_of_drawn_things
from zfcuda.complaint import naming
from zfcuda.train.style.options import StyleOptions

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs

# Option of zfcuda.train.style.StyleOptions -> its kind, and what --help says.
_OPTIONS: dict[str, tuple[Any, str]] = {
    "steps": (int, "how many steps"),
    "batch": (int, "pictures of a step"),
    "size": (int, "side of the parts of pictures that are trained on, in pixels"),
    "style_size": (int, "what the short side of the style pictures is scaled to, in pixels: smaller, finer strokes"),
    "width": (float, "of the network's layers; 1 is the paper's"),
    "content_weight": (float, "how much the content counts"),
    "style_weight": (float, "how much the style counts"),
    "tv": (float, "how much it counts that neighbouring pixels are alike"),
    "rate": (float, "learning rate of Adam at the beginning; it falls to 0 along a cosine"),
    "seed": (int, "of everything that is random"),
    "workers": (int, "processes that load pictures"),
    "keep": (int, "how many checkpoints are kept"),
    "save_minutes": (float, "longest time between two checkpoints"),
}
_DEFAULTS = {field.name: field.default for field in dataclasses.fields(StyleOptions)}


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("train", help="train a network that draws any picture in a manner, in one pass")
    parser.add_argument("pictures", metavar="FOLDER", help="photographs of anything, with all folders in it")
    parser.add_argument(
        "--style",
        nargs="+",
        action="extend",
        required=True,
        metavar="PICTURE",
        help="in whose manner; of several one network learns all, and mixes them",
    )
    parser.add_argument(
        "--out",
        default="out/style/train",
        metavar="RUN",
        help="the run's folder; where a run was broken off, the same command goes on (default: %(default)s)",
    )
    add_model(parser)
    parser.add_argument(
        "--content-layer",
        metavar="LAYER",
        help="the layer that tells shapes (default: the last ReLU at an eighth of the sides)",
    )
    parser.add_argument(
        "--style-layers",
        type=words,
        metavar="LAYER,...",
        help="the layers that tell style, with commas between them (default: the first ReLUs of each size, down to a "
        "sixteenth of the sides)",
    )
    for name, (kind, text) in _OPTIONS.items():
        default = "as many as there are cores to spare" if _DEFAULTS[name] is None else f"{_DEFAULTS[name]:g}"
        parser.add_argument(
            "--" + name.replace("_", "-"),
            type=kind,
            metavar="N" if kind is int else "X",
            help=f"{text} (default: {default})",
        )
    add_device(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from zfcuda.report import load_subject
    from zfcuda.synthesis.pixel_range import PixelRange
    from zfcuda.train.style import train_style

    given = {name: value for name in _OPTIONS if (value := getattr(arguments, name)) is not None}
    StyleOptions(**given)
    device = checked_device(arguments.device)
    name = arguments.model or default_network()
    if arguments.model is None and name == "demo":
        tell_of_drawn_things()
    with naming("training", "take a smaller --batch, --size or --width"):
        subject = load_subject(name, weights=arguments.weights, device=device)
        pixel_range = PixelRange.of(subject.model, preprocess=subject.preprocess)
        limits = None if pixel_range.low is None else (pixel_range.low, pixel_range.high)
        network = train_style(
            arguments.pictures,
            arguments.style,
            arguments.out,
            model=subject.model,
            limits=limits,
            content_layer=arguments.content_layer,
            style_layers=arguments.style_layers,
            progress=True,
            command=shlex.join(["zfcuda", *sys.argv[1:]]),
            device=device,
            **given,
        )
    weights = Path(arguments.out) / "weights.safetensors"
    print(f"{weights}: {', '.join(network.names)}; zfcuda style apply {shlex.quote(str(arguments.out))} PICTURE draws")
    return 0
