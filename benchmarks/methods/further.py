"""What else there is to see: answers under an occluder, a map of scores, projections, what layers know elsewhere."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from PIL import Image

import zfcuda
from benchmarks.methods.scene import Scene, Shown, Trial, timed
from zfcuda import render
from zfcuda.data import Parts
from zfcuda.report.patches.drawing import cut_out, shown_box, tile
from zfcuda.shown.pixels import pixels_of, way_back

WATCHED = "_conv_head"  # whose strongest map is watched under the occluder
# (top, left, height, width) on the photograph: one eye, the nose, both eyes and what lies between them
HELD = ((48, 32, 64, 64), (158, 98, 62, 72), (48, 24, 88, 200))
PROJECTED = "conv4"  # of the network in the package, whose max pooling has switches
_UNITS, _TOP = 6, 3
_LOOKED_AT = 240  # drawn pictures, among which the strongest patches are looked for
_DRAWN = 300  # pictures to learn from; as many others to test on
_TRIED = ("_blocks.2", "_blocks.4", "_blocks.8", "_blocks.14", "_flatten")


def trials() -> dict[str, Trial]:
    """A trial for each of them."""
    return {
        "occlusion_answers": _occlusion_answers,
        "occluder": _occluder,
        "score_map": _score_map,
        "projections": _projections,
        "transfer": _transfer,
    }


def _occlusion_answers(scene: Scene) -> Shown:
    """Figure 7: the picture; the activity of a map, the class's probability and the answer with the occluder there."""
    found, seconds = timed(lambda: zfcuda.occlusion_map(scene.model, scene.image, target=scene.target, layer=WATCHED))
    names, labels = scene.model.classes, found.label.flatten()
    others = labels[labels != scene.target]  # the places where the network changes its mind
    said = f"probability {found.probability.min():.2f} to {found.probability.max():.2f}"
    if len(others):
        other = int(others.mode().values)
        said += f"; '{names[other]}' instead at {int((labels == other).sum())} of {len(labels)} places"
    panels = [found.image(kind) for kind in ("picture", "activity", "probability", "label")]
    return Shown("occlusion_answers", render.grid(panels, 4, gap=4), seconds, said)


def _occluder(scene: Scene) -> Shown:
    """The picture, and the same under rectangles of several sizes, with the probability of the class for each."""
    occluder = zfcuda.Occluder(scene.model, scene.image)
    logits, seconds = timed(lambda: occluder(*HELD[0]))
    answers = [occluder.base_logits, logits, *(occluder(*place) for place in HELD[1:])]
    panels = []
    for top, left, height, width in [(0, 0, 0, 0), *HELD]:
        covered = scene.image[0].clone()
        covered[:, top : top + height, left : left + width] = 0
        panels.append(render.picture(pixels_of(covered[None], way_back(scene.model))[0] / 255))
    shares = [float(answer.softmax(0)[scene.target]) for answer in answers]
    said = f"probability {shares[0]:.2f} of the whole picture, then {', '.join(f'{share:.2f}' for share in shares[1:])}"
    return Shown("occluder", render.grid(panels, 4, gap=4), seconds, said)


def _score_map(scene: Scene) -> Shown:
    """Four drawn pictures as one, what the network of the package says at each place, and where it says the first."""
    first = (scene.parts[number] for number in range(12))
    chosen = list({one.label: one for one in first}.values())[:4]
    large = render.grid([one.image for one in chosen], 2, gap=0)
    demo: Any = scene.demo
    preprocess = zfcuda.Preprocess(448, 448, demo.preprocess.mean, demo.preprocess.std)
    sliding = zfcuda.models.convolutionize(demo, (3, 224, 224))
    image = preprocess(large)
    with torch.inference_mode():
        scores, seconds = timed(lambda: sliding(image)[0])
    wanted = chosen[0].label
    probability = scores.softmax(0)[wanted]
    side = large.size
    maps = [
        render.label_map(scores.argmax(0), first=wanted)[0].resize(side, Image.Resampling.NEAREST),
        render.heatmap(probability, 0.0, 1.0).resize(side, Image.Resampling.NEAREST),
    ]
    rows, columns = probability.shape
    said = f"{rows} x {columns} scores of 224 x 224 pixels each, asked for '{demo.classes[wanted]}'"
    return Shown("score_map", render.grid([large, *maps], 3, gap=6), seconds, said)


def _projections(scene: Scene) -> Shown:
    """Figure 2: of some units, in two columns, projections of what excites them most, and the patches themselves."""
    pictures = [scene.parts[number].image for number in range(_LOOKED_AT)]
    top = zfcuda.strongest_patches(scene.demo, pictures, [PROJECTED], top=_TOP)[PROJECTED]
    assert top.positions is not None
    by_class: dict[int, int] = {}  # the strongest unit whose first picture is of this class
    for unit in top.values[:, 0].argsort(descending=True).tolist():
        by_class.setdefault(scene.parts[int(top.indices[unit, 0])].label, unit)
    chosen = list(by_class.values())[:_UNITS]
    demo: Any = scene.demo
    tiles, seconds = [], float("inf")
    for unit in chosen:
        projected, patches = [], []
        for index, position, box in zip(
            top.indices[unit].tolist(), top.positions[unit].tolist(), top.boxes[unit].tolist(), strict=True
        ):
            signal, took = timed(
                lambda index=index, unit=unit, at=tuple(position): zfcuda.project(  # type: ignore[misc]
                    demo, demo.preprocess(pictures[index]), PROJECTED, unit=unit, position=at
                )
            )
            seconds = min(seconds, took)
            shown = shown_box(box, pictures[index].size)
            projected.append(tile(cut_out(render.projection(signal[0]), shown)))
            patches.append(tile(cut_out(pictures[index], shown)))
        tiles += [*projected, *patches]
    return Shown("projections", render.grid(tiles, 4 * _TOP, gap=3), seconds, f"from {PROJECTED} down")


def _transfer(scene: Scene) -> Shown:
    """How well a linear classifier of each layer's codes tells drawn pictures apart; the network knows none of them."""
    from zfcuda.train.sets import read_sets
    from zfcuda.train.transfer import measure, prepare
    from zfcuda.train.transfer.plot import draw_layers
    from zfcuda.train.transfer.settings import Settings

    settings = Settings(layers=_TRIED, classifiers=("softmax",), per_class=(), most=_DRAWN // len(Parts.classes))
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare(scene.model, read_sets((Parts(seed=1), 3 * _DRAWN)), settings)
        found, seconds = timed(lambda: measure(prepared, Path(folder)))
        assert found is not None
        draft = Path(folder) / "by-layer.png"
        draw_layers(found.rows, found.chance, "EfficientNet-Lite0's codes of drawn pictures", draft)
        picture = Image.open(draft).convert("RGB")
    best = max(found.rows, key=lambda row: row.fitted.test.accuracy)
    said = f"best {best.layer.name}: {100 * best.fitted.test.accuracy:.0f} %, by chance {100 * found.chance:.0f} %"
    return Shown("transfer", picture, seconds, said)
