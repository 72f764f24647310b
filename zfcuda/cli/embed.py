"""``zfcuda embed``: the pictures of a folder laid out so that those that a network takes for alike stand together."""

from __future__ import annotations

import argparse
import json
import math
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zfcuda.cli.folders import add_pass, add_pictures, going_on, kept, out_folder, subject_and_pictures
from zfcuda.cli.queries import class_of, found_nearest
from zfcuda.complaint import CommandError, naming, one_line

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from zfcuda.cli.options import Verbs
    from zfcuda.data.collection import Collection
    from zfcuda.features.codes import Codes
    from zfcuda.report import Subject

_STATE = "state.safetensors"
_ASKED = 2000  # pictures whose nearest one is looked for, to say how often it is of the same class


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("embed", help="lay pictures out so that those a network takes for alike stand together")
    add_pictures(parser)
    parser.add_argument(
        "--layer",
        metavar="NAME",
        help="whose answers are compared, as zfcuda layers lists them (default: what the last linear one reads)",
    )
    parser.add_argument(
        "--codes", metavar="FILE", help="codes of these pictures that this command or zfcuda codes has written before"
    )
    parser.add_argument(
        "--method",
        choices=("tsne", "pca"),
        default="tsne",
        help="tsne keeps neighbours together, pca draws the two directions of most variance (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of tsne (default: %(default)s)")
    parser.add_argument(
        "--columns", type=int, metavar="N", help="pictures in a row of the mosaic (default: as many as there are rows)"
    )
    parser.add_argument(
        "--query",
        metavar="PICTURE",
        nargs="+",
        action="extend",
        default=[],
        help="also draw the pictures that are nearest to these, by code and, beside it, by pixels",
    )
    parser.add_argument("--nearest", type=int, default=9, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument(
        "--out",
        default="out/embed",
        metavar="DIR",
        help="where mosaic.png, scatter.png, points.json, codes.safetensors and, with --query, nearest.png go "
        "(default: %(default)s)",
    )
    add_pass(parser, state=f"DIR/{_STATE}")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    _check(arguments)
    with out_folder(arguments.out) as out:
        subject, pictures = subject_and_pictures(arguments)
        found = _codes(arguments, subject, pictures, out / _STATE)
        with nullcontext() if arguments.codes else going_on(arguments.state or out / _STATE):
            return _laid_out(arguments, subject, pictures, found, out)


def _laid_out(arguments: argparse.Namespace, subject: Subject, pictures: Collection, found: Codes, out: Path) -> int:
    """Lays the pictures out by their codes, and writes all there is."""
    from zfcuda.features.embed import embed
    from zfcuda.features.mosaic import laid_out
    from zfcuda.features.places import places
    from zfcuda.features.scatter import scatter
    from zfcuda.ranks import Ranks

    at = _indices(arguments, found, pictures)
    queries = None
    if arguments.query:
        words, count = arguments.pictures, arguments.nearest
        queries = found_nearest(arguments.query, subject, words, pictures, found, at, count)
    if not Ranks().first:  # under torchrun one of the processes writes, and speaks
        return 0
    tell = f"laying {len(found):,} pictures out by {arguments.method}, from {found.values.shape[1]:,} numbers each"
    print(f"{tell} ({found.layer})", flush=True)
    points = embed(found, arguments.method, seed=arguments.seed)
    columns = arguments.columns or math.ceil(math.sqrt(len(found)))
    cells = places(points, columns=columns)
    drawn = {
        "mosaic.png": laid_out(pictures, at, cells),
        "scatter.png": scatter(points, found.labels, found.classes),
    }
    record: dict[str, Any] = {
        "network": subject.title,
        "layer": found.layer,
        "method": arguments.method,
        "seed": arguments.seed,
        "columns": columns,
        "classes": found.classes,
        "pictures": _rows(found, points, cells),
        "left_out": [{"name": each.name, "reason": each.reason} for each in found.skipped],
    }
    if found.labels is not None:
        record["nearest_of_same_class"], said = _same_class(found)
        print(said)
    if queries is not None:
        drawn["nearest.png"], record["queries"] = queries
    for file in _write(out, drawn, record, None if arguments.codes else found):
        print(file)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """What is wrong with the options, before a network is loaded."""
    from zfcuda.data.pictures import read_picture
    from zfcuda.features.embed import require_sklearn

    for option, least in (("columns", 1), ("nearest", 1), ("seed", 0)):
        value = getattr(arguments, option)
        if value is not None and value < least:
            raise ValueError(f"--{option}: expected at least {least}, got {value}")
    if arguments.codes and arguments.layer:
        raise ValueError("--layer: expected none with --codes, which are of a layer already")
    if arguments.codes and arguments.state:
        raise ValueError("--state: expected none with --codes, where no picture is run")
    for path in arguments.query:
        read_picture(path)
    try:
        require_sklearn("zfcuda embed")
    except ImportError as error:
        raise CommandError(str(error)) from None


def _codes(arguments: argparse.Namespace, subject: Subject, pictures: Collection, beside: Path) -> Codes:
    """The codes of the pictures: read, or made with the state file, which is `beside` where none is named."""
    from zfcuda.features.code_layer import code_layer
    from zfcuda.features.codes import Codes, codes

    if arguments.codes:
        try:
            return Codes.load(arguments.codes)
        except ValueError as error:
            raise ValueError(f"--codes: {str(error).removeprefix('path: ')}") from None
    with naming(subject.title):
        layer = arguments.layer or code_layer(subject.model)
        return kept(arguments, beside, lambda state: codes(subject.model, pictures, layer, state=state, progress=True))


def _indices(arguments: argparse.Namespace, found: Codes, pictures: Collection) -> list[int]:
    """Where in the folder the picture of each code is."""
    known = {name: index for index, name in enumerate(pictures.names)}
    missing = [name for name in found.names if name not in known]
    if missing:
        more = f", nor are {len(missing) - 1:,} more" if len(missing) > 1 else ""
        raise ValueError(
            f"--codes: {one_line(arguments.codes)}: of other pictures; {one_line(missing[0])} is not among the "
            f"{len(pictures):,} here{more}"
        )
    return [known[name] for name in found.names]


def _rows(found: Codes, points: Tensor, cells: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """What points.json says of each picture."""
    rows = []
    for i, (name, (x, y), (row, column)) in enumerate(zip(found.names, points.tolist(), cells, strict=True)):
        label = None if found.labels is None else int(found.labels[i])
        known = {} if label is None else {"label": label, "class": class_of(found, i)}
        rows.append({"name": name, **known, "x": x, "y": y, "row": row, "column": column})
    return rows


def _same_class(found: Codes) -> tuple[dict[str, float], str]:
    """How often the picture nearest to one is of its class, and how often it would be by chance."""
    import torch

    from zfcuda.features.nearest import nearest

    labels = found.labels
    assert labels is not None
    if len(found) < 2:
        return {}, "one picture, without neighbours"
    asked = torch.arange(0, len(found), math.ceil(len(found) / _ASKED))
    near = nearest(found.values, found.values[asked], 2)[0]
    other = torch.where(near[:, 0] == asked, near[:, 1], near[:, 0])  # of equal ones another one may come first
    share = float((labels[other] == labels[asked]).double().mean())
    counts = labels.unique(return_counts=True)[1].double()
    chance = float((counts * (counts - 1)).sum() / (len(found) * (len(found) - 1)))
    said = f"the picture with the nearest code is of the same class for {share:.0%} of them, by chance for {chance:.0%}"
    return {"share": share, "chance": chance}, said


def _write(out: Path, drawn: dict[str, Image.Image], record: dict[str, Any], codes: Codes | None) -> list[Path]:
    """Writes all files or none; returns their paths."""
    from zfcuda.files.drafts import whole

    names = [*drawn, "points.json", *(["codes.safetensors"] if codes is not None else [])]
    files = [out / name for name in names]
    try:
        with whole(*files) as drafts:
            for draft, name in zip(drafts, names, strict=True):
                if name in drawn:
                    drawn[name].save(draft)
                elif codes is not None and name == "codes.safetensors":
                    codes.save(draft)
                else:
                    draft.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"--out {one_line(str(out))}: {error.strerror or error}") from None
    return files
