"""Every figure and table of the paper (Zeiler & Fergus, arXiv 1311.2901), on a network and pictures that are there.

A module for each: its function takes a model and pictures and returns a :class:`Result`, tensors, rows of tables,
pictures, and what each claim of the paper comes to; its FIGURE is what ``zfcuda paper`` runs. ``gallery`` has the
pictures, ``cache`` what was computed of them, ``trainings`` the runs that some figures need, ``plots`` the curves,
``written`` the files.
"""

from zfcuda.paper.correspondence import correspondence
from zfcuda.paper.fig2 import fig2
from zfcuda.paper.result import Claim, Result
from zfcuda.paper.table1 import table1

__all__ = ["Claim", "Result", "correspondence", "fig2", "table1"]
