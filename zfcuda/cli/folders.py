"""What the verbs over many pictures share: the pictures, the network, the state file."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from zfcuda.cli.options import add_device, add_model, checked_device
from zfcuda.cli.photos import default_network, tell_of_drawn_things
from zfcuda.cli.preprocessing import add_preprocessing, preprocessing
from zfcuda.complaint import naming

if TYPE_CHECKING:
    from zfcuda.report.subject import Subject


def add_folder(parser: argparse.ArgumentParser) -> None:
    """FOLDER, and the options of a pass over it."""
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        help="pictures, also in folders in it, which then are classes; or the word parts, for 1,200 drawn ones",
    )
    add_model(parser)
    parser.add_argument(
        "--state", metavar="FILE", help="keep there what is done, so that the same command goes on after a crash"
    )
    add_device(parser)
    add_preprocessing(parser)


def subject_and_pictures(arguments: argparse.Namespace) -> tuple[Subject, Any]:
    """The network, and a Collection of the pictures, which are looked for before it is loaded."""
    from zfcuda.data import HELD_OUT_SEED, Parts
    from zfcuda.data.collection import Collection
    from zfcuda.report import load_subject

    pictures = Parts(seed=HELD_OUT_SEED) if arguments.folder == "parts" else arguments.folder
    Collection.of(pictures)
    device = checked_device(arguments.device)
    model = arguments.model or default_network()
    if arguments.model is None and model == "demo" and arguments.folder != "parts":
        tell_of_drawn_things()
    with naming(model):
        subject = load_subject(model, weights=arguments.weights, device=device, **preprocessing(arguments))
    return subject, Collection.of(pictures, preprocess=subject.preprocess)
