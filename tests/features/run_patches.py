"""What the tests run in processes of its own: python -m tests.features.run_patches SECONDS RESULT [STATE]."""

from __future__ import annotations

import os
import sys
import warnings

import torch

import zfcuda
from tests.features.small import LAYERS, Net, Slow, images
from zfcuda.features import loading, stream

COUNT, BROKEN = 61, (3, 30)


def result(seconds: float, state: str | None) -> dict[str, list[torch.Tensor]]:
    """The answer, in blocks of four pictures, with the state written after each of them."""
    stream.block_size = loading.block_size = lambda image: 4
    stream.WRITE_EVERY = 0.0
    stream.WRITE_SHARE = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = zfcuda.strongest_patches(Net(), Slow(images(COUNT), seconds, BROKEN), LAYERS, top=5, state=state)
    assert [each.index for each in found["fc"].skipped] == list(BROKEN) and found["fc"].seen == COUNT - len(BROKEN)
    return {layer: [each.values, each.indices, each.boxes] for layer, each in found.items()}


if __name__ == "__main__":
    answer = result(float(sys.argv[1]), sys.argv[3] if len(sys.argv) > 3 else None)
    torch.save(answer, f"{sys.argv[2]}{os.environ.get('RANK', '')}")
