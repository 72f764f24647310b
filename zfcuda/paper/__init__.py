"""Every figure and table of the paper (Zeiler & Fergus, arXiv 1311.2901), on a network and pictures that are there.

A module for each: its function takes a model and pictures and returns a :class:`Result`, tensors, rows of tables,
pictures, and what each claim of the paper comes to; its FIGURE is what ``zfcuda paper`` runs. ``gallery`` has the
pictures, ``cache`` what was computed of them, ``trainings`` the runs that some figures need, ``plots`` the curves,
``written`` the files.
"""

from zfcuda.paper.fig2 import fig2
from zfcuda.paper.fig9 import fig9
from zfcuda.paper.result import Claim, Result
from zfcuda.paper.table2 import table2
from zfcuda.paper.table3 import table3
from zfcuda.paper.table7 import table7

__all__ = ["Claim", "Result", "fig2", "fig9", "table2", "table3", "table7"]
