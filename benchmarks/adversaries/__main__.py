"""`python -m benchmarks.adversaries --pictures FOLDER [--beside N] [--only PART] [--json FILE]`.

Adversaries of EfficientNet-Lite0.

Ours at 4 of 255 pixel values on all pictures of a folder, as PNGs of 8 bits that are read again; and on some of them
ours beside what foolbox and torchattacks make of the same network, in turns, where they are installed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

import zfcuda
from benchmarks.adversaries.opponents import installed, seeded
from benchmarks.environment import environment
from zfcuda.synthesis import Adversarial, adversaries, pixel_values
from zfcuda.synthesis.adversarial.epsilon import root_of
from zfcuda.synthesis.pixel_range import PixelRange

_STEPS = 10
_TOGETHER = 32
_SETTINGS = {"pgd inf": ("pgd", "inf", 4.0), "fgsm inf": ("fgsm", "inf", 4.0), "pgd 2": ("pgd", "2", 1.0)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adversaries", description=__doc__)
    parser.add_argument("--pictures", required=True, type=Path, help="a folder, searched for JPEG and PNG files")
    parser.add_argument("--beside", type=int, default=64, help="so many of them are given to the others, too")
    parser.add_argument("--only", choices=("all", "beside"), help="measure this, and leave the other in the file")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    chosen = parser.parse_args()
    model = zfcuda.models.load("efficientnet_lite0").eval()
    files = sorted(file for file in chosen.pictures.rglob("*") if file.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not files:
        parser.error(f"--pictures: no JPEG or PNG file in {chosen.pictures}")
    images = torch.cat([model.preprocess(file) for file in files])  # type: ignore[operator]
    results: dict[str, Any] = {"network": "efficientnet_lite0", "steps": _STEPS}
    if chosen.json is not None and chosen.json.exists():
        results |= json.loads(chosen.json.read_text())
    few = images[:: max(1, len(images) // max(1, chosen.beside))][: chosen.beside]
    for part, measured in (("beside", lambda: _beside(model, few)), ("all", lambda: _all(model, images))):
        if chosen.only in (None, part):
            results[part] = {"environment": _environment(chosen), "rows": measured()}
            print(json.dumps(results[part]["rows"], indent=1), flush=True)
            if chosen.json is not None:
                chosen.json.write_text(json.dumps(results, indent=1) + "\n")
                print(f"written: {chosen.json}")


def _environment(chosen: argparse.Namespace) -> dict[str, Any]:
    """Where it was measured; the folder by its last two names alone."""
    said = environment(torch.device("cpu"))
    folder = "/".join(chosen.pictures.absolute().parts[-2:])
    words = [f"--pictures {folder}", f"--beside {chosen.beside}", *([f"--only {chosen.only}"] if chosen.only else [])]
    said["command"] = " ".join(
        ["python -m benchmarks.adversaries", *words, "--json benchmarks/results/adversaries.json"]
    )
    return said


def _all(model: nn.Module, images: Tensor) -> list[dict[str, Any]]:
    """Ours on all, rounded to 8 bits, saved as PNG and read again."""
    pixel_range = PixelRange.of(model)
    unit = pixel_values(model).view(-1, 1, 1)
    made = adversaries(model, images, steps=_STEPS, rounded=True, progress=True)
    succeeded, inside, farthest = 0, 0, 0
    for image, one in zip(images, made, strict=True):
        before, after = (_pixels(_read_again(pixel_range.picture(each))) for each in (image, one.image[0]))
        change = int((before - after).abs().max())
        again = model.preprocess.normalized(after[None].byte())  # type: ignore[union-attr, operator]
        with torch.no_grad():
            succeeded += int(model(again).argmax()) != one.original_label
        inside += bool(((again - image).abs() <= 4 * unit).all())
        farthest = max(farthest, change)
    row = {
        "setting": "pgd, norm inf, 4 of 255, rounded, saved as PNG and read again",
        "pictures": len(images),
        "succeeded": succeeded,
        "in the ball": inside,
        "largest change of 255": farthest,
        "mean change of 255": _mean([one.change for one in made], unit),
    }
    return [row]


def _read_again(picture: Image.Image) -> Image.Image:
    file = BytesIO()
    picture.save(file, "PNG")
    return Image.open(file).convert("RGB")


def _pixels(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).int()


def _mean(changes: list[Tensor], unit: Tensor) -> float:
    return float(torch.stack([(change / unit).abs().mean() for change in changes]).mean())


def _beside(model: nn.Module, images: Tensor) -> list[dict[str, Any]]:
    """Ours and theirs on the same images, in turns."""
    pixel_range = PixelRange.of(model)
    assert pixel_range.low is not None and pixel_range.high is not None
    limits = float(pixel_range.low.min()), float(pixel_range.high.max())
    unit = pixel_values(model).view(-1, 1, 1)
    with torch.no_grad():
        labels = model(images).argmax(1)
    rows = []
    for kind, (method, norm, count) in _SETTINGS.items():
        epsilon = float(unit[0]) * count * (1 if norm == "inf" else root_of(images))

        def ours(part: Tensor, _: Tensor, method: str = method, norm: str = norm, epsilon: float = epsilon) -> Tensor:
            made: list[Adversarial] = adversaries(
                model, part, method=method, norm=norm, epsilon=epsilon, steps=_STEPS, seed=0
            )
            return torch.cat([one.image for one in made])

        sides: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"zfcuda": ours}
        for name, maker in installed().items():
            attack = maker(kind)
            sides[name] = lambda part, said, attack=attack, epsilon=epsilon: attack(  # type: ignore[misc]
                model, part, said, epsilon, limits, _STEPS
            )
        made: dict[str, list[Tensor]] = {name: [] for name in sides}
        seconds, busy = dict.fromkeys(sides, 0.0), dict.fromkeys(sides, 0.0)
        for first in range(0, len(images), _TOGETHER):
            part = slice(first, first + _TOGETHER)
            for name, side in sides.items():
                seeded(first)
                began, busy_before = time.perf_counter(), time.process_time()
                made[name].append(side(images[part], labels[part]).detach())
                seconds[name] += time.perf_counter() - began
                busy[name] += time.process_time() - busy_before
        for name, parts in made.items():
            found = torch.cat(parts)
            with torch.no_grad():
                changed = int((torch.cat([model(x) for x in found.split(_TOGETHER)]).argmax(1) != labels).sum())
            change = (found - images) / unit
            rows.append(
                {
                    "by": name,
                    "setting": f"{kind}, {count:g} of 255{'' if norm == 'inf' else ' in the root mean square'}",
                    "pictures": len(images),
                    "succeeded": changed,
                    "mean change of 255": float(change.abs().mean()),
                    "root mean square of 255": float(change.square().mean().sqrt()),
                    "largest change of 255": float(change.abs().max()),
                    "seconds per picture": seconds[name] / len(images),
                    "processor seconds per picture": busy[name] / len(images),
                }
            )
            print(rows[-1], flush=True)
    return rows


if __name__ == "__main__":
    main()
