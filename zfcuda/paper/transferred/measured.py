"""Linear classifiers on a network's codes, on those of the same network untrained, and on pixels; measured once."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.data import Parts
from zfcuda.data.collection import Collection
from zfcuda.features.loading import placed
from zfcuda.paper.cache import Cache
from zfcuda.paper.figure import NotApplicableError
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.result import Claim
from zfcuda.paper.transferred.untrained import untrained
from zfcuda.train.sets import Sets, read_sets
from zfcuda.train.transfer import Prepared, Settings, Transfer, measure, prepare
from zfcuda.train.transfer.grid import Layer
from zfcuda.train.transfer.linear import Fitted
from zfcuda.train.transfer.probe import Point, Row
from zfcuda.train.transfer.shares import Share

#: Drawn pictures to learn from: those that the networks here learnt from are of seed 1.
PARTS_SEED, _PARTS = 2, 6000
PIXELS = "pixels"
_DRAWS = 3  # of each number of training pictures
_STATISTICS = 32  # pictures that an untrained network's batch norm sees


@dataclass(frozen=True)
class Probes:
    """What linear classifiers make of the codes of one network.

    Attributes:
        rows: SVMs by layer, then softmax classifiers where they were fitted, as they were of the trained network.
        points: learning curves; of the trained network for the last layer and the best before it, of the untrained one
            for the best.
    """

    rows: list[Row]
    points: list[Point]

    @property
    def best(self) -> Row:
        """The row with the most validation pictures answered rightly; of equals the last."""
        return max(reversed(self.rows), key=lambda row: row.fitted.validation.accuracy)

    def of(self, classifier: str) -> list[Row]:
        """The rows of one classifier, from the first layer to the last."""
        return [row for row in self.rows if row.fitted.classifier == classifier]

    def curve(self, layer: str) -> list[Point]:
        """The learning curve of a layer, from few pictures to many."""
        return sorted((point for point in self.points if point.layer == layer), key=lambda point: point.per_class)


@dataclass(frozen=True)
class Measured:
    """What codes are worth.

    Attributes:
        trained, untrained: the network, and the same with its weights shuffled.
        pixels: the image itself, as means over the cells of a grid.
        sets: the pictures. pictures: how many of training, validation and test were taken.
        chance: the accuracy of always naming the most frequent class.
        own: whether the network was trained to tell these very classes apart, which is not the paper's case.
        notes: what one has to know, in sentences.
    """

    trained: Probes
    untrained: Probes
    pixels: Probes
    sets: Sets
    pictures: dict[str, int]
    chance: float
    own: bool
    notes: list[str]

    @property
    def of_which(self) -> str:
        """What begins a finding about a network on the classes that it was trained on; else empty."""
        return "On the very classes that the network was trained on: " if self.own else ""

    def of_transfer(self, claim: Claim) -> Claim:
        """A claim about what was learnt elsewhere: undecided where the network learned these very classes."""
        if not self.own:
            return claim
        said = "On the very classes that the network was trained on, which is no transfer and decides nothing: "
        return Claim(claim.says, said + claim.found, None)


class Together(nn.Module):
    """A network, the same untrained, and the image in 32 x 32 means: one pass over the pictures serves all three."""

    def __init__(self, trained: nn.Module, untrained: nn.Module) -> None:
        super().__init__()
        self.trained, self.untrained, self.pixels = trained, untrained, nn.AdaptiveAvgPool2d(32)

    def forward(self, images: Tensor) -> Tensor:
        self.trained(images)
        self.untrained(images)
        found: Tensor = self.pixels(images)
        return found


def measured(
    model: nn.Module,
    pictures: Any,
    *,
    layers: tuple[str, ...] | None,
    most: int | None,
    preprocess: Any,
    seed: int,
    cache: Cache,
    progress: bool,
) -> Measured:
    """Fits linear classifiers; see :func:`zfcuda.paper.table7` for the arguments.

    Raises:
        ImportError: scikit-learn is not installed.
        NotApplicableError: the pictures have no classes to train and to test on.
        TypeError, ValueError: naming the argument: no such layer, codes that do not fit into memory.
    """
    given = (Parts(seed=PARTS_SEED), _PARTS) if pictures is None else pictures
    try:
        sets = given if isinstance(given, Sets) else read_sets(given)
    except ValueError as error:
        if not str(error).startswith("data"):
            raise
        raise NotApplicableError(f"pictures: expected some to train on, with classes: {error}") from None
    prepared = prepare(model, sets, Settings(layers=layers, per_class=(), most=most, seed=seed), preprocess=preprocess)
    known = _known(prepared, sets, cache, progress)
    classes = set(getattr(prepared.model, "classes", None) or ())
    own = classes == set(sets.classes)
    return Measured(
        trained=_probes(known, "trained"),
        untrained=_probes(known, "untrained"),
        pixels=_probes(known, PIXELS),
        sets=sets,
        pictures={name: len(part.labels) for name, part in prepared.parts.items()},
        chance=known["chance"],
        own=own,
        notes=_notes(sets, prepared, own, given),
    )


def _notes(sets: Sets, prepared: Prepared, own: bool, given: Any) -> list[str]:
    counts = ", ".join(f"{len(part.labels):,} {name}" for name, part in prepared.parts.items())
    given_parts = isinstance(given, tuple) and isinstance(given[0], Parts)
    seed = f" of seed {given[0].seed}" if given_parts else ""
    notes = [f"{sets.title.partition(':')[0]}{seed}: {counts} pictures of {len(sets.classes)} classes."]
    if own:
        those = "on other pictures of them" if given_parts else "perhaps on some of these pictures"
        notes.append(
            f"The network was trained to tell these very classes apart, {those}; the paper's case is another data set."
        )
    notes.append(
        "Untrained: the same network, in which the values of each weight have traded places at random. Pixels: the "
        "image itself, as 32 x 32 means. Each number of a code is standardised, and the regularisation chosen on "
        "validation."
    )
    return notes


def _known(prepared: Prepared, sets: Sets, cache: Cache, progress: bool) -> dict[str, Any]:
    """What was measured, fit for JSON; the codes are there as long as it takes."""
    gallery = Gallery(prepared.model, Collection(prepared.parts.test, prepared.preprocess))
    facts = {"sets": sets.fingerprint, **asdict(prepared.settings), "layers": [each.name for each in prepared.layers]}

    def work() -> dict[str, Any]:
        folder = cache.folder / f"transfer-{gallery.fingerprint[:16]}"
        folder.mkdir(exist_ok=True)
        found = _measured(prepared, sets, folder, progress)
        shutil.rmtree(folder)
        return found

    return cache.record(gallery, "transfer", facts, work)


def _measured(prepared: Prepared, sets: Sets, folder: Path, progress: bool) -> dict[str, Any]:
    """All layers, then the learning curves of those that do best on validation, of whose codes nothing is lost."""
    training, chosen = Collection(prepared.parts.training, prepared.preprocess), prepared.settings
    some = range(0, len(training), max(1, len(training) // _STATISTICS))[:_STATISTICS]
    images = placed(torch.stack([training.image(index) for index in some]), prepared.model)
    network = Together(prepared.model, untrained(prepared.model, images, seed=chosen.seed))
    names = [layer.name for layer in prepared.layers]
    layers = [PIXELS, *(f"{which}.{name}" for which in ("untrained", "trained") for name in names)]

    def run(settings: Settings) -> Transfer:
        found = measure(prepare(network, sets, settings, preprocess=prepared.preprocess), folder, progress=progress)
        assert found is not None  # no torchrun here
        return found

    by_layer = run(replace(chosen, layers=tuple(layers), classifiers=("svm",)))
    own = tuple(name for name in layers if name.startswith("trained."))
    rows = [*by_layer.rows, *run(replace(chosen, layers=own, classifiers=("softmax",))).rows]
    best = {_best(rows, "untrained"), _best(rows, "trained", but=own[-1]), own[-1], PIXELS}
    curves = tuple(name for name in layers if name in best)
    points = run(replace(chosen, layers=curves, curve_layers=curves, per_class=None, folds=_DRAWS)).points
    return _facts(by_layer.chance, rows, points)


def _best(rows: Sequence[Row], which: str, *, but: str = "") -> str | None:
    mine = [row for row in rows if _network(row.layer.name) == which and row.layer.name != but]
    return max(mine, key=lambda row: row.fitted.validation.accuracy).layer.name if mine else None


def _facts(chance: float, rows: Sequence[Row], points: Sequence[Point]) -> dict[str, Any]:
    def shares(fitted: Fitted) -> list[list[int]]:
        return [[share.right, share.of] for share in (fitted.training, fitted.validation, fitted.test)]

    return {
        "chance": chance,
        "truth": rows[0].fitted.truth.tolist(),
        "rows": [
            {
                "layer": [row.layer.name, row.layer.shape, row.layer.grid],
                "classifier": row.fitted.classifier,
                "c": row.fitted.c,
                "converged": row.fitted.converged,
                "shares": shares(row.fitted),
                "answers": row.fitted.answers.tolist(),
                "seconds": row.seconds,
            }
            for row in rows
        ],
        "points": [
            [p.layer, p.classifier, p.per_class, [[share.right, share.of] for share in p.shares]] for p in points
        ],
    }


def _probes(known: dict[str, Any], which: str) -> Probes:
    """Those of one network, under the names that its layers have there."""
    truth, rows = torch.tensor(known["truth"]), []
    for each in known["rows"]:
        name, shape, grid = each["layer"]
        if _network(name) != which:
            continue
        training, validation, test = (Share(*share) for share in each["shares"])
        answers = torch.tensor(each["answers"])
        fitted = Fitted(each["classifier"], each["c"], training, validation, test, answers, truth, each["converged"])
        layer = Layer(_own(name), tuple(shape), tuple(grid) if grid else None)
        rows.append(Row(layer, fitted, each["seconds"]))
    points = [
        Point(_own(name), classifier, count, tuple(Share(*share) for share in shares))
        for name, classifier, count, shares in known["points"]
        if _network(name) == which
    ]
    return Probes(rows, points)


def _network(name: str) -> str:
    return name.partition(".")[0]


def _own(name: str) -> str:
    return name.partition(".")[2] or name
