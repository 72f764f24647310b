"""Which methods tell the truth: each held against drawn pictures in which it is known what decides."""

from zfcuda.faithfulness.truth.figures import Figure, Figures, figures
from zfcuda.faithfulness.truth.measure import DRAWS, RANDOM, Record, Settings, measure
from zfcuda.faithfulness.truth.table import table
from zfcuda.faithfulness.truth.write import write

__all__ = ["DRAWS", "RANDOM", "Figure", "Figures", "Record", "Settings", "figures", "measure", "table", "write"]
