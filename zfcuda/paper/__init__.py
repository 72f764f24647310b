"""Every figure and table of the paper (Zeiler & Fergus, arXiv 1311.2901), on a network and pictures that are there.

A module for each: its function takes a model and pictures and returns a :class:`Result`, tensors, rows of tables,
pictures, and what each claim of the paper comes to; its FIGURE is what ``zfcuda paper`` runs. What a figure has beside
its module lies in a folder:

=================  ==================  =====================================================================
fig1               unpooling           a deconvnet attached to a convnet, the switches between them
fig2               excitation          the strongest patches of units and their projections
fig4               evolution           features at epochs of a training, and when each layer has converged
fig5               invariance          pictures shifted, enlarged and turned, and how far features move
fig6               first_layer         filters of two sizes and strides, clipped or not, and aliasing
fig7               occluder            the grey square that moves over a picture
fig9, table7       transferred         linear classifiers on codes that were learnt elsewhere
fig8, table1       masking             the same part masked in several pictures
table2, table3     error_rates         errors of several trainings of several networks
correspondence     matching            points of a picture found in another
localisation       boxes               boxes around maps
attributes         performance         accuracy over attributes of pictures
=================  ==================  =====================================================================

All of them share ``gallery``, the pictures; ``cache``, what was computed of them; ``reading``, layers of many small
batches; ``points``, named points of pictures; ``trainings``, the runs that some need; ``estimate``, a figure and its
interval, and ``contrast``, the same of error rates over trainings; ``plots`` and ``panels``, which draw. ``figure`` and
``result`` are what goes in and what comes out, its tables of ``row``; ``figures`` finds them, ``making`` runs them,
``written``, ``words`` and ``page`` are the files.
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
