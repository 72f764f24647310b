"""``zfcuda filters``: the weights of convolutions as pictures, and how noisy they are."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from zfcuda.cli.options import add_model
from zfcuda.cli.photos import default_network
from zfcuda.complaint import naming

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("filters", help="draw the filters of convolutions, and say how noisy they are")
    add_model(parser)
    parser.add_argument(
        "--layer", metavar="NAME", nargs="+", action="extend", help="convolutions to draw (default: the first one)"
    )
    parser.add_argument(
        "--out", default="out/filters", metavar="DIR", help="where the pictures go (default: %(default)s)"
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from zfcuda.cli import sheets
    from zfcuda.features.filter_sheet import filter_sheet
    from zfcuda.features.filters import named_filters
    from zfcuda.report import load_subject

    model = arguments.model or default_network()
    with sheets.folder(arguments.out) as out, naming(model):
        subject = load_subject(model, weights=arguments.weights)
        found = dict(named_filters(subject.model, layer) for layer in arguments.layer or [None])
        # A network may read its colours in another order.
        drawn = {
            layer: filter_sheet(subject.in_colour(weight) if weight.shape[1] == 3 else weight, layer)
            for layer, weight in found.items()
        }
        files = sheets.write({layer: sheet.picture for layer, sheet in drawn.items()}, out)
    for sheet, file in zip(drawn.values(), files, strict=True):
        print(f"{'; '.join(sheet.said)}: {file}", flush=True)
    return 0
