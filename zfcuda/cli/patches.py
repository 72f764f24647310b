"""``zfcuda patches``: the pictures that excite each unit most, cut out, each beside its projection (Fig. 2)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from zfcuda.cli.folders import add_pass, add_pictures, going_on, kept, subject_and_pictures
from zfcuda.cli.options import checked_top

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs
    from zfcuda.data.collection import Collection
    from zfcuda.features.strongest_patches import StrongestPatches
    from zfcuda.report import Subject

_STATE = "state.safetensors"


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("patches", help="the pictures that excite each unit most, cut out, with projections")
    add_pictures(parser)
    parser.add_argument(
        "--layer",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="layers to look at (default: up to eight convolutions, from the first to the last)",
    )
    parser.add_argument("--top", type=int, default=9, metavar="N", help="patches of each unit (default: %(default)s)")
    parser.add_argument(
        "--units",
        default="16",
        metavar="N|N,N,...|all",
        help="how many units of each layer are drawn, evenly spaced among those that fire; their numbers, as in 3,17 "
        "(3, for one); or all (default: %(default)s)",
    )
    parser.add_argument(
        "--out", default="out/patches", metavar="DIR", help="where the page goes (default: %(default)s)"
    )
    add_pass(parser, state=f"DIR/{_STATE}")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from contextlib import nullcontext

    from zfcuda.ranks import Ranks
    from zfcuda.report import Folder

    top, units = checked_top(arguments.top), _units(arguments.units)
    ranks, state = Ranks(), Path(arguments.out, _STATE)
    with Folder(arguments.out) if ranks.first else nullcontext() as folder:
        ranks.of_first(None)  # from here on the folder is there
        subject, pictures = subject_and_pictures(arguments)
        layers = arguments.layer or _layers(subject, pictures)
        found = kept(arguments, state, lambda state: _found(subject, pictures, layers, top, units, state))
        if folder is None:
            return 0
        from zfcuda.report.patches import LayerPatches, joined, spread, written

        with going_on(arguments.state or state):
            chosen = [
                LayerPatches(each, spread(each, units) if isinstance(units, int) else list(range(len(each.units))))
                for each in found.values()
            ]
            print(written(folder, subject, pictures, joined(subject, pictures, chosen, progress=True)))
    return 0


def _found(
    subject: Subject, pictures: Collection, layers: list[str], top: int, units: int | list[int] | None, state: Path
) -> dict[str, StrongestPatches]:
    """The strongest patches of the units that are drawn, or of all to choose from."""
    from zfcuda.features.strongest_patches import strongest_patches

    chosen = units if isinstance(units, list) else None
    return strongest_patches(subject.model, pictures, layers, top=top, units=chosen, state=state, progress=True)


def _units(text: str) -> int | list[int] | None:
    """What --units says: how many, which ones, or None for all."""
    words = [word for word in text.replace(" ", "").split(",") if word]
    if text == "all":
        return None
    if not words or not all(map(str.isdecimal, words)) or text.strip() == "0":
        raise ValueError(f"--units: expected how many, as in 16, which ones, as in 3,17, or all, got {text!r}")
    return [int(word) for word in words] if "," in text else int(words[0])


def _layers(subject: Subject, collection: Collection) -> list[str]:
    """The convolutions that are looked at where nobody names layers."""
    from zfcuda.features.loading import first_image, placed
    from zfcuda.report.layers import chosen, conv_layers

    found, _ = conv_layers(subject.model, placed(first_image(collection)[None], subject.model))
    if not found:
        raise ValueError("--layer: expected a name, as this network has no two-dimensional convolution")
    return [layer.name for layer in chosen(found)]
