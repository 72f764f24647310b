"""Where the time of loading goes: `python -m benchmarks.loading DATA [--pictures N --json FILE]`.

Processor time of one core for a picture: reading it, the views of the recipes `modern` and `paper`, both with pictures
from files and from memory, and what becomes of the bytes where the network runs. It is time of the processor, not of
the clock, so that what else the machine does is in it as little as can be.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.environment import environment
from zfcuda.data import Preprocess
from zfcuda.train.decoded import Decoded
from zfcuda.train.loading import Samples, collated
from zfcuda.train.pictures import picture_of
from zfcuda.train.sets import Labelled, read_sets
from zfcuda.train.views import ResizedCrops, TenCrops, View

_BATCH = 64
_REPEATS = 3  # of which the fastest counts
_ROOM = 8 << 30  # bytes that pictures from memory may take here
PREPROCESS = Preprocess(224, 256, interpolation="bilinear")
VIEWS: dict[str, View] = {"modern": ResizedCrops(PREPROCESS, 0.35, 0.3), "paper": TenCrops(PREPROCESS)}


def measured(source: Labelled, count: int) -> dict[str, float]:
    """Milliseconds for a picture. count: how many are taken, evenly spread."""
    indices = range(0, len(source.names), max(1, len(source.names) // count))
    result = {}
    for place, memory in (("from files", 0), ("from memory", _ROOM)):
        pictures = Decoded(source, 512, memory)
        for index in indices if memory else ():
            pictures.item(index)
        result[f"read {place}"] = _each(partial(_read, pictures), indices)
        for name, view in VIEWS.items():
            samples = Samples(pictures, view, 0)
            result[f"{name} {place}"] = _each(partial(_seen, samples), indices)
    samples = Samples(source, VIEWS["modern"], 0)
    batch = collated([samples[0, index] for index in indices[:_BATCH]])
    run = _each(lambda _: VIEWS["modern"].images(batch.pixels, batch.crops), range(10))
    result["to floats"] = run / len(batch.labels)
    return result


def _read(source: Labelled, index: int) -> Any:
    return picture_of(source, index, index)


def _seen(samples: Samples, index: int) -> Any:
    return samples[0, index]


def _each(call: Callable[[int], Any], indices: Sequence[int]) -> float:
    """Milliseconds of processor time for a call."""
    best = float("inf")
    for _ in range(_REPEATS):
        start = time.process_time()
        for index in indices:
            call(index)
        best = min(best, time.process_time() - start)
    return 1000 * best / len(indices)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loading", description=__doc__)
    parser.add_argument("data", metavar="DATA", help="as zfcuda train takes it")
    parser.add_argument("--pictures", type=int, default=200, help="how many are taken (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go, too")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    sets = read_sets(arguments.data)
    found = measured(sets.train, arguments.pictures)
    print(sets.title)
    for name, milliseconds in found.items():
        print(f"{name:<20} {milliseconds:6.2f} ms")
    if arguments.json is not None:
        written = {"environment": environment(torch.device("cpu")), "data": sets.title, "milliseconds": found}
        arguments.json.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
