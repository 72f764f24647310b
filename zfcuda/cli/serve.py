"""``zfcuda serve``: the microscope, a page on which one looks at networks live."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from zfcuda.cli.options import MODEL, OWN_WEIGHTS, add_device, checked_device
from zfcuda.cli.photos import default_network

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs
    from zfcuda.report import Subject

_NEEDED = ("starlette", "uvicorn", "websockets", "python_multipart")


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser(
        "serve", help="a page on which to look at networks live: the occluder follows the pointer"
    )
    parser.add_argument("folder", nargs="?", metavar="FOLDER", help="pictures to offer on the page")
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
    add_listening(parser)
    add_device(parser)
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
    from zfcuda.live.running import Listening, serve
    from zfcuda.live.visitors import Visitors

    device = checked_device(arguments.device)
    models = arguments.model or _own_networks()
    if arguments.weights and len(models) != 1:
        raise ValueError(f"--weights: expected one --model that they are of, got {len(models)}")

    def load(name: str) -> Subject:
        from zfcuda.report import load_subject

        print(f"zfcuda: loading {name}", file=sys.stderr, flush=True)
        return load_subject(name, weights=arguments.weights, classes=arguments.classes, device=device)

    limits = Limits()
    listening = Listening(arguments.port, arguments.listen == "network")
    networks = Networks(load, {name: name for name in models})
    server = Server(Desk(networks, {}, limits), Visitors(limits))
    serve(
        application(server, listening.token, listening.hosts),
        listening,
        browser=not arguments.no_browser,
        limits=limits,
    )
    return 0


def _own_networks() -> list[str]:
    """The networks of the package that have weights here, the one that answers where nobody chooses first."""
    first = default_network()
    return list(dict.fromkeys([first, "demo", "clothing"]))
