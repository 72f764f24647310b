"""Every figure and table of the paper (Zeiler & Fergus, arXiv 1311.2901), on a network and pictures that are there.

A module for each: its function takes a model and pictures and returns a :class:`Result`, tensors, rows of tables,
pictures, and what each claim of the paper comes to; its FIGURE is what ``zfcuda paper`` runs. ``gallery`` has the
pictures, ``cache`` what was computed of them, ``trainings`` the runs that some figures need, ``plots`` the curves,
``written`` the files.
"""

from zfcuda.paper.attributes import attributes
from zfcuda.paper.correspondence import correspondence
from zfcuda.paper.fig1 import fig1
from zfcuda.paper.fig2 import fig2
from zfcuda.paper.fig4 import fig4
from zfcuda.paper.fig5 import fig5
from zfcuda.paper.fig6 import fig6
from zfcuda.paper.fig7 import fig7
from zfcuda.paper.fig8 import fig8
from zfcuda.paper.fig9 import fig9
from zfcuda.paper.localisation import localisation
from zfcuda.paper.result import Claim, Result
from zfcuda.paper.table1 import table1
from zfcuda.paper.table2 import table2
from zfcuda.paper.table3 import table3
from zfcuda.paper.table7 import table7

__all__ = [
    "Claim",
    "Result",
    "attributes",
    "correspondence",
    "fig1",
    "fig2",
    "fig4",
    "fig5",
    "fig6",
    "fig7",
    "fig8",
    "fig9",
    "localisation",
    "table1",
    "table2",
    "table3",
    "table7",
]
