"""Is it true: the measures of zfcuda.faithfulness, on the photograph and on a drawn picture whose truth is known."""

from __future__ import annotations

import io
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from benchmarks.methods.scene import Scene, Shown, Trial, timed
from zfcuda.methods import METHODS

_DRAWN = 3  # which picture of Parts
_SHUFFLED = ("gradcam", "gradient", "guided", "deconvnet")  # whose maps are held against shuffled weights
_RED, _BLUE, _YELLOW = "#b2182b", "#2166ac", "#ffd60a"


def trials() -> dict[str, Trial]:
    """A trial for each measure."""
    return {
        "pointing_game": _pointing_game,
        "energy_inside": _energy_inside,
        "deletion": _deletion,
        "insertion": _insertion,
        "part_importance": _part_importance,
        "randomization": _randomization,
    }


def _drawn(scene: Scene) -> tuple[Tensor, Tensor, int, Image.Image]:
    """A drawn picture: its image, the mask of its defining part, its class, itself."""
    one = scene.parts[_DRAWN]
    preprocess: Any = scene.demo.preprocess
    return preprocess(one.image), torch.as_tensor(one.part_mask), one.label, one.image


def _drawn_map(scene: Scene, method: str = "gradcam") -> tuple[Tensor, Tensor, Image.Image]:
    image, mask, label, picture = _drawn(scene)
    return METHODS[method].compute(scene.demo, image, [label])[0], mask, picture


def _pointing_game(scene: Scene) -> Shown:
    from zfcuda.faithfulness import pointing_game

    map, mask, picture = _drawn_map(scene)
    hit, seconds = timed(lambda: pointing_game(map, mask))
    y, x = divmod(int(map.argmax()), map.shape[1])
    figure, axes = _figure(2)
    axes[0].imshow(picture)
    axes[1].imshow(map, cmap="inferno")
    for ax in axes:
        ax.contour(mask, [0.5], colors=_YELLOW)
        ax.plot(x, y, "o", mfc="none", mec="white", ms=14, mew=2)
        ax.axis("off")
    return Shown(
        "pointing_game", _drawn_figure(figure), seconds, f"Grad-CAM's largest value {'hits' if hit else 'misses'}"
    )


def _energy_inside(scene: Scene) -> Shown:
    from zfcuda.faithfulness import energy_inside

    figure, axes = _figure(2)
    said, seconds = [], 0.0
    for ax, name in zip(axes, ("gradcam", "guided"), strict=True):
        map, mask, _ = _drawn_map(scene, name)
        share, seconds = timed(lambda map=map, mask=mask: energy_inside(map, mask))  # type: ignore[misc]
        ax.imshow(map.clamp(min=0).sqrt(), cmap="inferno")
        ax.contour(mask, [0.5], colors=_YELLOW, linewidths=1)
        ax.set_title(f"{METHODS[name].title}: {100 * share:.0f} %", fontsize=9)
        ax.axis("off")
        said.append(f"{METHODS[name].title} {100 * share:.0f} %")
    return Shown("energy_inside", _drawn_figure(figure), seconds, ", ".join(said))


def _curve(scene: Scene, name: str) -> Shown:
    from zfcuda import faithfulness

    figure, axes = _figure(1)
    said, seconds = [], 0.0
    for method, colour in (("gradcam", _RED), ("centre", "grey")):
        map = METHODS[method].compute(scene.model, scene.image, [scene.target])[0]
        curve, seconds = timed(
            lambda map=map: getattr(faithfulness, name)(scene.model, scene.image, map, target=scene.target)  # type: ignore[misc]
        )
        axes[0].plot(curve.shares, curve.scores, color=colour, label=f"{METHODS[method].title}: {curve.auc:.2f}")
        said.append(f"{METHODS[method].title} {curve.auc:.2f}")
    axes[0].set_xlabel(f"share of the pixels {'removed' if name == 'deletion' else 'put in'}")
    axes[0].set_ylabel("probability")
    axes[0].legend(frameon=False, fontsize=8)
    return Shown(name, _drawn_figure(figure), seconds, f"area below the curve: {', '.join(said)}")


def _deletion(scene: Scene) -> Shown:
    return _curve(scene, "deletion")


def _insertion(scene: Scene) -> Shown:
    return _curve(scene, "insertion")


def _part_importance(scene: Scene) -> Shown:
    from zfcuda.faithfulness import part_importance

    _, _, label, _ = _drawn(scene)
    found, seconds = timed(lambda: part_importance(scene.demo, scene.parts, _DRAWN, target=label))
    map, _, _ = _drawn_map(scene, "occlusion")
    figure, axes = _figure(2)
    places = list(range(len(found.names)))
    for ax, values, title in zip(
        axes, (found.drops, found.mass(map)), ("true drop of the score", "occlusion map"), strict=True
    ):
        ax.barh(places, values, color=[_RED if value > 0 else _BLUE for value in values.tolist()])
        ax.set_title(title, fontsize=9)
    axes[0].set_yticks(places, found.names, fontsize=7)
    axes[1].set_yticks(places, [""] * len(places))
    return Shown(
        "part_importance", _drawn_figure(figure), seconds, f"rank correlation {found.rank_correlation(map):.2f}"
    )


def _randomization(scene: Scene) -> Shown:
    from zfcuda.faithfulness import randomization

    image, _, label, _ = _drawn(scene)
    figure, axes = _figure(1, wide=5.0)
    seconds, said = 0.0, []
    for name in _SHUFFLED:
        found, took = timed(lambda name=name: randomization(scene.demo, image, name, target=label))  # type: ignore[misc]
        seconds += took
        alike = [1.0, *(similarity.ssim for _, similarity in found)]
        axes[0].plot(alike, marker="o", ms=3, label=METHODS[name].title)
        said.append(f"{METHODS[name].title} {alike[-1]:.2f}")
    axes[0].set_xticks(range(len(found) + 1), ["trained", *(layer for layer, _ in found)], rotation=45, fontsize=7)
    axes[0].set_ylabel("similarity (SSIM)")
    axes[0].legend(frameon=False, fontsize=8)
    return Shown("randomization", _drawn_figure(figure), seconds, f"similarity after all layers: {', '.join(said)}")


def _figure(columns: int, wide: float = 3.0) -> tuple[Any, Any]:
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["axes.spines.right"] = matplotlib.rcParams["axes.spines.top"] = False
    figure = Figure(figsize=(columns * wide if columns > 1 else wide + 1, 2.8), layout="constrained", dpi=110)
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def _drawn_figure(figure: Any) -> Image.Image:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return Image.open(buffer).convert("RGB")
