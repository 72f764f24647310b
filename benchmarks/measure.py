"""Timing that holds on a shared machine: the sides take turns, and the ratio is of the medians."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


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


def _once(run: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        _flush(device)
        start.record()
        run()
        end.record()
        torch.cuda.synchronize(device)
        return start.elapsed_time(end) / 1e3
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


_scratch: dict[torch.device, torch.Tensor] = {}


def _flush(device: torch.device) -> None:
    """Push everything out of the L2 cache, so that no repeat finds its input there."""
    if device not in _scratch:
        _scratch[device] = torch.empty(64 << 20, dtype=torch.int32, device=device)  # 256 MiB, more than any L2
    _scratch[device].zero_()


def race(
    sides: dict[str, Callable[[], object]], device: torch.device, *, repeats: int = 15, warmup: int = 10
) -> dict[str, Timing]:
    """Time the sides in turns, A B A B ..., after `warmup` unmeasured rounds.

    A virtual machine can take many rounds to get its memory back from the host.
    """
    for _ in range(warmup):
        for run in sides.values():
            run()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, run in sides.items():
            seconds[name].append(_once(run, device))
    return {name: Timing(times) for name, times in seconds.items()}


def race_against(
    ours: Callable[[], object],
    others: dict[str, Callable[[], object]],
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


def copy_bandwidth(device: torch.device, *, megabytes: int = 256) -> float:
    """Bytes per second, read plus written, of a large copy on this machine now."""
    source = torch.randn(megabytes << 18, device=device)
    target = torch.empty_like(source)
    timing = race({"copy": lambda: target.copy_(source)}, device, repeats=9)["copy"]
    return 2 * source.numel() * source.element_size() / timing.median
