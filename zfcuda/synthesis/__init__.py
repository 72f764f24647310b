"""Images that a network makes: one loop, objectives that compose, and the methods that are made of them."""

from zfcuda.synthesis.adversarial import adversaries
from zfcuda.synthesis.adversary import Adversarial
from zfcuda.synthesis.epsilon import pixel_values
from zfcuda.synthesis.objectives import (
    Objective,
    content,
    direction,
    l2,
    layer,
    logit,
    total_variation,
    unit,
)
from zfcuda.synthesis.optimise import Optimised, optimise

__all__ = [
    "Adversarial",
    "Objective",
    "Optimised",
    "adversaries",
    "content",
    "direction",
    "l2",
    "layer",
    "logit",
    "optimise",
    "pixel_values",
    "total_variation",
    "unit",
]
