"""How results show themselves: as HTML in a notebook, and with matplotlib.

A result says by :meth:`Displayed.display` what there is to see of it; the page and the plot are made of that. Results
that are tensors are :class:`ShownTensor`, made by :func:`maps`, :func:`signals`, :func:`pictures` or :func:`shown`.
"""

from zfcuda.shown.display import Display, Table, View
from zfcuda.shown.displayed import Displayed
from zfcuda.shown.drawing import maps, pictures, signals
from zfcuda.shown.layers import LayerDict
from zfcuda.shown.tensor import ShownTensor, plain, shown

__all__ = [
    "Display",
    "Displayed",
    "LayerDict",
    "ShownTensor",
    "Table",
    "View",
    "maps",
    "pictures",
    "plain",
    "shown",
    "signals",
]
