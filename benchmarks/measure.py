"""Timing that holds on a shared machine: the sides take turns, and the ratio is of the medians."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Run = Callable[[], object]


@dataclass
class Timing:
    """Seconds of the repeats of one side."""

    seconds: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> tuple[float, float]:
        """First and third quartile; of one repeat, itself."""
        if len(self.seconds) == 1:
            return self.seconds[0], self.seconds[0]
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return low, high

    def each(self, count: int) -> Timing:
        """The time of one run, where a repeat was `count` of them."""
        return Timing([s / count for s in self.seconds])


def timed(timings: dict[str, Timing], digits: int = 7) -> dict[str, Any]:
    """What a row of results says of its sides, in seconds."""
    return {
        "seconds": {name: round(timing.median, digits) for name, timing in timings.items()},
        "quartiles": {name: [round(s, digits) for s in timing.spread] for name, timing in timings.items()},
        "repeats": {name: len(timing.seconds) for name, timing in timings.items()},
    }


@contextmanager
def full_float32() -> Iterator[None]:
    """float32 is float32: no TF32 in convolutions and matrix products."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before


@contextmanager
def tuned_convolutions() -> Iterator[None]:
    """cuDNN tries its algorithms on each new shape and keeps the fastest: torch at its best."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


# ---------------------------------------------------------------- one repeat


def _once(run: Run, device: torch.device, queued: bool = False) -> float:
    if device.type == "cuda":
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        _flush(device)
        if not queued:
            torch.cuda.synchronize(device)
        start.record()
        run()
        end.record()
        torch.cuda.synchronize(device)
        return float(start.elapsed_time(end)) / 1e3
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


_scratch: dict[torch.device, Tensor] = {}


def _cache_bytes(device: torch.device) -> int:
    """The size of the L2 cache."""
    return int(getattr(torch.cuda.get_device_properties(device), "L2_cache_size", 64 << 20))


def _flush(device: torch.device) -> None:
    """Push everything out of the L2 cache, so that no repeat finds its input there.

    By reading: what was written would have to go to memory while the clock runs.
    """
    if device not in _scratch:
        _scratch[device] = torch.zeros(max(256 << 20, 4 * _cache_bytes(device)) // 4, device=device)
    _scratch[device].sum()


# ---------------------------------------------------------------- small work, many times


def inputs_beyond_cache(bytes: int, device: torch.device) -> int:
    """How many sets of inputs and outputs of so many bytes are three times as large as the L2 cache; 1 on a CPU."""
    return min(64, -(-3 * _cache_bytes(device) // bytes)) if device.type == "cuda" else 1


def rotated(runs: Sequence[Run], device: torch.device) -> tuple[Run, str]:
    """The runs, each on an input of its own, as one: on a GPU as one CUDA graph, so that gaps between launches do not
    count and no run finds its input in the cache. With it, how it is done, in words.
    """
    if len(runs) == 1:
        return runs[0], "one"
    if device.type == "cuda":
        try:
            return _captured(runs, device), f"a graph of {len(runs)}"
        except RuntimeError as error:  # something that cannot be captured
            print(f"  not captured in a CUDA graph: {str(error).splitlines()[0]}", flush=True)
            torch.cuda.synchronize(device)
    return lambda: [run() for run in runs], f"{len(runs)} in a row"


def _captured(runs: Sequence[Run], device: torch.device) -> Run:
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):  # what a first call sets up may not be captured
        for run in runs[:2]:
            run()
    torch.cuda.current_stream(device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = [run() for run in runs]  # kept, so that each has memory of its own

    def replay() -> object:
        graph.replay()
        return outputs

    return replay


# ---------------------------------------------------------------- races


def race(
    sides: dict[str, Run], device: torch.device, *, repeats: int = 15, warmup: int = 10, queued: bool = False
) -> dict[str, Timing]:
    """Time the sides in turns, A B A B ..., after `warmup` unmeasured rounds.

    A virtual machine can take many rounds to get its memory back from the host. queued: on a GPU the launches wait
    behind other work, so that the device's time alone is measured; else a run's time begins with its first line of
    Python on an idle device, as its user has it.
    """
    for _ in range(warmup):
        for run in sides.values():
            run()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, run in sides.items():
            seconds[name].append(_once(run, device, queued))
    return {name: Timing(times) for name, times in seconds.items()}


def race_against(
    ours: Run,
    others: dict[str, Run],
    device: torch.device,
    *,
    seconds: float,
    rounds: tuple[int, int],
) -> tuple[Timing, dict[str, Timing]]:
    """Time a quick side against slow ones: ours before each of them, all others once per round.

    After an unmeasured run of ours, as many rounds as fit into `seconds`, within the limits that `rounds` gives.
    """
    ours()
    own: list[float] = []
    slow: dict[str, list[float]] = {name: [] for name in others}
    begin, done = time.perf_counter(), 0
    while done < rounds[0] or (done < rounds[1] and (time.perf_counter() - begin) * (done + 1) / done < seconds):
        for name, run in others.items():
            own.append(_once(ours, device))
            slow[name].append(_once(run, device))
        done += 1
    return Timing(own), {name: Timing(times) for name, times in slow.items()}


def copy_bandwidth(like: Tensor, *, repeats: int = 15, warmup: int = 10) -> float:
    """Bytes per second, read plus written, of copies of such a tensor on this machine now."""
    moved = 2 * like.numel() * like.element_size()
    pairs = [(like.clone(), torch.empty_like(like)) for _ in range(inputs_beyond_cache(moved, like.device))]
    runs: list[Run] = [lambda a=a, b=b: b.copy_(a) for a, b in pairs]  # type: ignore[misc]
    run, _ = rotated(runs, like.device)
    timing = race({"copy": run}, like.device, repeats=repeats, warmup=warmup, queued=True)["copy"]
    return moved / timing.each(len(runs)).median
