"""Images that a network makes: one loop, objectives that compose, and the methods that are made of them."""

from zfcuda.synthesis.adversarial import adversaries
from zfcuda.synthesis.adversary import Adversarial
from zfcuda.synthesis.epsilon import pixel_values
from zfcuda.synthesis.gram import gram, grams, style
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
from zfcuda.synthesis.style_network import StyleNetwork

__all__ = [
    "Adversarial",
    "Objective",
    "Optimised",
    "StyleNetwork",
    "adversaries",
    "content",
    "direction",
    "diversity",
    "each",
    "gram",
    "grams",
    "l2",
    "layer",
    "logit",
    "optimise",
    "pixel_values",
    "style",
    "total_variation",
    "unit",
]
