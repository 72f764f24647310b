"""Images that a network makes: one loop, objectives that compose, and the methods that are made of them."""

from zfcuda.synthesis.inversions import FromLayer, Survival, inversions
from zfcuda.synthesis.invert import Inversion
from zfcuda.synthesis.objectives import (
    Objective,
    content,
    direction,
    diversity,
    each,
    l2,
    layer,
    logit,
    total_variation,
    unit,
)
from zfcuda.synthesis.optimise import Optimised, optimise

__all__ = [
    "FromLayer",
    "Inversion",
    "Objective",
    "Optimised",
    "Survival",
    "content",
    "direction",
    "diversity",
    "each",
    "inversions",
    "l2",
    "layer",
    "logit",
    "optimise",
    "total_variation",
    "unit",
]
