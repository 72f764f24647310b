"""Occlusion maps beside what a user would run instead, the answers verified before anything is timed.

Every logit must equal that of a plain float32 loop; then ours and the others take turns. The others run the network in
torch's own layers, channels_last, in inference mode: Captum at its best perturbations_per_eval, a loop written by hand
at its best batch, and that loop under torch.compile. "mapper" is a zfcuda.OcclusionMapper, made once, as for many
pictures. "batched" is our own brute force; for ZFNet there is also the loop
over zfcuda's fused layers, so that what the operators win is told apart from what the rectangles win.

torch does better on a CPU with huge pages for its own outputs: run the whole of it with THP_MEM_ALLOC_ENABLE=1 for the
harder comparison (the environment in the JSON tells). float32 is float32 here: TF32 is off on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import zfcuda
from benchmarks import opponents, zoo
from benchmarks.bound import Work, work
from benchmarks.failures import Failures
from benchmarks.measure import full_float32, race, race_against, timed
from benchmarks.opponents import Scene
from zfcuda.models.architectures.zfnet import ZFNet
from zfcuda.occlusion.windows import grid


@dataclass(frozen=True)
class Case:
    """A network, and an occluder of `window` x `window` pixels that moves by `stride`."""

    network: str
    window: int
    stride: int


CASES = (
    Case("zfnet", 32, 8),
    Case("zfnet", 16, 8),
    Case("alexnet", 32, 8),
    Case("vgg16", 16, 16),
    Case("resnet18", 16, 16),
)
TITLES = {"zfnet": "ZFNet", "alexnet": "AlexNet", "vgg16": "VGG16", "resnet18": "ResNet-18"}
OURS, REPEATED, BATCHED, CAPTUM, LOOP, FUSED, COMPILED = (
    "zfcuda",
    "zfcuda mapper",
    "zfcuda batched",
    "captum",
    "loop",
    "loop, fused layers",
    "loop, torch.compile",
)
SECONDS, ROUNDS = {"cpu": 240.0, "cuda": 12.0}, (3, 9)  # for the timing of one case


def run(
    device: torch.device, dtype: torch.dtype, quick: bool, networks: list[str] | None = None
) -> Iterator[dict[str, Any]]:
    """One row per case, as soon as it is measured. A dtype other than float32 is measured on the first case alone.

    quick: a few large windows, each network and side once.
    """
    if dtype == torch.float64:
        return  # occlusion_map has no such dtype
    done: set[str] = set()
    failures = Failures()
    for case in CASES if dtype == torch.float32 else CASES[:1]:
        wanted = networks is None or case.network in networks
        if wanted and not (quick and case.network in done):
            done.add(case.network)
            row = None
            with failures.noted(str(case)), torch.inference_mode(), full_float32():
                row = _row(case, device, dtype, quick)
            if row is not None:
                print(describe(row), flush=True)
                yield row
            torch._dynamo.reset()
    failures.end()


def _network(name: str) -> nn.Module:
    if name != "zfnet":
        return zoo.NETWORKS[name]()
    with torch.device("meta"):
        network = zfcuda.models.zfnet()
    zoo.randomise(network)
    return network


def _row(case: Case, device: torch.device, dtype: torch.dtype, quick: bool) -> dict[str, Any]:
    network = _network(case.network).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    image = zoo.picture().to(device, memory_format=torch.channels_last)
    window, stride = (112, 112) if quick else (case.window, case.stride)
    scene = _scene(image, window, stride)
    subject = _Subject(case, network, dtype, scene)
    needed = work(network, image, window, stride)
    method, reason, target, deviation = subject.verified()
    settings: dict[str, int] = {CAPTUM: 4, LOOP: 4}
    sweep: dict[str, Any] = {}
    if not quick:
        settings, sweep = subject.swept(target)
    sides, left_out = subject.sides(target, settings, with_compile=not (quick and case != CASES[0]))
    seconds, rounds = (0.0, (1, 1)) if quick else (SECONDS.get(device.type, 60.0), ROUNDS)
    ours, others = race_against(subject.ours, sides, device, seconds=seconds, rounds=rounds)
    if CAPTUM in sides:
        subject.check_captum()
    ratio = {name: timing.median / ours.median for name, timing in others.items()}
    return {
        "network": case.network,
        "title": TITLES[case.network],
        "window": window,
        "stride": stride,
        "dtype": str(dtype).removeprefix("torch."),
        "method": method,
        "reason": reason,
        "deviation_over_tolerance": deviation,
        **_counted(needed),
        **timed({OURS: ours, **others}),
        "ratio": {name: round(value, 3) for name, value in ratio.items()},
        "of_bound": {name: round(ratio[name] / needed.ratio, 3) for name in (LOOP, FUSED) if name in ratio},
        "settings": settings,
        "sweep": sweep,
        "left_out": left_out,
    }


def _counted(needed: Work) -> dict[str, Any]:
    return {
        "windows": needed.windows,
        "multiply_adds": {"naive": needed.naive, "exact": needed.exact},
        "bound": round(needed.ratio, 3),
    }


def _scene(image: Tensor, window: int, stride: int) -> Scene:
    height, width = image.shape[2:]
    origins = grid((height, width), (window, window), (stride, stride)).to(image.device)
    return Scene(image, window, stride, origins.flatten(0, 1))


class _Subject:
    """One case: what is run on it, and the checks."""

    def __init__(self, case: Case, network: nn.Module, dtype: torch.dtype, scene: Scene) -> None:
        self.case, self.network, self.dtype, self.scene = case, network, dtype, scene
        self.device = scene.image.device
        self.plain = opponents.torch_form(network, dtype)
        # In another dtype the others get picture and weights in it, which is cheaper than autocast.
        self.theirs = Scene(scene.image.to(dtype), scene.window, scene.stride, scene.origins)
        self.map: Tensor | None = None  # Captum's last
        self.mapper = zfcuda.OcclusionMapper(
            network, scene.image, window=scene.window, stride=scene.stride, dtype=self.narrow
        )

    def ours(self, method: str = "auto") -> zfcuda.OcclusionMap:
        image, window, stride = self.scene.image, self.scene.window, self.scene.stride
        return zfcuda.occlusion_map(self.network, image, window=window, stride=stride, method=method, dtype=self.narrow)

    def repeated(self) -> zfcuda.OcclusionMap:
        return self.mapper(self.scene.image)

    @property
    def narrow(self) -> torch.dtype | None:
        return None if self.dtype == torch.float32 else self.dtype

    def verified(self) -> tuple[str, str, int, float]:
        """Method, reason, target, and the worst deviation of a logit as a fraction of the tolerance.

        In a dtype other than float32 the tolerance is twice the deviation of torch's own loop in that dtype.
        """
        result = self.ours()
        expected = opponents.loop(opponents.torch_form(self.network, torch.float32), self.scene, 16)
        tolerance = 1e-4 * expected.std() + 1e-5 * expected.abs().max()
        if self.dtype != torch.float32:
            tolerance = 2 * (opponents.loop(self.plain, self.theirs, 16) - expected).abs().max()
        worst = 0.0
        for name, answer in ((OURS, result), (REPEATED, self.repeated())):
            deviation = float((answer.logits.flatten(0, 1) - expected).abs().max() / tolerance)
            if not deviation <= 1:  # NaN too
                raise RuntimeError(
                    f"{self.case}: a logit of {name!r} is {deviation:.3g} times the tolerance "
                    f"{float(tolerance):.3g} off"
                )
            worst = max(worst, deviation)
        assert isinstance(result.target, int)
        return result.method, result.reason, result.target, worst

    def swept(self, target: int) -> tuple[dict[str, int], dict[str, Any]]:
        """The best setting of each opponent on fewer windows, and the seconds of all settings there."""
        stride = self.scene.stride * 3 // 2
        scene = _scene(self.theirs.image, max(self.scene.window, stride), stride)  # Captum wants no gaps
        runs: dict[str, dict[int, Callable[[], object]]] = {
            LOOP: {
                batch: lambda batch=batch: opponents.loop(self.plain, scene, batch)  # type: ignore[misc]
                for batch in opponents.BATCHES.get(self.device.type, (16, 64))
            }
        }
        if opponents.captum_missing() is None:
            runs[CAPTUM] = {
                count: lambda count=count: opponents.captum(self.plain, scene, target, count)  # type: ignore[misc]
                for count in opponents.PER_EVALUATION.get(self.device.type, (1, 4, 16, 64))
            }
        on_gpu = self.device.type == "cuda"
        settings: dict[str, int] = {}
        seconds: dict[str, dict[str, float]] = {}
        for name, tried in runs.items():
            sides = {str(setting): run for setting, run in tried.items()}
            times = race(sides, self.device, repeats=3 if on_gpu else 1, warmup=1 if on_gpu else 0)
            seconds[name] = {setting: round(timing.median, 4) for setting, timing in times.items()}
            settings[name] = int(min(times, key=lambda setting: times[setting].median))
        return settings, {"stride": scene.stride, "windows": len(scene.origins), "seconds": seconds}

    def sides(
        self, target: int, settings: dict[str, int], with_compile: bool
    ) -> tuple[dict[str, Callable[[], object]], dict[str, str]]:
        """The opponents by name, and those that cannot take part with the reason."""
        batch, left_out = settings[LOOP], {}
        sides: dict[str, Callable[[], object]] = {
            REPEATED: self.repeated,
            BATCHED: lambda: self.ours("batched"),
            LOOP: lambda: opponents.loop(self.plain, self.theirs, batch),
        }
        if isinstance(self.network, ZFNet):
            sides[FUSED] = lambda: self.fused(batch)
        missing = opponents.captum_missing()
        if missing is None:

            def captum() -> None:
                self.map = opponents.captum(self.plain, self.theirs, target, settings[CAPTUM])

            sides[CAPTUM] = captum
        else:
            left_out[CAPTUM] = missing
        forward, why = None, "not in --quick"
        if with_compile:
            settings[COMPILED] = opponents.even_batch(len(self.theirs.origins), batch)
            forward, why = opponents.compiled(self.plain, self.theirs, settings[COMPILED])
        if forward is not None:
            compiled = forward
            sides[COMPILED] = lambda: opponents.loop(compiled, self.theirs, settings[COMPILED], filled=True)
        else:
            left_out[COMPILED] = why
        return sides, left_out

    def fused(self, batch: int) -> Tensor:
        """The loop over zfcuda's own network; another dtype by autocast, as occlusion_map does it."""
        with ExitStack() as stack:
            if self.dtype != torch.float32:
                stack.enter_context(torch.autocast(self.device.type, self.dtype))
            return opponents.loop(self.network, self.scene, batch)

    def check_captum(self) -> None:
        """Captum has computed the same map, or the comparison means nothing."""
        assert self.map is not None
        ours = self.ours().heatmap()
        off = float((self.map.float() - ours).abs().max() / ours.abs().max())
        if not off < (1e-2 if self.dtype == torch.float32 else 0.5):
            raise RuntimeError(f"{self.case}: Captum's map differs from ours by {off:.3g} of the largest value")


def describe(row: dict[str, Any]) -> str:
    """A few lines for people."""
    naive, exact = (row["multiply_adds"][key] / 1e9 for key in ("naive", "exact"))
    lines = [
        f"{row['title']}, window {row['window']}, stride {row['stride']}, {row['dtype']}: "
        f"{row['windows']} windows, {naive:,.0f} G multiply-adds, {exact:,.0f} G in the changed rectangles: "
        f"at most {row['bound']:.2f}x",
        f"  verified: the worst logit is off by {row['deviation_over_tolerance']:.2g} of the tolerance; "
        f"{row['method']}: {row['reason']}",
    ]
    for name, seconds in row["seconds"].items():
        low, high = row["quartiles"][name]
        setting = f", {row['settings'][name]} at a time" if name in row["settings"] else ""
        ratio = f"{row['ratio'][name]:6.2f}x" if name in row["ratio"] else " " * 7
        bound = f"  {row['of_bound'][name]:.0%} of the bound" if name in row["of_bound"] else ""
        lines.append(f"  {name + setting:34} {seconds:8.3f} s ({low:.3f} to {high:.3f}) {ratio}{bound}")
    lines += [f"  {name}: {why}" for name, why in row["left_out"].items()]
    return "\n".join(lines)
