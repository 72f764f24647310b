"""What the verbs over many pictures share: the pictures, the network, the file that keeps what is done."""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from zfcuda.cli.options import add_device, add_model, checked_device
from zfcuda.cli.photos import default_network, tell_of_drawn_things
from zfcuda.cli.preprocessing import add_preprocessing, preprocessing, tell_of_assumed
from zfcuda.complaint import naming, one_line

if TYPE_CHECKING:
    from zfcuda.data.collection import Collection
    from zfcuda.report import Subject

Answer = TypeVar("Answer")


def add_pictures(parser: argparse.ArgumentParser) -> None:
    """FOLDER, and --model, with which every verb begins."""
    parser.add_argument(
        "pictures",
        nargs="+",
        metavar="FOLDER",
        help="a folder of pictures, with all folders in it; or picture files; or the word parts, for drawn ones",
    )
    add_model(parser)


def add_pass(parser: argparse.ArgumentParser, state: str) -> None:
    """The options of a pass over pictures, with which the verbs end. state: where what is done is kept by itself."""
    parser.add_argument(
        "--state",
        metavar="FILE",
        help="keeps what is done, so that the same command goes on after Ctrl-C or a crash, and runs no picture again "
        f"later (default: {state})",
    )
    add_device(parser)
    add_preprocessing(parser)


@contextmanager
def out_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The folder that --out, or the file it names, lies in, as :func:`zfcuda.cli.sheets.folder` has it.

    Under torchrun the first of the processes makes it, and the others find it there.
    """
    from zfcuda.cli import sheets
    from zfcuda.ranks import Ranks

    ranks = Ranks()
    with sheets.folder(os.fspath(path)) if ranks.first else nullcontext():
        ranks.of_first(None)
        yield Path(path)


def subject_and_pictures(arguments: argparse.Namespace) -> tuple[Subject, Collection]:
    """The network, and the pictures, which are looked for before it is loaded."""
    from zfcuda.data.collection import Collection
    from zfcuda.ranks import Ranks
    from zfcuda.report import load_subject

    pictures = _pictures(arguments.pictures)
    Collection.of(pictures)
    device = checked_device(_device(arguments.device))
    model = arguments.model or default_network()
    if arguments.model is None and model == "demo" and arguments.pictures != ["parts"] and Ranks().first:
        tell_of_drawn_things()
    with naming(model):
        subject = load_subject(model, weights=arguments.weights, device=device, **preprocessing(arguments))
    if Ranks().first:
        tell_of_assumed(subject)
    return subject, Collection.of(pictures, preprocess=subject.preprocess)


def kept(arguments: argparse.Namespace, beside: Path, work: Callable[[Path], Answer]) -> Answer:
    """What work makes of the state file, which is `beside` where --state names none.

    A state of something else that nobody named is of an earlier command with the same --out, and is begun anew.
    """
    from zfcuda.features.state import OtherStateError

    if arguments.state:
        return work(Path(arguments.state))
    try:
        return work(beside)
    except OtherStateError as error:
        said = str(error).removeprefix("state: ").removesuffix("; name another file, or remove this one")
        warnings.warn(f"{said}; it is begun anew", stacklevel=2)
        beside.unlink()  # only the first of the processes under torchrun reads it, and comes here
        return work(beside)


@contextmanager
def going_on(state: str | os.PathLike[str]) -> Iterator[None]:
    """What is done when all pictures have been run: Ctrl-C then says where what was made of them is."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if not stop.args:
            stop.args = (f"all pictures are kept in {one_line(os.fspath(state))}, and the same command goes on there",)
        raise


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


def _device(name: str) -> str:
    """Under torchrun each process has a GPU of its own, unless one is named."""
    rank = os.environ.get("LOCAL_RANK", "")
    return f"cuda:{rank}" if name == "cuda" and rank.isdecimal() else name
