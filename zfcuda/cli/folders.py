"""What the verbs over many pictures share: the pictures, the network, the state file."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from zfcuda.cli.options import add_device, add_model, checked_device
from zfcuda.cli.photos import default_network, tell_of_drawn_things
from zfcuda.cli.preprocessing import add_preprocessing, preprocessing
from zfcuda.complaint import naming

if TYPE_CHECKING:
    from zfcuda.data.collection import Collection
    from zfcuda.report import Subject


def add_pictures(parser: argparse.ArgumentParser) -> None:
    """FOLDER, and the options of a pass over it."""
    parser.add_argument(
        "pictures",
        nargs="+",
        metavar="FOLDER",
        help="a folder of pictures, with all folders in it; or picture files; or the word parts, for drawn ones",
    )
    add_model(parser)
    parser.add_argument(
        "--state", metavar="FILE", help="keeps what is done, so that the same command goes on after a crash"
    )
    add_device(parser)
    add_preprocessing(parser)


def subject_and_pictures(arguments: argparse.Namespace) -> tuple[Subject, Collection]:
    """The network, and the pictures, which are looked for before it is loaded."""
    from zfcuda.data.collection import Collection
    from zfcuda.report import load_subject

    pictures = _pictures(arguments.pictures)
    Collection.of(pictures)
    device = checked_device(arguments.device)
    model = arguments.model or default_network()
    if arguments.model is None and model == "demo" and arguments.pictures != ["parts"]:
        tell_of_drawn_things()
    with naming(model):
        subject = load_subject(model, weights=arguments.weights, device=device, **preprocessing(arguments))
    return subject, Collection.of(pictures, preprocess=subject.preprocess)


def _pictures(words: list[str]) -> Any:
    """What the words mean: a folder, files, or drawn pictures that no network was trained on."""
    from zfcuda.data import HELD_OUT_SEED, Parts

    if words == ["parts"] and not os.path.exists("parts"):
        return Parts(seed=HELD_OUT_SEED)
    if len(words) == 1 and not os.path.isfile(words[0]):
        return words[0]
    folders = [word for word in words if os.path.isdir(word)]
    if folders:
        raise ValueError(f"pictures: expected one folder, or files, got {folders[0]} among {len(words)}")
    return words
