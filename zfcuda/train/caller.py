"""What a program that trains has set for itself, and finds again when the training has ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from zfcuda.train.generators import generator_states, restore_generators


@contextmanager
def undisturbed() -> Iterator[None]:
    """Trains as in a program of its own: with gradients, and in float32, whatever holds where it is called.

    Afterwards the generators of Python, NumPy and torch go on as if nobody had drawn from them.
    """
    drawn, dtype = generator_states(), torch.get_default_dtype()
    with torch.inference_mode(False), torch.enable_grad():
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            restore_generators(drawn)
