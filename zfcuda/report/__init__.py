"""The report: what a network answers to pictures and why, as one HTML page with its pictures and numbers beside it.

``subject`` is the network, ``explain`` computes, ``panels`` draws, ``page`` lays out, ``files`` writes.
"""

from zfcuda.report.explain import Explanation, Layer, Prepared, Unit, explain, prepare
from zfcuda.report.files import Folder
from zfcuda.report.subject import Subject, load_subject

__all__ = [
    "Explanation",
    "Folder",
    "Layer",
    "Prepared",
    "Subject",
    "Unit",
    "explain",
    "load_subject",
    "prepare",
]
