"""Table 7: how well a linear classifier tells pictures apart by the codes of each layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.paper.cache import Cache
from zfcuda.paper.contrast import Contrast, contrast
from zfcuda.paper.figure import Figure, Option, Setting
from zfcuda.paper.plots import COLOURS, plotted
from zfcuda.paper.result import Claim, Result, Row
from zfcuda.paper.transferred.measured import Measured, measured
from zfcuda.train.transfer.probe import Row as Probe

#: Layer -> accuracies in per cent of an SVM and a softmax on Caltech-101 (30 pictures of each class), then on
#: Caltech-256 (60 of each).
PAPER: dict[int, tuple[float | None, ...]] = {
    1: (44.8, None, 24.6, None),
    2: (66.2, None, 39.6, None),
    3: (72.3, None, 46.0, None),
    4: (76.6, None, 51.3, None),
    5: (86.2, 82.9, 65.6, 65.7),
    7: (85.5, 85.4, 71.7, 72.6),
}


def table7(
    model: nn.Module,
    pictures: Any = None,
    *,
    layers: Sequence[str] | None = None,
    most: int | None = 50,
    preprocess: Any = None,
    seed: int = 0,
    cache: Cache | None = None,
    progress: bool = False,
) -> Result:
    """Fits linear classifiers on the codes of layers, of an untrained network too, and on pixels.

    Needs the extra: ``pip install zfcuda[features]``.

    Args:
        model: any network, trained.
        pictures: with classes, to train and to test on, as :func:`zfcuda.train.sets.read_sets` takes them; None: Parts
            of a seed that no network here was trained on.
        layers: from the first to the last; None: a handful of them all, of ZFNet the paper's seven.
        most: pictures of each class that are taken of each part at most; None: all.
        preprocess: how a picture becomes the network's image; None: what the model carries.
        seed: of what is drawn.
        cache: where what was measured is kept; Figure 9 takes it from there.
        progress: show bars on stderr.

    Returns:
        Result: accuracies by layer, and those of the paper. Tensors "right.trained" and "right.untrained", bool
        [layers,N]: which test pictures the SVM answers rightly.

    Raises:
        ImportError: scikit-learn is not installed.
        NotApplicableError: the pictures have no classes.
        TypeError, ValueError: naming the argument: no such layer, codes that do not fit into memory.
    """
    found = measured(
        model,
        pictures,
        layers=tuple(layers) if layers is not None else None,
        most=most,
        preprocess=preprocess,
        seed=seed,
        cache=cache or Cache(),
        progress=progress,
    )
    result = Result(notes=list(found.notes), claims=[*_deeper(found), _learnt(found)])
    result.notes.append(f"Always naming the most frequent class is right for {found.chance:.1%} of the test pictures.")
    result.tables = {"Accuracy on test, by layer": _rows(found), "The paper's": _paper()}
    for name in ("trained", "untrained"):
        result.tensors[f"right.{name}"] = torch.stack([right(row) for row in getattr(found, name).of("svm")])
    picture = plotted(lambda axes: _draw(axes[0], found), columns=2, size=(11.0, 4.2))
    if picture is not None:
        result.pictures[""], result.free = picture, {""}
    return result


def right(row: Probe) -> Tensor:
    """Which test pictures a classifier answers rightly, bool [N]."""
    return row.fitted.answers == row.fitted.truth


def ahead(one: Probe, other: Probe) -> Contrast:
    """By how many points a classifier is ahead of another one on the test pictures."""
    return contrast((right(one).double() - right(other).double())[None])


def _deeper(found: Measured) -> list[Claim]:
    """Whether the last codes are better than the first, and none before them is better than the last."""
    rows = found.trained.of("svm")
    if len(rows) < 2:
        return []
    first, last = rows[0], rows[-1]
    best = max(rows[:-1], key=lambda row: row.fitted.validation.accuracy)
    rise, lead = ahead(last, first), ahead(last, best)
    verdict = rise.positive_for_these
    if verdict and lead.positive_for_these is False:
        verdict = False
    steps = " -> ".join(f"{row.fitted.test.accuracy:.1%}" for row in rows)
    claim = Claim(
        "The deeper the layer, the better its features tell classes apart: a steady rise, the best of all at the top "
        "(44.8 to 86.2 and 85.5 % on Caltech-101, 24.6 to 71.7 % on Caltech-256).",
        f"{found.of_which}SVM by layer, {first.layer.name} to {last.layer.name}: {steps}; the last against the first "
        f"{rise}, against {best.layer.name}, the best before it on validation, {lead}.",
        verdict,
    )
    return [claim]


def _learnt(found: Measured) -> Claim:
    best, control = found.trained.best, max(found.untrained.best, found.pixels.best, key=_validated)
    lead = ahead(best, control)
    what, name = f"{best.layer.name}, {best.fitted.classifier}", control.layer.name
    name = name if name == "pixels" else f"{name} of the untrained network"
    claim = Claim(
        "It is what was learnt before that counts: trained on the few pictures alone the same network has 46.5 % on "
        "Caltech-101, with what it learnt on ImageNet 86.5 %.",
        f"The best codes ({what}) {best.fitted.test.accuracy:.1%}, without what was learnt ({name}) "
        f"{control.fitted.test.accuracy:.1%}: {lead}.",
        lead.positive_for_these,
    )
    return found.of_transfer(claim)


def _validated(row: Probe) -> float:
    return row.fitted.validation.accuracy


def _rows(found: Measured) -> list[Row]:
    pixels = found.pixels.rows[0]
    rows = [_row("pixels", pixels, None, None)]
    for trio in zip(*(found.trained.of(name) for name in ("svm", "softmax")), found.untrained.of("svm"), strict=True):
        rows.append(_row(trio[0].layer.name, *trio))
    return rows


def _row(name: str, svm: Probe, softmax: Probe | None, untrained: Probe | None) -> Row:
    return {
        "layer": name,
        "code": svm.layer.form,
        "SVM %": _percent(svm),
        "softmax %": _percent(softmax),
        "untrained, SVM %": _percent(untrained),
        "standard error": round(100 * svm.fitted.test.standard_error, 1),
    }


def _percent(probe: Probe | None) -> float | None:
    return None if probe is None else round(100 * probe.fitted.test.accuracy, 1)


def _paper() -> list[Row]:
    heads = [f"{data}, {name} %" for data in ("Caltech-101", "Caltech-256") for name in ("SVM", "softmax")]
    return [{"layer": layer, **dict(zip(heads, values, strict=True))} for layer, values in PAPER.items()]


def _draw(axes: Any, found: Measured) -> None:
    ours, paper = axes
    names = [row.layer.name for row in found.trained.of("svm")]
    places = range(1, len(names) + 1)
    for label, rows, shift, colour, line in (
        ("trained, SVM", found.trained.of("svm"), -0.06, COLOURS[0], "-"),
        ("trained, softmax", found.trained.of("softmax"), 0.06, COLOURS[5], "--"),
        ("untrained, SVM", found.untrained.of("svm"), 0.0, "#777777", "-"),
    ):
        shares = [row.fitted.test for row in rows]
        ours.errorbar(
            [place + shift for place in places],
            [100 * share.accuracy for share in shares],
            yerr=[196 * share.standard_error for share in shares],
            fmt="o" + line,
            markersize=5,
            linewidth=1.6,
            elinewidth=1,
            color=colour,
            label=label,
        )
    share = found.pixels.of("svm")[0].fitted.test
    half = 196 * share.standard_error
    ours.errorbar([0], [100 * share.accuracy], yerr=[half], fmt="s", color=COLOURS[1], label="pixels, SVM")
    ours.axhline(100 * found.chance, color="#999999", linestyle=":", label="most frequent class")
    ours.set_xticks(range(len(names) + 1), ["pixels", *names], rotation=30, ha="right")
    ours.set_xlabel("layer whose codes are classified")
    ours.set_ylabel("test accuracy, % (bars: 95 %)")
    ours.set_title(f"here: {found.sets.title.partition(':')[0]}", fontsize=11)
    for number, (data, start) in enumerate((("Caltech-101", 0), ("Caltech-256", 2))):
        for offset, (name, line) in enumerate((("SVM", "-"), ("softmax", "--"))):
            known = [(layer, values[start + offset]) for layer, values in PAPER.items() if values[start + offset]]
            paper.plot(*zip(*known, strict=True), "o" + line, color=COLOURS[2 + number], label=f"{data}, {name}")
    paper.set_xticks(range(1, 8))
    paper.set_xlabel("layer")
    paper.set_title("the paper: trained on ImageNet", fontsize=11)
    for axis in axes:
        axis.set_ylim(0, 103)
        axis.grid(alpha=0.25)
        axis.legend(fontsize=8, loc="best")


def of_setting(setting: Setting) -> dict[str, Any]:
    """What table7 and fig9 are called with."""
    most = setting.options["most"]
    if most < 0:
        raise ValueError(f"--most: expected at least 0, got {most}")
    return {
        "model": setting.model,
        "pictures": None if setting.gallery.parts is not None else setting.data,
        "most": most or None,
        "preprocess": setting.gallery.pictures.preprocess,
        "seed": setting.seed,
        "cache": setting.cache,
        "progress": setting.progress,
    }


def _run(setting: Setting) -> Result:
    return table7(**of_setting(setting))


FIGURE = Figure(
    name="table7",
    title="Table 7: what each layer's features are worth on other pictures",
    source="Zeiler & Fergus, Table 7 and section 5.3",
    says="A network that was trained on ImageNet is kept as it is, and a linear SVM or a softmax is trained on the "
    "features of one of its layers, on Caltech-101 and Caltech-256. Accuracy rises from layer to layer, from 44.8 % to "
    "86.2 % and from 24.6 % to 72.6 %: the deeper, the more the features tell apart.",
    run=_run,
    packages=("sklearn",),
    options=(Option("most", 50, "N", "pictures of each class that are taken of each part at most; 0: all"),),
)
