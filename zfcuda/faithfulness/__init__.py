"""Is an explanation true? Measures of it, and what each method scores on pictures whose truth is known."""

from zfcuda.faithfulness.curve import Curve
from zfcuda.faithfulness.energy import energy_inside
from zfcuda.faithfulness.parts import PartImportance, part_importance
from zfcuda.faithfulness.pointing import pointing_chance, pointing_game
from zfcuda.faithfulness.randomization import Similarity, randomization
from zfcuda.faithfulness.removal import deletion, insertion

__all__ = [
    "Curve",
    "PartImportance",
    "Similarity",
    "deletion",
    "energy_inside",
    "insertion",
    "part_importance",
    "pointing_chance",
    "pointing_game",
    "randomization",
]
