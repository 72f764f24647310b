"""`python -m benchmarks.profiling FILE [--device D] [--quick]`: which kernels take the time.

torch.profiler's tables of one occlusion map of ZFNet (window 32, stride 8), one projection from its conv5 and one
training step, each after runs that are not recorded.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

import zfcuda
from benchmarks import training, zoo
from benchmarks.device import device_name
from benchmarks.measure import full_float32, tuned_convolutions

ROWS = 40


def table(run: Callable[[], object], device: torch.device) -> str:
    """The table of one run, what takes the most of the device's time first."""
    on_gpu = device.type == "cuda"
    for _ in range(3):
        run()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as record:
        begin = time.perf_counter()
        run()
        if on_gpu:
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - begin
    order = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    rows = record.key_averages().table(sort_by=order, row_limit=ROWS, max_name_column_width=100)
    return f"{seconds * 1e3:.2f} ms with the profiler on\n{rows}"


def subjects(device: torch.device, quick: bool) -> Iterator[tuple[str, Callable[[], object]]]:
    """What is profiled, by name."""
    with torch.device("meta"):
        network = zfcuda.models.zfnet()
    zoo.randomise(network)
    network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    image = zoo.picture().to(device, memory_format=torch.channels_last)
    window, stride = (112, 112) if quick else (32, 8)

    def map() -> object:
        return zfcuda.occlusion_map(network, image, window=window, stride=stride)

    mapper = zfcuda.OcclusionMapper(network, image, window=window, stride=stride)
    projector = zfcuda.Projector(network, image, "conv5")
    yield f"occlusion map of ZFNet, window {window}, stride {stride}, float32", map
    yield "the same by an OcclusionMapper", lambda: mapper(image)
    yield "projection from conv5 of ZFNet by a Projector, float32", lambda: projector(image)
    batch = 2 if quick else training.BATCH.get(device.type, 8)
    for dtype in (torch.float32, torch.bfloat16):
        side = training.alone(device, dtype, batch)
        yield f"training step of ZFNet, batch {batch}, {str(dtype).removeprefix('torch.')}", side.step


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profiling", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", type=torch.device)
    parser.add_argument("--quick", action="store_true", help="small inputs: shows that it runs")
    arguments = parser.parse_args()
    arguments.file.parent.mkdir(parents=True, exist_ok=True)
    with arguments.file.open("w", encoding="utf-8") as out:
        out.write(f"{device_name(arguments.device)}, torch {torch.__version__}\n")
        for name, run in subjects(arguments.device, arguments.quick):
            print(name, flush=True)
            with full_float32(), tuned_convolutions():
                out.write(f"\n\n{name}: {table(run, arguments.device)}")
            out.flush()


if __name__ == "__main__":
    main()
