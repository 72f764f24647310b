"""``zfcuda backend``: what was compiled in and what runs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs


def add(verbs: Verbs) -> None:
    """Adds the verb."""
    verbs.add_parser("backend", help="say what was compiled in and what runs").set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from zfcuda import backend

    for key, value in backend().items():
        shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
        print(f"{key}: {shown}")
    return 0
