"""The ``zfcuda`` command: a module for each of its verbs, which adds its options and runs it.

What they import, they import when they run: ``--help`` and mistakes in the options need no torch.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence

from zfcuda.cli import (
    activations,
    backend,
    codes,
    convert,
    dead,
    demo,
    dream,
    embed,
    explain,
    filters,
    fool,
    invert,
    label,
    layers,
    maximize,
    paper,
    patches,
    serve,
    style,
    summary,
    texture,
    train,
    transfer,
    truth,
)
from zfcuda.command import EPILOG, Parser, run
from zfcuda.version import __version__

_VERBS = (
    *(explain, demo, serve, label, patches, activations, filters, dead, codes, embed, truth, train, transfer, paper),
    *(maximize, fool, dream, invert, texture, style),
    *(layers, summary, convert, backend),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: arguments without the program's name; None: those of the process.

    Returns:
        The exit code: 0; 2 for an error, with one line on stderr; 130 after Ctrl-C, 143 after SIGTERM.
    """
    typed = sys.argv[1:] if argv is None else list(argv)

    def work(arguments: argparse.Namespace) -> int:
        arguments.typed = shlex.join(["zfcuda", *typed])
        return int(arguments.run(arguments))

    return run(_parser(), argv, work)


def _parser() -> Parser:
    parser = Parser(prog="zfcuda", description="Shows what a convolutional network looks at.", epilog=EPILOG)
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {__version__}", help="say which version this is"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    for verb in _VERBS:
        verb.add(commands)
    return parser
