"""``zfcuda patches``: the pictures that excite each unit most, cut out, each beside its projection (Fig. 2)."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zfcuda.cli.options import add_model, checked_device, checked_top
from zfcuda.cli.photos import default_network, tell_of_drawn_things
from zfcuda.cli.preprocessing import add_preprocessing, preprocessing
from zfcuda.complaint import naming

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs
    from zfcuda.data.collection import Collection
    from zfcuda.features.strongest_patches import StrongestPatches
    from zfcuda.report import Subject

_STATE = "state.safetensors"


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("patches", help="the pictures that excite each unit most, cut out, with projections")
    parser.add_argument(
        "pictures",
        nargs="+",
        metavar="FOLDER",
        help="a folder of pictures, with all folders in it; or picture files; or the word parts, for drawn ones",
    )
    add_model(parser)
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
        "--state",
        metavar="FILE",
        help=f"keeps what is done, so that the same command goes on after a crash (default: DIR/{_STATE})",
    )
    parser.add_argument(
        "--out", default="out/patches", metavar="DIR", help="where the page goes (default: %(default)s)"
    )
    parser.add_argument(
        "--device", default="cpu", help="where the network runs, as in cuda or cuda:1 (default: %(default)s)"
    )
    add_preprocessing(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from contextlib import nullcontext

    from zfcuda.data.collection import Collection
    from zfcuda.features.ranks import Ranks
    from zfcuda.report import Folder, load_subject

    top, units = checked_top(arguments.top), _units(arguments.units)
    pictures = _pictures(arguments.pictures)
    Collection.of(pictures)  # before a network is loaded
    ranks = Ranks()
    device = checked_device(_device(arguments.device))
    model = arguments.model or default_network()
    if arguments.model is None and model == "demo" and ranks.first:
        tell_of_drawn_things()
    with Folder(arguments.out) if ranks.first else nullcontext() as folder:
        ranks.of_first(None)  # from here on the folder is there
        with naming(model):
            subject = load_subject(model, weights=arguments.weights, device=device, **preprocessing(arguments))
        collection = Collection.of(pictures, preprocess=subject.preprocess)
        layers = arguments.layer or _layers(subject, collection)
        found = _found(arguments, subject, collection, layers, top, units)
        if folder is None:
            return 0
        from zfcuda.report.patches import LayerPatches, joined, spread, written

        chosen = [
            LayerPatches(each, spread(each, units) if isinstance(units, int) else list(range(len(each.units))))
            for each in found.values()
        ]
        print(written(folder, subject, collection, joined(subject, collection, chosen, progress=True)))
    return 0


def _found(
    arguments: argparse.Namespace,
    subject: Subject,
    collection: Collection,
    layers: list[str],
    top: int,
    units: int | list[int] | None,
) -> dict[str, StrongestPatches]:
    """The strongest patches; a state of something else in the place where nobody named one is begun anew."""
    from zfcuda.features.state import OtherStateError
    from zfcuda.features.strongest_patches import strongest_patches

    state = Path(arguments.state or os.path.join(arguments.out, _STATE))

    def work() -> dict[str, StrongestPatches]:
        chosen = units if isinstance(units, list) else None
        return strongest_patches(subject.model, collection, layers, top=top, units=chosen, state=state, progress=True)

    try:
        return work()
    except OtherStateError:
        if arguments.state:
            raise
        state.unlink()
        return work()


def _pictures(words: list[str]) -> Any:
    """What the words mean: a folder, files, or Parts."""
    from zfcuda.data import Parts

    if words == ["parts"] and not os.path.exists("parts"):
        return Parts()
    if len(words) == 1 and not os.path.isfile(words[0]):
        return words[0]
    folders = [word for word in words if os.path.isdir(word)]
    if folders:
        raise ValueError(f"pictures: expected one folder, or files, got {folders[0]} among {len(words)}")
    return words


def _units(text: str) -> int | list[int] | None:
    """What --units says: how many, which ones, or None for all."""
    words = [word for word in text.replace(" ", "").split(",") if word]
    if text == "all":
        return None
    if not words or not all(map(str.isdecimal, words)) or text.strip() == "0":
        raise ValueError(f"--units: expected how many, as in 16, which ones, as in 3,17, or all, got {text!r}")
    return [int(word) for word in words] if "," in text else int(words[0])


def _device(name: str) -> str:
    """Under torchrun each process has a GPU of its own, unless one is named."""
    rank = os.environ.get("LOCAL_RANK", "")
    return f"cuda:{rank}" if name == "cuda" and rank.isdecimal() else name


def _layers(subject: Subject, collection: Collection) -> list[str]:
    """The convolutions that are looked at where nobody names layers."""
    from zfcuda.features.loading import first_image, placed
    from zfcuda.report.layers import chosen, conv_layers

    found, _ = conv_layers(subject.model, placed(first_image(collection)[None], subject.model))
    if not found:
        raise ValueError("--layer: expected a name, as this network has no two-dimensional convolution")
    return [layer.name for layer in chosen(found)]
