"""``zfcuda serve``: the microscope, a page on which one looks at networks live."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from zfcuda.cli.options import MODEL, OWN_WEIGHTS, add_device, checked_device
from zfcuda.cli.photos import NETWORK, PHOTOGRAPHS, default_network, photographs, tell_of_drawn_things
from zfcuda.cli.preprocessing import add_preprocessing, preprocessing, tell_of_assumed
from zfcuda.complaint import naming

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs
    from zfcuda.live.visitors import Kept
    from zfcuda.report import Subject

_DRAWN = 4  # pictures of the package, to begin with
_NEEDED = ("starlette", "uvicorn", "websockets", "python_multipart")


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser(
        "serve", help="a page on which to look at networks live: the occluder follows the pointer"
    )
    parser.add_argument(
        "folder",
        nargs="?",
        metavar="FOLDER|PICTURE",
        help="pictures to offer on the page, or the one that it begins with",
    )
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME|FILE",
        help=f"{MODEL}; given several times, all of them can be chosen (default: those of the package that have "
        "weights here)",
    )
    parser.add_argument("--weights", metavar="FILE", help=f"of the one --model: {OWN_WEIGHTS}")
    parser.add_argument(
        "--classes",
        metavar="FILE",
        help='class names, one per line, in the order of the outputs; or the word "imagenet" for its 1,000',
    )
    parser.add_argument(
        "--patches",
        action="append",
        default=[],
        metavar="DIR",
        help="what zfcuda patches wrote of such a network: the pictures that excite each unit most are then shown too",
    )
    add_listening(parser)
    add_device(parser)
    add_preprocessing(parser, page=False)
    parser.set_defaults(run=_run)


def add_listening(parser: argparse.ArgumentParser) -> None:
    """The options of whoever listens."""
    parser.add_argument(
        "--port", type=int, default=0, metavar="N", help="where to listen (default: a free one, which is printed)"
    )
    parser.add_argument("--no-browser", action="store_true", help="print the address, and open no browser")
    parser.add_argument(
        "--listen",
        choices=("loopback", "network"),
        default="loopback",
        help="who may connect: programs of this computer, or others too (default: %(default)s)",
    )
    # Threads that wait by spinning would take the cores from the server's loop and the browser, pointer after pointer.
    parser.set_defaults(environment={"OMP_WAIT_POLICY": "PASSIVE"})


def check_installed() -> None:
    """Refuses where the packages of the extra are missing.

    Raises:
        ValueError: naming the extra.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ValueError(f"this needs {', '.join(missing)}: pip install zfcuda[live]")


def _run(arguments: argparse.Namespace) -> int:
    check_installed()
    from zfcuda.live.app import Server, application
    from zfcuda.live.desk import Desk
    from zfcuda.live.limits import Limits
    from zfcuda.live.networks import Networks
    from zfcuda.live.offered import of_folder
    from zfcuda.live.patches import Patches
    from zfcuda.live.running import Listening, serve
    from zfcuda.live.visitors import Visitors

    device, limits = checked_device(arguments.device), Limits()
    named = _named(arguments.model or [])
    if arguments.weights and len(named) != 1:
        raise ValueError(f"--weights: expected one --model that they are of, got {len(named)}")
    offered = _samples(bool(named)) if arguments.folder is None else of_folder(arguments.folder, limits)
    patches = [Patches(folder) for folder in arguments.patches]
    listening = Listening(arguments.port, arguments.listen == "network")
    titles = {name: _title(what) for name, what in (named or _own_networks()).items()}

    def load(name: str) -> Subject:
        from zfcuda.report import load_subject

        print(f"zfcuda: loading {name}", file=sys.stderr, flush=True)
        model = named.get(name, name)
        with naming(model):
            return load_subject(
                model,
                weights=arguments.weights,
                classes=arguments.classes,
                device=device,
                **preprocessing(arguments),
            )

    networks = Networks(load, titles)
    for name in named:  # mistakes are told here, and not on a page
        tell_of_assumed(networks.get(name).subject)
    if not named:
        if next(iter(titles)) == "demo":
            tell_of_drawn_things()
        networks.begin(next(iter(titles)))
    server = Server(Desk(networks, offered, limits, patches), Visitors(limits))
    serve(
        application(server, listening.token, listening.hosts),
        listening,
        browser=not arguments.no_browser,
        limits=limits,
    )
    return 0


def _named(models: Sequence[str]) -> dict[str, str]:
    """What each --model is called on the page, where the rest of a path is nobody's business."""
    found: dict[str, str] = {}
    for model in models:
        name = Path(model).name if os.path.exists(model) else model
        while found.get(name, model) != model:
            name += "'"
        found[name] = model
    return found


def _own_networks() -> dict[str, str]:
    """The networks of the package that have weights here, the one that answers where nobody chooses first."""
    return {name: name for name in (default_network(), "demo", "clothing")}


def _title(model: str) -> str:
    """What a network is, before it is loaded."""
    from zfcuda.models.architectures.registry import entry
    from zfcuda.models.pretrained.demo import DEMOS

    if model in DEMOS:
        return f"{model}: {DEMOS[model]}"
    if model == NETWORK:
        return "EfficientNet-Lite0: trained on photographs"
    try:
        return entry(model).title
    except ValueError:
        return Path(model).name if os.path.exists(model) else model


def _samples(named: bool) -> dict[str, Kept]:
    """Pictures to begin with, where nobody brings any; of drawn ones the network that knows them, if none is named."""
    from zfcuda.data import HELD_OUT_SEED, Parts
    from zfcuda.live.offered import of_makers

    names = PHOTOGRAPHS if find_spec("skimage") is not None and default_network() == NETWORK else ()
    parts = Parts(seed=HELD_OUT_SEED)
    drawn = {
        f"{one.class_name} (drawn)": partial(lambda one: one.image, one) for one in (parts[i] for i in range(_DRAWN))
    }
    return of_makers({name: partial(lambda name: photographs()[name], name) for name in names}) | of_makers(
        drawn, network=None if named else "demo"
    )
