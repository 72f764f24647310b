"""The report: what a network answers to pictures and why, as one HTML page with its pictures and numbers beside it.

``subject`` is the network, ``source`` a picture's file; ``prepare`` checks, for many as ``checked``; ``cover`` is what
hides a part; ``explain`` computes an ``explanation``, its map in ``occlusion_maps``, its layers in ``projected``, its
methods in ``side_by_side``; ``panels`` and ``filters`` draw; ``article`` says it with ``evidence``, ``figure``,
``method_figures`` and ``cards``; ``maps`` are the numbers that the page's script colours; a ``part`` is what is kept of
a picture then; ``page`` lays out with ``overview`` and ``reproduce``; ``files`` writes, with the ``numbers`` and the
``record`` of how they were made; ``api`` is the page from Python.
"""

from zfcuda.report.api import named_pictures
from zfcuda.report.checked import Checked
from zfcuda.report.explain import explain
from zfcuda.report.explanation import Explanation, Layer, Unit
from zfcuda.report.files import Folder
from zfcuda.report.occlusion_maps import OcclusionMaps
from zfcuda.report.prepare import Prepared, prepare
from zfcuda.report.reproduce import Asked
from zfcuda.report.source import Source, source_of
from zfcuda.report.subject import Subject, load_subject
from zfcuda.report.written import written

__all__ = [
    "Asked",
    "Checked",
    "Explanation",
    "Folder",
    "Layer",
    "OcclusionMaps",
    "Prepared",
    "Source",
    "Subject",
    "Unit",
    "explain",
    "load_subject",
    "named_pictures",
    "prepare",
    "source_of",
    "written",
]
