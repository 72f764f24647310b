"""The figures and tables by name: each module of this folder that has a FIGURE brings one."""

from __future__ import annotations

from importlib import import_module

from zfcuda.paper.figure import Figure
from zfcuda.paper_names import homes


def figure(name: str) -> Figure:
    """The figure of that name.

    Raises:
        KeyError: there is none.
    """
    found: Figure = import_module(f"{__package__}.{homes()[name]}").FIGURE
    return found
