"""Images that a network makes: one loop, objectives that compose, and the methods that are made of them."""

from zfcuda.synthesis.adversarial.adversary import Adversarial
from zfcuda.synthesis.adversarial.bounded import adversaries
from zfcuda.synthesis.adversarial.epsilon import pixel_values
from zfcuda.synthesis.gram import gram, grams, style
from zfcuda.synthesis.inversion.inversions import FromLayer, inversions
from zfcuda.synthesis.inversion.invert import Inversion
from zfcuda.synthesis.inversion.survival import Survival
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
from zfcuda.synthesis.style_network.network import StyleNetwork

__all__ = [
    "Adversarial",
    "FromLayer",
    "Inversion",
    "Objective",
    "Optimised",
    "StyleNetwork",
    "Survival",
    "adversaries",
    "content",
    "direction",
    "diversity",
    "each",
    "gram",
    "grams",
    "inversions",
    "l2",
    "layer",
    "logit",
    "optimise",
    "pixel_values",
    "style",
    "total_variation",
    "unit",
]
