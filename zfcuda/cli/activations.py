"""``zfcuda activations``: what layers of a network answer to a picture, map by map."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from zfcuda.cli.default_layers import default_layers
from zfcuda.cli.options import add_device, add_model, checked_device
from zfcuda.cli.photos import default_network, tell_of_drawn_things
from zfcuda.cli.preprocessing import add_preprocessing, preprocessing, tell_of_assumed
from zfcuda.complaint import naming

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("activations", help="draw the maps of layers for a picture, dead ones marked")
    parser.add_argument("picture", metavar="PICTURE", help="a picture file of any kind that Pillow reads")
    add_model(parser)
    parser.add_argument(
        "--layer",
        metavar="NAME",
        nargs="+",
        action="extend",
        help="layers to draw, as zfcuda layers lists them (default: behind the ReLUs, at most 8)",
    )
    parser.add_argument(
        "--out", default="out/activations", metavar="DIR", help="where the pictures go (default: %(default)s)"
    )
    add_device(parser)
    add_preprocessing(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from zfcuda.cli import sheets
    from zfcuda.data.pictures import check_path, read_picture
    from zfcuda.features.activation_sheet import activation_sheet
    from zfcuda.features.activations import activations
    from zfcuda.report import load_subject

    check_path(arguments.picture)
    device = checked_device(arguments.device)
    model = arguments.model or default_network()
    if arguments.model is None and model == "demo":
        tell_of_drawn_things()
    with sheets.folder(arguments.out) as out, naming(model):
        subject = load_subject(model, weights=arguments.weights, device=device, **preprocessing(arguments))
        tell_of_assumed(subject)
        image = subject.view(read_picture(arguments.picture))[0].to(device)
        layers = list(dict.fromkeys(arguments.layer or default_layers(subject.model, image)))
        values = activations(subject.model, image, layers)
        drawn = {layer: activation_sheet(values[layer][0], layer) for layer in layers}
        files = sheets.write({layer: sheet.picture for layer, sheet in drawn.items()}, out)
    for sheet, file in zip(drawn.values(), files, strict=True):
        print(f"{'; '.join(sheet.said)}: {file}", flush=True)
    return 0
