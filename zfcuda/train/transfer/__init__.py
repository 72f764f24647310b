"""What a trained network's codes are worth on other pictures: linear classifiers by layer, learning curves, a choice.

``parts`` are the pictures; ``layers`` and ``grid`` say whose codes, ``passes`` computes them, with ``mirrored``, and
``stored_codes`` keeps them; ``linear`` fits, ``probe`` makes the table and the curves of it, ``choices`` weighs the
ways of the notes; ``fine_tuning`` is the other way; ``measure`` does it all, ``tables``, ``plot``, ``output`` show it.
"""

from zfcuda.train.transfer.choices import advice
from zfcuda.train.transfer.grid import as_pool
from zfcuda.train.transfer.measure import Prepared, Transfer, measure, prepare
from zfcuda.train.transfer.settings import Settings

__all__ = ["Prepared", "Settings", "Transfer", "advice", "as_pool", "measure", "prepare"]
