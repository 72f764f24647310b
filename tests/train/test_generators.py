"""Generators: what is drawn after they are restored is what was drawn after they were asked."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch

from zfcuda.train.checkpoints import Checkpoints
from zfcuda.train.generators import generator_states, restore_generators


def drawn(device: torch.device) -> list[object]:
    values: list[object] = [random.random(), random.gauss(0, 1), float(np.random.rand()), float(np.random.normal())]
    return [*values, torch.rand(3).tolist(), torch.rand(3, device=device).tolist()]


def test_all_are_restored(tmp_path: Path, device: torch.device) -> None:
    drawn(device)  # one of the two that a Gaussian draws is left over
    Checkpoints(tmp_path).save(1, {"generators": generator_states()})
    expected = drawn(device)
    assert drawn(device) != expected
    found = Checkpoints(tmp_path).newest()
    assert found is not None
    restore_generators(found[1]["generators"])
    assert drawn(device) == expected
