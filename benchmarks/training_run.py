"""What `zfcuda train` runs: whole steps of the recipe with its dropout and its average, and who waits for whom.

    python -m benchmarks.training_run [DATA] [--recipe R --width W --batch N --workers N ... --steps N --json F]

DATA: as of `zfcuda train`; without it a folder of JPEG files of 256 x 256 that is drawn first. For each number of
workers: the seconds of a step, the part of them that waits for pictures, and the processor's seconds that one batch of
pictures takes to load. Where these are more than a core has left, the processors bound the run, however many workers
there are.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.device import device_name
from zfcuda.data import Parts
from zfcuda.train.loading import Samples, batches, collated
from zfcuda.train.network import subject
from zfcuda.train.options import Options
from zfcuda.train.order import Order
from zfcuda.train.precision import fast_precision
from zfcuda.train.preparation import preprocess_for, view_for, with_model_defaults
from zfcuda.train.recipes import USUAL, recipe
from zfcuda.train.sets import Sets, read_sets
from zfcuda.train.state import Training

PICTURES = 160  # drawn
WARM_UP = 2  # steps that are not measured


def measured(sets: Sets, workers: int, steps: int, **options: Any) -> dict[str, Any]:
    """A row: so many steps of a run, after two that are not measured."""
    chosen = with_model_defaults(Options(**options))
    chosen = chosen.completed(recipe(chosen.recipe or USUAL).defaults)
    precision = (
        fast_precision(chosen.device) if chosen.precision == "auto" else getattr(torch, chosen.precision or "float32")
    )
    order = Order(chosen.seed, len(sets.train.names), chosen.batch or 1, 0, 1)
    network = subject(chosen, len(sets.classes))
    view = view_for(preprocess_for(network, sets.train, chosen), chosen)
    every = steps + WARM_UP
    training = Training(
        network.model,
        view,
        chosen,
        steps=every,
        epoch_steps=order.steps,
        classes=len(sets.classes),
        precision=precision,
    )
    samples = Samples(sets.train, view, chosen.seed)
    began = time.process_time()
    collated([samples[key] for key in order.keys(0)])
    loading = time.process_time() - began
    waits, learns = [], []
    loader = batches(samples, order, 0, every, workers)
    for _ in range(every):
        start = time.perf_counter()
        batch = next(loader)
        got = time.perf_counter()
        training.learn(batch, order.keys(training.step))
        if training.device.type == "cuda":
            torch.cuda.synchronize()
        waits.append(got - start)
        learns.append(time.perf_counter() - got)
    waits, learns = waits[WARM_UP:], learns[WARM_UP:]
    return {
        "recipe": chosen.recipe,
        "width": chosen.width,
        "batch": chosen.batch,
        "precision": str(precision).removeprefix("torch."),
        "workers": workers,
        "steps": steps,
        "learning": round(statistics.median(learns), 4),
        "waiting": round(statistics.median(waits), 4),
        "waiting_share": round(sum(waits) / (sum(waits) + sum(learns)), 3),
        "pictures_per_second": round((chosen.batch or 1) * steps / (sum(waits) + sum(learns)), 1),
        "loading_processor_seconds": round(loading, 4),
        "loss": round(float(training.sums[0] / training.sums[3]), 4),
    }


def draw(folder: Path, count: int) -> None:
    """A tree of JPEG files of 256 x 256, as photographs that were made ready for training lie on a disk."""
    parts = Parts(seed=0, size=256)
    for i in range(count):
        path = folder / f"class{i % 4}" / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        parts[i].image.save(path, quality=90)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_run", description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", help="as of zfcuda train; without it, pictures that are drawn")
    parser.add_argument("--recipe", default="modern")
    parser.add_argument("--width", type=float, default=0.5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path, help="write the rows here")
    chosen = parser.parse_args(argv)
    options = {name: getattr(chosen, name) for name in ("recipe", "width", "batch", "precision", "device")}
    rows = []
    print(device_name(torch.device(chosen.device)))
    with tempfile.TemporaryDirectory() as drawn:
        data = chosen.data
        if data is None:
            draw(Path(drawn), PICTURES)
            data = drawn
        sets = read_sets(data, seed=0, split=0.1)
        for workers in chosen.workers:
            row = measured(sets, workers, chosen.steps, **options)
            rows.append(row)
            print(
                f"{row['recipe']}, width {row['width']:g}, batch {row['batch']}, {row['precision']}, "
                f"{workers} workers: "
                f"{row['learning'] * 1e3:.0f} ms a step, waiting for pictures {row['waiting_share']:.1%} of the time, "
                f"{row['pictures_per_second']:.0f} pictures a second; a batch takes a processor "
                f"{row['loading_processor_seconds'] * 1e3:.0f} ms to load",
                flush=True,
            )
    if chosen.json is not None:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        device = device_name(torch.device(chosen.device))
        chosen.json.write_text(json.dumps({"device": device, "rows": rows}, indent=1) + "\n", encoding="utf-8")
        print(f"written: {chosen.json}")


if __name__ == "__main__":
    main()
