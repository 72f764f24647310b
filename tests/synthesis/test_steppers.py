"""Steppers, alone."""

from __future__ import annotations

import torch
from torch import nn

from zfcuda.synthesis import content, optimise
from zfcuda.synthesis.parameterization import Pixels
from zfcuda.synthesis.pixel_range import PixelRange
from zfcuda.synthesis.steppers import LBFGS


def test_l_bfgs_takes_gradients_of_any_memory_format() -> None:
    """Those of a convolution of 1 x 1 come with channels last."""
    torch.manual_seed(0)
    model, wanted = nn.Sequential(nn.Conv2d(3, 6, 1)).double(), torch.randn(1, 3, 5, 4)
    code = model(wanted.double()).detach()
    made = optimise(model, content("0", code), Pixels(torch.zeros(1, 3, 5, 4), PixelRange()), steps=40, stepper=LBFGS())
    torch.testing.assert_close(made.images, wanted, atol=1e-3, rtol=0)
