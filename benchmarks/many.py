"""The maps of many pictures: one OcclusionMapper for all of them beside a call of occlusion_map for each.

Both map the same drawn pictures, all different, with a window of 32 x 32 that moves by 32; making the mapper counts
against it. Every map is verified before anything is timed: the mapper's numbers are the call's, on a CPU to the last
digit. The sides take turns. Then a new mapper maps many more pictures, each of which is forgotten, and the peak of
the memory is read on the way: of the process on a CPU (Linux alone), of torch's allocator on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import count, islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import zfcuda
from benchmarks import by_network, zoo
from benchmarks.measure import race, timed
from zfcuda.data import HELD_OUT_SEED, Parts
from zfcuda.data.preprocessing import assumed, preprocess_of

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "demo": zfcuda.models.load_demo,
    **{name: zoo.NETWORKS[name] for name in ("resnet18", "mobilenet_v2", "vgg16")},
}
TITLES = {
    "demo": "the network in the package",
    "resnet18": "ResNet-18",
    "mobilenet_v2": "MobileNetV2",
    "vgg16": "VGG16",
}
OURS, EACH = "zfcuda", "one call each"
PICTURES = 16
MEMORY = (100, 500)  # pictures after which the peak of the memory is read
_WINDOWS: dict[str, Any] = {"window": 32, "stride": 32}
_REPEATS = 7
_TOLERANCE = 1e-4  # of the largest number
_PROCESS = Path("/proc/self")


def run(
    device: torch.device, dtype: torch.dtype, quick: bool, networks: Sequence[str] | None = None
) -> Iterator[dict[str, Any]]:
    """One row per network, as soon as it is measured; in float32 alone. quick: few pictures, once."""
    if dtype != torch.float32:
        return
    yield from by_network.rows(TITLES, networks, lambda name: _row(name, device, quick), describe)


def _row(name: str, device: torch.device, quick: bool) -> dict[str, Any]:
    network = NETWORKS[name]().eval().to(device)
    images = list(islice(_images(network, device), 3 if quick else PICTURES))

    def by_mapper() -> list[zfcuda.OcclusionMap]:
        mapper = zfcuda.OcclusionMapper(network, images[0], **_WINDOWS)
        return [mapper.first, *(mapper(image) for image in images[1:])]

    def one_by_one() -> list[zfcuda.OcclusionMap]:
        return [zfcuda.occlusion_map(network, image, **_WINDOWS) for image in images]

    ours, expected = by_mapper(), one_by_one()
    deviation = max(map(_deviation, ours, expected))
    allowed = 0.0 if device.type == "cpu" else _TOLERANCE
    if not deviation <= allowed:  # NaN too
        raise RuntimeError(f"{TITLES[name]}: a map of the mapper is off by {deviation:.3g} of the largest number")
    method, reason = ours[-1].method, ours[-1].reason
    del ours, expected
    timings = race({OURS: by_mapper, EACH: one_by_one}, device, repeats=1 if quick else _REPEATS, warmup=0)
    return {
        "network": name,
        "title": TITLES[name],
        "dtype": "float32",
        **_WINDOWS,
        "pictures": len(images),
        "threads": torch.get_num_threads(),
        "method": method,
        "reason": reason,
        "deviation": deviation,
        **timed(timings),
        "maps_per_minute": {side: round(60 * len(images) / timing.median, 1) for side, timing in timings.items()},
        "left_out": {},
        "ratio": {EACH: round(timings[EACH].median / timings[OURS].median, 3)},
        "peak_bytes": _peaks(network, device, (2, 4) if quick else MEMORY),
    }


def _images(network: nn.Module, device: torch.device) -> Iterator[Tensor]:
    """Drawn pictures as the network takes them, [C,H,W], without end."""
    preprocess, parts = preprocess_of(network) or assumed(network), Parts(seed=HELD_OUT_SEED)
    for index in count():
        yield preprocess(parts[index].image)[0].to(device)


def _deviation(ours: zfcuda.OcclusionMap, expected: zfcuda.OcclusionMap) -> float:
    return float((ours.logits - expected.logits).abs().max() / expected.logits.abs().max())


def _peaks(network: nn.Module, device: torch.device, after: Sequence[int]) -> dict[str, int]:
    """How many pictures were mapped -> the most bytes that were held until then; none where that is not known."""
    images = _images(network, device)
    _forget_peak(device)
    mapper = zfcuda.OcclusionMapper(network, next(images), **_WINDOWS)
    found: dict[str, int] = {}
    for number, image in enumerate(islice(images, after[-1] - 1), 2):
        mapper(image)
        if number in after and (peak := _peak(device)) is not None:
            # The kernel counts pages in lots, so that a later reading may be a little smaller.
            found[str(number)] = max(peak, *found.values(), 0)
    return found


def _forget_peak(device: torch.device) -> None:
    """Begins anew to look for the peak."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):  # elsewhere than on Linux, or not allowed: then it is that of the whole process
        (_PROCESS / "clear_refs").write_text("5")


def _peak(device: torch.device) -> int | None:
    """The most bytes that were held since then."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        lines = (_PROCESS / "status").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)


def describe(row: dict[str, Any]) -> str:
    """A few lines for people."""
    peaks = ", ".join(f"{size / 2**20:.0f} MiB after {number}" for number, size in row["peak_bytes"].items())
    lines = [
        f"{row['title']}, {row['pictures']} pictures: {row['ratio'][EACH]:.2f}x as fast as one call each, "
        f"{row['threads']} threads",
        f"  verified: off by {row['deviation']:.2g} of the largest number; {row['method']}: {row['reason']}",
        *(
            f"  {side:16} {row['maps_per_minute'][side]:9.1f} maps a minute, {seconds:.3f} s for all "
            f"({row['quartiles'][side][0]:.3f} to {row['quartiles'][side][1]:.3f})"
            for side, seconds in row["seconds"].items()
        ),
        f"  peak of the memory: {peaks or 'not known'}",
    ]
    return "\n".join(lines)
