"""One network of the zoo: the answers verified, then all sides in turns.

"zfcuda" chooses its way by itself; "engine" and "zfcuda batched" are the two that it chooses from. Captum and the
loop take the batch at which the forward alone is the fastest per image.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import zfcuda
from benchmarks import opponents
from benchmarks.bound import work
from benchmarks.measure import Timing, timed
from benchmarks.opponents import Scene
from benchmarks.zoo_maps import verify
from zfcuda.network.graph import first_line

OURS, ENGINE, BATCHED, SINGLE = "zfcuda", "engine", "zfcuda batched", "zfcuda, float32"
CAPTUM, LOOP, COMPILED = "captum", "loop", "loop, torch.compile"
WINDOW, STRIDE = 32, 32
SECONDS, MOST_ROUNDS = 20.0, 7  # for the rounds of one network
BATCHES = (1, 4, 16)
LONGEST = 1.5  # times the budget: what one run of the loop may take


class LeftOutError(Exception):
    """Why a network is not measured."""


@dataclass(frozen=True)
class Settings:
    """How a network is measured. seconds: for its rounds, of which there is one at least."""

    dtype: torch.dtype = torch.float32
    seconds: float = SECONDS
    with_compile: bool = True
    quick: bool = False


class Trial:
    """One network and image [1,3,H,W] on their way to a row."""

    def __init__(self, name: str, network: nn.Module, image: Tensor, settings: Settings) -> None:
        self.name, self.network, self.image, self.settings = name, network, image, settings
        half = image.shape[-1] // 2
        self.window, self.stride = (half, half) if settings.quick else (WINDOW, STRIDE)
        self.narrow = None if settings.dtype == torch.float32 else settings.dtype
        self.plain = opponents.torch_form(network, settings.dtype)
        scene = verify.scene(image, self.window, self.stride)
        self.scene = scene
        self.theirs = Scene(image.to(settings.dtype), scene.window, scene.stride, scene.origins)
        self.map: Tensor | None = None  # Captum's last

    def ours(self, method: str = "auto", dtype: torch.dtype | None = None) -> zfcuda.OcclusionMap:
        return zfcuda.occlusion_map(
            self.network, self.image, window=self.window, stride=self.stride, method=method, dtype=dtype or self.narrow
        )

    def row(self) -> dict[str, Any]:
        """Measures.

        Raises:
            LeftOutError: one run of the loop would take too long.
            RuntimeError: an answer is wrong.
        """
        batch, expected_seconds = self._best_batch()
        longest = LONGEST * self.settings.seconds
        if expected_seconds > longest and not self.settings.quick:
            raise LeftOutError(f"the loop alone would take {expected_seconds:.0f} s, more than {longest:.0f} s")
        needed = work(self.network, self.image, self.window, self.stride)
        begin = time.perf_counter()
        result = self.ours()
        first = time.perf_counter() - begin
        assert isinstance(result.target, int)
        sides, left_out = self._sides(result.target, batch)
        verified = self._verified(result, batch, sides, left_out)
        settings = {LOOP: batch} | ({CAPTUM: batch} if CAPTUM in sides else {})
        self._add_compiled(sides, left_out, settings)
        times = self._rounds(sides)
        self._check_captum(result)
        ours = times[OURS].median
        ratio = {side: timing.median / ours for side, timing in times.items() if side != OURS}
        best = min(ratio[side] for side in (BATCHED, LOOP))
        ways = [ratio[side] for side in (ENGINE, BATCHED) if side in ratio]
        return {
            "network": self.name,
            "dtype": str(self.settings.dtype).removeprefix("torch."),
            "side": self.image.shape[-1],
            "window": self.window,
            "stride": self.stride,
            "windows": needed.windows,
            "multiply_adds": {"naive": needed.naive, "exact": needed.exact},
            "bound": round(needed.ratio, 3),
            "method": result.method,
            "reason": result.reason,
            **verified,
            **timed(times, 4),
            "first": round(first, 4),
            "ratio": {side: round(value, 3) for side, value in ratio.items()},
            "won": round(best, 3),
            "reached": round(best / needed.ratio, 3),
            "of_better_way": round(min(ways), 3),
            "settings": settings,
            "left_out": left_out,
        }

    def _best_batch(self) -> tuple[int, float]:
        """The batch at which the forward is fastest per image, and how long the loop takes with it."""
        per_image: dict[int, float] = {}
        opponents.loop(self.plain, self._windows(1), 1)
        for batch in (4,) if self.settings.quick else BATCHES:
            some = self._windows(batch)
            begin = time.perf_counter()
            opponents.loop(self.plain, some, batch)
            per_image[batch] = (time.perf_counter() - begin) / len(some.origins)
        best = min(per_image, key=per_image.__getitem__)
        return best, per_image[best] * len(self.scene.origins)

    def _windows(self, count: int) -> Scene:
        return Scene(self.theirs.image, self.window, self.stride, self.theirs.origins[:count])

    def _sides(self, target: int, batch: int) -> tuple[dict[str, Callable[[], Any]], dict[str, str]]:
        """What is timed but for torch.compile, by name, and what cannot take part with the reason."""
        sides: dict[str, Callable[[], Any]] = {
            OURS: self.ours,
            ENGINE: lambda: self.ours("incremental"),
            BATCHED: lambda: self.ours("batched"),
            LOOP: lambda: opponents.loop(self.plain, self.theirs, batch),
        }
        left_out: dict[str, str] = {}
        missing = opponents.captum_missing()
        if self.narrow is not None:
            left_out[CAPTUM] = "in float32 alone"
            sides[SINGLE] = lambda: self.ours(dtype=torch.float32)
        elif missing is not None:
            left_out[CAPTUM] = missing
        else:

            def captum() -> None:
                self.map = opponents.captum(self.plain, self.theirs, target, batch)

            sides[CAPTUM] = captum
        return sides, left_out

    def _verified(
        self, result: zfcuda.OcclusionMap, batch: int, sides: dict[str, Callable[[], Any]], left_out: dict[str, str]
    ) -> dict[str, Any]:
        """Holds our answers against the loop's; takes the engine out of the sides where it refuses.

        In a dtype other than float32 the tolerance is twice the deviation of torch's own loop in that dtype.
        """
        expected = opponents.loop(opponents.torch_form(self.network, torch.float32), self.scene, batch)
        allowed = verify.tolerance(expected)
        if self.narrow is not None:
            allowed = max(allowed, 2 * float((sides[LOOP]() - expected).abs().max()))
        answers = [result]
        try:
            answers.append(sides[ENGINE]())
        except RuntimeError as error:
            left_out[ENGINE] = first_line(error).removeprefix("method: 'incremental' cannot be done: ")
            del sides[ENGINE]
        distances = [verify.off(answer.logits, expected, allowed) for answer in answers]
        worst = next((d for d in distances if d != d), max(distances))  # NaN above all
        if self.narrow is None:
            return verify.check(self.name, worst, self.network, self.image, self.window)
        if not worst <= 1:
            raise RuntimeError(f"{self.name}: a logit is {worst:.3g} times what torch's own {self.narrow} loop allows")
        return {"deviation_over_tolerance": worst}

    def _add_compiled(
        self, sides: dict[str, Callable[[], Any]], left_out: dict[str, str], settings: dict[str, int]
    ) -> None:
        if not self.settings.with_compile or self.narrow is not None:
            left_out[COMPILED] = "not asked for" if self.narrow is None else "in float32 alone"
            return
        size = opponents.even_batch(len(self.theirs.origins), max(settings[LOOP], 4))
        forward, why = opponents.compiled(self.plain, self.theirs, size)
        if forward is None:
            left_out[COMPILED] = why
            return
        settings[COMPILED] = size
        sides[COMPILED] = lambda: opponents.loop(forward, self.theirs, size, filled=True)

    def _rounds(self, sides: dict[str, Callable[[], Any]]) -> dict[str, Timing]:
        """All sides in turns, as many rounds as fit."""
        seconds: dict[str, list[float]] = {side: [] for side in sides}
        most, done = 1 if self.settings.quick else MOST_ROUNDS, 0
        begin = time.perf_counter()
        while done == 0 or (done < most and (time.perf_counter() - begin) * (done + 1) / done < self.settings.seconds):
            for side, run in sides.items():
                start = time.perf_counter()
                run()
                seconds[side].append(time.perf_counter() - start)
            done += 1
        return {side: Timing(times) for side, times in seconds.items()}

    def _check_captum(self, result: zfcuda.OcclusionMap) -> None:
        """Captum has computed the same map, or the comparison means nothing."""
        if self.map is None:
            return
        ours = result.heatmap()
        apart = float((self.map.float() - ours).abs().max() / ours.abs().max())
        if not apart < 1e-2:
            raise RuntimeError(f"{self.name}: Captum's map differs from ours by {apart:.3g} of the largest value")


def describe(row: dict[str, Any]) -> str:
    """A line or two for people."""
    if "skipped" in row:
        return f"{row['network']}: left out, {row['skipped']}"
    times = ", ".join(f"{side} {seconds:.3g} s" for side, seconds in row["seconds"].items())
    return (
        f"{row['network']}, {row['dtype']}: {row['won']:.2f}x of {row['bound']:.2f}x, {row['reached']:.0%}, "
        f"{row['method']} ({row['of_better_way']:.0%} of the better way), {row['deviation_over_tolerance']:.2g} of the "
        f"tolerance\n  {times}, first {row['first']:.3g} s"
    )
