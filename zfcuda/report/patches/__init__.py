"""The page of the strongest patches, each beside its projection: Fig. 2 of Zeiler & Fergus, on a user's own pictures.

``joined`` projects what won and cuts out what was seen, ``drawing`` makes sheets of it, ``page`` lays out, ``written``
writes, with the numbers.
"""

from zfcuda.report.patches.joined import LayerPatches, joined, places_of, projections_of, spread, winners_of
from zfcuda.report.patches.written import written

__all__ = ["LayerPatches", "joined", "places_of", "projections_of", "spread", "winners_of", "written"]
